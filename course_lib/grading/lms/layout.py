"""What the rows and columns of a system's gradebook file are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from course_lib.grading.intake.roster import NO_STUDENT, folded
from course_lib.grading.lms.people import Kind, naming_columns
from course_lib.grading.lms.table import Table, TableError
from course_lib.grading.spec import Assignment

CANVAS, MOODLE, OTHER = "Canvas' gradebook", "Moodle's grading worksheet", "a table of students"
PARTICIPANT = re.compile(r"\s*[^\W\d][^\d]*(\d+)\s*")
SUFFIX = re.compile(r"\s*\(([^()]*)\)\s*$")
POINTS_POSSIBLE = "pointspossible"
HIDDEN_ROW = re.compile(r"\s*(?:muted|manual posting.*)?\s*", re.IGNORECASE)
NUMBER = re.compile(r"-?\d+(?:[.,]\d+)?")


@dataclass(frozen=True)
class Layout:
    """How a file is built.

    Attributes:
        system: whose file it is, in words.
        headings: of the columns.
        naming: the columns that name a student, and by what.
        students: numbers of the rows that belong to a student.
        points: number of the row with the points of each column, if there is one.
        maximum: number of the column with the points of the assignment, if there is one.
        decimal: the sign between whole and part of a number.
    """

    system: str
    headings: Sequence[str]
    naming: Mapping[int, Kind]
    students: Sequence[int]
    points: int | None
    maximum: int | None
    decimal: str

    @property
    def others(self) -> list[int]:
        """Columns that may hold scores."""
        own = {folded(name) for name in ("Student", "LastName", "FirstName", "Section", "Root Account", "Full name")}
        return [n for n, text in enumerate(self.headings) if n not in self.naming and folded(text) not in own]


def read_layout(table: Table) -> Layout:
    """Find out what a table is.

    Raises:
        TableError: nothing in it names a student.
    """
    headings = table.values(0)
    rows = [number for number in range(1, len(table.raw)) if any(text.strip() for text in table.raw[number])]
    plain = [folded(heading) for heading in headings]
    naming = naming_columns(headings)
    points = next((n for n in rows if folded(table.value(n, 0)) == POINTS_POSSIBLE), None)
    canvas = ("student" in plain[0] and "id" in plain[1:2]) or plain[:3] == ["lastname", "firstname", "id"]
    if canvas and "section" in plain:
        system = CANVAS
        rows = [n for n in rows if n != points and not all(HIDDEN_ROW.fullmatch(text) for text in table.values(n))]
    elif plain[0] == "identifier" or (rows and all(PARTICIPANT.fullmatch(table.value(n, 0)) for n in rows)):
        system = MOODLE
        naming.pop(0, None)
    else:
        system = OTHER
    if not naming:
        raise TableError(
            "no column names a student: its first line needs a heading such as ID, SIS Login ID, ID number, Username "
            "or Email address; in Moodle, show e-mail addresses or ID numbers when you download it"
        )
    students = [n for n in rows if table.value(n, 0).strip().casefold() not in NO_STUDENT]
    maximum = next((n for n, text in enumerate(plain) if text == "maximumgrade"), None)
    return Layout(system, headings, naming, students, points, maximum, _decimal(table, naming))


def find_column(layout: Layout, spec: Assignment, wanted: str | None) -> int:
    """The column of an assignment.

    Args:
        wanted: its heading, or the title or number in it, where the assignment's own names do not lead to it.

    Raises:
        TableError: none fits, or several do; the message lists them.
    """
    if wanted is not None:
        exact = [n for n in layout.others if layout.headings[n].strip() == wanted.strip()]
        fits = exact or [n for n in layout.others if folded(wanted) in _names(layout.headings[n])]
        what = f"{wanted!r}"
    elif layout.system == MOODLE:
        fits = [n for n in layout.others if folded(layout.headings[n]) == "grade"]
        what = "Grade"
    else:
        own = {folded(text) for text in (spec.slug, spec.notebook, spec.title)}
        own.add(folded(f"{int(spec.slug[:2])} {spec.title}"))
        fits = [n for n in layout.others if own & _names(layout.headings[n])]
        what = f"{spec.slug} or {spec.title!r}"
    if len(fits) == 1:
        return fits[0]
    candidates = "; ".join(layout.headings[n] for n in (fits or layout.others) if layout.headings[n].strip())
    if fits:
        raise TableError(f"several columns are called {what}: {candidates}; name one with --column 'HEADING'")
    raise TableError(
        f"no column is called {what}, and a new one is never made; name the column with --column 'HEADING'. "
        f"There are: {candidates or 'none'}"
    )


def possible(table: Table, layout: Layout, column: int, row: int) -> float | None:
    """The points that the system gives for a column, if the file says so.

    Raises:
        TableError: the column is computed by the system.
    """
    if layout.points is not None:
        text = table.value(layout.points, column).strip()
        if text and not NUMBER.fullmatch(text):
            raise TableError(f"{layout.headings[column]!r} is {text}: the system computes it; name another column")
    elif layout.maximum is not None:
        text = table.value(row, layout.maximum).strip()
    else:
        return None
    return as_number(text)


def as_number(text: str) -> float | None:
    """A number with a point or a comma in it; ``None`` where it is none."""
    return float(text.strip().replace(",", ".")) if NUMBER.fullmatch(text.strip()) else None


def participant(table: Table, row: int) -> str:
    """The number that Moodle knows a student by in this assignment."""
    found = PARTICIPANT.fullmatch(table.value(row, 0))
    return found[1] if found else ""


def _names(heading: str) -> set[str]:
    """What a heading may be called by: itself, without what stands in brackets, what that is, and after a colon.

    Canvas puts its number in brackets, Moodle's gradebook the kind of grade, after ``Assignment:``.
    """
    found = SUFFIX.search(heading)
    title = heading[: found.start()] if found else heading
    texts = [heading, title, title.partition(":")[2]]
    if found and found[1].isdigit():
        texts.append(found[1])
    return {name for text in texts if (name := folded(text))}


def _decimal(table: Table, naming: Mapping[int, Kind]) -> str:
    """A comma where the file's own numbers have one."""
    values = (text for row in range(1, len(table.raw)) for n, text in enumerate(table.values(row)) if n not in naming)
    return "," if any(re.fullmatch(r"-?\d+,\d{1,2}", text.strip()) for text in values) else "."
