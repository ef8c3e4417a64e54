"""Whether the gradebook, the store of results, what was handed in and the exported table agree."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass

from course_lib.grading.classroom import Classroom
from course_lib.grading.collect import collect
from course_lib.grading.commit import causes, earned
from course_lib.grading.export import COLUMNS, field, rows
from course_lib.grading.groups import spec_of
from course_lib.grading.ingest import read_submission, released
from course_lib.grading.keys import hashes_of
from course_lib.grading.launcher import Launcher
from course_lib.grading.limits import Limits
from course_lib.grading.release import grade_cells, is_registered
from course_lib.grading.results import Result, ResultStore, StoreError
from course_lib.grading.spec import Assignment
from course_lib.grading.standing import Commit, Standing, read_commit, standings

TABLE = "gradebook.csv"
BY_HAND, MISSING, STALE = "Changed by hand", "Missing", "Out of date"
REMEDIES = {
    BY_HAND: "No command of the course wrote this. To put back what the results say: course regrade.",
    MISSING: "course grade writes what can be had from the submission.",
    STALE: "course grade runs what was handed in since; course regrade shows what a new rubric changes; course export "
    "writes the table anew.",
}
COMPARED = ("raw_score", "late_submission_penalty", "score", "max_score", "state")


@dataclass(frozen=True)
class Difference:
    """Something that does not agree: of what kind, whose it is, and what was found."""

    kind: str
    where: str
    text: str


@dataclass(frozen=True)
class Agreement:
    """How the scores of one assignment compare with its results.

    Attributes:
        scores: automatic scores that were compared.
        by_person: scores that a person gave, which no result can confirm.
        differences: what does not agree.
    """

    scores: int
    by_person: int
    differences: tuple[Difference, ...]


def agreement(classroom: Classroom, spec: Assignment) -> Agreement:
    """Compare each automatic score in the gradebook with the result that it comes from."""
    known, paths, store = standings(classroom, spec.slug), collect(classroom, spec), ResultStore(classroom.results)
    logged = {(entry["submission"], entry["key"]) for entry in store.log()}
    graded = grade_cells(spec, released(spec.slug, spec.notebook))
    differences = []
    if known and not is_registered(classroom, spec):
        text = "the gradebook holds other cells or points than the released notebook"
        differences.append(Difference(STALE, spec.slug, text))
    for student in sorted({*known, *paths}):
        where, standing = f"{student}/{spec.slug}", known.get(student)
        last = read_commit(classroom, student, spec.slug)
        if standing is None or all(grade.auto is None for grade in standing.cells.values()):
            differences.append(Difference(MISSING, where, "handed in, and not graded"))
            continue
        if last is None:
            differences.append(Difference(MISSING, where, "nothing says which result its scores come from"))
            continue
        try:
            result = store.get(last.key)
        except StoreError as error:
            differences.append(Difference(BY_HAND, where, str(error)))
            continue
        if result is None:
            differences.append(Difference(MISSING, where, "the result that its scores come from is not in the store"))
            continue
        if (where, last.key) not in logged:
            text = "its scores come from a result that the log has for other submissions only"
            differences.append(Difference(BY_HAND, where, text))
        differences += [Difference(BY_HAND, where, text) for text in _other_scores(standing, result, graded)]
        differences += [Difference(STALE, where, text) for text in _later(classroom, spec, student, last, result)]
    cells = [grade for standing in known.values() for name, grade in standing.cells.items() if name in graded]
    people = [g for standing in known.values() for g in standing.cells.values() if g.manual is not None or g.extra]
    return Agreement(len(cells), len(people), tuple(differences))


def table_differences(classroom: Classroom) -> list[Difference]:
    """Where the exported table, if there is one, says something else than the gradebook."""
    path = classroom.folder / TABLE
    if not path.exists() or not classroom.has_gradebook:
        return []
    with classroom.gradebook() as gradebook:
        now = {(row["assignment"], row["student_id"]): {n: field(row[n]) for n in COLUMNS} for row in rows(gradebook)}
    found = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            where = f"{row.get('student_id')}/{row.get('assignment')} in {TABLE}"
            expected = now.get((row.get("assignment", ""), row.get("student_id", "")))
            if expected is None:
                found.append(Difference(STALE, where, "the gradebook knows no such student or assignment"))
                continue
            found += [
                Difference(STALE, where, f"{name} is {row.get(name)} there and {expected[name]} in the gradebook")
                for name in COMPARED
                if row.get(name) != expected[name]
            ]
    return found


def _other_scores(standing: Standing, result: Result, graded: dict[str, str]) -> Iterator[str]:
    """Automatic scores that are not the result's."""
    for name, grade in standing.cells.items():
        if name in graded and grade.auto != earned(result, graded[name]):
            yield f"{name} has {_points(grade.auto)} in the gradebook, and the result {earned(result, graded[name]):g}"
        elif name not in graded and grade.auto:
            yield f"{name} has {_points(grade.auto)} in the gradebook, and is graded by a person only"


def _later(classroom: Classroom, spec: Assignment, student: str, last: Commit, result: Result) -> Iterator[str]:
    """What has changed since the result was made."""
    path = classroom.submitted(student, spec.slug) / f"{spec.notebook}.ipynb"
    if not path.exists():
        yield "what was handed in is not there any more"
        return
    spec = spec_of(classroom, student, spec)
    submission = read_submission(path, spec=spec)
    if submission.sha256 != last.sources:
        yield "something else was handed in since"
        return
    launcher = Launcher([], environment={}, name=result.protections)
    now = hashes_of(submission, spec, secret=classroom.secret(), launcher=launcher, limits=Limits())
    changed = causes(result.hashes, now)
    if changed:
        yield f"changed since it was graded: {', '.join(changed)}"


def _points(value: float | None) -> str:
    return "nothing" if value is None else f"{value:g}"
