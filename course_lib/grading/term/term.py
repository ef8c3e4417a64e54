"""Everything there is on several assignments of a class, and what each student has of each part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import yaml

from course_lib.grading.classroom import Classroom
from course_lib.grading.collect import collect
from course_lib.grading.groups import read_groups
from course_lib.grading.ingest import read_submission
from course_lib.grading.overview import Entry, Overview, overview
from course_lib.grading.places import ROOT
from course_lib.grading.spec import Assignment
from course_lib.grading.standing import Person

SYLLABUS = ROOT / "book" / "syllabus.yml"


@dataclass(frozen=True)
class Concept:
    """A concept of the syllabus and the exercise that practises it."""

    name: str
    slug: str
    exercise: str


@dataclass(frozen=True)
class Part:
    """An exercise or written question: its grade cell and points."""

    name: str
    cell: str
    points: float


@dataclass(frozen=True)
class Work:
    """A class's work on one assignment.

    Attributes:
        seen: results and grades.
        due: when it had to be handed in, in UTC, if the gradebook says so.
        answers: sources of the answer cells, by student and exercise.
    """

    seen: Overview
    due: datetime | None = None
    answers: Mapping[str, Mapping[str, str]] | None = None

    @property
    def spec(self) -> Assignment:
        """Of the assignment."""
        return self.seen.spec

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """Who handed in, by student."""
        return {entry.person.student: entry for entry in self.seen.entries}

    @cached_property
    def parts(self) -> Sequence[Part]:
        """What is graded, in the notebook's order. A question counts once every answer to it is graded."""
        spec = self.spec
        exercises = [Part(e.name, self.seen.cells[e.name], e.points) for e in spec.exercises]
        written = [Part(w.name, w.name, w.points) for w in spec.written]
        waiting = {
            name
            for entry in self.seen.graded
            for name, grade in (entry.standing.cells.items() if entry.standing else ())
            if grade.ungraded or grade.waiting
        }
        return [*exercises, *(part for part in written if part.cell not in waiting)]

    def share(self, student: str, part: Part) -> float | None:
        """The share of a part's points that a student has; ``None`` where nothing was handed in or graded."""
        entry = self.entries.get(student)
        grade = entry.standing.cells.get(part.cell) if entry and entry.standing else None
        return None if grade is None or grade.ungraded else grade.score / part.points

    def total(self, student: str) -> float | None:
        """The share of all that is graded so far, without a penalty for lateness."""
        known = [(part.points, share) for part in self.parts if (share := self.share(student, part)) is not None]
        return sum(points * share for points, share in known) / sum(points for points, _ in known) if known else None

    def totals(self) -> list[float]:
        """That of each student who has one."""
        return [total for student in self.entries if (total := self.total(student)) is not None]

    def readable(self) -> list[str]:
        """Students whose notebook could be read and graded."""
        return [
            student
            for student, entry in self.entries.items()
            if entry.standing and entry.result and entry.result.verdict == "graded"
        ]


@dataclass(frozen=True)
class Term:
    """A class's work on several assignments.

    Attributes:
        works: in the order of the course.
        people: everyone in the gradebook.
        concepts: those that an exercise of these assignments practises.
    """

    works: Sequence[Work]
    people: Sequence[Person]
    concepts: Sequence[Concept]


def read_term(classroom: Classroom, specs: Sequence[Assignment]) -> Term:
    """Read everything there is on some assignments."""
    works = [
        Work(overview(classroom, spec), _due(classroom, spec.slug), read_answers(classroom, spec)) for spec in specs
    ]
    known = {person.student: person for work in works for person in work.seen.absent}
    known |= {entry.person.student: entry.person for work in works for entry in work.seen.entries}
    people = sorted(known.values(), key=lambda person: person.name.casefold())
    return Term(works, people, [c for c in read_concepts() if c.slug in {spec.slug for spec in specs}])


def read_answers(classroom: Classroom, spec: Assignment) -> dict[str, Mapping[str, str]]:
    """The answer cells of everyone who handed in a notebook."""
    groups = read_groups(classroom)
    return {
        student: read_submission(path, spec=groups.spec_of(student, spec)).cells
        for student, path in collect(classroom, spec).items()
    }


def read_concepts() -> list[Concept]:
    """The concepts of the syllabus that have an exercise."""
    listed = yaml.safe_load(SYLLABUS.read_text(encoding="utf-8"))["concepts"]
    return [Concept(c["concept"], c["chapter"], c["exercise"]) for c in listed if "exercise" in c]


def _due(classroom: Classroom, slug: str) -> datetime | None:
    with classroom.gradebook() as gradebook:
        due: datetime | None = gradebook.find_assignment(slug).duedate
        return due
