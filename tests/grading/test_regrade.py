"""A changed rubric changes no score until a person has seen who changes, by how much and where."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest

from course_lib.commands import ATTENTION, DONE, USAGE
from course_lib.commands import regrade as regrade_command
from course_lib.grading import keys
from course_lib.grading.sample_class import expected_points
from course_lib.grading.sandbox import Warming
from course_lib.grading.standing import Standing, standings
from tests.grading.class_fixtures import Made
from tests.grading.classes import SLUG, SPEC, Course, store_result

FIRST = SPEC.exercises[0].name
CELL = f"check-{FIRST}"


def new_rubric(made: Made, monkeypatch: pytest.MonkeyPatch, lost: Mapping[str, float]) -> None:
    """As if the spec were another one: these students now earn so much less in the first exercise."""
    monkeypatch.setattr(Warming, "launcher", lambda _: pytest.fail("nothing had to be run"))
    monkeypatch.setattr(Warming, "start", lambda _: None)
    monkeypatch.setattr(keys, "_spec_hash", lambda slug: "another")
    for student, plan in made.plans.items():
        points = expected_points(SPEC, plan)
        store_result(made.room, student, points | {FIRST: points[FIRST] - lost.get(student, 0.0)})


def scores(made: Made) -> dict[str, float]:
    return {student: standing.score for student, standing in standings(made.room, SLUG).items()}


@pytest.fixture
def student(graded: Made) -> str:
    """Someone who has everything right."""
    return graded.student(wrote="right")


def test_course_grade_keeps_the_scores_says_why_and_names_regrade(
    course: Course, graded: Made, student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scores(graded)
    new_rubric(graded, monkeypatch, {student: 1.5})
    code, said = course("grade", SLUG, "--class", graded.room.folder)
    assert code == ATTENTION and "1 of 8 students" in said and f"course regrade {SLUG}" in said
    assert "the assignment's rubric or solution" in said
    assert scores(graded) == before


def test_a_dry_run_shows_student_line_and_difference_and_writes_nothing(
    course: Course, graded: Made, student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = standings(graded.room, SLUG)
    new_rubric(graded, monkeypatch, {student: 1.5})
    code, said = course("regrade", SLUG, "--class", graded.room.folder, "--dry-run")
    assert code == DONE and f"{student} │ {FIRST} │ all │ 2 │ 0.5 │ -1.5" in said
    assert "1 of 8 students change: 0 get more, 1 get less" in said
    assert standings(graded.room, SLUG) == before


def test_without_an_answer_nothing_is_written(
    course: Course, graded: Made, student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scores(graded)
    new_rubric(graded, monkeypatch, {student: 1.5})
    code, said = course("regrade", SLUG, "--class", graded.room.folder)
    assert code == ATTENTION and "--yes" in said and scores(graded) == before


@pytest.mark.parametrize("answer", [True, False])
def test_a_person_decides(
    course: Course, graded: Made, student: str, answer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scores(graded)
    new_rubric(graded, monkeypatch, {student: 1.5})
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(regrade_command.Confirm, "ask", lambda *_, **__: answer)
    code, _ = course("regrade", SLUG, "--class", graded.room.folder)
    assert code == (DONE if answer else ATTENTION)
    assert scores(graded)[student] == before[student] - (1.5 if answer else 0)


def test_yes_replaces_the_scores_and_a_second_time_nothing_changes(
    course: Course, graded: Made, student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scores(graded)
    new_rubric(graded, monkeypatch, {student: 1.5})
    assert course("regrade", SLUG, "--class", graded.room.folder, "--yes")[0] == DONE
    assert scores(graded) == before | {student: before[student] - 1.5}
    code, said = course("regrade", SLUG, "--class", graded.room.folder)
    assert code == DONE and "no score changes" in said and "up to date" in said


def test_points_that_a_person_gave_stay_and_the_table_says_so(
    course: Course, graded: Made, student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with graded.room.gradebook() as gradebook:
        gradebook.find_grade(CELL, SPEC.notebook, SLUG, student).manual_score = 1.75
        gradebook.db.commit()
    before = scores(graded)
    new_rubric(graded, monkeypatch, {student: 1.5})
    code, said = course("regrade", SLUG, "--class", graded.room.folder, "--yes")
    assert code == DONE and f"{FIRST} keeps the 1.75 points" in said and "by +0 points" in said
    after: Standing = standings(graded.room, SLUG)[student]
    assert after.cells[CELL].auto == 0.5 and after.cells[CELL].manual == 1.75 and scores(graded) == before
    assert after.cells[CELL].waiting, "the person is asked whether the points still hold"


def test_a_score_changed_by_hand_in_the_database_is_named_as_such(
    course: Course, graded: Made, student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Warming, "launcher", lambda _: pytest.fail("nothing had to be run"))
    monkeypatch.setattr(Warming, "start", lambda _: None)
    with graded.room.gradebook() as gradebook:
        gradebook.find_grade(CELL, SPEC.notebook, SLUG, student).auto_score = 0.25
        gradebook.db.commit()
    code, said = course("regrade", SLUG, "--class", graded.room.folder, "--dry-run")
    assert code == DONE and "in the gradebook, by hand" in said and "in all │ 0.25 │ 2" in said


def test_nothing_graded_and_contradictory_options_are_refused(course: Course, handed_in: Made) -> None:
    code, said = course("regrade", SLUG, "--class", handed_in.room.folder)
    assert code == ATTENTION and "course grade" in said
    assert course("regrade", SLUG, "--class", handed_in.room.folder, "--yes", "--dry-run")[0] == USAGE
