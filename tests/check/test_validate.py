"""nbgrader's Validate button says what ``check`` says."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import nbformat
import pytest
from nbgrader.validator import Validator

from course_lib.grading.places import ROOT
from course_lib.grading.solution import answers, grade_id, wrong_source
from course_lib.grading.spec import assignment

pytestmark = pytest.mark.slow

SLUG = "04-attention-layer"
SPEC = assignment(SLUG)


def failed(folder: Path, sources: Mapping[str, str]) -> list[str]:
    """The check cells that validation calls failed, with these answers written into the released notebook."""
    place = folder / SLUG
    shutil.copytree(ROOT / "exercises" / SLUG, place)
    path = place / f"{SPEC.notebook}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = sources.get(str(grade_id(cell)), cell.source)
    nbformat.write(notebook, path)
    result = Validator().validate(str(path))
    assert "changed" not in result
    return [cell["source"] for cell in result.get("failed", []) if cell["source"].startswith("check(")]


def test_the_blank_fails_everywhere(tmp_path: Path) -> None:
    assert len(failed(tmp_path, {})) == len(SPEC.exercises)


def test_what_is_wrong_fails(tmp_path: Path) -> None:
    exercise = SPEC.exercise("causal_mask")
    wrong = wrong_source(SLUG, exercise.name, exercise.misconceptions[0])
    assert f'check("{SLUG}.causal_mask", causal_mask)' in failed(tmp_path, {**answers(SLUG), exercise.name: wrong})


def test_the_solution_passes(tmp_path: Path) -> None:
    assert failed(tmp_path, answers(SLUG)) == []
