"""The instructor's tables say what the files that they come from say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import course_grading
import pytest
from course_grading import equivalent_rows, exercise_rows, mutant_totals, read_hostile, totals

from tests.grading.hostile_record import note
from tools import kill_tables

MUTANT = {"kind": "axis", "before": "a", "after": "b", "line": 1, "source": "b"}
TABLE: dict[str, Any] = {
    "title": "Tiny",
    "seeds": 3,
    "exercises": [
        {
            "name": "double",
            "points": 2.0,
            "solution": 2.0,
            "blank": 0.0,
            "blank_says": "not written yet.",
            "misconceptions": [
                {
                    "name": "square",
                    "says": "You squared.",
                    "intended": "output",
                    "caught_by": ["output", "gradients"],
                    "named": True,
                    "earned": 0.0,
                },
                {
                    "name": "half",
                    "says": "You halved.",
                    "intended": "output",
                    "caught_by": [],
                    "named": False,
                    "earned": 2.0,
                },
            ],
            "mutants": [
                {"mutant": MUTANT, "caught_by": ["output"], "stopped": "", "equivalent": ""},
                {"mutant": MUTANT, "caught_by": [], "stopped": "after 20 s", "equivalent": ""},
                {"mutant": MUTANT, "caught_by": [], "stopped": "", "equivalent": "it is the same"},
                {"mutant": MUTANT, "caught_by": [], "stopped": "", "equivalent": ""},
            ],
        }
    ],
}


def texts(rows: list[Any]) -> list[list[str]]:
    return [[cell.astext() for cell in row] for row in rows]


def test_each_thing_put_to_the_rubric_has_a_row() -> None:
    assert texts(exercise_rows(TABLE["exercises"][0])) == [
        ["the solution", "nothing", "2 of 2"],
        ["the blank stub", "every line: “not written yet.”", "0"],
        ["square: “You squared.”", "output, gradients", "0"],
        ["half: “You halved.”", "nothing", "2"],
    ]


def test_a_mistake_that_is_not_caught_is_not_counted_as_caught() -> None:
    assert "1 of 2 known mistakes" in totals(TABLE)


def test_survivors_stand_apart_from_mutants_that_are_right_as_well() -> None:
    assert mutant_totals(TABLE).startswith("Of 4 automatic mutants, 2 lose points, 1 are as right as the solution")
    assert mutant_totals(TABLE).endswith("and 1 earn full marks without being right.")
    assert texts(equivalent_rows(TABLE)) == [["double", "b", "it is the same"]]


def test_a_table_without_mutants_says_how_to_make_them() -> None:
    table = TABLE | {"exercises": [TABLE["exercises"][0] | {"mutants": []}]}
    assert "python -m tools.kill_tables --mutants" in mutant_totals(table)


def test_hostile_outcomes_are_counted_by_module_and_tests_that_are_gone_are_not(tmp_path: Path) -> None:
    (tmp_path / "test_01.py").write_text('"""1. Tags.\n\nMore."""\n\ndef test_tag(): ...\n')
    (tmp_path / "test_02.py").write_text('"""2. Bombs."""\n\ndef test_bomb(): ...\n')
    record = tmp_path / "hostile.json"
    outcomes = {"test_tag[a]": "passed", "test_tag[b]": "failed", "test_tag[c]": "skipped", "test_old": "passed"}
    for test, outcome in outcomes.items():
        note(record, module="test_01.py", test=test, outcome=outcome)
    assert read_hostile(tmp_path, record) == [
        {"about": "1. Tags.", "file": "test_01.py", "run": 2, "held": 1},
        {"about": "2. Bombs.", "file": "test_02.py", "run": 0, "held": 0},
    ]


def test_an_outcome_that_is_known_leaves_the_record_alone(tmp_path: Path) -> None:
    record = tmp_path / "hostile.json"
    note(record, module="test_01.py", test="test_tag", outcome="passed")
    before = record.stat().st_ino
    note(record, module="test_01.py", test="test_tag", outcome="passed")
    assert record.stat().st_ino == before
    note(record, module="test_01.py", test="test_tag", outcome="failed")
    assert json.loads(record.read_text()) == {"test_01.py": {"test_tag": "failed"}}


def test_the_hostile_suite_says_in_one_sentence_what_each_module_is_about() -> None:
    for module in read_hostile(course_grading.HOSTILE_TESTS, course_grading.HOSTILE_RECORD):
        assert module["about"].endswith((".", ".)")), module["file"]


def test_a_kill_table_is_kept_until_what_it_depends_on_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slug, ran = kill_tables.slugs()[0], []

    class Done:
        stdout = json.dumps([TABLE])
        stderr = ""

    def run(command: list[str], **_: object) -> Done:
        ran.append("--mutants" in command)
        return Done()

    monkeypatch.setattr(kill_tables, "FOLDER", tmp_path)
    monkeypatch.setattr(kill_tables, "slugs", lambda: [slug])
    monkeypatch.setattr(kill_tables.subprocess, "run", run)
    assert kill_tables.refresh() == [slug]
    assert kill_tables.refresh() == []
    assert kill_tables.refresh(mutants=True) == [slug]
    assert kill_tables.refresh() == []
    monkeypatch.setattr(kill_tables, "key_of", lambda name: "another")
    assert kill_tables.refresh() == [slug]
    assert ran == [False, True, False]
