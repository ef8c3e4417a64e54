"""Each property passes what has it, explains what breaks it, and is silent on replies of another kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from course_lib.check.probe import Failure, Reply
from course_lib.check.properties import PROPERTIES, Property

WEIGHTS = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
X = torch.rand(2, 6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def broken(name: str, *outputs: Any, largest: int | None = None, **parameters: Any) -> str | None:
    return Property(name, parameters).broken([Reply(output, largest=largest) for output in outputs])


def test_rows_that_sum_to_one_or_are_empty_are_right() -> None:
    rows = WEIGHTS.softmax(-1)
    rows[0, 1] = 0
    assert broken("rows_sum_to_one", rows) is None
    assert broken("rows_sum_to_one", (None, rows), part=1) is None
    assert broken("rows_sum_to_one", WEIGHTS) == "each row of the weights must sum to 1."
    assert "over the queries" in str(broken("rows_sum_to_one", WEIGHTS.softmax(-2)))


def test_a_leaking_future_is_located() -> None:
    changed = X.clone()
    changed[:, 4:] += 1
    assert broken("future_does_not_leak", X, changed, position=4) is None
    changed[1, 2] += 0.01
    message = broken("future_does_not_leak", X, changed, position=4)
    assert message == "the output at position 2 changes when position 4 is changed: the future leaks."
    assert broken("future_does_not_leak", X.mT, changed.mT, position=4, axis=-1) == message


def test_what_must_not_matter_is_named() -> None:
    assert broken("same_output", X, X.clone(), what="the order of the data") is None
    message = broken("same_output", X, X + 1, what="the order of the data")
    assert message == "the output changes with the order of the data, and it must not."


def test_a_rotation_keeps_lengths() -> None:
    norms = [X.norm(dim=-1)]
    assert broken("norm_preserved", X.flip(-1), norms=norms) is None
    assert "length" in str(broken("norm_preserved", 2 * X, norms=norms))


def test_the_largest_tensor_is_limited() -> None:
    assert broken("largest_tensor", X, largest=100, limit=100) is None
    assert "12,345 elements" in str(broken("largest_tensor", X, largest=12_345, limit=100))


PARAMETERS: dict[str, dict[str, Any]] = {
    "rows_sum_to_one": {},
    "future_does_not_leak": {"position": 4},
    "same_output": {"what": "x"},
    "norm_preserved": {"norms": [X.norm(dim=-1)]},
    "largest_tensor": {"limit": 3},
}


@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize(
    "outputs", [(None, None), ("a", "b"), (1.0, 2.0), (torch.zeros(()), torch.zeros(3)), ([X], [X]), (X, X[:, :2])]
)
def test_replies_of_another_kind_are_left_to_the_comparison(name: str, outputs: tuple[Any, Any]) -> None:
    said = broken(name, *outputs, **PARAMETERS[name])
    assert said is None or isinstance(said, str)


@pytest.mark.parametrize("name", PROPERTIES)
def test_failures_are_left_to_the_comparison(name: str) -> None:
    replies = [Reply(2 * X, largest=10**6), Reply(failure=Failure("raised"))]
    assert Property(name, PARAMETERS[name]).broken(replies) is None
