"""A student works through an exercise in a real JupyterLab: blank, wrong in a known way, right."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from course_lib.grading.places import ROOT
from course_lib.grading.solution import answers, wrong_source
from course_lib.grading.spec import Misconception, assignment
from tests.browser import Traffic, launch_browser, watch
from tests.check.jupyterlab import DARK, LIGHT, Notebook, serve_lab
from tests.check.legible import least_contrast

pytestmark = pytest.mark.slow

SLUG = "04-attention-layer"
EXERCISE = "scaled_dot_product_attention"
SPEC = assignment(SLUG)


@dataclass(frozen=True)
class Desk:
    """A student's desk: the released notebook open in JupyterLab, with the set-up cell run."""

    notebook: Notebook
    traffic: Traffic

    def check(self) -> Locator:
        """Run the check cell of the exercise and give its report."""
        cell = self.notebook.cell(f'check("{SLUG}.{EXERCISE}"')
        self.notebook.run(cell)
        expect(cell.locator(".course-check")).to_have_count(1)
        return cell.locator(".course-check")

    def answer(self, source: str) -> None:
        """Type a source into the exercise's cell and run it."""
        cell = self.notebook.cell(f"def {EXERCISE}(")
        self.notebook.write(cell, source)
        self.notebook.run(cell)


@pytest.fixture(params=[LIGHT, DARK], ids=["light", "dark"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    folder = tmp_path / "student" / SLUG
    shutil.copytree(ROOT / "exercises" / SLUG, folder)
    private = tmp_path / "private"
    private.mkdir()
    with serve_lab(folder, private, theme=request.param) as address, launch_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        traffic = watch(page)
        notebook = Notebook(page, address.format(f"{SPEC.notebook}.ipynb"))
        notebook.run(notebook.cell("from course_lib.check import check"))
        yield Desk(notebook, traffic)


def misconception(name: str) -> Misconception:
    return next(m for m in SPEC.exercise(EXERCISE).misconceptions if m.name == name)


def test_blank_then_wrong_then_right(desk: Desk) -> None:
    notebook = desk.notebook
    points = f"{SPEC.exercise(EXERCISE).points:g}"

    notebook.run(notebook.cell(f"def {EXERCISE}("))
    report = desk.check()
    expect(report).to_contain_text("Not written yet.")
    expect(report).to_contain_text(f"0 of {points} points")
    expect(report).not_to_contain_text("Traceback")

    wrong = misconception("no_scaling")
    desk.answer(wrong_source(SLUG, EXERCISE, wrong))
    report = desk.check()
    expect(report.locator(".cc-box")).to_contain_text(re.compile(re.escape(wrong.says[1:]), re.IGNORECASE))
    expect(report.locator("table")).to_have_count(2)
    expect(report.locator("table").first).to_be_visible()
    assert least_contrast(report) >= 4.5

    desk.answer(answers(SLUG)[EXERCISE])
    report = desk.check()
    expect(report).to_contain_text(f"all {points} points")
    expect(report.locator(".cc-wrong")).to_have_count(0)
    assert not desk.traffic.external
