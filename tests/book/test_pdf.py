"""The book as a PDF, and a page that is printed by itself: whole, in order, with links that lead somewhere."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from pypdf import PdfReader
from pypdf.generic import Destination

from tests.browser import launch_browser
from tools import pdf
from tools.book import ROOT

pytestmark = pytest.mark.slow

CHAPTER = "book/04-attention-layer/chapter"
SHORT = [("", ["book/index"]), ("Chapters", [CHAPTER]), ("To look things up", ["book/glossary"])]
WAIT = 300_000  # milliseconds
PAPER = 658  # CSS pixels between the margins of A4


@dataclass
class Printed:
    """A PDF that was made, with what it was made from."""

    reader: PdfReader
    entries: list[pdf.Entry]
    texts: list[str]


def make(book: Path, target: Path, parts: pdf.Parts) -> Printed:
    pages = pdf.make_pdf(book, target, parts, made_from="a digest")
    reader = PdfReader(target)
    assert len(reader.pages) == pages
    return Printed(reader, pdf.assemble(book, parts)[1], [page.extract_text() for page in reader.pages])


@pytest.fixture(scope="module")
def printed(built_book: Path, tmp_path_factory: pytest.TempPathFactory) -> Printed:
    return make(built_book, tmp_path_factory.mktemp("pdf") / "book.pdf", SHORT)


@pytest.fixture
def browser() -> Iterator[Browser]:
    """For one test: the PDF is made with a browser of its own, and two at a time cannot be driven."""
    with launch_browser() as launched:
        yield launched


def list_bookmarks(reader: PdfReader) -> list[tuple[int, str, int]]:
    """Depth, title and page, from 1, of each bookmark."""
    found = []

    def walk(items: list, depth: int) -> None:
        for item in items:
            if isinstance(item, Destination):
                number = reader.get_destination_page_number(item)
                assert number is not None
                found.append((depth, str(item.title), number + 1))
            else:
                walk(item, depth + 1)

    walk(reader.outline, 0)
    return found


def list_entries(entries: list[pdf.Entry]) -> list[tuple[int, str]]:
    """Depth and title of each line of the contents."""
    found = []

    def walk(entry: pdf.Entry, depth: int) -> None:
        if entry.title:
            found.append((depth, entry.title))
        for child in entry.children:
            walk(child, depth + bool(entry.title))

    for entry in entries:
        walk(entry, 0)
    return found


def check_links(reader: PdfReader) -> int:
    """Every link leads to a place in the PDF or to an address of the web; returns how many lead to a place."""
    places = {name.removeprefix("/") for name in reader.named_destinations}
    inside = 0
    for page in reader.pages:
        for annotation in page.get("/Annots", []):
            link = annotation.get_object()
            if link.get("/Subtype") != "/Link":
                continue
            target = link.get("/Dest", link.get("/A", {}).get("/D"))
            if target is None:
                assert re.match("https?://", link["/A"]["/URI"])
            else:
                assert str(target).removeprefix("/") in places
                inside += 1
    return inside


def squeeze(text: str) -> str:
    """The letters of a text without its spaces, joined letters taken apart."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def check_contents(made: Printed) -> None:
    """Bookmarks are the contents, each on a page that has its title, with the number that the contents print."""
    bookmarks = list_bookmarks(made.reader)
    assert [(depth, title) for depth, title, _ in bookmarks] == list_entries(made.entries)
    assert [page for _, _, page in bookmarks] == sorted(page for _, _, page in bookmarks)
    texts = [squeeze(text) for text in made.texts]
    first = next(page for _, title, page in bookmarks if title == "About this copy")
    lines = [
        squeeze(line)
        for page in made.reader.pages[1 : first - 1]
        for line in page.extract_text(extraction_mode="layout").splitlines()
    ]
    captions = {part.title for part in made.entries}
    for _, title, page in bookmarks:
        if title in captions:
            continue
        words = squeeze(title)
        assert words.rpartition("·")[2] in texts[page - 1]
        assert f"{words}{page}" in lines


def test_the_contents_have_the_numbers_of_pages_and_are_the_bookmarks(printed: Printed) -> None:
    check_contents(printed)


def test_links_lead_to_places_in_the_pdf(printed: Printed) -> None:
    assert check_links(printed.reader) > 100


def test_the_chapter_stands_in_it_without_source_of_formulas_and_without_controls(printed: Printed) -> None:
    text = "\n".join(printed.texts)
    assert 15 < len(printed.texts) < 90
    words = " ".join(text.split())
    assert "This chapter builds the layer that gives each word a vector for this sentence" in words
    assert "All words at once" in words
    for source in (r"\frac", r"\sqrt", r"\mathrm", "$$"):
        assert source not in text
    for control in ("Show code cell source", "Download the chapter", "Check\n", "Start\n"):
        assert control not in text


def test_answers_are_unfolded_and_those_of_the_quiz_stand_at_the_end(printed: Printed) -> None:
    words = " ".join(" ".join(printed.texts).split())
    answer = "None. Each word still meets the same words, with the same dot products."
    assert answer in words
    why = "Dot products with bank go through a softmax"
    assert words.count(why) == 1
    assert words.index(why) > words.index(pdf.ANSWERS, words.index(answer))
    back = "A weighted sum of values; the weights are a softmax over the similarities"
    assert back in words


def test_it_says_its_title_its_language_and_its_structure(printed: Printed) -> None:
    reader = printed.reader
    assert reader.metadata is not None
    assert reader.metadata.title == "Attention, transformers and flow models"
    assert reader.metadata[pdf.MADE_FROM] == "a digest"
    root = reader.root_object
    assert root["/Lang"] == "en"
    assert root["/MarkInfo"]["/Marked"]
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert root["/StructTreeRoot"]


def test_every_figure_of_the_chapter_is_drawn_with_its_words(printed: Printed, built_book: Path) -> None:
    page = pdf.read_page(built_book / f"{CHAPTER}.html")
    said = page.xpath("//article//figure//svg/@aria-label | //article//figure//img[@class='only-light']/@alt")
    assert len(said) > 20
    waiting = [printed.reader.root_object["/StructTreeRoot"]]
    found = set()
    while waiting:
        element = waiting.pop().get_object()
        if isinstance(element, list):
            waiting.extend(element)
        elif isinstance(element, dict) and ("/S" in element or "/K" in element):
            found.add(str(element.get("/Alt", "")))
            waiting.extend([element["/K"]] if "/K" in element else [])
    assert set(said) <= found


def test_a_book_that_is_not_rendered_is_told_how_to_render(tmp_path: Path) -> None:
    with pytest.raises(pdf.PdfError, match="make book"):
        pdf.assemble(tmp_path, SHORT)


def test_the_one_document_has_every_page_once_and_no_link_to_nowhere(built_book: Path) -> None:
    document, entries = pdf.assemble(built_book, pdf.find_parts(ROOT))
    names = document.xpath("//@id")
    assert len(names) == len(set(names))
    pictures = document.xpath("//figure//img[contains(@class, 'only-')]")
    assert len(pictures) > 100
    assert all(picture.get("class") == "only-light" and "loading" not in picture.attrib for picture in pictures)
    links = document.xpath("//@href[starts-with(., '#')]") + document.xpath("//@*[name()='xlink:href']")
    assert {link[1:] for link in links if link.startswith("#")} <= set(names)
    assert all(re.match("#|https?://|file://.*css", link) for link in document.xpath("//*[name()!='image']/@href"))
    chapters = [entry.title for part in entries for entry in part.children if "·" in entry.title]
    assert len(chapters) == 11
    assert not document.xpath("//button | //input | //*[@data-values]")


def test_a_page_is_printed_in_light_colours_with_answers_and_nothing_to_press(
    browser: Browser, built_book: Path, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.goto(f"file://{built_book}/{CHAPTER}.html", wait_until="networkidle")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    page.evaluate("addEventListener('beforeprint', () => { window.seen = document.documentElement.dataset.theme; })")
    target = tmp_path / "page.pdf"
    page.pdf(path=target, prefer_css_page_size=True)
    assert page.evaluate("window.seen") == "light"
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.locator("details.sd-dropdown[open]").count() == 0
    text = " ".join(" ".join(sheet.extract_text() for sheet in PdfReader(target).pages).split())
    assert text.count("What does bank mean?") == 1
    assert "None. Each word still meets the same words" in text
    assert re.search(r"Right answers: 1 [A-D], 2 [A-D]", text)
    for control in ("Show code cell source", "Skip to main content", "Back to top", "Download the chapter"):
        assert control not in text
    context.close()


@pytest.mark.parametrize("name", [CHAPTER, "book/study", "book/notation", "book/live/index", "book/api/attention"])
def test_nothing_on_a_printed_page_is_wider_than_the_paper(browser: Browser, built_book: Path, name: str) -> None:
    context = browser.new_context(viewport={"width": PAPER, "height": 900})
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.goto(f"file://{built_book}/{name}.html", wait_until="networkidle")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("h1:visible").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER
    context.close()


def test_a_listing_may_be_divided_between_pages_and_a_short_table_not(browser: Browser, built_book: Path) -> None:
    page = browser.new_page(viewport={"width": PAPER, "height": 900})
    page.set_default_timeout(WAIT)
    page.goto(f"file://{built_book}/{CHAPTER}.html", wait_until="load")
    page.emulate_media(media="print")
    held = "parts => [...new Set(parts.map(part => getComputedStyle(part).breakInside))]"
    assert page.locator("article .cell_input, article .cell_input *").evaluate_all(held) == ["auto"]
    assert page.locator("article table").filter(has_not=page.locator("tbody > tr:nth-child(9)")).evaluate_all(held) == [
        "avoid"
    ]


@pytest.mark.soak
def test_the_whole_book_is_one_pdf(built_book: Path, tmp_path: Path) -> None:
    made = make(built_book, tmp_path / "book.pdf", pdf.find_parts(ROOT))
    assert len(made.texts) > 200
    check_contents(made)
    assert check_links(made.reader) > 1000
