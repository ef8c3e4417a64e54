"""nbgrader's formgrader in a real browser, on a class that `course grade` graded in the sandbox."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from course_lib.commands.grade import run as course_grade
from course_lib.grading.classroom import Classroom
from course_lib.grading.places import ROOT
from course_lib.grading.sample_class import Plan, expected_points
from course_lib.grading.sandbox import Warming
from course_lib.grading.standing import standings
from tests.browser import launch_browser
from tests.grading.classes import SLUG, SPEC, sample

pytestmark = pytest.mark.slow
WRITTEN = SPEC.written[0].name


@dataclass(frozen=True)
class Site:
    """A Jupyter server on a graded class."""

    address: str
    room: Classroom
    plans: dict[str, Plan]

    def someone(self) -> str:
        """A student with points, who has also answered in words."""
        return next(n for n, p in self.plans.items() if "right" in p.wrote.values() and p.quality is not None)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    room, plans = sample(tmp_path_factory.mktemp("browser") / "class", size=6)
    with Warming() as sandbox:
        course_grade(SLUG, folder=room.folder, sandbox=sandbox)
    command = [sys.executable, "-m", "jupyter", "server", "--no-browser", "--allow-root", "--ServerApp.port=0"]
    command += ["--IdentityProvider.token=", "--ServerApp.password=", f"--ServerApp.root_dir={room.folder.parent}"]
    server = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"COURSE_CLASS": str(room.folder), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert server.stdout is not None
        said, address = [], None
        for line in server.stdout:
            said.append(line)
            if found := re.search(r"is running at:|http://(?:localhost|127\.0\.0\.1):(\d+)/", line):
                address = f"http://127.0.0.1:{found[1]}" if found[1] else None
                if address:
                    break
        assert address is not None, "".join(said)
        threading.Thread(target=server.stdout.read, daemon=True).start()
        yield Site(address, room, plans)
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page()
    opened.route("**/*", lambda route: route.continue_() if "127.0.0.1" in route.request.url else route.abort())
    yield opened
    opened.close()


def row(page: Page, site: Site, student: str) -> dict[str, str]:
    """What the formgrader's table of submissions says of a student."""
    page.goto(f"{site.address}/formgrader/manage_submissions/{SLUG}")
    line = page.locator("tbody tr").filter(has=page.locator("td.student-id", has_text=student))
    expect(line).to_have_count(1, timeout=30_000)
    return {name: line.locator(f"td.{name}").inner_text().strip() for name in ("student-name", "status", "score")}


def click_autograde(page: Page, site: Site, student: str) -> None:
    """Press the button in a student's row, and wait until nbgrader says that it is done."""
    row(page, site, student)
    line = page.locator("tbody tr").filter(has=page.locator("td.student-id", has_text=student))
    line.locator("td.autograde a").click()
    expect(page.locator(".modal-title")).to_have_text(re.compile("success", re.IGNORECASE), timeout=300_000)


def auto(site: Site, student: str) -> dict[str, float | None]:
    return {name: cell.auto for name, cell in standings(site.room, SLUG)[student].cells.items()}


def test_the_table_shows_the_scores_that_the_students_deserve(site: Site, page: Page) -> None:
    for student, plan in site.plans.items():
        shown = row(page, site, student)
        total = sum(expected_points(SPEC, plan).values())
        assert shown["score"] == f"{total:g} / {SPEC.points:g}"
        assert shown["student-name"] == f"{plan.last_name}, {plan.first_name}"


def test_a_submission_shows_the_report_and_the_score_of_each_exercise(site: Site, page: Page) -> None:
    student = site.someone()
    open_submission(page, site, student)
    expect(page.locator(".course-check")).to_have_count(len(SPEC.exercises))
    for name, score in auto(site, student).items():
        if name != WRITTEN:
            expect(page.locator(f"input.score[id='{name}']")).to_have_attribute("placeholder", f"{score:g}")


def open_submission(page: Page, site: Site, student: str) -> None:
    with site.room.gradebook() as gradebook:
        number = gradebook.find_submission_notebook(SPEC.notebook, SLUG, student).id
    page.goto(f"{site.address}/formgrader/submissions/{number}/")
    expect(page.locator("input.score").first).to_be_visible(timeout=30_000)


def test_a_score_given_there_survives_the_button_and_course_grade(site: Site, page: Page) -> None:
    student = site.someone()
    before = auto(site, student)
    open_submission(page, site, student)
    field = page.locator(f"input.score[id='{WRITTEN}']")
    with page.expect_response(lambda response: "/api/grade/" in response.url and response.request.method == "PUT"):
        field.fill("3.5")
        field.press("Tab")
    click_autograde(page, site, student)
    with Warming() as sandbox:
        course_grade(SLUG, folder=site.room.folder, sandbox=sandbox)
    after = standings(site.room, SLUG)[student]
    assert (after.cells[WRITTEN].manual, after.cells[WRITTEN].waiting) == (3.5, False)
    assert auto(site, student) == before
    total = sum(expected_points(SPEC, site.plans[student]).values()) + 3.5
    assert row(page, site, student) | {"student-name": ""} == {
        "student-name": "",
        "status": "graded",
        "score": f"{total:g} / {SPEC.points:g}",
    }


def test_the_button_grades_in_the_sandbox_what_course_grade_has_not_and_agrees_with_it(site: Site, page: Page) -> None:
    student = site.someone()
    before = auto(site, student)
    kept = Path(f"{site.room.results}.kept")
    site.room.results.rename(kept)
    try:
        click_autograde(page, site, student)
        assert auto(site, student) == before
        assert len(list(site.room.results.glob("*.json"))) == 1
    finally:
        shutil.rmtree(site.room.results, ignore_errors=True)
        kept.rename(site.room.results)
