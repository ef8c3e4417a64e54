"""The gradebook as CSV, for spreadsheets and other systems.

nbgrader's own exporter joins fields by commas without quoting, so that one comma in a name moves all
that follows; this one quotes, and keeps a spreadsheet from taking a name for a formula.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbgrader.api import Assignment, Gradebook, MissingEntry, Student, SubmittedAssignment
from nbgrader.plugins import ExportPlugin

COLUMNS = (
    "assignment",
    "duedate",
    "timestamp",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "raw_score",
    "late_submission_penalty",
    "score",
    "max_score",
    "state",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_gradebook(
    gradebook: Gradebook, path: Path, *, assignments: Sequence[str] = (), groups: Mapping[str, str] | None = None
) -> int:
    """Write one row for each assignment and student; return their number.

    The file is replaced as a whole, and begins with the mark by which spreadsheets know UTF-8.

    Args:
        gradebook: an open gradebook.
        path: of the file.
        assignments: which ones; none means all.
        groups: the group of each student, for a last column in a class that has groups.
    """
    fresh = path.with_name(path.name + ".new")
    count = 0
    with fresh.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *(["group"] if groups else [])])
        for row in rows(gradebook, assignments):
            fields = [field(row[name]) for name in COLUMNS]
            writer.writerow([*fields, field(groups.get(row["student_id"]))] if groups else fields)
            count += 1
    fresh.replace(path)
    return count


def field(value: Any) -> str:
    """A value as the table has it."""
    return str(guarded(value))


def guarded(value: Any) -> Any:
    """A field that no spreadsheet runs: text that begins like a formula gets an apostrophe before it."""
    if value is None:
        return ""
    if isinstance(value, str) and value.lstrip(" ").startswith(FORMULA):
        return "'" + value
    return value


def rows(gradebook: Gradebook, assignments: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """The table's rows by column; without names of assignments, for all."""
    students = sorted(gradebook.students, key=lambda s: (s.last_name or "", s.first_name or "", s.id))
    for assignment in gradebook.assignments:
        if assignments and assignment.name not in assignments:
            continue
        for student in students:
            yield _row(gradebook, assignment, student)


def _row(gradebook: Gradebook, assignment: Assignment, student: Student) -> dict[str, Any]:
    row: dict[str, Any] = {
        "assignment": assignment.name,
        "duedate": assignment.duedate,
        "timestamp": None,
        "student_id": student.id,
        "last_name": student.last_name,
        "first_name": student.first_name,
        "email": student.email,
        "raw_score": 0.0,
        "late_submission_penalty": 0.0,
        "score": 0.0,
        "max_score": assignment.max_score,
        "state": "nothing handed in",
    }
    try:
        submission: SubmittedAssignment = gradebook.find_submission(assignment.name, student.id)
    except MissingEntry:
        return row
    penalty = submission.late_submission_penalty or 0.0
    return row | {
        "timestamp": submission.timestamp,
        "raw_score": submission.score,
        "late_submission_penalty": penalty,
        "score": max(0.0, submission.score - penalty),
        "state": "waits for a person" if submission.needs_manual_grade else "graded",
    }


class CsvExport(ExportPlugin):
    """The same file from ``nbgrader export`` (``--to``, ``--assignment``)."""

    def export(self, gradebook: Gradebook) -> None:
        """Write the gradebook to ``to``, or ``grades.csv``."""
        path = Path(self.to or "grades.csv")
        count = write_gradebook(gradebook, path, assignments=[str(name) for name in self.assignment])
        self.log.info("Wrote %d rows to %s", count, path)
