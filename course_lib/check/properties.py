"""Properties that a rubric line's replies must have, whatever the exact numbers.

A property looks at the replies of one rubric line, in the order of its cases, and says in one
sentence what is broken, or nothing. It explains better than "the values differ" can: "position 2
changes when position 5 is changed" tells a student that the future leaks.
"""

from __future__ import annotations

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

    def broken(self, replies: Sequence[Reply]) -> str | None:
        """One sentence that says how the replies break the property, or ``None``."""
        if any(reply.failure is not None for reply in replies):
            return None
        try:
            return PROPERTIES[self.name](replies, **self.parameters)
        except (TypeError, ValueError, IndexError, KeyError, AttributeError, RuntimeError):
            return None  # outputs of another shape or type: the comparison has said so already


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


PROPERTIES: dict[str, Callable[..., str | None]] = {
    function.__name__: function
    for function in (rows_sum_to_one, future_does_not_leak, same_output, norm_preserved, largest_tensor)
}
