"""Who needs help first, and why: reasons in words, from what was handed in and how it was graded."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from course_lib.grading.pages import percent
from course_lib.grading.standing import Person
from course_lib.grading.term.term import Part, Term, Work

LOW = 0.5
FALL = 0.2
MOST = 0.75
ENOUGH = 2
"""How much the reasons of a student must weigh before they are listed."""


@dataclass(frozen=True)
class Help:
    """A student, and the reasons to talk with them first. ``weight`` orders the list."""

    person: Person
    reasons: tuple[str, ...]
    weight: int


def who_needs_help(term: Term) -> list[Help]:
    """Students with grave reasons, those with the gravest first."""
    easy = {work.spec.slug: [part for part in work.parts if _most_have(work, part)] for work in term.works}
    found = []
    for person in term.people:
        reasons = list(_reasons(term, person.student, easy))
        weight = sum(weight for weight, _ in reasons)
        if weight >= ENOUGH:
            found.append(Help(person, tuple(text for _, text in sorted(reasons, key=lambda r: -r[0])), weight))
    return sorted(found, key=lambda item: (-item.weight, item.person.name.casefold()))


def _reasons(term: Term, student: str, easy: dict[str, list[Part]]) -> Iterator[tuple[int, str]]:
    last = term.works[-1]
    missing = [work.spec.slug for work in term.works if student not in work.entries]
    if len(missing) == len(term.works):
        yield 5, "has handed in nothing so far"
        return
    if missing:
        weight = 3 if last.spec.slug in missing else 1 + (len(missing) > 1)
        yield weight, f"handed in nothing for {' and '.join(missing)}"
    if entry := last.entries.get(student):
        if entry.result is not None and entry.result.verdict != "graded":
            yield 2, f"the notebook for {last.spec.slug} cannot be graded: {entry.result.verdict.rstrip('.')}"
        elif (total := last.total(student)) is not None and total < LOW:
            middle = statistics.median(last.totals())
            yield (
                2,
                f"has {percent(total)} of the points of {last.spec.slug}, where half of the class has "
                f"{percent(middle)}",
            )
        blank = [score.name for score in _blank(last, student)]
        if 3 * len(blank) >= len(last.spec.exercises):
            yield 1, f"left {len(blank)} of {len(last.spec.exercises)} exercises of {last.spec.slug} unwritten"
    shares = [total for work in term.works if (total := work.total(student)) is not None][-3:]
    if len(shares) == 3 and shares[0] > shares[1] > shares[2] and shares[0] - shares[2] >= FALL:
        yield 2, f"falls: {', '.join(f'{percent(share)}' for share in shares)} in the last three"
    late = [work.spec.slug for work in term.works if (e := work.entries.get(student)) and (e.late > 0 or e.marked_late)]
    if len(late) > 1:
        yield 1, f"was late for {', '.join(late[:-1])} and {late[-1]}"
    lacks = [part.name for work in term.works for part in easy[work.spec.slug] if work.share(student, part) == 0]
    if lacks:
        more = f" and {len(lacks) - 3} more" if len(lacks) > 3 else ""
        yield 1, f"has no points in {', '.join(lacks[:3])}{more}, which most have"


def _most_have(work: Work, part: Part) -> bool:
    shares = [share for student in work.entries if (share := work.share(student, part)) is not None]
    return bool(shares) and sum(share == 1 for share in shares) >= MOST * len(shares)


def _blank(work: Work, student: str) -> list[Part]:
    result = work.entries[student].result
    names = {
        score.name
        for score in (result.exercises if result else ())
        if all(line.kind == "not_written" for line in score.lines)
    }
    return [part for part in work.parts if part.name in names]
