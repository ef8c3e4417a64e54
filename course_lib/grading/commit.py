"""Write results into nbgrader's gradebook, one student at a time, and only where something is new."""

from __future__ import annotations

import re
import signal
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from nbgrader.apps.api import NbGraderAPI
from sqlalchemy.exc import SAWarning

from course_lib.grading.classroom import Classroom
from course_lib.grading.ingest import released
from course_lib.grading.release import grade_cells
from course_lib.grading.results import Result
from course_lib.grading.spec import Assignment
from course_lib.grading.standing import handed_in_at, read_commit, standings

CAUSE = re.compile(r"^ {4}(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*: .+)$", re.MULTILINE)
"""The line that ends a traceback, as nbgrader's log indents it."""


@dataclass(frozen=True)
class Change:
    """A score in the gradebook that a new result replaces."""

    exercise: str
    before: float
    after: float


@dataclass(frozen=True)
class Pending:
    """A result that the gradebook does not hold yet.

    Attributes:
        student: whose.
        changes: scores that differ from those in the gradebook.
        same_submission: whether what was handed in is what those scores were given for.
    """

    student: str
    changes: tuple[Change, ...]
    same_submission: bool


class CommitError(Exception):
    """nbgrader could not write a result; the message is the end of its log."""


def pending(classroom: Classroom, spec: Assignment, results: Mapping[str, Result]) -> list[Pending]:
    """Which results have to be written, and what each would change. ``results`` is by student."""
    graded = grade_cells(spec, released(spec.slug, spec.notebook))
    known = standings(classroom, spec.slug)
    todo = []
    for student, result in results.items():
        standing, last = known.get(student), read_commit(classroom, student, spec.slug)
        new = {cell: _earned(result, exercise) for cell, exercise in graded.items()}
        old = {} if standing is None else {c: g.auto for c, g in standing.cells.items() if g.auto is not None}
        done = (
            standing is not None
            and last is not None
            and last.key == result.key
            and all(old.get(cell) == score for cell, score in new.items())
            and standing.timestamp == handed_in_at(classroom, student, spec.slug)
            and (classroom.autograded(student, spec.slug) / f"{spec.notebook}.ipynb").exists()
        )
        if not done:
            changes = tuple(
                Change(graded[cell], before, new[cell])
                for cell, before in old.items()
                if cell in new and last is not None and before != new[cell]
            )
            todo.append(Pending(student, changes, last is not None and last.sources == result.hashes["sources"]))
    return todo


def commit(classroom: Classroom, spec: Assignment, students: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Write the results of these students through nbgrader's Autograde; yields each with an error, or "".

    A first Ctrl-C ends the loop after the student whose turn it is, and raises KeyboardInterrupt then.
    """
    api = NbGraderAPI(config=classroom.config(), coursedir=classroom.coursedir())
    with warnings.catch_warnings(), _interrupts_wait() as interrupted:
        warnings.simplefilter("ignore", SAWarning)
        for student in students:
            outcome = api.autograde(spec.slug, student)
            yield student, "" if outcome["success"] else last_words(outcome)
            if interrupted:
                raise KeyboardInterrupt


def last_words(outcome: Mapping[str, str]) -> str:
    """What nbgrader says went wrong: the error at the end of the last traceback in its log."""
    causes = CAUSE.findall(outcome.get("log", ""))
    return str(causes[-1]) if causes else outcome.get("error", "unknown").strip().splitlines()[-1]


@contextmanager
def _interrupts_wait() -> Iterator[list[int]]:
    """Inside, Ctrl-C is noted in the list that is given, and acts when there is time for it."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def _earned(result: Result, exercise: str) -> float:
    score = result.exercise(exercise)
    return float(score.earned) if score else 0.0
