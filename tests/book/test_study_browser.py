"""Quizzes and flashcards as readers use them: in a browser, by mouse and keyboard, and without scripts."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anki_deck
import pytest
import yaml
from playwright.sync_api import Browser, Page, expect

from tests.browser import launch_browser, serve, watch
from tools.book import ROOT, vendor

pytestmark = pytest.mark.slow

CONFIG = """
import sys
sys.path.insert(0, {extensions!r})
extensions = ["myst_nb", "sphinx_book_theme", "sphinxcontrib.katex", "course_maths", "course_study"]
html_math_renderer = "course_katex"
katex_prerender = True
katex_css_path = "katex/katex.min.css"
myst_enable_extensions = ["dollarmath"]
html_theme = "sphinx_book_theme"
html_static_path = [{theme!r}, "vendor"]
html_css_files = ["course.css"]
html_context = {{"default_mode": "auto"}}
"""
PAGE = "# A chapter\n\n(part)=\n## A part\n\n```{quiz}\n```\n\n```{cards}\n```\n"
QUIZ: dict[str, Any] = {
    "chapter": "01-first",
    "questions": [
        {
            "id": f"q{number}",
            "section": "part",
            "question": f"What is ${number} + 1$?",
            "choices": [
                {"text": f"${number + 1}$", "right": True, "why": f"Counting on from {number}."},
                {"text": f"{number}", "why": "Nothing was **added**."},
                {"text": "0", "why": "That is where counting starts."},
            ],
        }
        for number in (1, 2)
    ],
}
COUNT = 7
CARDS: dict[str, Any] = {
    "chapter": "01-first",
    "cards": [{"id": f"c{n}", "front": f"Front {n}, $x_{n}$", "back": f"Back `{n}`"} for n in range(COUNT)],
}
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of one chapter and the page of all cards, rendered."""
    root = tmp_path_factory.mktemp("study")
    chapter = root / "book" / "01-first"
    chapter.mkdir(parents=True)
    (root / "conf.py").write_text(
        CONFIG.format(extensions=str(ROOT / "book" / "_ext"), theme=str(ROOT / "book" / "theme"))
    )
    (chapter / "chapter.md").write_text(PAGE)
    (chapter / "quiz.yml").write_text(yaml.safe_dump(QUIZ))
    (chapter / "cards.yml").write_text(yaml.safe_dump(CARDS))
    (root / "index.md").write_text("# All\n\n```{cards} all\n```\n\n```{toctree}\nbook/01-first/chapter\n```\n")
    vendor(root / "vendor")
    made = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(root), str(root / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return root / "html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as launched:
        yield launched


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serve(folder) as local:
        yield local


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The chapter, with nothing learned yet; no fault may have happened on it by the end."""
    context = browser.new_context(viewport={"width": 360, "height": 800})
    opened = context.new_page()
    traffic = watch(opened)
    opened.goto(f"{address}/book/01-first/chapter.html")
    yield opened
    assert traffic.faults() == []
    context.close()


def stored(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.evaluate("localStorage.getItem('course-study')"))
    return found


def test_each_wrong_choice_is_explained_and_may_be_mended(page: Page) -> None:
    question = page.locator(".quiz-question").first
    verdict = question.get_by_role("status")
    for wrong, reason in (("0", "That is where counting starts."), ("1", "Nothing was added.")):
        question.get_by_role("radio", name=wrong, exact=True).check()
        expect(verdict).to_be_empty()
        question.get_by_role("button", name="Check").click()
        expect(verdict).to_have_text(f"Not this one. {reason}")
    question.locator("label", has_text="2").locator("input").check()
    question.get_by_role("button", name="Check").click()
    expect(verdict).to_contain_text("Right. Counting on from 1.")
    expect(page.locator(".quiz-score")).to_have_text("1 of 2 answered right, 0 at the first try.")


def test_a_quiz_is_answered_by_keyboard_and_remembered(page: Page) -> None:
    second = page.locator(".quiz-question").nth(1)
    right = second.locator("label", has_text="3").locator("input")
    second.get_by_role("radio").first.focus()
    for _ in range(3):
        if right.is_checked():
            break
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(second.get_by_role("status")).to_contain_text("Right.")
    page.reload()
    expect(page.locator(".quiz-score")).to_have_text("1 of 2 answered right, 1 at the first try.")
    assert stored(page)["quiz"] == {"01-first": {"q2": {"right": True, "tries": 1}}}


def test_checking_without_a_choice_asks_for_one(page: Page) -> None:
    question = page.locator(".quiz-question").first
    question.get_by_role("button", name="Check").click()
    expect(question.get_by_role("status")).to_be_empty()
    expect(page.locator(".quiz-score")).to_have_text("0 of 2 answered right, 0 at the first try.")


def test_learning_ends_when_every_card_was_known_once(page: Page) -> None:
    page.get_by_role("button", name="Learn", exact=True).click()
    stage = page.locator(".cards-stage")
    for number in range(COUNT + 1):
        expect(stage).not_to_contain_text("Back")
        page.keyboard.press("Enter")  # the button that shows the answer has the focus
        expect(stage).to_contain_text("Back")
        page.get_by_role("button", name="Not yet" if number == 2 else "I knew it").click()
    expect(stage).to_have_text(f"You knew all {COUNT} cards.")


def test_a_test_names_what_was_missed(page: Page) -> None:
    page.get_by_role("button", name="Test").click()
    stage, missed = page.locator(".cards-stage"), ""
    for number in range(COUNT):
        asked = re.search(r"Front (\d)", stage.locator("legend").inner_text())
        assert asked
        options = stage.locator("label")
        expect(options).to_have_count(4)
        right = options.filter(has_text=f"Back {asked[1]}")
        wrong = options.filter(has_not_text=f"Back {asked[1]}").first
        (wrong if number == 0 else right).locator("input").check()
        stage.get_by_role("button", name="Check").click()
        verdict = stage.locator(".quiz-verdict")
        expect(verdict).to_contain_text(
            f"The answer: Back {asked[1]}" if number == 0 else "Right.", use_inner_text=True
        )
        missed += asked[1] if number == 0 else ""
        page.keyboard.press("Enter")
    expect(stage).to_contain_text(f"{COUNT - 1} of {COUNT} right.")
    expect(stage.locator(".card-missed")).to_have_count(1)
    expect(stage.locator(".card-missed")).to_contain_text(f"Back {missed}")


def test_all_pairs_can_be_matched(page: Page) -> None:
    page.get_by_role("button", name="Match").click()
    stage = page.locator(".cards-stage")
    fronts, backs = (stage.get_by_role("group", name=side) for side in ("fronts", "backs"))
    numbers = [re.search(r"Front (\d)", text)[1] for text in fronts.get_by_role("button").all_inner_texts()]  # type: ignore[index]
    assert len(numbers) == 6
    fronts.get_by_role("button", name=f"Front {numbers[0]}").click()
    backs.get_by_role("button", name=f"Back {numbers[1]}").click()
    expect(stage.get_by_role("status")).to_have_text("Not a pair.")
    for number in numbers:
        backs.get_by_role("button", name=f"Back {number}").click()
        fronts.get_by_role("button", name=f"Front {number}").click()
    expect(stage).to_have_text("All 6 pairs in 7 tries.")


def test_a_review_spaces_the_cards_and_the_browser_remembers(page: Page) -> None:
    due = page.locator(".cards-due")
    expect(due).to_have_text(f"{COUNT} cards: 0 due, {COUNT} new.")
    page.get_by_role("button", name="Review").click()
    for _ in range(COUNT):
        page.get_by_role("button", name="Show the answer").click()
        labels = page.locator(".cards-stage .study-button").all_inner_texts()
        assert [label.split(" · ")[0] for label in labels] == ["Again", "Hard", "Good", "Easy"]
        page.get_by_role("button", name=re.compile("Easy · .* days")).click()
    expect(page.locator(".cards-stage")).to_contain_text(
        re.compile(r"Done: 7 answers\. The next card is due in \d+ days")
    )
    cards = stored(page)["cards"]
    assert set(cards) == {f"c{n}" for n in range(COUNT)}
    assert all(card["reps"] == 1 and card["scheduled_days"] >= 2 for card in cards.values())
    page.reload()
    expect(due).to_have_text(f"{COUNT} cards: 0 due, 0 new.")
    page.evaluate(
        "const s = JSON.parse(localStorage.getItem('course-study')); s.cards.c3.due = '2020-01-01T00:00:00Z';"
        "localStorage.setItem('course-study', JSON.stringify(s))"
    )
    page.reload()
    expect(due).to_have_text(f"{COUNT} cards: 1 due, 0 new.")
    page.get_by_role("button", name="Review").click()
    expect(page.locator(".cards-stage")).to_contain_text("Front 3")


def test_a_card_that_was_forgotten_comes_again_in_the_same_sitting(page: Page) -> None:
    page.get_by_role("button", name="Review").click()
    for number in range(COUNT + 1):
        page.get_by_role("button", name="Show the answer").click()
        expect(page.locator(".cards-stage")).to_contain_text(f"Back {number % COUNT}")
        page.get_by_role("button", name="Again" if number == 0 else "Easy").click()
    expect(page.locator(".cards-stage")).to_contain_text("Done: 8 answers.")


def test_what_was_learned_moves_to_another_browser_and_a_wrong_file_changes_nothing(
    page: Page, browser: Browser, address: str, tmp_path: Path
) -> None:
    page.get_by_role("button", name="Review").click()
    page.get_by_role("button", name="Show the answer").click()
    page.get_by_role("button", name="Easy").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    kept = tmp_path / download.value.suggested_filename
    download.value.save_as(kept)

    other = browser.new_context().new_page()
    other.goto(f"{address}/index.html")
    due = other.locator(".cards-due")
    expect(due).to_have_text(f"{COUNT} cards: 0 due, {COUNT} new.")
    state = json.loads(kept.read_text())
    for content, reason in (
        ("nonsense", "this is not a file that was exported here"),
        ("[1]", "this file does not hold what was learned here"),
        (json.dumps(state | {"version": 9}), "this file is of version 9; this page reads version 1"),
        (json.dumps(state | {"cards": {"c0": {"due": "soon"}}}), "the schedule of card c0 cannot be read"),
    ):
        bad = tmp_path / "bad.json"
        bad.write_text(content)
        other.locator(".study-file").set_input_files(bad)
        expect(other.locator(".cards")).to_contain_text(f"Nothing was changed: {reason}.")
        expect(due).to_have_text(f"{COUNT} cards: 0 due, {COUNT} new.")
    other.locator(".study-file").set_input_files(kept)
    expect(due).to_have_text(f"{COUNT} cards: 0 due, {COUNT - 1} new.")
    assert stored(other)["cards"] == stored(page)["cards"]
    other.context.close()


def test_without_scripts_everything_unfolds(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/book/01-first/chapter.html")
    question = page.locator(".quiz-question").first
    expect(question.get_by_text("That is where counting starts.")).to_be_hidden()
    question.locator("summary", has_text="0").click()
    expect(question.get_by_text("That is where counting starts.")).to_be_visible()
    page.locator(".cards-all > summary").click()
    page.locator(".card-pair summary", has_text="Front 4").click()
    expect(page.locator(".card-back", has_text="Back 4")).to_be_visible()
    context.close()


def test_it_works_from_a_file(browser: Browser, folder: Path) -> None:
    page = browser.new_context().new_page()
    page.goto((folder / "book" / "01-first" / "chapter.html").as_uri())
    page.get_by_role("button", name="Review").click()
    page.get_by_role("button", name="Show the answer").click()
    expect(page.get_by_role("button", name="Good")).to_be_visible()
    page.context.close()


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_accessibility_checker_finds_nothing_in_what_scripts_make(browser: Browser, address: str, mode: str) -> None:
    context = browser.new_context(color_scheme=mode)
    page = context.new_page()
    page.goto(f"{address}/book/01-first/chapter.html")
    page.locator(".quiz-option input").first.check()
    page.locator(".quiz-form button").first.click()
    page.add_script_tag(path=AXE)
    for name in ("Learn", "Test", "Match"):
        page.get_by_role("button", name=name, exact=True).click()
        found = page.evaluate("axe.run(document.querySelector('article'))")
        assert [(v["id"], [n["target"] for n in v["nodes"]]) for v in found["violations"]] == []
    context.close()


def test_scripts_stand_on_pages_that_need_them_only(folder: Path) -> None:
    assert "cards.js" in (folder / "index.html").read_text()
    assert "cards.js" not in (folder / "search.html").read_text()


def test_the_anki_deck_holds_the_cards_and_is_the_same_for_the_same_cards(folder: Path, tmp_path: Path) -> None:
    decks = {path.name for path in (folder / "decks").iterdir()}
    assert decks == {"01-first.apkg", "all.apkg"}
    archive = zipfile.ZipFile(folder / "decks" / "01-first.apkg")
    archive.extract("collection.anki2", tmp_path)
    with sqlite3.connect(tmp_path / "collection.anki2") as collection:
        notes = collection.execute("select guid, flds from notes order by id").fetchall()
    assert len({guid for guid, _ in notes}) == len(notes) == COUNT
    assert notes[3][1].split("\x1f") == [r"<p>Front 3, \(x_3\)</p>", "<p>Back <code>3</code></p>"]
    paths = [tmp_path / "a.apkg", tmp_path / "b.apkg"]
    for path in paths:
        anki_deck.write([CARDS], path, titles={})
    members = [[zipfile.ZipFile(path).read(name) for name in ("collection.anki2", "media")] for path in paths]
    assert members[0] == members[1]


def test_a_deck_leaves_no_database_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = tmp_path / "temporary"
    private.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    anki_deck.write([CARDS], tmp_path / "a.apkg", titles={})
    assert (tmp_path / "a.apkg").is_file()
    assert list(private.iterdir()) == []


def test_a_formula_reaches_anki_unbroken() -> None:
    assert anki_deck.to_html(r"so $a < b$ and *this*") == r"<p>so \(a &lt; b\) and <em>this</em></p>"
    assert anki_deck.to_html("$$\nx^2\n$$") == r"\[x^2\]"


def test_no_two_cards_of_the_book_share_an_id() -> None:
    paths = sorted(ROOT.glob("book/*/cards.yml"))
    ids = [str(card["id"]) for path in paths for card in yaml.safe_load(path.read_text("utf-8"))["cards"]]
    assert len(ids) == len(set(ids))
