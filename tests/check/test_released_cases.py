"""``check`` with the case files that students get: the right passes, the blank is told so, mistakes are explained."""

from __future__ import annotations

from functools import cache

import pytest

from course_lib.check import check
from course_lib.check.report import render_html
from course_lib.check.student import Report
from course_lib.grading.draw import wrong_namespace
from course_lib.grading.places import ROOT
from course_lib.grading.solution import namespace, stub
from course_lib.grading.spec import Assignment, Exercise, Misconception, assignments

exercises = pytest.mark.parametrize(
    ("spec", "exercise"),
    [pytest.param(a, e, id=f"{a.slug}.{e.name}") for a in assignments().values() for e in a.exercises],
)
mistakes = pytest.mark.parametrize(
    ("spec", "exercise", "mistake"),
    [
        pytest.param(a, e, m, id=f"{a.slug}.{e.name}-{m.name}")
        for a in assignments().values()
        for e in a.exercises
        for m in e.misconceptions
    ],
)


solved = cache(namespace)


def put(spec: Assignment, exercise: Exercise, answer: object, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.chdir(ROOT / "exercises" / spec.slug)
    return check(f"{spec.slug}.{exercise.name}", answer)


@exercises
def test_the_solution_passes(spec: Assignment, exercise: Exercise, monkeypatch: pytest.MonkeyPatch) -> None:
    report = put(spec, exercise, solved(spec.slug)[exercise.name], monkeypatch)
    assert report.passed, str(report)
    assert (report.earned, report.points) == (exercise.points, exercise.points)


@exercises
def test_the_blank_is_not_written_yet(spec: Assignment, exercise: Exercise, monkeypatch: pytest.MonkeyPatch) -> None:
    blank = namespace(spec.slug, replace={exercise.name: stub(spec.slug, exercise.name)})[exercise.name]
    report = put(spec, exercise, blank, monkeypatch)
    assert report.earned == 0
    assert str(report).splitlines()[1] == "  Not written yet."


@mistakes
def test_a_known_mistake_is_explained_without_ado(
    spec: Assignment, exercise: Exercise, mistake: Misconception, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = put(spec, exercise, wrong_namespace(spec.slug, exercise.name, mistake.name)[exercise.name], monkeypatch)
    caught = next(line for line in report.result.lines if line.line.name == mistake.line)
    assert caught.earned == 0
    assert mistake.name in report.result.mistakes
    assert mistake.says[1:].rstrip(".") in str(report).splitlines()[1 + report.result.mistakes.index(mistake.name)]
    assert len(report._repr_html_().encode()) < 60_000
    assert "<table" not in render_html(report.result, reveal=False)
