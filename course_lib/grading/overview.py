"""A class's work on one assignment: each student with result, grades, and what a person should look at."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from course_lib.grading.classroom import Classroom
from course_lib.grading.collect import remarks
from course_lib.grading.groups import read_groups
from course_lib.grading.hidden import NOTE as HIDDEN_NOTE
from course_lib.grading.ingest import NO_GROUP, NO_MARK, WRONG_NOTEBOOK, released
from course_lib.grading.release import grade_cells
from course_lib.grading.results import Result, ResultStore
from course_lib.grading.spec import Assignment
from course_lib.grading.standing import (
    Person,
    Standing,
    handed_in_at,
    marked_late,
    people,
    read_commit,
    standings,
)

UNREADABLE, GROUP, CRASHED, LIMIT, HIDDEN, FILES, LATE, WRITTEN, UNGRADED, UNOFFICIAL = (
    "Notebooks that cannot be read",
    "Group to settle",
    "Cells that crashed",
    "Stopped at a limit",
    "Calls that cannot be read",
    "Files to look at",
    "Handed in late",
    "Answers in words to grade",
    "Not graded yet",
    "Graded without the sandbox",
)
REMEDIES = {
    UNREADABLE: "Ask for the file again; until then they have no points.",
    GROUP: "Ask for the student's own notebook, or correct groups.csv; then: course regrade.",
    CRASHED: "What was defined before the error was graded; a slip outside the answer may be worth a second look.",
    LIMIT: "An endless loop, or too much memory, in the exercise named in the feedback.",
    HIDDEN: "These exercises rule out a function of the library; see in the answer whether it is called all the same.",
    FILES: "The notebook had another name or did not come alone; make sure that the right one was graded.",
    LATE: "nbgrader holds the times; the penalty is the one set in nbgrader_config.py.",
    WRITTEN: "In the formgrader: Manual Grading.",
    UNGRADED: "To grade them: course grade.",
    UNOFFICIAL: "Install what course doctor names, and grade again before these scores count.",
}


@dataclass(frozen=True)
class Entry:
    """One student's work.

    Attributes:
        person: who.
        handed_in: when, if that is known.
        standing: what the gradebook has, if anything.
        result: what the scores in the gradebook come from, if there is one.
        remarks: about the files.
        page: the feedback page, if it is there.
        marked_late: whether Canvas calls it late, and not when it came.
        group: whose variant they have; "" where the assignment was not released for groups.
    """

    person: Person
    handed_in: datetime | None
    standing: Standing | None
    result: Result | None
    remarks: Sequence[str]
    page: Path | None
    marked_late: bool = False
    group: str = ""

    @property
    def late(self) -> float:
        """Hours after the due date."""
        return self.standing.seconds_late / 3600 if self.standing else 0.0

    @property
    def waits(self) -> bool:
        """Whether an answer in words waits for a person."""
        return self.standing is not None and any(cell.waiting for cell in self.standing.cells.values())

    def matters(self) -> list[tuple[str, str]]:
        """What a person should look at: kind and detail."""
        found = [(FILES, text) for text in self.remarks]
        if self.standing is None:
            return [*found, (UNGRADED, "")]
        if self.late:
            found.append((LATE, f"{self.late:.1f} hours" if self.late < 48 else f"{self.late / 24:.0f} days"))
        elif self.marked_late:
            found.append((LATE, "Canvas says so, and not how many hours"))
        if self.waits:
            found.append((WRITTEN, ""))
        result = self.result
        if result is None:
            return [*found, (UNGRADED, "the result of its scores is not in the store")]
        if result.verdict != "graded":
            of_group = result.verdict.startswith((WRONG_NOTEBOOK, NO_GROUP))
            return [*found, (GROUP if of_group else UNREADABLE, result.verdict)]
        found += [(GROUP, note) for note in result.notes if note.startswith(NO_MARK)]
        crashed = [e.name for e in result.exercises if any(note.startswith("Your cell did not") for note in e.notes)]
        if crashed:
            found.append((CRASHED, ", ".join(crashed)))
        if result.limits_hit:
            found.append((LIMIT, ", ".join(result.limits_hit)))
        unread = [e.name for e in result.exercises if any(note.startswith(HIDDEN_NOTE) for note in e.notes)]
        if unread:
            found.append((HIDDEN, ", ".join(unread)))
        if not result.official:
            found.append((UNOFFICIAL, ""))
        return found


@dataclass(frozen=True)
class Overview:
    """A class's work on one assignment.

    Attributes:
        spec: of the assignment.
        cells: the grade cell of each exercise.
        entries: of everyone who handed in something, in the order of their names.
        absent: who did not.
    """

    spec: Assignment
    cells: Mapping[str, str]
    entries: Sequence[Entry]
    absent: Sequence[Person] = field(default_factory=tuple)

    @property
    def graded(self) -> list[Entry]:
        """Those with scores."""
        return [entry for entry in self.entries if entry.standing is not None]

    def matters(self) -> dict[str, list[tuple[Entry, str]]]:
        """What needs a person, by kind, the gravest first."""
        groups: dict[str, list[tuple[Entry, str]]] = {kind: [] for kind in REMEDIES}
        for entry in self.entries:
            for kind, detail in entry.matters():
                groups[kind].append((entry, detail))
        return {kind: group for kind, group in groups.items() if group}


def overview(classroom: Classroom, spec: Assignment) -> Overview:
    """Read everything there is on an assignment."""
    known, grades = people(classroom), standings(classroom, spec.slug)
    store = ResultStore(classroom.results)
    groups = read_groups(classroom)
    members = groups.members if spec.slug in groups.variants else {}
    entries = []
    for student in classroom.students(spec.slug):
        last = read_commit(classroom, student, spec.slug)
        page = classroom.feedback(student, spec.slug) / f"{spec.notebook}.html"
        entries.append(
            Entry(
                known.get(student, Person(student)),
                handed_in_at(classroom, student, spec.slug),
                grades.get(student),
                store.get(last.key) if last else None,
                remarks(classroom.submitted(student, spec.slug), spec),
                page if page.exists() else None,
                marked_late(classroom, student, spec.slug),
                members.get(student, ""),
            )
        )
    entries.sort(key=lambda entry: _plain(entry.person.name))
    here = {entry.person.student for entry in entries}
    absent = [person for student, person in sorted(known.items()) if student not in here]
    cells = {exercise: cell for cell, exercise in grade_cells(spec, released(spec.slug, spec.notebook)).items()}
    return Overview(spec, cells, entries, absent)


def _plain(name: str) -> str:
    """A name for sorting: without accents, all lower case."""
    return "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)).casefold()
