"""The rendered pages are whole: each link leads somewhere, each figure says what it shows, nothing is fetched."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import course_run_times
import nbformat
import pytest
from course_figures import FOLDER, TEXT
from lxml import html

from course_lib.figures import INK
from tools import book

pytestmark = pytest.mark.slow

HOSTILE = "build/hostile.json"  # the hostile suite may be writing it at the same time
RESOURCES = "//script/@src | //link/@href | //img/@src | //source/@src | //iframe/@src"


@pytest.fixture(scope="session")
def pages(built_book: Path) -> dict[Path, html.HtmlElement]:
    return {path: html.fromstring(path.read_bytes()) for path in sorted(built_book.glob("book/**/*.html"))}


def test_a_book_that_is_up_to_date_is_not_built_again(built_book: Path) -> None:
    was = json.loads(book.STAMP.read_text(encoding="utf-8"))
    now = book.digest(book.find_files(book.SHOWN + book.READ))
    if was.pop(HOSTILE, "") == now.pop(HOSTILE, ""):
        assert book.build_book() is False
    assert was == now  # nothing that a build makes is a reason to build again


def test_every_page_of_the_table_of_contents_is_rendered(pages: dict[Path, html.HtmlElement]) -> None:
    rendered = {path.relative_to(book.BOOK).with_suffix("").as_posix() for path in pages}
    assert rendered == set(book.parse_toc_yaml(book.ROOT / "_toc.yml"))


def test_no_page_names_a_resource_of_another_host(pages: dict[Path, html.HtmlElement]) -> None:
    assert not [
        (path.name, target) for path, page in pages.items() for target in page.xpath(RESOURCES) if "//" in target
    ]


def test_every_local_link_and_resource_leads_somewhere(pages: dict[Path, html.HtmlElement], built_book: Path) -> None:
    anchors = {path: set(page.xpath("//@id")) for path, page in pages.items()}
    lost = []
    for path, page in pages.items():
        for target in [*page.xpath("//a/@href"), *page.xpath(RESOURCES)]:
            address, anchor = urldefrag(target)
            if urlsplit(address).scheme:
                continue
            file = (path.parent / unquote(urlsplit(address).path)).resolve() if address else path
            if not file.is_file() or (anchor and file in anchors and unquote(anchor) not in anchors[file]):
                lost.append((path.relative_to(built_book).as_posix(), target))
    assert not lost


def test_every_image_has_alternative_text(pages: dict[Path, html.HtmlElement]) -> None:
    for path, page in pages.items():
        for image in page.xpath("//article//img"):
            assert image.get("alt"), (path.name, html.tostring(image)[:200])
        for image in page.xpath("//article//*[local-name() = 'svg']"):
            hidden = image.xpath("ancestor-or-self::*[@aria-hidden='true']")
            assert hidden or image.get("aria-label"), (path.name, html.tostring(image)[:200])


def test_every_figure_has_a_caption_and_takes_the_page_s_text_colour(pages: dict[Path, html.HtmlElement]) -> None:
    boxes = "//div[contains(@class, 'course-figure')]"
    found = [(path, figure) for path, page in pages.items() for figure in page.xpath(boxes)]
    assert found
    for path, figure in found:
        # what stands in the place of a model that runs in the page has its words below it
        assert figure.xpath("ancestor::figure//figcaption | ancestor::div[@class='live-still']/p[normalize-space()]")
        drawing = html.tostring(figure, encoding="unicode").lower()
        files = figure.xpath("img/@src")
        assert len(files) == 2 or "currentcolor" in drawing
        drawings = [(path.parent / file).resolve().read_text(encoding="utf-8") for file in files]
        assert all(colour in text for colour, text in zip(TEXT.values(), drawings, strict=False))
        assert all(INK not in text for text in (drawing, *drawings))


def test_every_file_of_a_figure_is_shown_somewhere(built_book: Path, pages: dict[Path, html.HtmlElement]) -> None:
    shown = {
        Path(src).name
        for page in pages.values()
        for src in page.xpath("//*[@class='only-light' or @class='only-dark']/@src")
    }
    assert {path.name for path in (built_book / FOLDER).iterdir()} <= shown


def test_names_inside_figures_are_used_once_on_a_page(pages: dict[Path, html.HtmlElement]) -> None:
    for path, page in pages.items():
        names = page.xpath("//div[contains(@class, 'course-figure')]//@id")
        assert len(names) == len(set(names)), path.name


def test_figures_and_equations_of_a_chapter_carry_its_number(pages: dict[Path, html.HtmlElement]) -> None:
    chapters = {int(path.parent.name[:2]): page for path, page in pages.items() if path.stem == "chapter"}
    assert chapters
    for chapter, page in chapters.items():
        figures = [text.strip() for text in page.xpath("//span[@class='caption-number']/text()")]
        assert figures == [f"Fig. {chapter}.{count}" for count in range(1, len(figures) + 1)]
        equations = [element.text for element in page.xpath("//span[@class='eqno']")]
        assert equations == [f"({chapter}.{count})" for count in range(1, len(equations) + 1)]
        assert figures and equations


def test_all_maths_is_typeset(pages: dict[Path, html.HtmlElement]) -> None:
    page = pages[book.BOOK / "book" / "04-attention-layer" / "chapter.html"]
    assert page.xpath("//*[contains(@class, 'katex')]")
    for path, page in pages.items():
        for formula in page.xpath("//*[@class='math' or contains(@class, 'math notranslate')]"):
            assert formula.xpath(".//*[contains(@class, 'katex')]"), (path.name, formula.text_content()[:80])
        prose = " ".join(page.xpath("//article//p//text()[not(ancestor::code or ancestor::annotation)]"))
        assert not re.search(r"\$\S|\\\(|\\frac|\\sqrt", prose), path.name


def test_run_times_are_those_of_the_records(pages: dict[Path, html.HtmlElement]) -> None:
    cache = book.get_cache(str(book.CACHE))
    seconds = [
        cache.match_cache_notebook(book.myst_nb_reader_plugin(str(path))).data["execution_seconds"]
        for path in book.find_chapters()
    ]
    page = pages[book.BOOK / "book" / "run-times.html"]
    shown = [cell.text_content().strip() for cell in page.xpath("//article//tbody//td[2]")]
    seconds += [models] if (models := course_run_times.training_seconds()) else []
    assert sorted(shown[:-1]) == sorted(f"{value:.1f}" for value in seconds)
    assert shown[-1] == f"{sum(seconds):.1f}"


def test_chapter_and_assignment_can_be_taken_along(built_book: Path) -> None:
    notebook = nbformat.read(built_book / "book" / "04-attention-layer" / "04-attention-layer.ipynb", as_version=4)
    assert sum(cell.cell_type == "code" for cell in notebook.cells) > 10
    with zipfile.ZipFile(built_book / "exercises" / "04-attention-layer.zip") as archive:
        released = json.loads(archive.read("04-attention-layer/attention-layer.ipynb"))
    folder = book.ROOT / "exercises" / "04-attention-layer"
    assert released == json.loads((folder / "attention-layer.ipynb").read_text(encoding="utf-8"))


def test_icons_are_not_shipped_twice(built_book: Path) -> None:
    assert not list(built_book.rglob("fontawesome.js*"))
    assert [path.suffix for path in built_book.rglob("fa-solid-900*")] == [".woff"]
