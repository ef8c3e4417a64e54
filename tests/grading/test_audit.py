"""The audit says where results, gradebook, submissions and table differ, and of which kind each difference is."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from course_lib.commands import ATTENTION, DONE, inspect
from course_lib.grading import keys
from course_lib.grading.audit import BY_HAND, MISSING, STALE, Difference, agreement
from course_lib.grading.results import ResultStore
from course_lib.grading.standing import read_commit, write_commit
from tests.grading.class_fixtures import Made
from tests.grading.classes import SLUG, SPEC, Course

CELL = f"check-{SPEC.exercises[0].name}"
WRITTEN = SPEC.written[0].name


def kinds(made: Made) -> list[tuple[str, str]]:
    return [(found.kind, found.where.partition("/")[0]) for found in agreement(made.room, SPEC).differences]


def set_score(made: Made, student: str, cell: str, **scores: float) -> None:
    with made.room.gradebook() as gradebook:
        grade = gradebook.find_grade(cell, SPEC.notebook, SLUG, student)
        for name, value in scores.items():
            setattr(grade, name, value)
        gradebook.db.commit()


def test_a_graded_class_agrees(course: Course, graded: Made) -> None:
    code, said = course("audit", "--class", graded.room.folder)
    assert code == DONE and "8 log lines and their results are whole" in said
    assert f"{8 * len(SPEC.exercises)} automatic scores in the gradebook are those of the results" in said


def test_a_score_changed_in_the_database_is_named_with_both_values(course: Course, graded: Made) -> None:
    student = graded.student(wrote="right")
    set_score(graded, student, CELL, auto_score=0.25)
    code, said = course("audit", "--class", graded.room.folder)
    assert code == ATTENTION and f"{BY_HAND} (1)" in said
    assert f"{student}/{SLUG}: {CELL} has 0.25 in the gradebook, and the result 2" in said


def test_automatic_points_for_a_written_answer_are_a_change_by_hand(graded: Made) -> None:
    student = graded.student(wrote="right")
    set_score(graded, student, WRITTEN, auto_score=4.0)
    assert kinds(graded) == [(BY_HAND, student)]


def test_a_person_s_points_are_counted_and_no_difference(course: Course, graded: Made) -> None:
    set_score(graded, graded.student(wrote="right"), WRITTEN, manual_score=3.0)
    code, said = course("audit", "--class", graded.room.folder)
    assert code == DONE and "1 more were given by a person" in said


def test_someone_else_s_result_is_found(graded: Made) -> None:
    room, good, poor = graded.room, graded.student(wrote="right"), graded.student(wrote="blank")
    stolen = read_commit(room, good, SLUG)
    assert stolen is not None
    write_commit(room, poor, SLUG, stolen)
    for cell, score in stolen.scores.items():
        set_score(graded, poor, cell, auto_score=score)
    assert (BY_HAND, poor) in kinds(graded)


def test_a_result_that_was_changed_breaks_the_chain_and_differs_from_the_gradebook(
    course: Course, graded: Made
) -> None:
    student = graded.student(wrote="right")
    last = read_commit(graded.room, student, SLUG)
    assert last is not None
    path = graded.room.results / f"{last.key}.json"
    path.write_text(path.read_text().replace('"earned": 2.0', '"earned": 1.0'))
    code, said = course("audit", "--class", graded.room.folder)
    assert code == ATTENTION and f"{path.name} is not what log line" in said and f"{BY_HAND} (" in said


def remove_result(made: Made, student: str) -> None:
    last = read_commit(made.room, student, SLUG)
    assert last is not None
    (made.room.results / f"{last.key}.json").unlink()


def remove_commit(made: Made, student: str) -> None:
    (made.room.folder / "committed" / SLUG / f"{student}.json").unlink()


def hand_in_something_else(made: Made, student: str) -> None:
    path = made.room.submitted(student, SLUG) / f"{SPEC.notebook}.ipynb"
    path.write_text(path.read_text().replace("weights @ embeddings", "weights @ embeddings + 0"))


def hand_in_nothing(made: Made, student: str) -> None:
    shutil.rmtree(made.room.submitted(student, SLUG))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (remove_result, MISSING),
        (remove_commit, MISSING),
        (hand_in_something_else, STALE),
        (hand_in_nothing, STALE),
    ],
)
def test_what_is_missing_or_out_of_date_is_told_apart(
    graded: Made, change: Callable[[Made, str], None], kind: str
) -> None:
    student = graded.student(wrote="right")
    change(graded, student)
    assert kinds(graded) == [(kind, student)]


def test_a_new_rubric_makes_every_score_out_of_date(graded: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_spec_hash", lambda slug: "another")
    found = agreement(graded.room, SPEC).differences
    assert {item.kind for item in found} == {STALE} and len(found) == 8
    assert "the assignment's rubric or solution" in found[0].text


def test_of_many_differences_the_first_are_named_and_the_rest_counted(
    course: Course, graded: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect, "LISTED", 3)
    for number, student in enumerate(graded.plans):
        set_score(graded, student, CELL, auto_score=0.25 + number / 8)
    code, said = course("audit", "--class", graded.room.folder)
    assert code == ATTENTION and f"{BY_HAND} (8)" in said and "and 5 more" in said
    assert sum(f"{student}/{SLUG}: " in said for student in graded.plans) == 3


def test_what_all_have_in_common_is_one_line(course: Course, graded: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_spec_hash", lambda slug: "another")
    set_score(graded, first := sorted(graded.plans)[0], CELL, auto_score=0.25)
    code, said = course("audit", "--class", graded.room.folder)
    assert code == ATTENTION and f"{STALE} (8)" in said
    assert f"{SLUG}, 8 students: changed since it was graded: " in said and "and 5 more)" in said
    assert f"{first}/{SLUG}: {CELL} has 0.25 in the gradebook" in said
    assert "1 with the results" not in said and "9 between results, gradebook and table" in said


def test_what_is_handed_in_and_not_graded_is_missing(course: Course, handed_in: Made) -> None:
    code, said = course("audit", "--class", handed_in.room.folder)
    assert code == ATTENTION and f"{MISSING} (8)" in said and "course grade" in said


def test_other_points_of_a_cell_in_the_gradebook_are_found(graded: Made) -> None:
    with graded.room.gradebook() as gradebook:
        gradebook.find_grade_cell(CELL, SPEC.notebook, SLUG).max_score = 20.0
        gradebook.db.commit()
    text = "the gradebook holds other cells or points than the released notebook"
    assert agreement(graded.room, SPEC).differences == (Difference(STALE, SLUG, text),)


def test_a_table_that_says_something_else_than_the_gradebook_is_found(course: Course, graded: Made) -> None:
    room, student = graded.room, graded.student(wrote="right")
    assert course("export", "--class", room.folder)[0] == DONE
    assert course("audit", "--class", room.folder)[0] == DONE
    set_score(graded, student, WRITTEN, manual_score=3.0)
    code, said = course("audit", "--class", room.folder)
    assert code == ATTENTION and f"{student}/{SLUG} in gradebook.csv: score is " in said and "course export" in said


def test_a_log_line_that_was_removed_is_found(course: Course, graded: Made) -> None:
    log = ResultStore(graded.room.results).folder / "log.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[1:]))
    code, said = course("audit", "--class", graded.room.folder)
    assert code == ATTENTION and "follows one that was removed" in said
