"""How long before the deadline work came in, and how it went."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from course_lib.grading.term.term import Work

SPANS: Sequence[tuple[float, str]] = (
    (48, "over two days before"),
    (24, "one to two days before"),
    (6, "6 to 24 hours before"),
    (1, "1 to 6 hours before"),
    (0, "in the last hour"),
    (-24, "up to a day late"),
    (-math.inf, "over a day late"),
)
"""Least hours before the deadline, and what that is called."""


@dataclass(frozen=True)
class Span:
    """Submissions of a span of time.

    Attributes:
        name: of the span.
        count: how many there are.
        mean: the mean share of points of those that are graded, or ``None``.
    """

    name: str
    count: int
    mean: float | None


def spans(works: Sequence[Work]) -> tuple[list[Span], int]:
    """Submissions by time to the deadline, over all assignments; and how many have no time or no deadline."""
    shares: dict[str, list[float | None]] = {name: [] for _, name in SPANS}
    unknown = 0
    for work in works:
        for student, entry in work.entries.items():
            if work.due is None or entry.handed_in is None:
                unknown += 1
                continue
            hours = (work.due - entry.handed_in).total_seconds() / 3600
            shares[next(name for least, name in SPANS if hours >= least)].append(work.total(student))
    found = []
    for name, values in shares.items():
        known = [value for value in values if value is not None]
        found.append(Span(name, len(values), sum(known) / len(known) if known else None))
    return found, unknown
