"""The gradebook as CSV: every name stays one field, and no field is a formula."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib.grading.export import COLUMNS, guarded, write_gradebook
from course_lib.grading.places import ROOT
from course_lib.grading.standing import standings
from tests.grading.class_fixtures import Made
from tests.grading.classes import SLUG, SPEC


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def exported(made: Made, path: Path) -> dict[str, dict[str, str]]:
    with made.room.gradebook() as gradebook:
        write_gradebook(gradebook, path)
    return {row["student_id"]: row for row in read(path)}


def test_names_with_commas_quotes_and_line_breaks_stay_one_field(graded: Made, tmp_path: Path) -> None:
    names = ["Fitzgerald, Jr.", 'O"Brien', "Müller\nLüdenscheidt", "Ó Súilleabháin"]
    students = list(graded.plans)
    with graded.room.gradebook() as gradebook:
        for student, name in zip(students, names, strict=False):
            gradebook.update_or_create_student(student, last_name=name)
    rows = exported(graded, tmp_path / "grades.csv")
    assert [rows[student]["last_name"] for student in students[: len(names)]] == names
    assert all(set(row) == set(COLUMNS) and None not in row.values() for row in rows.values())


@pytest.mark.parametrize("text", ["=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "  =cmd|' /C calc'!A0"])
def test_text_that_a_spreadsheet_would_run_is_guarded(text: str) -> None:
    assert guarded(text) == "'" + text


@pytest.mark.parametrize("value", ["Ana-María", "O'Brien", 12.5, -1.0, 0])
def test_names_and_numbers_are_left_as_they_are(value: object) -> None:
    assert guarded(value) == value


def test_a_formula_in_a_students_name_does_not_reach_the_file(graded: Made, tmp_path: Path) -> None:
    student = next(iter(graded.plans))
    with graded.room.gradebook() as gradebook:
        gradebook.update_or_create_student(student, first_name='=HYPERLINK("http://example.org")')
    assert exported(graded, tmp_path / "grades.csv")[student]["first_name"].startswith("'=")


def test_scores_are_those_of_the_gradebook(graded: Made, tmp_path: Path) -> None:
    rows = exported(graded, tmp_path / "grades.csv")
    for student, standing in standings(graded.room, SLUG).items():
        assert float(rows[student]["score"]) == standing.score
        assert float(rows[student]["max_score"]) == SPEC.points


def test_the_state_says_who_waits_for_a_person_and_who_handed_in_nothing(graded: Made, tmp_path: Path) -> None:
    with graded.room.gradebook() as gradebook:
        gradebook.update_or_create_student("absent", last_name="Nobody")
    rows = exported(graded, tmp_path / "grades.csv")
    assert rows["absent"]["state"] == "nothing handed in" and float(rows["absent"]["score"]) == 0
    for student, plan in graded.plans.items():
        waits = plan.quality is not None and plan.damage != "truncated"
        assert rows[student]["state"] == ("waits for a person" if waits else "graded")


def test_an_interrupted_export_leaves_the_old_file_whole(
    graded: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "grades.csv"
    exported(graded, path)
    before = path.read_bytes()
    monkeypatch.setattr("course_lib.grading.export.guarded", lambda value: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        exported(graded, path)
    assert path.read_bytes() == before


@pytest.mark.slow
def test_nbgraders_own_command_writes_the_same_file(graded: Made, tmp_path: Path) -> None:
    expected = exported(graded, tmp_path / "ours.csv")
    path = tmp_path / "theirs.csv"
    command = [sys.executable, "-m", "nbgrader", "export", "--to", str(path)]
    settings = os.environ | {"COURSE_CLASS": str(graded.room.folder)}
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {row["student_id"]: row for row in read(path)} == expected
