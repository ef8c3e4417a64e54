"""Classes for the tests: submissions on disk, and results that need no sandbox to be there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from course_lib.grading.classroom import Classroom
from course_lib.grading.collect import collect
from course_lib.grading.grade import hashes_of, key_of
from course_lib.grading.ingest import read_submission
from course_lib.grading.launcher import Launcher
from course_lib.grading.limits import Limits
from course_lib.grading.results import ExerciseScore, LineScore, Result, ResultStore
from course_lib.grading.sample_class import Plan, expected_points, make_class
from course_lib.grading.spec import Assignment, assignment

SLUG = "04-attention-layer"
SPEC = assignment(SLUG)

Course = Callable[..., tuple[int, str]]
"""Runs the command with these words; gives exit code and everything that it printed, in one line."""


def sample(folder: Path, size: int = 8, **options: int | bool) -> tuple[Classroom, dict[str, Plan]]:
    """A sample class with its plans by student."""
    classroom = Classroom(folder)
    return classroom, {plan.student: plan for plan in make_class(SLUG, classroom, size=size, **options)}


def key(classroom: Classroom, path: Path, spec: Assignment = SPEC) -> tuple[str, dict[str, str]]:
    """The key of an official result of a submission, and the hashes it is made from."""
    launcher = Launcher([], environment={}, name="sandbox")
    submission = read_submission(path, spec=spec)
    hashes = hashes_of(submission, spec, secret=classroom.secret(), launcher=launcher, limits=Limits())
    return key_of(hashes), hashes


def store_result(
    classroom: Classroom, student: str, points: Mapping[str, float], *, verdict: str = "graded", mistake: str = ""
) -> Result:
    """Put a result with these points into the store, as if the submission had been run: one line for each exercise."""
    name, hashes = key(classroom, classroom.submitted(student, SLUG) / f"{SPEC.notebook}.ipynb")
    exercises = tuple(
        ExerciseScore(
            exercise.name,
            (LineScore("all", exercise.points, points[exercise.name], mistake=mistake),),
            html=f"<p>{exercise.name}: {points[exercise.name]:g} points</p>",
        )
        for exercise in SPEC.exercises
    )
    result = Result(
        key=name, assignment=SLUG, verdict=verdict, exercises=exercises, hashes=hashes, protections="sandbox"
    )
    ResultStore(classroom.results).put(result, submission=f"{student}/{SLUG}")
    return result


def store_truth(classroom: Classroom, plans: dict[str, Plan]) -> dict[str, Result]:
    """A result for each student: the points that they deserve."""
    return {
        student: store_result(classroom, student, expected_points(SPEC, plans[student]))
        for student in collect(classroom, SPEC)
    }
