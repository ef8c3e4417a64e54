"""Write results into nbgrader's gradebook, one student at a time, and only where something is new."""

from __future__ import annotations

import json
import re
import signal
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType

import nbgrader.api
from nbgrader.apps.api import NbGraderAPI
from sqlalchemy.exc import SAWarning

from course_lib.grading.classroom import ClassFault, Classroom, class_fault
from course_lib.grading.ingest import released
from course_lib.grading.release import grade_cells
from course_lib.grading.results import Result, ResultStore
from course_lib.grading.spec import Assignment
from course_lib.grading.standing import Commit, Standing, handed_in_at, read_commit, standings

CAUSE = re.compile(r"^ {4}(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*: .+)$", re.MULTILINE)
"""The line that ends a traceback, as nbgrader's log indents it."""

CAUSES = {
    "sources": "the submission",
    "repairs": "what was repaired in the submission",
    "spec": "the assignment's rubric or solution",
    "variant": "the student's group, or the groups of the class",
    "grader": "the course's grading code",
    "environment": "the version of torch, NumPy or Python",
    "class": "the class's secret.key",
    "limits": "the limits",
    "runner": "the protections in force",
}
"""What determines a result, by the names of its hashes."""

BY_HAND = "the automatic scores in the gradebook, by hand"
UNKNOWN = "something unknown, for the result of the old scores is not there"

SYSTEM_ERROR = re.compile(r"^ *(?:[A-Za-z_]\w*\.)*(?:OperationalError|InvalidEntry|OSError): .*$", re.MULTILINE)


@dataclass(frozen=True)
class LineChange:
    """A rubric line that now earns other points."""

    name: str
    before: float
    after: float


@dataclass(frozen=True)
class Change:
    """An automatic score in the gradebook that a new result replaces.

    Attributes:
        exercise: whose.
        before, after: the scores.
        lines: where they differ; empty if the result that the old score comes from is not there any more.
        by_hand: the points that a person gave, which count before and after.
    """

    exercise: str
    before: float
    after: float
    lines: tuple[LineChange, ...] = ()
    by_hand: float | None = None

    @property
    def difference(self) -> float:
        """What it adds to the student's points."""
        return 0.0 if self.by_hand is not None else self.after - self.before


@dataclass(frozen=True)
class Pending:
    """A result that the gradebook does not hold yet.

    Attributes:
        student: whose.
        changes: scores that differ from those in the gradebook.
        same_submission: whether what was handed in is what those scores were given for.
        causes: what has changed since those scores were given.
    """

    student: str
    changes: tuple[Change, ...] = ()
    same_submission: bool = False
    causes: tuple[str, ...] = ()

    @property
    def held_back(self) -> bool:
        """Whether a score would change although the student changed nothing: a person has to agree."""
        return bool(self.changes) and self.same_submission

    @property
    def difference(self) -> float:
        """What the changes add to the student's points."""
        return sum(change.difference for change in self.changes)


class Gradebook:
    """What the gradebook holds of an assignment, read once, to compare results with."""

    def __init__(self, classroom: Classroom, spec: Assignment) -> None:
        self._classroom, self._spec = classroom, spec
        self._graded = grade_cells(spec, released(spec.slug, spec.notebook))
        self._known = standings(classroom, spec.slug)
        self._store = ResultStore(classroom.results)

    def pending(self, student: str, result: Result) -> Pending | None:
        """What writing a student's result would change; ``None`` where it is written already."""
        standing, last = self._known.get(student), read_commit(self._classroom, student, self._spec.slug)
        scores = {cell: earned(result, exercise) for cell, exercise in self._graded.items()}
        if standing is None or last is None:
            return Pending(student)
        if _is_written(self._classroom, self._spec, student, standing, last, result.key, scores):
            return None
        before = self._store.get(last.key)
        changes = tuple(
            Change(name, grade.auto, scores[cell], _lines(before, result, name), grade.manual)
            for cell, grade in standing.cells.items()
            if (name := self._graded.get(cell)) and grade.auto is not None and grade.auto != scores[cell]
        )
        same = last.sources == result.hashes["sources"]
        since = (BY_HAND,) if result.key == last.key else causes(before.hashes, result.hashes) if before else ()
        return Pending(student, changes, same, since or (UNKNOWN,))


def pending(classroom: Classroom, spec: Assignment, results: Mapping[str, Result]) -> list[Pending]:
    """Which results have to be written, and what each would change. ``results`` is by student."""
    gradebook = Gradebook(classroom, spec)
    return [item for student, result in results.items() if (item := gradebook.pending(student, result)) is not None]


def causes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """What differs between two results, from their hashes."""
    return tuple(text for name, text in CAUSES.items() if before.get(name) != after.get(name))


def earned(result: Result, exercise: str) -> float:
    """What a result gives for an exercise: nothing where it was not graded."""
    score = result.exercise(exercise)
    return float(score.earned) if score else 0.0


def _is_written(
    classroom: Classroom,
    spec: Assignment,
    student: str,
    standing: Standing,
    last: Commit,
    key: str,
    scores: Mapping[str, float],
) -> bool:
    """Whether the gradebook and the graded notebook hold this result, whole."""
    return (
        last.key == key
        and all(cell in standing.cells and standing.cells[cell].auto == score for cell, score in scores.items())
        and standing.timestamp == handed_in_at(classroom, student, spec.slug)
        and _is_whole(classroom.autograded(student, spec.slug) / f"{spec.notebook}.ipynb")
    )


def _is_whole(notebook: Path) -> bool:
    """Whether a graded notebook is there to its end: a run may have been stopped while it was written."""
    try:
        json.loads(notebook.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _lines(before: Result | None, after: Result, exercise: str) -> tuple[LineChange, ...]:
    """The rubric lines of an exercise that earn other points than before."""
    old = before.exercise(exercise) if before else None
    new = after.exercise(exercise)
    if old is None:
        return ()
    was = {line.name: line.earned for line in old.lines}
    now = {line.name: line.earned for line in new.lines} if new else {}
    return tuple(
        LineChange(name, was.get(name, 0.0), now.get(name, 0.0))
        for name in {**was, **now}
        if was.get(name, 0.0) != now.get(name, 0.0)
    )


def commit(classroom: Classroom, spec: Assignment, students: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Write the results of these students through nbgrader's Autograde; yields each with an error, or "".

    The next student is asked for when one is written, so that results may be written as they come. A Ctrl-C while
    one is written raises KeyboardInterrupt after that.

    Raises:
        ClassFault: the gradebook is locked or the disk full; the students not yet yielded keep what they had.
    """
    api = NbGraderAPI(config=classroom.config(), coursedir=classroom.coursedir())
    with warnings.catch_warnings(), _one_engine():
        warnings.simplefilter("ignore", SAWarning)
        for student in students:
            with _interrupts_wait() as interrupted:
                outcome = api.autograde(spec.slug, student)
            if not outcome["success"] and (fault := machine_fault(outcome)):
                raise fault
            yield student, "" if outcome["success"] else last_words(outcome)
            if interrupted:
                raise KeyboardInterrupt


def last_words(outcome: Mapping[str, str]) -> str:
    """What nbgrader says went wrong: the error at the end of the last traceback in its log."""
    causes = CAUSE.findall(outcome.get("log", ""))
    return str(causes[-1]) if causes else outcome.get("error", "unknown").strip().splitlines()[-1]


def machine_fault(outcome: Mapping[str, str]) -> ClassFault | None:
    """The fault of the machine for which nbgrader has failed, if it was one: only the system's own errors count."""
    return class_fault("\n".join(SYSTEM_ERROR.findall(outcome["error"] + "\n" + outcome.get("log", ""))))


@contextmanager
def _one_engine() -> Iterator[None]:
    """Inside, every opening of a gradebook shares an engine, and with it the SQL that is compiled already.

    nbgrader opens the gradebook seven times for each student, compiles the same statements anew each time, and each
    time asks the database for every table whether it is there.
    """
    metadata = nbgrader.api.Base.metadata
    original, create_all = nbgrader.api.create_engine, metadata.create_all
    nbgrader.api.create_engine, metadata.create_all = cache(original), cache(create_all)
    try:
        yield
    finally:
        nbgrader.api.create_engine = original
        del metadata.create_all  # its own again


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
