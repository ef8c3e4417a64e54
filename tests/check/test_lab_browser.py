"""A student works through an exercise in a real JupyterLab: blank, wrong in a known way, right."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from course_lib.grading.solution import ROOT, answers, wrong_source
from course_lib.grading.spec import Misconception, assignment
from tests.browser import Traffic, launch_browser, watch
from tests.check.jupyterlab import DARK, LIGHT, Notebook, serve_lab

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


def test_blank_then_wrong_then_right(desk: Desk, tmp_path: Path, request: pytest.FixtureRequest) -> None:
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
    assert contrast(report) >= 4.5
    report.screenshot(path=tmp_path / "wrong.png")

    desk.answer(answers(SLUG)[EXERCISE])
    report = desk.check()
    expect(report).to_contain_text(f"all {points} points")
    expect(report.locator(".cc-wrong")).to_have_count(0)
    assert not desk.traffic.external


def contrast(report: Locator) -> float:
    """The least contrast between a text of the report and the ground it stands on (WCAG 2)."""
    return float(report.evaluate(CONTRAST))


CONTRAST = """
report => {
  const parse = colour => { const n = colour.match(/[\\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const over = (top, ground) => [0, 1, 2].map(i => top[3] * top[i] + (1 - top[3]) * ground[i]);
  const light = colour => {
    const [r, g, b] = colour.map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    const own = parse(getComputedStyle(element).backgroundColor);
    if (own[3] === 1) return own.slice(0, 3);
    return over(own, element.parentElement ? ground(element.parentElement) : [255, 255, 255]);
  };
  const ratios = [...report.querySelectorAll('*')]
    .filter(e => e.tagName !== 'STYLE' && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
    .map(e => {
      const below = ground(e);
      const [a, b] = [light(over(parse(getComputedStyle(e).color), below)), light(below)].sort((x, y) => y - x);
      return (a + 0.05) / (b + 0.05);
    });
  return Math.min(...ratios);
}
"""
