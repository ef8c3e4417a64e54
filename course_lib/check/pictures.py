"""Expected beside yours: small arrays as tables that can be looked at and read out.

Numbers stand in the cells; colour only repeats them. A cell that differs bears a sign, an outline and
bold digits; where all differ, the caption says so.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib.check.compare import TOLERANCES

MAX_SIDE = 16
MAX_LINE = 24
LEVELS = 5


@dataclass(frozen=True)
class Panel:
    """A part of both arrays that is small enough to show: a scalar, a row or a matrix.

    Attributes:
        where: which part, e.g. ``, slice [1, 0]``, indexed as in Python; "" for the whole.
        want, have: the parts, of shape (rows, columns).
        wrong: which entries differ, of the same shape.
        rows, columns: index of the first row and column shown.
        cut: whether there is more than is shown.
        digits: decimals that keep entries apart that differ, if the numbers are of ordinary size.
    """

    where: str
    want: Tensor
    have: Tensor
    wrong: Tensor
    rows: int
    columns: int
    cut: bool
    digits: int

    @property
    def is_scalar(self) -> bool:
        """Whether there is one number only."""
        return self.want.numel() == 1

    @property
    def marks(self) -> Tensor:
        """Entries to mark: those that differ, unless all do."""
        return torch.zeros_like(self.wrong) if bool(self.wrong.all()) else self.wrong

    @property
    def remark(self) -> str:
        """What stands in place of marks where every entry differs."""
        return ", every entry differs" if bool(self.wrong.all()) else ""

    def text(self, value: Tensor) -> str:
        """A number in few characters."""
        return number_text(value, self.digits)


def panel(expected: Any, actual: Any) -> Panel | None:
    """The first slice in which two arrays of one shape differ; ``None`` where there is nothing to look at."""
    if not isinstance(expected, Tensor) or not isinstance(actual, Tensor):
        return None
    if expected.shape != actual.shape or expected.numel() == 0:
        return None
    wrong = _differs(expected, actual)
    if not bool(wrong.any()):
        return None
    first = wrong.nonzero()[0].tolist()
    lead = first[: max(expected.dim() - 2, 0)]
    want, have, wrong = (_matrix(array[tuple(lead)]) for array in (expected, actual, wrong))
    row, column = wrong.nonzero()[0].tolist()
    height, width = (MAX_SIDE, MAX_SIDE) if want.shape[0] > 1 else (1, MAX_LINE)
    top, left = _start(row, height, want.shape[0]), _start(column, width, want.shape[1])
    window = (slice(top, top + height), slice(left, left + width))
    cut = want[window].numel() < want.numel()
    where = f", slice [{', '.join(map(str, lead))}]" if lead else ""
    want, have, wrong = want[window], have[window], wrong[window]
    return Panel(where, want, have, wrong, top, left, cut, _digits(want, have, wrong))


def as_html(shown: Panel, name: str) -> str:
    """Two tables side by side, expected and yours."""
    if shown.is_scalar:
        return f"<p>Expected <b>{shown.text(shown.want[0, 0])}</b>, yours is <b>{shown.text(shown.have[0, 0])}</b>.</p>"
    label = html.escape(f"{name}{shown.where}")
    scale = _scale(shown.want, shown.have)
    nothing = torch.zeros_like(shown.wrong)
    tables = _table(shown, shown.want, nothing, f"expected: {label}", scale) + _table(
        shown, shown.have, shown.marks, f"yours: {label}{shown.remark}", scale
    )
    more = "<p class=cc-small>Only a part of it is shown.</p>" if shown.cut else ""
    return f'<div class=cc-pair role=group tabindex=0 aria-label="{label}: expected and yours">{tables}</div>{more}'


def as_text(shown: Panel, name: str) -> list[str]:
    """The same as lines of text; entries that differ bear a star."""
    if shown.is_scalar:
        return [f"expected {shown.text(shown.want[0, 0])}, yours is {shown.text(shown.have[0, 0])}"]
    lines = []
    for title, array, marks in (
        ("expected", shown.want, torch.zeros_like(shown.wrong)),
        ("yours", shown.have, shown.marks),
    ):
        cells = [
            [shown.text(v) + ("*" if m else " ") for v, m in zip(row, marked, strict=True)]
            for row, marked in zip(array, marks, strict=True)
        ]
        width = max(len(cell) for row in cells for cell in row)
        remark = shown.remark if title == "yours" else ""
        lines.append(f"{title}: {name}{shown.where}{' (a part)' if shown.cut else ''}{remark}")
        lines += ["  " + " ".join(cell.rjust(width) for cell in row).rstrip() for row in cells]
    return lines


def number_text(value: Tensor, digits: int) -> str:
    """A number with this many decimals; very large and very small ones with an exponent."""
    number = value.item()
    if isinstance(number, (bool, int)):
        return str(int(number))
    if not math.isfinite(number):
        return {math.inf: "∞", -math.inf: "−∞"}.get(number, "NaN")
    text = f"{number:.{digits}f}" if abs(number) < 10_000 else f"{number:.{digits}e}"
    return ("0" if number == 0 else text).replace("-", "−")


def _digits(want: Tensor, have: Tensor, wrong: Tensor) -> int:
    """The fewest decimals, from two to six, in which entries that differ do not look the same."""
    pairs = list(zip(want[wrong], have[wrong], strict=True))
    return next((d for d in range(2, 6) if all(number_text(w, d) != number_text(h, d) for w, h in pairs)), 6)


def _differs(expected: Tensor, actual: Tensor) -> Tensor:
    if not (expected.is_floating_point() and actual.is_floating_point()):
        return expected != actual
    coarse = torch.float32 in (expected.dtype, actual.dtype)
    tolerance = TOLERANCES[torch.float32 if coarse else torch.float64]
    return ~torch.isclose(
        actual.double(), expected.double(), rtol=tolerance.relative, atol=tolerance.absolute, equal_nan=True
    )


def _matrix(array: Tensor) -> Tensor:
    return array.reshape(1, -1) if array.dim() < 2 else array


def _start(index: int, width: int, size: int) -> int:
    """Where a window of this width begins so that it holds the index."""
    return max(0, min(index - width // 2, size - width)) if index >= width else 0


def _scale(*arrays: Tensor) -> float:
    finite = [a.double()[torch.isfinite(a.double())].abs() for a in arrays]
    return max((f.max().item() for f in finite if f.numel()), default=0.0) or 1.0


def _table(shown: Panel, array: Tensor, wrong: Tensor, title: str, scale: float) -> str:
    heads = "".join(f"<th scope=col>{shown.columns + j}" for j in range(array.shape[1]))
    rows = []
    for i, (values, marks) in enumerate(zip(array, wrong, strict=True)):
        cells = "".join(_cell(shown, value, bool(mark), scale) for value, mark in zip(values, marks, strict=True))
        rows.append(f"<tr><th scope=row>{shown.rows + i}{cells}")
    return (
        f'<figure><figcaption>{title}</figcaption><table class=cc-array aria-label="{title}">'
        f"<thead><tr><td>{heads}</thead><tbody>{''.join(rows)}</tbody></table></figure>"
    )


def _cell(shown: Panel, value: Tensor, wrong: bool, scale: float) -> str:
    classes = [shade] if (shade := _shade(value, scale)) else []
    text = shown.text(value)
    if wrong:
        classes.append("cc-d")
        text = f"<b>{text}</b>"
    attribute = "" if not classes else f" class={classes[0]}" if len(classes) == 1 else f' class="{" ".join(classes)}"'
    return f"<td{attribute}>{text}"


def _shade(value: Tensor, scale: float) -> str:
    if value.dtype == torch.bool:
        return "cc-t" if value else "cc-f"
    number = float(value)
    if not math.isfinite(number):
        return ""
    level = min(LEVELS, math.ceil(LEVELS * abs(number) / scale - 1e-9))
    return f"cc-{'p' if number > 0 else 'n'}{level}" if level > 0 else ""
