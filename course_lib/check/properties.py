"""Properties that a rubric line's replies must have, whatever the exact numbers.

A property looks at the replies of one rubric line, in the order of its cases, and says in one
sentence what is broken, or nothing. It explains better than "the values differ" can: "position 2
changes when position 5 is changed" tells a student that the future leaks.

Some answers are drawn by chance: another right answer draws other numbers. A line that has the property
``follows_distribution`` is therefore judged by its properties alone; of the values only shape and type are compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from course_lib.check.probe import Reply


@dataclass(frozen=True)
class Property:
    """A named property with its parameters; plain data, so that it can be recorded."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def of_chance(self) -> bool:
        """Whether it judges what is drawn, so that the values themselves need not be the reference's."""
        return self.name == follows_distribution.__name__

    def broken(self, replies: Sequence[Reply]) -> str | None:
        """One sentence that says how the replies break the property, or ``None``."""
        if any(reply.failure is not None for reply in replies):
            return None
        try:
            return PROPERTIES[self.name](replies, **self.parameters)
        except (TypeError, ValueError, IndexError, KeyError, AttributeError, RuntimeError):
            # Outputs of another shape or type: the comparison has said so already, except where it leaves out values.
            return "the draws cannot be read." if self.of_chance else None


def _part(reply: Reply, part: int | None) -> torch.Tensor:
    output = reply.output if part is None else reply.output[part]
    if not isinstance(output, torch.Tensor):
        raise TypeError("not a tensor")
    return output.double()


def rows_sum_to_one(replies: Sequence[Reply], *, part: int | None = None) -> str | None:
    """Each row of the output sums to 1, or is all zeros."""
    for reply in replies:
        weights = _part(reply, part)
        sums = weights.sum(-1)
        good = torch.isclose(sums, torch.ones_like(sums), atol=1e-4) | (weights == 0).all(-1)
        if not bool(good.all()):
            columns = bool(torch.isclose(weights.sum(-2), torch.ones((), dtype=torch.float64), atol=1e-4).all())
            hint = " The columns do: the softmax runs over the queries." if columns else ""
            return f"each row of the weights must sum to 1.{hint}"
    return None


def future_does_not_leak(
    replies: Sequence[Reply], *, position: int, axis: int = 1, part: int | None = None
) -> str | None:
    """Cases 0 and 1 differ from ``position`` on; the outputs before it must be the same."""
    first, second = _part(replies[0], part), _part(replies[1], part)
    gap = (first - second).narrow(axis, 0, position).abs()
    if bool(gap.max() > 1e-6):
        others = [d for d in range(gap.dim()) if d != axis % gap.dim()]
        leaking = int(torch.nonzero(gap.amax(others) > 1e-6)[0])
        return f"the output at position {leaking} changes when position {position} is changed: the future leaks."
    return None


def same_output(replies: Sequence[Reply], *, what: str, part: int | None = None) -> str | None:
    """All cases must give the same output; ``what`` says what was varied between them."""
    first = _part(replies[0], part)
    for reply in replies[1:]:
        if not torch.allclose(first, _part(reply, part), atol=1e-5):
            return f"the output changes with {what}, and it must not."
    return None


def norm_preserved(replies: Sequence[Reply], *, norms: Sequence[torch.Tensor]) -> str | None:
    """Each output vector has the length that the input vector had."""
    for reply, want in zip(replies, norms, strict=True):
        if not torch.allclose(_part(reply, None).norm(dim=-1), want.double(), atol=1e-4):
            return "a rotation keeps the length of each vector, and yours changes it."
    return None


def largest_tensor(replies: Sequence[Reply], *, limit: int) -> str | None:
    """No tensor made on the way has more than ``limit`` elements."""
    for reply in replies:
        if reply.largest is not None and reply.largest > limit:
            return f"a tensor of {reply.largest:,} elements was made on the way; at most {limit:,} are allowed."
    return None


def few_multiplications(replies: Sequence[Reply], *, limit: int) -> str | None:
    """No case multiplies more than ``limit`` pairs of numbers, in matrix products and entry by entry."""
    for reply in replies:
        if reply.multiplications is not None and reply.multiplications > limit:
            return f"{reply.multiplications:,} multiplications were made on the way; at most {limit:,} are allowed."
    return None


FALSE_ALARM = 1e-7
"""Largest probability with which ``follows_distribution`` refuses draws that are right."""


def follows_distribution(
    replies: Sequence[Reply], *, outcomes: Sequence[torch.Tensor], probabilities: Sequence[torch.Tensor]
) -> str | None:
    """The rows of each case's output are drawn independently, each possible row with its probability.

    An output of several tensors is laid side by side. A count whose share is q where p was due is refused where
    n · KL(q, p) is above a limit. By Chernoff's bound a right answer passes the limit, in one direction, with a
    probability of at most e to minus the limit; added up over all outcomes, both directions and all cases this is at
    most ``FALSE_ALARM``.

    Args:
        replies: the replies, in the order of the cases.
        outcomes: for each case, its possible rows, (number of outcomes, width), each once.
        probabilities: for each case, the probability of each outcome, above 0, (number of outcomes,).
    """
    limit = math.log(2 * sum(map(len, outcomes)) / FALSE_ALARM)
    for reply, rows, due in zip(replies, outcomes, probabilities, strict=True):
        parts = reply.output if isinstance(reply.output, (list, tuple)) else (reply.output,)
        drawn = torch.cat([part.reshape(len(part), -1) for part in parts], dim=1)
        equal = (drawn[:, None] == rows).all(-1)  # (draws, outcomes)
        impossible = int((~equal.any(-1)).sum())
        if impossible:
            return f"{impossible} of {len(drawn)} draws are impossible under the distribution that is asked for."
        share, due = equal.double().mean(0), due.double()
        distance = torch.xlogy(share, share / due) + torch.xlogy(1 - share, (1 - share) / (1 - due))
        if bool((len(drawn) * distance > limit).any()):
            return (
                f"over {len(drawn)} draws, some outcome comes far more or far less often than it should; a right "
                f"answer is refused here less than once in {1 / FALSE_ALARM:,.0f} times."
            )
    return None


PROPERTIES: dict[str, Callable[..., str | None]] = {
    function.__name__: function
    for function in (
        rows_sum_to_one,
        future_does_not_leak,
        same_output,
        norm_preserved,
        largest_tensor,
        few_multiplications,
        follows_distribution,
    )
}
