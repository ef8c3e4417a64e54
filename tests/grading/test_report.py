"""The class report says in sentences what the results say in numbers, and asks nothing of any other host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from nbgrader.apps.api import NbGraderAPI
from playwright.sync_api import Browser, Page

from course_lib.grading.hidden import note_about
from course_lib.grading.overview import (
    CRASHED,
    FILES,
    HIDDEN,
    LATE,
    REMEDIES,
    UNGRADED,
    UNOFFICIAL,
    UNREADABLE,
    WRITTEN,
    Entry,
    Overview,
    overview,
)
from course_lib.grading.places import ROOT
from course_lib.grading.report import class_report, histogram, share
from course_lib.grading.results import ExerciseScore, LineScore, Result
from course_lib.grading.standing import CellGrade, Person, Standing
from tests.browser import launch_browser, watch
from tests.grading.class_fixtures import Made
from tests.grading.classes import SLUG, SPEC

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
CELLS = {exercise.name: f"check-{exercise.name}" for exercise in SPEC.exercises}
FIRST = SPEC.exercises[1]
MISTAKE = FIRST.misconceptions[0]


def result(**lines: LineScore) -> Result:
    """Full marks but for these exercises."""
    exercises = tuple(
        ExerciseScore(e.name, (lines.get(e.name, LineScore(e.lines[0].name, e.points, e.points)),))
        for e in SPEC.exercises
    )
    return Result(key="0", assignment=SLUG, verdict="graded", exercises=exercises, protections="sandbox")


def entry(name: str, given: Result | None = None, *, late: float = 0.0, waits: bool = False) -> Entry:
    given = given or result()
    cells = {CELLS[e.name]: CellGrade(e.earned, None, False) for e in given.exercises}
    cells[SPEC.written[0].name] = CellGrade(None, None, waits) if waits else CellGrade(0.0, None, False)
    return Entry(Person(name, name, name), None, Standing(None, late, 0.0, cells), given, (), None)


def wrong(mistake: str = "", kind: str = "values", earned: float = 0.0) -> Result:
    return result(**{FIRST.name: LineScore(FIRST.lines[0].name, FIRST.points, earned, kind, "differs.", mistake)})


def page_of(*entries: Entry, absent: tuple[Person, ...] = ()) -> str:
    return class_report(Overview(SPEC, CELLS, entries, absent), Path("/reports"))


def text_of(page: str) -> str:
    body = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body.replace("<wbr>", "")).split())


def test_the_commonest_mistakes_stand_in_sentences_with_their_share() -> None:
    says = text_of(page_of(entry("a"), entry("b", wrong(MISTAKE.name)), entry("c", wrong(MISTAKE.name)), entry("d")))
    assert f"50 % {MISTAKE.says} (2)".replace("<", "&lt;") in says
    assert "50 % have full marks." in says


def test_what_has_no_name_is_counted_as_such() -> None:
    says = text_of(
        page_of(
            entry("a"), entry("b", wrong()), entry("c", wrong(kind="not_written")), entry("d", wrong(kind="missing"))
        )
    )
    assert "25 % went wrong in a way that has no name yet." in says
    assert "25 % have not written it." in says
    assert "25 % left it undefined" in says


def test_the_histogram_counts_each_score_once_and_the_best_in_the_last_bin() -> None:
    bins = histogram([0.0, 3.9, 4.0, 39.9, 40.0], 40.0)
    assert [b.count for b in bins] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert (bins[0].low, bins[-1].high) == (0.0, 40.0)


@pytest.mark.parametrize(
    ("part", "whole", "said"), [(1, 3, "33 %"), (0, 5, "0 %"), (1, 1000, "under 1 %"), (0, 0, "0 %")]
)
def test_shares_are_for_people(part: int, whole: int, said: str) -> None:
    assert share(part, whole) == said


def test_whatever_needs_a_person_is_named_with_what_to_do() -> None:
    crashed = result(**{FIRST.name: LineScore(FIRST.lines[0].name, FIRST.points, 0.0, "missing", "it is not defined.")})
    noted = replace(
        crashed,
        exercises=tuple(
            replace(e, notes=("Your cell did not run to its end: it raised SyntaxError.",))
            if e.name == FIRST.name
            else e
            for e in crashed.exercises
        ),
    )
    told = note_about(["eval"], ["F.softmax"])
    hiding = replace(
        noted, exercises=tuple(replace(e, notes=(told,) * (e.name == FIRST.name)) for e in noted.exercises)
    )
    unread = replace(result(), verdict="the file is cut off before its end.")
    entries = [
        entry("late", late=90_000.0),
        entry("writes", waits=True),
        entry("crashed", noted),
        entry("hides", hiding),
        entry("unread", unread),
        entry("local", replace(result(), protections="unsafe-local")),
        replace(entry("renamed"), remarks=("handed in as other.ipynb",)),
        replace(entry("waiting"), standing=None, result=None),
    ]
    seen = Overview(SPEC, CELLS, entries)
    assert {kind: [e.person.student for e, _ in group] for kind, group in seen.matters().items()} == {
        UNREADABLE: ["unread"],
        CRASHED: ["crashed"],
        HIDDEN: ["hides"],
        FILES: ["renamed"],
        LATE: ["late"],
        WRITTEN: ["writes"],
        UNGRADED: ["waiting"],
        UNOFFICIAL: ["local"],
    }
    says = text_of(class_report(seen, Path("/reports")))
    for kind in seen.matters():
        assert f"{kind} (1). {REMEDIES[kind]}" in says
    assert "1 of 7 results were made without the sandbox and are not official." in says


def test_a_class_in_order_says_so() -> None:
    assert "Nothing: every submission was read and run" in text_of(page_of(entry("a")))


def test_names_are_text_whatever_they_hold() -> None:
    page = page_of(entry("<script>alert(1)</script>"), absent=(Person("x", "<b>", "O'Neil"),))
    assert "<script>alert" not in page and "&lt;script&gt;" in page and "&lt;b&gt;" in page


def test_a_persons_score_stands_in_the_table() -> None:
    marked = entry("a")
    assert marked.standing is not None
    cells = {**marked.standing.cells, CELLS[FIRST.name]: CellGrade(FIRST.points, 0.75, False)}
    page = page_of(replace(marked, standing=replace(marked.standing, cells=cells)))
    assert 'data-sort="0.75">0.75</td>' in page


def test_a_class_without_a_grade_is_a_page_too(handed_in: Made) -> None:
    says = text_of(class_report(overview(handed_in.room, SPEC), handed_in.room.folder))
    assert "No one has been graded yet." in says and f"{UNGRADED} (8)" in says


def test_the_report_of_a_graded_class_links_to_pages_that_are_there(graded: Made) -> None:
    student = next(iter(graded.plans))
    page = graded.room.feedback(student, SLUG) / f"{SPEC.notebook}.html"
    page.parent.mkdir(parents=True)
    page.write_text("<p>")
    reports = graded.room.folder / "reports"
    links = set(re.findall(r'<a href="([^"#]+)"', class_report(overview(graded.room, SPEC), reports)))
    assert [(reports / link).resolve() for link in links] == [page.resolve()]


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = page_of(entry("a"), entry("b", wrong(MISTAKE.name)))
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", page) and "@import" not in page and "url(" not in page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as running:
        yield running


def violations(page: Page) -> list[str]:
    """What axe-core finds on a page, as rule and place."""
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1200, "light"), (1200, "dark")])
def test_in_a_browser_it_fits_sorts_and_can_be_used_by_everyone(
    graded: Made, tmp_path: Path, browser: Browser, width: int, scheme: Literal["light", "dark"]
) -> None:
    path = tmp_path / "report.html"
    path.write_text(class_report(overview(graded.room, SPEC), tmp_path), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    traffic = watch(page)
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name="Total").click()
    shown = [float(text) for text in page.locator("#table tbody td:nth-child(2)").all_inner_texts()]
    assert shown == sorted(shown, reverse=True) and len(set(shown)) > 2
    page.get_by_role("button", name="Total").press("Enter")
    shown = [float(text) for text in page.locator("#table tbody td:nth-child(2)").all_inner_texts()]
    assert shown == sorted(shown)
    assert traffic.faults() == []
    assert violations(page) == []


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1200, "dark")])
def test_a_feedback_page_fits_and_can_be_used_by_everyone(
    graded: Made, browser: Browser, width: int, scheme: Literal["light", "dark"]
) -> None:
    room, student = graded.room, graded.student(wrote="right")
    assert NbGraderAPI(config=room.config(), coursedir=room.coursedir()).generate_feedback(SLUG, student)["success"]
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    traffic = watch(page)
    page.goto((room.feedback(student, SLUG) / f"{SPEC.notebook}.html").as_uri())
    for folded in page.locator("summary").all():
        folded.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert traffic.faults() == []
    assert violations(page) == []
