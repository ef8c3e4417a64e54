"""What a class's gradebook and folders say about one assignment, read at one go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from nbgrader.api import BaseCell, Comment, Grade, MissingEntry, Student, SubmittedAssignment, SubmittedNotebook
from nbgrader.utils import parse_utc

from course_lib.grading.classroom import Classroom
from course_lib.grading.results import write_atomically

LATE_MARK = "late.txt"
"""File beside a notebook that its system calls late."""


@dataclass(frozen=True)
class CellGrade:
    """What one grade cell of one student has got. ``score`` is what counts: a person's where there is one."""

    auto: float | None
    manual: float | None
    waiting: bool
    extra: float = 0.0

    @property
    def ungraded(self) -> bool:
        """Whether neither the course nor a person has given it a score."""
        return self.auto is None and self.manual is None

    @property
    def score(self) -> float:
        """A person's score before the automatic one, and extra credit."""
        counted = self.manual if self.manual is not None else self.auto
        return (counted or 0.0) + self.extra


@dataclass(frozen=True)
class Standing:
    """One student's graded submission in the gradebook."""

    timestamp: datetime | None
    seconds_late: float
    penalty: float
    cells: Mapping[str, CellGrade] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """The points after the penalty for lateness."""
        return max(0.0, sum(cell.score for cell in self.cells.values()) - self.penalty)


@dataclass(frozen=True)
class Person:
    """A student as the gradebook knows them."""

    student: str
    first_name: str = ""
    last_name: str = ""

    @property
    def name(self) -> str:
        """Family name first, or the id."""
        return ", ".join(part for part in (self.last_name, self.first_name) if part) or self.student


@dataclass(frozen=True)
class Commit:
    """What was last written into the gradebook for a submission.

    Attributes:
        key: of the result.
        sources: hash of what was handed in.
        scores: automatic scores by cell.
        written: hashes of the written answers by cell.
    """

    key: str
    sources: str
    scores: Mapping[str, float]
    written: Mapping[str, str]

    def unchanged_since(self, before: Commit | None) -> set[str]:
        """Names of the cells whose automatic score or written answer is what it was."""
        if before is None:
            return set()
        then, now = {**before.scores, **before.written}, {**self.scores, **self.written}
        return {name for name, value in now.items() if name in then and then[name] == value}


def people(classroom: Classroom) -> dict[str, Person]:
    """Everyone in the gradebook, by id."""
    if not classroom.has_gradebook:
        return {}
    with classroom.gradebook() as gradebook:
        return {s.id: Person(s.id, s.first_name or "", s.last_name or "") for s in gradebook.students}


def standings(classroom: Classroom, slug: str) -> dict[str, Standing]:
    """The graded submissions of an assignment, by student."""
    if not classroom.has_gradebook:
        return {}
    with classroom.gradebook() as gradebook:
        try:
            gradebook.find_assignment(slug)
        except MissingEntry:
            return {}
        rows = (
            gradebook.db.query(
                Student.id,
                BaseCell.name,
                Grade.auto_score,
                Grade.manual_score,
                Grade.needs_manual_grade,
                Grade.extra_credit,
            )
            .join(SubmittedNotebook, Grade.notebook_id == SubmittedNotebook.id)
            .join(SubmittedAssignment, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
            .join(Student, SubmittedAssignment.student_id == Student.id)
            .join(BaseCell, Grade.cell_id == BaseCell.id)
            .filter(SubmittedAssignment.name == slug)
            .all()
        )
        cells: dict[str, dict[str, CellGrade]] = {}
        for student, cell, auto, manual, waiting, extra in rows:
            cells.setdefault(student, {})[cell] = CellGrade(auto, manual, bool(waiting), extra or 0.0)
        return {
            s.student_id: Standing(
                s.timestamp, s.total_seconds_late, s.late_submission_penalty or 0.0, cells.get(s.student_id, {})
            )
            for s in gradebook.db.query(SubmittedAssignment).filter(SubmittedAssignment.name == slug)
        }


def comments(classroom: Classroom, slug: str) -> dict[str, dict[str, str]]:
    """What graders wrote, by student and cell."""
    with classroom.gradebook() as gradebook:
        rows = (
            gradebook.db.query(Student.id, BaseCell.name, Comment.manual_comment)
            .join(SubmittedNotebook, Comment.notebook_id == SubmittedNotebook.id)
            .join(SubmittedAssignment, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
            .join(Student, SubmittedAssignment.student_id == Student.id)
            .join(BaseCell, Comment.cell_id == BaseCell.id)
            .filter(SubmittedAssignment.name == slug, Comment.manual_comment.is_not(None))
        )
        found: dict[str, dict[str, str]] = {}
        for student, cell, text in rows:
            found.setdefault(student, {})[cell] = text
        return found


def handed_in_at(classroom: Classroom, student: str, slug: str) -> datetime | None:
    """The time in a submission's ``timestamp.txt``, in UTC, if it can be read."""
    try:
        return parse_utc((classroom.submitted(student, slug) / "timestamp.txt").read_text().strip())
    except (OSError, ValueError):
        return None


def marked_late(classroom: Classroom, student: str, slug: str) -> bool:
    """Whether the system that a submission comes from calls it late, and its time is not known."""
    folder = classroom.submitted(student, slug)
    return (folder / LATE_MARK).is_file() and not (folder / "timestamp.txt").is_file()


def read_commit(classroom: Classroom, student: str, slug: str) -> Commit | None:
    """What was last committed for a submission, if anything was."""
    try:
        return Commit(**json.loads(_commit_file(classroom, student, slug).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write_commit(classroom: Classroom, student: str, slug: str, commit: Commit) -> None:
    """Remember what was committed."""
    path = _commit_file(classroom, student, slug)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(asdict(commit), indent=1, sort_keys=True) + "\n").encode())


def _commit_file(classroom: Classroom, student: str, slug: str) -> Path:
    return classroom.folder / "committed" / slug / f"{student}.json"
