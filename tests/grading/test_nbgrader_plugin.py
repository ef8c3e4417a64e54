"""Results enter nbgrader whole: one page and one number in each grade cell, whatever was handed in."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbgrader.apps.api import NbGraderAPI

from course_lib.grading import nbgrader_plugin
from course_lib.grading.classroom import Classroom
from course_lib.grading.commit import commit, pending
from course_lib.grading.feedback import NOTES
from course_lib.grading.launcher import RunnerFault
from course_lib.grading.release import grade_cells
from course_lib.grading.solution import grade_id
from course_lib.grading.standing import standings
from tests.grading.class_fixtures import Made
from tests.grading.classes import SLUG, SPEC, store_result

WRITTEN = SPEC.written[0].name
FULL = {exercise.name: exercise.points for exercise in SPEC.exercises}


def write(room: Classroom, student: str) -> str:
    """Commit one student; what nbgrader complains of, or ""."""
    return next(error for _, error in commit(room, SPEC, [student]))


def autograded(room: Classroom, student: str) -> NotebookNode:
    return nbformat.read(room.autograded(student, SLUG) / f"{SPEC.notebook}.ipynb", as_version=4)


def submitted(room: Classroom, student: str) -> Path:
    return room.submitted(student, SLUG) / f"{SPEC.notebook}.ipynb"


def edit(room: Classroom, student: str, change: object) -> None:
    """Change a submitted notebook; its result has to be stored anew."""
    path = submitted(room, student)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    change(notebook)  # type: ignore[operator]
    path.write_text(json.dumps(notebook), encoding="utf-8")


def cell_of(notebook: dict[str, list[dict[str, object]]], name: str) -> dict[str, object]:
    return next(c for c in notebook["cells"] if grade_id(c) == name)


def feedback(room: Classroom, student: str) -> str:
    outcome = NbGraderAPI(config=room.config(), coursedir=room.coursedir()).generate_feedback(SLUG, student)
    assert outcome["success"], outcome.get("log")
    return (room.feedback(student, SLUG) / f"{SPEC.notebook}.html").read_text(encoding="utf-8")


def manual(room: Classroom, student: str, cell: str, score: float) -> None:
    """What the formgrader does when a person enters a score."""
    with room.gradebook() as gradebook:
        grade = gradebook.find_grade(cell, SPEC.notebook, SLUG, student)
        grade.manual_score, grade.needs_manual_grade = score, False
        gradebook.db.commit()


def test_each_grade_cell_holds_one_page_and_one_number(graded: Made) -> None:
    for student, result in graded.results.items():
        notebook = autograded(graded.room, student)
        cells = {str(grade_id(cell)): cell for cell in notebook.cells}
        for name, exercise in grade_cells(SPEC, notebook).items():
            page, number = cells[name].outputs
            assert (page.output_type, set(page.data)) == ("display_data", {"text/html", "text/plain"})
            assert number.output_type == "execute_result"
            score = result.exercise(exercise)
            assert score is not None and float(number.data["text/plain"]) == score.earned


def test_the_gradebook_has_each_result(graded: Made) -> None:
    known = standings(graded.room, SLUG)
    assert set(known) == set(graded.results)
    cells = grade_cells(SPEC, autograded(graded.room, next(iter(known))))
    for student, result in graded.results.items():
        for name, exercise in cells.items():
            score = result.exercise(exercise)
            assert score is not None and known[student].cells[name].auto == score.earned


def test_the_time_of_handing_in_reaches_the_gradebook(graded: Made) -> None:
    for student, standing in standings(graded.room, SLUG).items():
        assert standing.seconds_late == pytest.approx(max(0.0, 3600 * graded.plans[student].hours_late), abs=1)


def test_nothing_is_left_to_write_after_a_commit(graded: Made) -> None:
    assert pending(graded.room, SPEC, graded.results) == []


def test_a_lost_gradebook_is_filled_again(graded: Made) -> None:
    graded.room.gradebook_file.unlink()
    assert len(pending(graded.room, SPEC, graded.results)) == len(graded.results)


def test_forged_outputs_tags_and_points_are_worth_nothing(handed_in: Made) -> None:
    student = handed_in.student(wrote="blank")
    room = handed_in.room

    def forge(notebook: dict[str, list[dict[str, dict[str, object]]]]) -> None:
        for cell in notebook["cells"]:
            settings = cell["metadata"].get("nbgrader")
            if isinstance(settings, dict) and settings.get("grade") and cell["cell_type"] == "code":
                settings["points"] = 123456
                cell["metadata"]["tags"] = ["skip-execution"]
                cell["outputs"] = [  # type: ignore[assignment]
                    {"output_type": "execute_result", "data": {"text/plain": "2"}, "metadata": {}, "execution_count": 1}
                ]

    edit(room, student, forge)
    store_result(room, student, dict.fromkeys(FULL, 0.0))
    assert write(room, student) == ""
    standing = standings(room, SLUG)[student]
    assert sum(cell.auto or 0 for cell in standing.cells.values()) == 0
    text = (room.autograded(student, SLUG) / f"{SPEC.notebook}.ipynb").read_text()
    assert "skip-execution" not in text and "123456" not in text


def test_a_notebook_that_cannot_be_read_is_graded_nothing_and_says_why(handed_in: Made) -> None:
    student, room = next(iter(handed_in.plans)), handed_in.room
    submitted(room, student).write_text('{"cells": [')
    store_result(room, student, dict.fromkeys(FULL, 0.0), verdict="the file is cut off <before> its end.")
    assert write(room, student) == ""
    assert standings(room, SLUG)[student].score == 0
    assert autograded(room, student).metadata[NOTES] == ["The file is cut off <before> its end."]
    assert "cut off &lt;before&gt;" in feedback(room, student)


def test_a_persons_score_survives_a_regrade_and_stays_settled(graded: Made) -> None:
    student, room = graded.student(wrote="right"), graded.room
    manual(room, student, WRITTEN, 3.5)
    assert write(room, student) == ""
    grade = standings(room, SLUG)[student].cells[WRITTEN]
    assert (grade.score, grade.waiting) == (3.5, False)


def test_a_persons_score_is_asked_for_again_when_the_answer_changes(graded: Made) -> None:
    student, room = graded.student(wrote="right"), graded.room
    manual(room, student, WRITTEN, 3.5)

    def rewrite(notebook: dict[str, list[dict[str, object]]]) -> None:
        cell_of(notebook, WRITTEN)["source"] = "Another answer."

    edit(room, student, rewrite)
    store_result(room, student, FULL)
    assert write(room, student) == ""
    grade = standings(room, SLUG)[student].cells[WRITTEN]
    assert (grade.score, grade.waiting) == (3.5, True)


def test_a_persons_correction_of_a_code_score_survives(graded: Made) -> None:
    student, room = graded.student(wrote="blank"), graded.room
    cell = next(iter(grade_cells(SPEC, autograded(room, student))))
    manual(room, student, cell, 1.5)
    assert write(room, student) == ""
    grade = standings(room, SLUG)[student].cells[cell]
    assert (grade.auto, grade.score, grade.waiting) == (0.0, 1.5, False)


def test_other_files_of_a_submission_go_no_further(handed_in: Made, tmp_path: Path) -> None:
    student, room = next(iter(handed_in.plans)), handed_in.room
    private = tmp_path / "private.txt"
    private.write_text("not for students")
    folder = room.submitted(student, SLUG)
    (folder / "link.txt").symlink_to(private)
    (folder / "torch.py").write_text("raise SystemExit")
    (folder / "submission_secret.txt").write_text("finds the feedback in the exchange")
    (folder / "deep").mkdir()
    (folder / "deep" / "more.txt").write_text("more")
    assert write(room, student) == ""
    feedback(room, student)
    kept = {path.name for path in room.autograded(student, SLUG).rglob("*")}
    given = {path.name for path in room.feedback(student, SLUG).rglob("*")}
    assert kept == {f"{SPEC.notebook}.ipynb", "timestamp.txt", "submission_secret.txt"}
    assert given == {f"{SPEC.notebook}.html", "timestamp.txt", "submission_secret.txt"}


def test_html_in_a_written_answer_is_text_for_whoever_reads_it(handed_in: Made) -> None:
    student, room = handed_in.student(wrote="right"), handed_in.room
    attack = "<script>alert(1)</script> <img src=x onerror=alert(1)> ![p](http://example.org/p.png) 1 < 2"

    def answer(notebook: dict[str, list[dict[str, object]]]) -> None:
        cell_of(notebook, WRITTEN)["source"] = attack

    edit(room, student, answer)
    store_result(room, student, FULL)
    assert write(room, student) == ""
    source = next(cell.source for cell in autograded(room, student).cells if grade_id(cell) == WRITTEN)
    assert not re.search(r"<[A-Za-z/!?]", source) and "1 < 2" in source
    page = feedback(room, student)
    assert "<script" not in page and "<img" not in page and "example.org" not in page


def test_a_fault_of_the_machine_leaves_the_score_as_it_is(graded: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    student, room = graded.student(wrote="right"), graded.room
    before = standings(room, SLUG)[student]

    def fail(*_: object, **__: object) -> None:
        raise RunnerFault("the disk is full")

    def rewrite(notebook: dict[str, list[dict[str, object]]]) -> None:
        cell_of(notebook, SPEC.exercises[0].name)["source"] = "pass"

    monkeypatch.setattr(nbgrader_plugin, "grade_read", fail)
    monkeypatch.setattr(nbgrader_plugin.CommitResults, "_launcher", lambda self: None)
    edit(room, student, rewrite)
    assert write(room, student) == "RunnerFault: the disk is full"
    assert standings(room, SLUG)[student].cells == before.cells


def test_feedback_loads_nothing_and_shows_what_was_found(graded: Made) -> None:
    student = graded.student(wrote="right")
    page = feedback(graded.room, student)
    assert (
        not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", page) and "<script" not in page and "@import" not in page
    )
    assert "A person will grade this answer." in page and "not graded yet" in page
    for exercise in SPEC.exercises:
        assert f"{exercise.name}: {exercise.points:g} points" in page


def test_feedback_shows_a_graders_comment_and_the_total(graded: Made) -> None:
    student, room = graded.student(wrote="right"), graded.room
    manual(room, student, WRITTEN, 3.0)
    with room.gradebook() as gradebook:
        comment = gradebook.find_comment(WRITTEN, SPEC.notebook, SLUG, student)
        comment.manual_comment = "Good, but say *why* the variances add up <b>."
        gradebook.db.commit()
    page = feedback(room, student)
    assert "say <em>why</em>" in page and "&lt;b&gt;" in page
    assert f"{sum(FULL.values()) + 3:g} of {SPEC.points:g} points" in page
