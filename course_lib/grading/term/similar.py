"""Pairs of answers with much in common, beyond what anyone could have taken from the course itself.

Fingerprints are those of copydetect (winnowing: Schleimer, Wilkerson, Aiken, SIGMOD 2003): names, text and spaces
count for nothing, so that a copy with other names has the same. What the stub, the solution, the chapter's library
and the known mistakes hold is taken away first, and so is what several students wrote: it is what the task asks for.
"""

from __future__ import annotations

import inspect
import io
import sys
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
from copydetect import CodeFingerprint, compare_files
from copydetect.utils import get_token_coverage

from course_lib.grading.ingest import released
from course_lib.grading.solution import answers, wrong_source
from course_lib.grading.spec import Assignment, assignment

LENGTH = 25
"""Characters of code, names shortened to one, that a shared passage has at least."""

LEAST = 100
"""Characters that two answers share before they are shown."""

COMMON = 3, 0.1
"""What more students have than the first, and than the second as a share of the class, is what the task asks for."""

SHOWN = 16
"""Lines of a passage that are shown."""


@dataclass(frozen=True)
class Pair:
    """Two students whose answers to an assignment share code that is not the course's.

    Attributes:
        slug: of the assignment.
        students: who.
        characters: how much they share, names counted as one character.
        shares: the part of each one's own code that this is.
        passages: the lines of each in which it stands.
    """

    slug: str
    students: tuple[str, str]
    characters: int
    shares: tuple[float, float]
    passages: tuple[str, str]


def similar_pairs(spec: Assignment, given: Mapping[str, Mapping[str, str]]) -> list[Pair]:
    """Pairs of students who share much, those with most first.

    Args:
        spec: of the assignment.
        given: answers by student and exercise.
    """
    prints = {student: _own_prints(spec, cells) for student, cells in given.items()}
    limit = max(COMMON[0], COMMON[1] * len(prints))
    holders = Counter(h for own in prints.values() for h in set[int]().union(*(found.hashes for found in own.values())))
    dropped = {h for h, count in holders.items() if count > limit}
    for own in prints.values():
        for found in own.values():
            _drop(found, dropped)
    pairs = [_pair(spec.slug, (one, other), prints) for one, other in combinations(sorted(prints), 2)]
    return sorted(
        (pair for pair in pairs if pair is not None and pair.characters >= LEAST),
        key=lambda pair: (-pair.characters, pair.students),
    )


def _own_prints(spec: Assignment, cells: Mapping[str, str]) -> dict[str, CodeFingerprint]:
    """The fingerprints of each answer, without those of the course."""
    prints = {e.name: _fingerprint(cells[e.name]) for e in spec.exercises if e.name in cells}
    for found in prints.values():
        _drop(found, _of_the_course(spec.slug))
    return prints


def _pair(slug: str, students: tuple[str, str], prints: Mapping[str, Mapping[str, CodeFingerprint]]) -> Pair | None:
    """What two students share, exercise by exercise."""
    one, other = (prints[student] for student in students)
    common = [name for name in one if name in other and not one[name].hashes.isdisjoint(other[name].hashes)]
    if not common:
        return None
    compared = [compare_files(one[name], other[name]) for name in common]
    count = sum(int(shared) for shared, _, _ in compared)
    left, right = (
        "\n…\n".join(
            _lines(own[name].raw_code, np.asarray(slices[side]))
            for name, (_, _, slices) in zip(common, compared, strict=True)
        )
        for side, own in enumerate((one, other))
    )
    sizes = [float(sum(found.token_coverage for found in own.values())) for own in (one, other)]
    return Pair(slug, students, count, (min(1.0, count / sizes[0]), min(1.0, count / sizes[1])), (left, right))


def _fingerprint(source: str) -> CodeFingerprint:
    return CodeFingerprint("answers.py", LENGTH, 1, language="python", fp=io.StringIO(source))


def _drop(found: CodeFingerprint, dropped: Set[int]) -> None:
    """Take fingerprints away. copydetect's own way loses those that a text holds twice, boilerplate or not."""
    found.hashes = found.hashes - dropped
    found.hash_idx = {h: places for h, places in found.hash_idx.items() if h in found.hashes}
    found.token_coverage = get_token_coverage(found.hash_idx, LENGTH, len(found.filtered_code))


@cache
def _of_the_course(slug: str) -> frozenset[int]:
    """What stands in the released notebook, the solution, the chapter's library and the known mistakes."""
    spec = assignment(slug)
    modules = {e.reference.__module__ for e in spec.exercises if e.reference.__module__.startswith("course_lib.")}
    sources = [Path(inspect.getfile(sys.modules[name])).read_text(encoding="utf-8") for name in sorted(modules)]
    sources += [cell.source for cell in released(slug, spec.notebook).cells if cell.cell_type == "code"]
    for exercise in spec.exercises:
        sources.append(answers(slug)[exercise.name])
        sources += [wrong_source(slug, exercise.name, m) for m in exercise.misconceptions]
    return frozenset(h for source in sources for h in _fingerprint(source).hashes)


def _lines(source: str, slices: np.ndarray) -> str:
    """The lines of a source in which the slices lie."""
    lines = source.split("\n")
    ends = np.cumsum([len(line) + 1 for line in lines])
    touched: set[int] = set()
    for start, end in slices.T:
        first, last = np.searchsorted(ends, [start, max(start, end - 1)], side="right")
        touched |= set(range(int(first), int(last) + 1))
    shown, before = [], -1
    for number in sorted(n for n in touched if n < len(lines))[:SHOWN]:
        if before >= 0 and number > before + 1:
            shown.append("…")
        shown.append(lines[number])
        before = number
    return "\n".join(shown)
