"""Put a class's scores into a gradebook file that the instructor downloaded; nothing else in it changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from course_lib.grading.lms.layout import Layout, as_number, find_column, possible
from course_lib.grading.lms.people import Students
from course_lib.grading.lms.table import Table, TableError
from course_lib.grading.spec import Assignment
from course_lib.grading.standing import Standing

KEPT = ("ex", "n/a", "excused")
"""What a system writes where a student needs no score."""

CLOSE = 0.005
"""Systems show two decimals."""


@dataclass(frozen=True)
class Row:
    """A row of the file that belongs to a student of the class."""

    number: int
    student: str


@dataclass(frozen=True)
class Written:
    """A score that was put into the file. ``before`` is what stood there."""

    student: str
    before: str
    after: str


@dataclass
class Filled:
    """What became of one assignment's column.

    Attributes:
        spec: of the assignment.
        heading: of the column.
        written: scores that the file did not hold.
        same: how many it held already.
        waiting: students whose score is not complete; their cells were left.
        kept: students whose cell the system uses for something else, with what it says.
        absent: students who handed in nothing; their cells were left.
        no_row: students with a score who have no row in the file, or several.
    """

    spec: Assignment
    heading: str
    written: list[Written] = field(default_factory=list)
    same: int = 0
    waiting: list[str] = field(default_factory=list)
    kept: list[tuple[str, str]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    no_row: list[str] = field(default_factory=list)

    @property
    def replaced(self) -> list[Written]:
        """Scores that took the place of others."""
        return [item for item in self.written if item.before]


def match_rows(table: Table, layout: Layout, students: Students) -> tuple[list[Row], list[tuple[str, str]]]:
    """Whose each row is; and the rows that are nobody's, each with the reason."""
    owners = {
        number: students.owner([(kind, table.value(number, column)) for column, kind in layout.naming.items()])
        for number in layout.students
    }
    times = Counter(owner.student for owner in owners.values() if owner.student)
    rows, problems = [], []
    for number, owner in owners.items():
        where = f"row {number + 1}, {table.value(number, 0).strip() or 'without a name'}"
        if not owner.student:
            problems.append((where, owner.why))
        elif times[owner.student] > 1:
            problems.append((where, f"{times[owner.student]} rows are those of {owner.student}; leave one"))
        else:
            rows.append(Row(number, owner.student))
    return rows, problems


def fill(
    table: Table,
    layout: Layout,
    rows: Sequence[Row],
    spec: Assignment,
    standings: Mapping[str, Standing],
    *,
    column: str | None = None,
    scale: bool = False,
    waiting: bool = False,
) -> Filled:
    """Write the scores of one assignment into its column.

    Args:
        table: changed in the cells of the column, and nowhere else.
        rows: those that belong to somebody.
        standings: what the class's gradebook has.
        column: its heading, where the assignment's own names do not lead to it.
        scale: multiply scores, so that full marks are what the system gives for the assignment.
        waiting: also write scores to which a person has yet to add.

    Raises:
        TableError: there is no such column, or it counts other points than the assignment.
    """
    number = find_column(layout, spec, column)
    done = Filled(spec, layout.headings[number])
    for row in rows:
        factor = _factor(possible(table, layout, number, row.number), spec, done.heading, scale)
        before = table.value(row.number, number).strip()
        standing = standings.get(row.student)
        if standing is None:
            done.absent.append(row.student)
        elif before.casefold() in KEPT:
            done.kept.append((row.student, before))
        elif not waiting and any(cell.waiting or cell.ungraded for cell in standing.cells.values()):
            done.waiting.append(row.student)
        else:
            value, known = round(standing.score * factor, 2), as_number(before)
            if known is not None and abs(known - value) < CLOSE:
                done.same += 1
                continue
            text = f"{value:.2f}".rstrip("0").rstrip(".").replace(".", layout.decimal)
            table.put(row.number, number, text)
            done.written.append(Written(row.student, before, text))
    here = {row.student for row in rows}
    done.no_row = sorted(student for student in standings if student not in here)
    return done


def _factor(most: float | None, spec: Assignment, heading: str, scale: bool) -> float:
    if most is None or abs(most - spec.points) < CLOSE:
        return 1.0
    if not scale or most <= 0:
        raise TableError(
            f"{heading!r} counts {most:g} points and {spec.slug} {spec.points:g}; change the points there, or say "
            "--scale, and each score is multiplied so that full marks are full marks"
        )
    return most / spec.points
