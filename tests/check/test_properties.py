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


PAIRS = torch.tensor([[0, 0], [0, 1], [2, 0]])
DUE = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)


def draws(probabilities: torch.Tensor, seed: int = 0, count: int = 3000) -> torch.Tensor:
    return PAIRS[torch.multinomial(probabilities, count, True, generator=torch.Generator().manual_seed(seed))]


def judged(*outputs: Any) -> str | None:
    return broken("follows_distribution", *outputs, outcomes=[PAIRS] * len(outputs), probabilities=[DUE] * len(outputs))


def test_draws_from_the_distribution_pass_whatever_the_seed() -> None:
    assert all(judged(draws(DUE, seed), draws(DUE, seed + 500)) is None for seed in range(200))
    first = draws(DUE)
    assert judged((first[:, :1], first[:, 1:])) is None


def test_a_wrong_distribution_is_refused() -> None:
    assert "far more or far less often" in str(judged(draws(torch.tensor([0.4, 0.4, 0.2]))))
    assert "far more or far less often" in str(judged(draws(DUE), PAIRS[:1].expand(3000, -1)))


def test_an_outcome_that_cannot_be_is_refused_at_once() -> None:
    drawn = draws(DUE)
    drawn[7] = torch.tensor([2, 1])
    assert judged(drawn) == "1 of 3000 draws are impossible under the distribution that is asked for."


def test_draws_that_cannot_be_read_are_refused() -> None:
    assert judged(torch.zeros(3, 5)) == judged("draws") == "the draws cannot be read."


PARAMETERS: dict[str, dict[str, Any]] = {
    "rows_sum_to_one": {},
    "future_does_not_leak": {"position": 4},
    "same_output": {"what": "x"},
    "norm_preserved": {"norms": [X.norm(dim=-1)]},
    "largest_tensor": {"limit": 3},
    "few_multiplications": {"limit": 3},
    "follows_distribution": {"outcomes": [PAIRS], "probabilities": [DUE]},
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
    replies = [Reply(2 * X, largest=10**6, multiplications=10**6), Reply(failure=Failure("raised"))]
    assert Property(name, PARAMETERS[name]).broken(replies) is None
