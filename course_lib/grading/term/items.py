"""How hard each part of an assignment is, and how well it tells strong work from weak."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from course_lib.grading.term.term import Work

FEWEST = 5
"""Fewer students than this give no correlation worth a number."""


@dataclass(frozen=True)
class Item:
    """A part of an assignment.

    Attributes:
        name: of the exercise or question.
        points: what it is worth.
        share: the mean share of its points: near 1 is easy, near 0 hard.
        discrimination: the correlation of its share with the points of everything else in the assignment, or
            ``None`` where it is not defined.
        students: how many it is computed from.
    """

    name: str
    points: float
    share: float
    discrimination: float | None
    students: int


def items(work: Work) -> list[Item]:
    """The parts of an assignment. Students whose notebook could not be read are left out: they say nothing."""
    table = {student: [work.share(student, part) for part in work.parts] for student in work.readable()}
    found = []
    for number, part in enumerate(work.parts):
        own, rest = [], []
        for shares in table.values():
            if (mine := shares[number]) is not None:
                own.append(mine)
                others = zip(work.parts, shares, strict=True)
                rest.append(sum(p.points * s for p, s in others if s is not None and p is not part))
        if own:
            found.append(Item(part.name, part.points, statistics.mean(own), correlation(own, rest), len(own)))
    return found


def correlation(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Pearson's r; ``None`` for few values, or where one side is the same for all."""
    if len(left) < FEWEST:
        return None
    x, y = statistics.mean(left), statistics.mean(right)
    spread = math.sqrt(sum((a - x) ** 2 for a in left) * sum((b - y) ** 2 for b in right))
    if spread < 1e-9:
        return None
    return sum((a - x) * (b - y) for a, b in zip(left, right, strict=True)) / spread
