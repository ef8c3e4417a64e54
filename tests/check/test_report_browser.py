"""Reports are legible and accessible on every page they may stand on: notebooks of all kinds, feedback, the book."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from playwright.sync_api import Browser, Page

from course_lib.check.judge import judge
from course_lib.check.probe import Failure, Probe, Reply, execute
from course_lib.check.report import render_html
from tests.browser import launch_browser
from tests.check.artificial import case, exercise, tensor
from tests.check.legible import least_contrast, serious_findings

pytestmark = pytest.mark.slow

PAGES = {
    "feedback": "<body style='background:#fff;color:#000'>{}</body>",
    "jupyterlab, light": "<body data-jp-theme-light='true' style='background:#fff'>{}</body>",
    "jupyterlab, dark": "<body data-jp-theme-light='false' style='background:#111'>{}</body>",
    "vs code, light": "<body class='vscode-light' style='background:#fff'>{}</body>",
    "vs code, dark": "<body class='vscode-dark' style='background:#1f1f1f'>{}</body>",
    "vs code, high contrast": "<body class='vscode-high-contrast' style='background:#000'>{}</body>",
    "book, light": "<body style='background:#fff'>{}</body>",
    "book, dark": "<body style='background:#121212'>{}</body>",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as started:
        yield started


def reports() -> str:
    """One of each kind: right, a known mistake, a mask, an error, not written."""
    wrong = {"columns": lambda x: torch.softmax(x, -2)}
    x = tensor(2, 5, 6)
    made = exercise(
        "normalise",
        [
            ("batches", 2, [case("normalise", lambda x: torch.softmax(x, -1), x, wrong=wrong)], []),
            ("a mask", 1, [case("normalise", lambda x: x > 0, tensor(6, 7))], []),
            ("numbers", 1, [case("normalise", lambda x: x.sum(), tensor(4))], []),
        ],
        {"columns": "your softmax runs over the rows."},
    )

    def half_right(x: torch.Tensor) -> torch.Tensor:
        y = torch.softmax(x, -1)
        y[..., 0] *= -1
        return y if x.dim() == 3 else x > 0.5

    answers = [wrong["columns"], half_right, lambda x: 1 / (x.sum() * 0).int().item(), lambda x: torch.softmax(x, -1)]
    results = [judge(made, lambda probe, f=f: execute(probe, {"normalise": f})) for f in answers]

    def not_written(probe: Probe) -> Reply:
        return Reply(failure=Failure("not_written", "NotImplementedError"))

    results.append(judge(made, not_written))
    return "".join(render_html(r, reveal=True, notes=["a note"], printed="printed") for r in results)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_report_is_legible_and_accessible(browser: Browser, name: str, scheme: str) -> None:
    theme = name.rpartition(", ")[2]
    root = f" data-theme={theme}" if name.startswith("book") else ""
    page: Page = browser.new_page(color_scheme=scheme, viewport={"width": 700, "height": 900})  # type: ignore[arg-type]
    page.set_content(f"<html lang=en{root}><title>Reports</title>{PAGES[name].format(reports())}</html>")
    report = page.locator(".course-check")
    assert report.count() == 5
    assert least_contrast(page.locator("body")) >= 4.5
    if name == "feedback":
        assert serious_findings(page) == []
    luminance = report.first.evaluate("e => +getComputedStyle(e).backgroundColor.match(/\\d+/)[0]")
    dark = theme in ("dark", "high contrast") or (name == "feedback" and scheme == "dark")
    assert (luminance < 128) == dark
    page.close()


@pytest.mark.parametrize("width", [320, 1400])
def test_a_report_never_makes_the_page_scroll_sideways(browser: Browser, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_content(f"<html lang=en><title>Reports</title><body>{reports()}</body></html>")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
