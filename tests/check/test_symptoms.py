"""A relation between a wrong array and the right one is named, but not where there is none or it would tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from course_lib.check.symptoms import symptoms
from tests.check.artificial import tensor

WANT = tensor(2, 4, 5)

RELATIONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "factor": (lambda x: x * 8**0.5, "2.83 times the expected ones everywhere"),
    "small factor": (lambda x: x / 1000, "0.001 times"),
    "negative factor": (lambda x: -2 * x, "-2 times"),
    "sign": (lambda x: -x, "right up to the sign"),
    "some signs": (lambda x: x * torch.tensor([1, -1, 1, 1, 1]), "the sign is wrong in 8 of 40 entries"),
    "sizes only": (lambda x: x.abs(), "The sizes are right"),
    "transposed": (lambda x: x.mT, "exchanging the last two axes"),
    "other axes": (lambda x: x.transpose(0, 1), "exchanging axes 0 and 1"),
    "offset": (lambda x: x + 3, "off by the same amount everywhere"),
    "later": (lambda x: x.roll(1, 1), "shifted by one position along axis 1: yours comes one later"),
    "earlier": (lambda x: x.roll(-1, -1), "shifted by one position along axis 2: yours comes one earlier"),
    "reversed": (lambda x: x.flip(1), "reverse order along axis 1"),
    "flattened": (lambda x: x.flatten(1), "only the shape is not"),
    "added axis": (lambda x: x[:, None], "only the shape is not"),
    "other places": (lambda x: x.mT.reshape(2, 4, 5), "in other places"),
    "other places and shape": (lambda x: x.permute(2, 0, 1), "in other places"),
    "row scale": (lambda x: x * torch.tensor([1.0, 2, 3, 4])[:, None], "Each row"),
    "column scale": (lambda x: x * torch.tensor([1.0, 2, 3, 4, 5]), "Each column"),
    "one position": (lambda x: x + torch.tensor([0.0, 0, 0, 7])[:, None].mul(x.sin()), "Only position 3 along axis 1"),
}


@pytest.mark.parametrize("name", RELATIONS)
def test_the_relation_is_named(name: str) -> None:
    change, says = RELATIONS[name]
    assert says in str(symptoms(WANT, change(WANT)))
    assert says in str(symptoms(WANT.float(), change(WANT).float()))


def test_rows_that_became_zeros_have_no_scale_of_their_own() -> None:
    ended = WANT * torch.tensor([1.0, 0, 1, 0])[:, None]
    assert "proportions" not in str(symptoms(WANT, ended))


def test_a_square_matrix_transposed_is_told_from_another_order() -> None:
    square = tensor(4, 4)
    assert "rows and columns are swapped" in str(symptoms(square, square.mT))


def test_masks_have_relations_too() -> None:
    mask = torch.ones(5, 5).bool().tril()
    assert "exchanged everywhere" in str(symptoms(mask, ~mask))
    assert "rows and columns" in str(symptoms(mask, mask.mT))
    assert "shifted by one position" in str(symptoms(mask, torch.ones(5, 5).bool().tril(-1)))
    assert symptoms(mask, mask) is None


def test_rows_that_are_not_finite_are_counted() -> None:
    broken = WANT.clone()
    broken[0, 1] = float("nan")
    assert symptoms(WANT, broken) == "Whole rows are not finite, 1 of 8; the others are."
    assert symptoms(WANT, WANT / 0) == "No entry is finite."


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (WANT, WANT),
        (WANT, tensor(2, 4, 5, seed=1)),
        (WANT, tensor(3, 3, seed=1)),
        (WANT, torch.zeros(2, 4, 5)),
        (WANT, torch.full((2, 4, 5), float("inf")).where(tensor(2, 4, 5, seed=2) > 0, WANT)),
        (WANT, None),
        (None, WANT),
        (1.0, 2.0),
        ("a", "b"),
        (torch.zeros(0, 3), torch.zeros(0, 3)),
        (torch.zeros(2, 4), torch.ones(2, 4)),
    ],
)
def test_nothing_is_said_where_no_relation_is(expected: Any, actual: Any) -> None:
    assert symptoms(expected, actual) is None


@pytest.mark.parametrize(
    "expected",
    [
        torch.tensor(7351.0),
        torch.tensor([7351.0, 2.0, 1.0]),
        torch.full((3, 4), 7351.0),
        torch.tensor([[7351.0, -7351.0], [7351.0, 7351.0]]),
    ],
)
def test_nothing_is_said_that_would_tell_the_value(expected: Tensor) -> None:
    for actual in (expected / 7351, expected * 2, -expected, torch.ones_like(expected), expected + 1):
        assert symptoms(expected, actual) is None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 100), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_no_sentence_holds_an_entry(seed: int, factor: float, shape: list[int]) -> None:
    want = tensor(*shape, seed=seed) * 1e5
    for change in (lambda x: x * factor, lambda x: x.flip(-1), lambda x: x + factor, lambda x: x.relu()):
        said = symptoms(want, change(want)) or ""
        assert not any(f"{abs(entry):.6g}"[:6] in said for entry in want.flatten().tolist())


@pytest.mark.parametrize("shape", [(1,) * 8 + (4,), (1000, 1000), (0,), (4, 0)])
def test_unusual_shapes_do_no_harm(shape: tuple[int, ...]) -> None:
    want = torch.zeros(shape).flatten().add(torch.arange(torch.Size(shape).numel())).reshape(shape)
    assert symptoms(want, 2 * want) is None or "2 times" in str(symptoms(want, 2 * want))
