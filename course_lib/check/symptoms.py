"""How a wrong array is related to the right one, said without any of its values.

"Your values are 2.83 times the expected ones everywhere" points at a missing 1/√8. Only relations are
named, so that a symptom may be shown for hidden cases too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

RELATIVE = 1e-4
MIN_ENTRIES = 4
MAX_ENTRIES = 250_000
MAX_AXES = 6


def symptoms(expected: Any, actual: Any) -> str | None:
    """One sentence on how ``actual`` is related to ``expected``, or ``None`` where no relation is seen.

    Nothing is said of arrays with fewer than four entries or with a single value throughout: there a
    relation would give the expected value away.

    Args:
        expected: what is right, an array of numbers or booleans.
        actual: what came back.
    """
    if not isinstance(expected, Tensor) or not isinstance(actual, Tensor):
        return None
    if not MIN_ENTRIES <= expected.numel() <= MAX_ENTRIES or max(expected.dim(), actual.dim()) > MAX_AXES:
        return None
    if expected.dtype == torch.bool and actual.dtype == torch.bool:
        return _boolean(expected, actual)
    want, have = expected.double(), actual.double()
    if not bool(torch.isfinite(want).all()) or _is_constant(want.abs()):
        return None
    if not bool(torch.isfinite(have).all()):
        return _where_not_finite(have) if want.shape == have.shape else None
    if want.shape == have.shape:
        if _close(want, have):
            return None
        return next((said for rule in RULES if (said := rule(want, have))), None)
    return _axes_swapped(want, have) or _flat_order(want, have)


def _close(want: Tensor, have: Tensor) -> bool:
    """Equal up to round-off, on the scale of the largest entry."""
    if want.shape != have.shape or want.numel() == 0:
        return False
    scale = max(want.abs().max().item(), have.abs().max().item())
    return bool((want - have).abs().max() <= RELATIVE * scale)


def _is_constant(values: Tensor) -> bool:
    return _close(values, values.flatten()[0].expand(values.shape))


def _boolean(want: Tensor, have: Tensor) -> str | None:
    if want.shape == have.shape and bool((want != have).all()):
        return "True and False are exchanged everywhere."
    if want.dim() >= 2 and torch.equal(want.transpose(-1, -2), have) and not torch.equal(want, have):
        return "It is right after exchanging the last two axes: rows and columns are swapped."
    if want.shape == have.shape and not torch.equal(want, have):
        return _shifted(want.double(), have.double()) or _flipped(want.double(), have.double())
    return None


def _where_not_finite(have: Tensor) -> str | None:
    broken = ~torch.isfinite(have)
    if bool(broken.all()):
        return "No entry is finite."
    if have.dim() >= 2 and bool((broken.all(-1) == broken.any(-1)).all()):
        rows = int(broken.all(-1).sum())
        return f"Whole rows are not finite, {rows} of {broken.all(-1).numel()}; the others are."
    return None


def _axes_swapped(want: Tensor, have: Tensor) -> str | None:
    if want.dim() != have.dim() or want.dim() < 2:
        return None
    for first, second in sorted(combinations(range(want.dim()), 2), key=lambda pair: (-pair[1], -pair[0])):
        if _close(want.transpose(first, second), have):
            if (first, second) == (want.dim() - 2, want.dim() - 1):
                return "It is right after exchanging the last two axes: rows and columns are swapped."
            return f"It is right after exchanging axes {first} and {second} (counted from 0)."
    return None


def _sign(want: Tensor, have: Tensor) -> str | None:
    if _close(-want, have):
        return "It is right up to the sign: every entry has the opposite one."
    if _close(want.abs(), have.abs()):
        wrong = int((want * have < 0).sum())
        return f"The sizes are right; the sign is wrong in {wrong} of {want.numel()} entries."
    return None


def _factor(want: Tensor, have: Tensor) -> str | None:
    factor = ((want * have).sum() / (want * want).sum()).item()
    if factor != 0 and _close(factor * want, have):
        return f"Your values are {factor:.3g} times the expected ones everywhere."
    return None


def _offset(want: Tensor, have: Tensor) -> str | None:
    if _close(want + (have - want).mean(), have):
        return "Your values are off by the same amount everywhere."
    return None


def _row_factor(want: Tensor, have: Tensor) -> str | None:
    """Each row has the right proportions and a scale of its own."""
    for axis, name in ((-1, "row (along the last axis)"), (-2, "column (along the last axis but one)")):
        if want.dim() < -axis or want.shape[axis] < 3:
            continue
        size = (want * want).sum(axis, keepdim=True)
        factor = (want * have).sum(axis, keepdim=True) / size.clamp_min(torch.finfo(torch.float64).tiny)
        scaled = (factor != 0) | (size == 0)  # a row that became zeros has no scale
        if bool(scaled.all()) and bool((factor != 0).any()) and _close(factor * want, have):
            return (
                f"Each {name} has the right proportions but a wrong scale of its own: "
                "is it normalised, and over the right axis?"
            )
    return None


def _shifted(want: Tensor, have: Tensor) -> str | None:
    for axis in _long_axes(want):
        n = want.shape[axis] - 1
        tail, head = want.narrow(axis, 1, n), want.narrow(axis, 0, n)
        if _is_constant(tail) or _is_constant(head):
            continue
        if _close(head, have.narrow(axis, 1, n)):
            return f"It is right but shifted by one position along axis {axis}: yours comes one later."
        if _close(tail, have.narrow(axis, 0, n)):
            return f"It is right but shifted by one position along axis {axis}: yours comes one earlier."
    return None


def _flipped(want: Tensor, have: Tensor) -> str | None:
    axis = next((axis for axis in _long_axes(want) if _close(want.flip(axis), have)), None)
    return None if axis is None else f"It is right but in reverse order along axis {axis}."


def _flat_order(want: Tensor, have: Tensor) -> str | None:
    if want.numel() != have.numel():
        return None
    if want.shape != have.shape and _close(want.flatten(), have.flatten()):
        return "The numbers and their order are right, only the shape is not."
    if _close(want.flatten().sort().values, have.flatten().sort().values):
        return "All the right numbers are there, in other places: is a reshape used where axes must be exchanged?"
    return None


def _confined(want: Tensor, have: Tensor) -> str | None:
    """The differences keep to one position along an axis."""
    wrong = (want - have).abs() > RELATIVE * max(want.abs().max().item(), have.abs().max().item())
    for axis in _long_axes(want):
        others = [d for d in range(want.dim()) if d != axis]
        hit = wrong.sum(others) > 0 if others else wrong
        if int(hit.sum()) == 1:
            return f"Only position {int(hit.nonzero()[0])} along axis {axis} is wrong (counted from 0)."
    return None


def _long_axes(want: Tensor) -> Iterator[int]:
    """Axes of three positions or more, the last but one first: there the sequence lies."""
    order = sorted(range(want.dim()), key=lambda axis: (axis != want.dim() - 2, -axis))
    return (axis for axis in order if want.shape[axis] >= 3)


RULES: tuple[Callable[[Tensor, Tensor], str | None], ...] = (
    _sign,
    _axes_swapped,
    _factor,
    _offset,
    _shifted,
    _flipped,
    _flat_order,
    _row_factor,
    _confined,
)
