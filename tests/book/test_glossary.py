"""The glossary is complete, finds the first mention of a term, and shows its definition by mouse and keyboard."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from course_glossary import find_form, read_glossary
from playwright.sync_api import Browser, Page, expect

from tests.browser import launch_browser, serve, watch
from tools.book import ROOT, vendor

ENTRIES = [
    {"term": "BLEU", "section": "part", "text": 'A score & "more".'},
    {"term": "causal mask", "also": ["causal masks"], "section": "part", "text": "It hides the future."},
    {"term": "mask", "section": "part", "text": "It hides."},
    {"term": "value", "linked": False, "section": "part", "text": "It is handed over."},
]


def test_every_term_of_the_book_is_explained_in_a_section_that_exists() -> None:
    chapters = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("book/*/chapter.md"))
    labels = set(re.findall(r"^\(([\w-]+)\)=$", chapters, re.MULTILINE))
    entries = read_glossary()
    assert len(entries) >= 80
    assert [entry["term"] for entry in entries if entry["section"] not in labels] == []


def test_every_chapter_has_terms_and_mentions_those_that_are_linked() -> None:
    paths = sorted(ROOT.glob("book/[0-9]*/chapter.md"))
    pattern, known = find_form(read_glossary())
    mentioned = {
        known[found.lower()]["term"] for path in paths for found in pattern.findall(path.read_text(encoding="utf-8"))
    }
    assert {entry["term"] for entry in known.values()} - mentioned == set()


def test_forms_are_found_as_words_and_the_longest_first() -> None:
    pattern, known = find_form(ENTRIES)
    text = "Causal masks and a mask; unmasked, mask-like, bleu, BLEU, a value"
    assert pattern.findall(text) == ["Causal masks", "mask", "BLEU"]
    assert known["causal masks"]["term"] == "causal mask"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"term": "a", "section": "b"}], "needs `term`, `section` and `text`"),
        ([{"term": "a", "section": "b", "text": "c"}] * 2, "'a' stands there twice"),
    ],
)
def test_an_incomplete_or_doubled_entry_is_named(tmp_path: Path, entries: list[dict[str, str]], message: str) -> None:
    path = tmp_path / "glossary.yml"
    path.write_text(yaml.safe_dump(entries))
    with pytest.raises(ValueError, match=message):
        read_glossary(path)


CONFIG = """
import sys
sys.path.insert(0, {extensions!r})
import course_glossary
from pathlib import Path
course_glossary.GLOSSARY = Path(__file__).with_name("glossary.yml")
read = course_glossary.read_glossary
course_glossary.read_glossary = lambda: read(course_glossary.GLOSSARY)
extensions = ["myst_nb", "sphinx_book_theme", "course_study", "course_glossary"]
myst_enable_extensions = ["colon_fence"]
html_theme = "sphinx_book_theme"
html_static_path = [{theme!r}, "vendor"]
html_css_files = ["course.css"]
html_context = {{"default_mode": "auto"}}
"""
CHAPTER = """# A mask

(part)=
## A part about a **mask**

The word `mask` in code. A mask, and a mask again. Then causal masks score by BLEU.

:::{tip}
BLEU again, and a causal mask again.
:::
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as launched:
        yield launched


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A book of one chapter with its glossary."""
    root = tmp_path_factory.mktemp("glossary")
    chapter = root / "book" / "01-first" / "chapter.md"
    chapter.parent.mkdir(parents=True)
    chapter.write_text(CHAPTER)
    places = {"extensions": str(ROOT / "book" / "_ext"), "theme": str(ROOT / "book" / "theme")}
    (root / "conf.py").write_text(CONFIG.format(**places))
    (root / "glossary.yml").write_text(yaml.safe_dump(ENTRIES))
    toctree = "\n```{toctree}\nbook/01-first/chapter\n```\n"
    (root / "index.md").write_text(f"# Glossary\n\n```{{glossary-list}}\n```\n{toctree}")
    vendor(root / "vendor")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(root), str(root / "html")]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    with serve(root / "html") as local:
        yield local


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 360, "height": 700})
    opened = context.new_page()
    traffic = watch(opened)
    opened.goto(f"{address}/book/01-first/chapter.html")
    yield opened
    assert traffic.faults() == []
    context.close()


@pytest.mark.slow
def test_the_first_mention_of_each_term_is_linked_and_no_other(page: Page) -> None:
    links = page.locator("article a.term")
    assert links.all_inner_texts() == ["mask", "causal masks", "BLEU"]
    assert (
        page.evaluate("[...document.querySelectorAll('article a.term')].map(term => getComputedStyle(term).color)")
        == [page.evaluate("getComputedStyle(document.querySelector('article p')).color")] * 3
    )
    assert "dotted" in page.evaluate("getComputedStyle(document.querySelector('article a.term')).textDecorationStyle")
    links.last.click()
    expect(page).to_have_url(re.compile(r"index\.html#term-BLEU$"))
    expect(page.locator("dt#term-BLEU + dd")).to_have_text(re.compile("A score & .more.\\. See A part"))


@pytest.mark.slow
def test_a_definition_appears_by_mouse_and_keyboard_and_goes_with_escape(page: Page) -> None:
    tip = page.get_by_role("tooltip")
    expect(tip).to_be_hidden()
    link = page.locator("article a.term").last
    link.hover()
    expect(tip).to_have_text('A score & "more".')
    expect(link).to_have_attribute("aria-describedby", "term-tip")
    box = tip.bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 360
    tip.hover()
    page.wait_for_timeout(400)
    expect(tip).to_be_visible()
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.locator("article a.term").first.focus()
    expect(tip).to_have_text("It hides.")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
