"""An assignment on the hub that the course ships: handed out, fetched, handed in, graded, given back."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from course_lib.grading.classroom import Classroom
from course_lib.grading.places import ROOT
from course_lib.grading.release import release
from course_lib.grading.solution import answers
from course_lib.grading.spec import assignment
from course_lib.grading.standing import standings
from tests.browser import launch_browser
from tests.check.jupyterlab import Notebook
from tests.deploy.running import LONG, RunningHub, need_node, open_lab, running_hub

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SLUG = "04-attention-layer"
EXERCISE = "scaled_dot_product_attention"
SPEC = assignment(SLUG)
POINTS = SPEC.exercise(EXERCISE).points


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    need_node()
    if not (ROOT / "build" / "source" / SLUG).is_dir():
        release(SLUG)  # as `make hub` does: the formgrader lists what is there
    place = Path(tempfile.mkdtemp(prefix="hub-", dir=ROOT / "build"))  # in the repository, as hub/ is
    try:
        with running_hub(place / "hub") as running:
            yield running
    finally:
        shutil.rmtree(place)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as running:
        yield running


def test_an_assignment_goes_out_comes_in_and_its_feedback_reaches_the_one_who_wrote_it(
    hub: RunningHub, browser: Browser
) -> None:
    with hub.user(browser, "grader") as grader, hub.user(browser, "ada") as ada, hub.user(browser, "ben") as ben:
        press(grader, "release")
        open_lab(ada)
        fetch(ada)
        answer_and_check(ada, hub)
        hand_in(ada)
        press(grader, "collect")
        autograde(grader, hub, "ada")
        press(grader, "generate-feedback")
        press(grader, "release-feedback")
        page = read_feedback(ada, hub)
        assert "Feedback for ada" in page and f"{POINTS:g} of {SPEC.points:g} points" in page

        scores = standings(Classroom(hub.folder / "class"), SLUG)
        assert set(scores) == {"ada"}
        assert sum(cell.auto or 0 for cell in scores["ada"].cells.values()) == POINTS

        open_lab(ben)
        assert_nothing_of_another(ben, hub)


def row(page: Page) -> Locator:
    """The assignment's line in the formgrader."""
    return page.locator("tbody tr").filter(has=page.locator("td.name", has_text=SLUG))


def press(grader: Page, what: str) -> None:
    """Press a button in the assignment's line, and wait until nbgrader says that it is done."""
    grader.goto(f"{grader.url.split('/services/')[0]}/services/attention/formgrader/manage_assignments")
    row(grader).locator(f"td.{what} a").click(timeout=LONG)
    expect(grader.locator(".modal-title")).to_have_text(re.compile("success", re.IGNORECASE), timeout=LONG)


def assignments(page: Page) -> None:
    """Open the list of assignments, as it is now."""
    page.get_by_role("menuitem", name="Nbgrader").click(timeout=LONG)
    page.get_by_role("menuitem", name="Assignment List").click()
    page.locator("#refresh_assignments_list").last.click(timeout=LONG)


def button(page: Page, part: str, name: str) -> Locator:
    """A button of the assignment in a part of the list."""
    line = page.locator(f"#{part}_assignments_list .list_item").filter(has_text=SLUG)
    return line.get_by_role("button", name=name, exact=True)


def fetch(student: Page) -> None:
    assignments(student)
    button(student, "released", "Fetch").click(timeout=LONG)
    expect(button(student, "fetched", "Submit")).to_be_visible(timeout=LONG)


def answer_and_check(student: Page, hub: RunningHub) -> None:
    """Write one right answer, see that its check says so, and save."""
    name = student.url.split("/user/")[1].split("/")[0]
    notebook = Notebook(student, f"{hub.address}/user/{name}/lab/tree/{SLUG}/{SPEC.notebook}.ipynb", timeout=LONG)
    notebook.run(notebook.cell("from course_lib.check import check"))
    cell = notebook.cell(f"def {EXERCISE}(")
    notebook.write(cell, answers(SLUG)[EXERCISE])
    notebook.run(cell)
    check = notebook.cell(f'check("{SLUG}.{EXERCISE}"')
    notebook.run(check)
    expect(check.locator(".course-check")).to_contain_text(f"all {POINTS:g} points", timeout=LONG)
    with student.expect_response(lambda reply: "/api/contents/" in reply.url and reply.request.method == "PUT"):
        student.keyboard.press("Control+s")


def hand_in(student: Page) -> None:
    assignments(student)
    button(student, "fetched", "Submit").click(timeout=LONG)
    expect(button(student, "submitted", "Fetch Feedback")).to_be_visible(timeout=LONG)


def autograde(grader: Page, hub: RunningHub, student: str) -> None:
    """Press the button in the student's line, which grades in the sandbox."""
    grader.goto(f"{hub.address}/services/attention/formgrader/manage_submissions/{SLUG}")
    line = grader.locator("tbody tr").filter(has=grader.locator("td.student-id", has_text=student))
    line.locator("td.autograde a").click(timeout=LONG)
    expect(grader.locator(".modal-title")).to_have_text(re.compile("success", re.IGNORECASE), timeout=LONG)
    expect(line.locator("td.score")).to_have_text(re.compile(rf"{POINTS:g} / {SPEC.points:g}"), timeout=LONG)


def read_feedback(student: Page, hub: RunningHub) -> str:
    """Fetch the feedback and open it; gives the page's text."""
    assignments(student)
    with student.expect_response(lambda reply: "/assignments/fetch_feedback" in reply.url, timeout=LONG):
        button(student, "submitted", "Fetch Feedback").click(timeout=LONG)
    (page,) = (hub.home("ada") / SLUG / "feedback").glob("*/*.html")
    student.goto(f"{hub.address}/user/ada/files/{page.relative_to(hub.home('ada'))}")
    return student.locator("body").inner_text()


def assert_nothing_of_another(other: Page, hub: RunningHub) -> None:
    """Someone else of the class may fetch the assignment, and reaches nothing of whoever handed in."""
    assignments(other)
    expect(button(other, "released", "Fetch")).to_be_visible(timeout=LONG)
    expect(other.locator("#submitted_assignments_list .list_item")).to_have_count(0, timeout=LONG)
    assert other.request.get(f"{hub.address}/user/ben/api/contents/").json()["content"] == []
    for place in ("user/ada/api/contents/", "services/attention/formgrader/manage_assignments", "hub/admin"):
        reply = other.request.get(f"{hub.address}/{place}", headers={"Accept": "application/json"})
        assert reply.status in (403, 404) and SLUG not in reply.text(), place
