"""Draw the pictures of the instructor's pages: reports, feedback and the formgrader, on a made-up class.

    python -m tools.instructor_pictures            into build/pictures, where what they show has changed
    python -m tools.instructor_pictures CLASS      the same of a class that is graded, with reports and feedback

The book's build does so. Where there is no Chromium or no sandbox nothing is drawn, and the pages say so. Nothing
outside this machine is asked for anything.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from course_lib.grading.classroom import Classroom
from course_lib.grading.spec import assignment
from course_lib.grading.standing import standings
from tests.browser import launch_browser, watch
from tests.check.jupyterlab import serve_lab
from tools import transcripts
from tools.screenshot import keep

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "build" / "pictures"
MADE = "made.json"
NAMES = ["report", "term", "feedback", "menu", "waiting", "written"]
SLUG = "04-attention-layer"
SLUGS = ("01-sequences", SLUG, "06-language-models")
SIZE = 24
WIDTH = 760
PIXELS = 1.5
SECONDS = 90_000
"""In milliseconds: how long a page of the server may take."""

NO_SANDBOX = 3
"""The exit code of a command that this machine cannot do."""

MISTAKE = "A known mistake"
"""How feedback says that a mistake is a known one."""

POINTS, COMMENT = "2.5", "Why by the root of d, and not by d? And what does a large score do to the softmax?"


class CannotDraw(Exception):
    """Something that the pictures need is not there; the message says what."""


def key() -> str:
    """Hash of what decides how the pictures look."""
    return hashlib.sha256(f"{transcripts.key()}{Path(__file__).read_text(encoding='utf-8')}".encode()).hexdigest()


def refresh() -> str:
    """Draw the pictures where what is kept is out of date; says what was done."""
    made = PICTURES / MADE
    if made.is_file():
        kept = json.loads(made.read_text(encoding="utf-8"))
        if kept["key"] == key() and kept["drawn"]:
            return "is up to date"
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    said = "was drawn anew"
    try:
        with tempfile.TemporaryDirectory(prefix="course-pictures-") as place:
            folder = Path(place).resolve() / "class"
            make_class(folder)
            draw_all(Classroom(folder))
    except CannotDraw as problem:
        said = f"was not drawn: {problem}"
    drawn = sorted(path.name for path in PICTURES.glob("*.png"))
    text = json.dumps({"key": key(), "names": NAMES, "drawn": drawn}, indent=1)
    made.write_text(text + "\n", encoding="utf-8")
    return said


def make_class(folder: Path) -> None:
    """Students over three assignments, graded, with reports and feedback.

    Raises:
        CannotDraw: this machine has no browser, or no sandbox to grade in.
    """
    if shutil.which("chromium") is None:
        raise CannotDraw("there is no Chromium here; install the Debian package chromium")

    def course(*words: str) -> None:
        command = [str(Path(sys.executable).with_name("course")), *words]
        settings = os.environ | {"COURSE_CLASS": str(folder)}
        done = subprocess.run(command, cwd=ROOT, env=settings, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode == NO_SANDBOX:
            raise CannotDraw(done.stderr.strip() or done.stdout.strip())
        if done.returncode not in (0, 1):  # 1 says that something is left to a person
            raise RuntimeError(f"course {' '.join(words)}: {done.stdout}{done.stderr}")

    for slug in SLUGS:
        course("sample-class", slug, "--size", str(SIZE))
    for command in ("grade", "feedback", "report"):
        course(command)


@contextmanager
def opened(browser: Browser, *, dark: bool = False, width: int = WIDTH) -> Iterator[Page]:
    """A page of the pictures' size, which reaches no other host."""
    scheme = "dark" if dark else "light"
    page = browser.new_page(
        viewport={"width": width, "height": 620},
        device_scale_factor=PIXELS,
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    watch(page)
    yield page
    page.close()


def draw(page: Page, name: str, *, top: float = 0, height: float = 620, left: float = 0, width: float = WIDTH) -> None:
    """Keep a part of the page as a picture; the numbers are those of the page."""
    clip = {"x": left, "y": top, "width": width, "height": height}
    shot = Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=True)))  # type: ignore[arg-type]
    keep(shot, PICTURES / f"{name}.png")


def top_of(page: Page, selector: str) -> float:
    """Where an element begins, from the top of the page."""
    box = page.locator(selector).first.bounding_box()
    assert box is not None, selector
    return box["y"] + page.evaluate("window.scrollY")


def draw_reports(browser: Browser, room: Classroom) -> None:
    """The report of an assignment and that of the term, in light and dark."""
    for dark, ending in ((False, ""), (True, "-dark")):
        with opened(browser, dark=dark) as page:
            page.goto((room.folder / "reports" / f"{SLUG}.html").as_uri())
            draw(page, f"report{ending}", height=top_of(page, "#exercises"))
            page.goto((room.folder / "reports" / "term.html").as_uri())
            draw(page, f"term{ending}", top=top_of(page, "#help") - 10, height=760)


def draw_feedback(browser: Browser, room: Classroom) -> None:
    """An answer with a known mistake, as the first student who made one sees it, in light and dark."""
    for path in sorted(room.folder.glob(f"feedback/*/{SLUG}/*.html")):
        if MISTAKE in path.read_text(encoding="utf-8"):
            break
    for dark, ending in ((False, ""), (True, "-dark")):
        with opened(browser, dark=dark) as page:
            page.goto(path.as_uri())
            part = page.locator("section[aria-labelledby]", has_text=MISTAKE).first.bounding_box()
            assert part is not None
            draw(page, f"feedback{ending}", top=part["y"] - 20, height=part["height"] + 20)


def draw_formgrader(browser: Browser, room: Classroom, student: str) -> None:
    """The way to the formgrader, who waits there, and an answer in words."""
    notebook = assignment(SLUG).notebook
    with room.gradebook() as gradebook:
        number = gradebook.find_submission_notebook(notebook, SLUG, student).id
    os.environ["COURSE_CLASS"] = str(room.folder)
    os.chdir(ROOT)  # where the server finds nbgrader_config.py
    with (
        tempfile.TemporaryDirectory() as private,
        serve_lab(room.folder.parent, Path(private)) as lab,
        opened(browser) as page,
    ):
        page.goto(lab.replace("/tree/{}", ""))
        page.get_by_role("menuitem", name="Nbgrader").click(timeout=SECONDS)
        expect(page.get_by_role("menuitem", name="Formgrader")).to_be_visible()
        draw(page, "menu", height=300)
        formgrader = f"{lab.partition('/lab/')[0]}/formgrader"
        page.goto(f"{formgrader}/gradebook/{SLUG}/{notebook}")
        expect(page.locator("tbody td.name a").first).to_be_visible(timeout=SECONDS)
        draw(page, "waiting", top=top_of(page, "ol.breadcrumb") - 10, height=460)
        page.goto(f"{formgrader}/submissions/{number}/")
        name = assignment(SLUG).written[0].name
        field, words = page.locator(f"input.score[id='{name}']"), page.locator(f"textarea[id='{name}-comment']")
        answer = page.locator(".nbgrader_cell").filter(has=field)
        # what is typed before nbgrader has put its own into the fields is lost
        expect(answer.locator(".extra-credit")).to_have_attribute("placeholder", "0", timeout=SECONDS)
        expect(words).to_have_attribute("placeholder", re.compile("."), timeout=SECONDS)
        for place, text in ((field, POINTS), (words, COMMENT)):
            with page.expect_response(lambda reply: reply.request.method == "PUT", timeout=SECONDS):
                place.fill(text)
                place.press("Tab")
        answer.scroll_into_view_if_needed()
        keep(Image.open(io.BytesIO(answer.screenshot())), PICTURES / "written.png")


def draw_all(room: Classroom) -> None:
    """Draw every picture of a class that is graded."""
    student = next(
        name for name, found in standings(room, SLUG).items() if any(cell.waiting for cell in found.cells.values())
    )
    with launch_browser() as browser:
        draw_reports(browser, room)
        draw_feedback(browser, room)
        draw_formgrader(browser, room, student)


def main(folder: Annotated[Path | None, typer.Argument(metavar="CLASS")] = None) -> None:
    """Draw the pictures that are out of date, or those of a class of yours."""
    if folder is None:
        print(f"{PICTURES.relative_to(ROOT)} {refresh()}")
    else:
        PICTURES.mkdir(parents=True, exist_ok=True)
        draw_all(Classroom(folder.resolve()))


if __name__ == "__main__":
    typer.run(main)
