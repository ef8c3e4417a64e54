"""Make the rendered book one PDF that can be printed: a cover, contents with page numbers, every chapter, the answers.

    python -m tools.pdf             build/book.pdf from the pages of build/book

The pages become one document: their links lead from page to page of the PDF, what is folded is open, the answers of
the quizzes stand at the end, and what can only be pressed is left out. Chromium sets the document; bookmarks and the
numbers in the contents are added when it is known where each page came to stand. Where nothing changed since the last
time, nothing is done.
"""

from __future__ import annotations

import hashlib
import html as markup
import json
import logging
import posixpath
import re
import string
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

import yaml
from lxml import etree, html
from pypdf import PageObject, PdfReader, PdfWriter
from pypdf.generic import DecodedStreamObject, Destination, DictionaryObject, Fit, IndirectObject, NameObject
from rich.console import Console
from sphinx_external_toc.parsing import parse_toc_yaml

from course_lib import __version__
from tests.browser import launch_browser
from tools import book

PDF = book.BUILD / "book.pdf"
HERE = Path(__file__).parent
LEFT_OUT = ("book/study", "book/instructor/kill-table", "book/api/index")
"""Pages that are not printed; with `book/api/index` go the pages below it."""

REFERENCES = {"aria-labelledby", "aria-describedby", "aria-controls", "aria-owns", "for", "headers"}
GONE = "script style link button input select textarea output nav a.headerlink"
GONE += " .course-bar .course-reference .sd-summary-state-marker .cards-anki details.hide img.only-dark"
UNPRINTED = {"data-values", "data-definition", "loading", "decoding"}
"""Attributes for scripts, and large; and those by which a picture may come late."""

ABOUT = "about-this-copy"
ANSWERS = "Answers to the quizzes"
LETTERS = "ABCDEFGH"
MADE_FROM = "/MadeFrom"
WAIT = 600_000  # milliseconds: a slow machine may take minutes for several hundred pages

SIZES = (10.5, 9.5)  # points: letters of the contents, a page's line and a section's
LINE = 1.5  # height of a line, in letters
BASELINE = 0.404  # of the contents' font, from the lower edge of such a line, in letters
DIGIT = 0.556  # width of a digit of Helvetica, in letters
FONTS = {
    name: DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject(f"/{font}"),
        }
    )
    for name, font in {"Plain": "Helvetica", "Bold": "Helvetica-Bold"}.items()
}

Element: TypeAlias = html.HtmlElement
Parts: TypeAlias = list[tuple[str, list[str]]]
"""Captions of the table of contents, each with its pages."""

console = Console(stderr=True, highlight=False)


class PdfError(Exception):
    """Something that stops the making of the PDF, as one sentence with a remedy."""


@dataclass
class Entry:
    """A line of the contents, and the lines below it; a caption has no target of its own."""

    title: str
    target: str = ""
    children: list[Entry] = field(default_factory=list)

    def targets(self) -> Iterator[str]:
        """Every place that this entry and those below it lead to."""
        if self.target:
            yield self.target
        for child in self.children:
            yield from child.targets()

    def sizes(self) -> Iterator[tuple[str, float]]:
        """Each of these places with the size of its line in the contents."""
        first, *below = self.targets()
        yield first, SIZES[0]
        yield from ((target, SIZES[1]) for target in below)


def find_parts(root: Path) -> Parts:
    """The parts of the book's table of contents with the pages that are printed."""
    contents = parse_toc_yaml(root / "_toc.yml")
    parts: Parts = [("", [contents.root.docname])]
    parts += [(tree.caption or "", [str(item) for item in tree.items]) for tree in contents.root.subtrees]
    kept = [(caption, [page for page in pages if page not in LEFT_OUT]) for caption, pages in parts]
    known = {page for _, pages in kept for page in pages}
    lost = [page for page in contents if page not in known and page not in LEFT_OUT and "/api/" not in page]
    if lost:
        raise PdfError(f"_toc.yml nests {', '.join(sorted(lost))} below another page: put it into a part by itself.")
    return kept


def read_page(path: Path) -> Element:
    """A rendered page."""
    if not path.is_file():
        raise PdfError(f"The page {path} is not rendered: run `make book` first, or `make pdf`, which does both.")
    parser = html.HTMLParser(encoding="utf-8", huge_tree=True)
    return html.document_fromstring(path.read_bytes(), parser=parser)


def select(tree: Element, names: str) -> list[Element]:
    """Elements below `tree`, in their order, that have one of these names, each `tag`, `.class` or `tag.class`."""
    queries = []
    for name in names.split():
        tag, _, kind = name.partition(".")
        has = f"[contains(concat(' ', normalize-space(@class), ' '), ' {kind} ')]" if kind else ""
        queries.append(f".//{tag or '*'}{has}")
    found: list[Element] = tree.xpath(" | ".join(queries))
    return found


def make(text: str) -> Element:
    """An element from its HTML."""
    return html.fragment_fromstring(text)


def anchor(page: str, fragment: str = "") -> str:
    """The id in the one document of an element of a page; without a fragment, of the page itself."""
    name = page.removeprefix("book/").removesuffix("/chapter").replace("/", "-")
    return f"{name}--{fragment}" if fragment else name


def rename(article: Element, page: str, pages: set[str], folder: Path) -> None:
    """Give the page's ids and links the names that they have in the one document."""
    for element in article.iter(etree.Element):
        for name, value in element.attrib.items():
            if name in UNPRINTED:
                del element.attrib[name]
            elif name == "id":
                element.set(name, anchor(page, value))
            elif name in REFERENCES:
                element.set(name, " ".join(anchor(page, part) for part in value.split()))
            elif name == "src" and not value.startswith("data:"):
                element.set(name, (folder / posixpath.dirname(page) / value).resolve().as_uri())
            elif name == "xlink:href" and value.startswith("#"):
                element.set(name, f"#{anchor(page, value[1:])}")
            elif "url(#" in value:
                element.set(name, re.sub(r"url\(#([^)]*)\)", lambda m: f"url(#{anchor(page, m[1])})", value))
        if (link := element.get("href")) is not None and not urlsplit(link).scheme:
            place = urlsplit(link)
            path = posixpath.normpath(posixpath.join(posixpath.dirname(page), place.path)) if place.path else page
            target = path.removesuffix(".html")
            if target in pages:
                element.set("href", f"#{anchor(target, unquote(place.fragment))}")
            else:
                del element.attrib["href"]


def voice_formulas(article: Element) -> None:
    """Give each formula its TeX as alternative text, instead of a second, hidden formula that a search would find."""
    for formula in select(article, ".katex"):
        source = " ".join("".join(note.text_content() for note in select(formula, "annotation")).split())
        for hidden in select(formula, ".katex-mathml"):
            hidden.drop_tree()
        for drawn in select(formula, ".katex-html"):
            drawn.attrib.pop("aria-hidden", None)
            drawn.set("role", "img")
            drawn.set("aria-label", source)


def place_targets(article: Element) -> None:
    """Let links to a section lead to its heading: the section itself may begin at the foot of the page before."""
    for heading in select(article, "h1 h2 h3 h4"):
        section = heading.getparent()
        for target in [element for element in heading.itersiblings(preceding=True) if element.tag == "span"]:
            target.tail = None
            heading.insert(0, target)
        if section.tag == "section" and "id" not in heading.attrib and section.get("id"):
            heading.set("id", section.attrib.pop("id"))


def bare(element: Element, tag: str) -> Element:
    """The element with another tag and without its attributes."""
    element.tag = tag
    element.attrib.clear()
    return element


def print_quiz(article: Element, page: str) -> list[Element]:
    """Give the choices of each question letters, in place; returns the answers."""
    answers = []
    for number, question in enumerate(select(article, "div.quiz-question"), start=1):
        asked, answered = anchor(page, f"question-{number}"), anchor(page, f"answer-{number}")
        letter = ""
        listed, reasons = make('<ol class="print-choices"></ol>'), make('<ol class="print-choices"></ol>')
        for name, choice in zip(LETTERS, select(question, "details.quiz-choice"), strict=False):
            summary, why = choice
            letter = name if choice.get("data-right") == "true" else letter
            listed.append(bare(summary, "li"))
            reasons.append(bare(why, "li"))
            choice.drop_tree()
        question.set("id", asked)
        question.append(listed)
        question.append(make(f'<p><a href="#{answered}">Answer {number}</a></p>'))
        answer = make(f'<div class="quiz-question" id="{answered}"></div>')
        answer.append(make(f'<p><a href="#{asked}"><strong>{number}.</strong></a> {letter} is right.</p>'))
        answer.append(reasons)
        answers.append(answer)
    return answers


def print_cards(article: Element) -> None:
    """Turn flashcards into a table, with the fronts on the left and the backs on the right."""
    for deck in select(article, "details.cards-all"):
        table = make('<table class="table print-cards"><thead><tr><th>Front</th><th>Back</th></tr></thead></table>')
        body = make("<tbody></tbody>")
        for card in select(deck, "details.card-pair"):
            row = make("<tr></tr>")
            front, back = card
            row.extend([bare(front, "td"), bare(back, "td")])
            body.append(row)
        table.append(body)
        title = make(f"<p><strong>{markup.escape(deck[0].text_content().strip())}</strong></p>")
        deck.getparent().replace(deck, title)
        title.addnext(table)


def adapt(article: Element, page: str, pages: set[str], folder: Path) -> list[Element]:
    """Make a page fit for paper, in place; returns the answers to its quiz."""
    for element in select(article, GONE):
        element.drop_tree()
    rename(article, page, pages, folder)
    place_targets(article)
    voice_formulas(article)
    answers = print_quiz(article, page)
    print_cards(article)
    for details in select(article, "details"):
        details.set("open", "open")
    article.set("id", anchor(page))
    article.set("class", "bd-article print-part")
    return answers


def list_sections(article: Element, page: str) -> Entry:
    """The page's line of the contents with those of its sections; a chapter's title gets its number."""
    title, *sections = select(article, "h1 h2")
    entry = Entry(" ".join(title.text_content().split()), anchor(page))
    number = re.fullmatch(r"book/0*(\d+)-[^/]+/chapter", page)
    if number:
        entry.title = f"{number[1]} · {entry.title}"
        title.addprevious(make(f'<p class="print-number">Chapter {number[1]}</p>'))
    for heading in sections:
        entry.children.append(Entry(" ".join(heading.text_content().split()), heading.get("id")))
    return entry


def gather_answers(found: list[tuple[Entry, list[Element]]]) -> tuple[Entry, Element]:
    """The last part: the answers to the quizzes, page by page."""
    closing = make(f'<article class="bd-article print-part" id="answers"><h1>{ANSWERS}</h1></article>')
    entry = Entry(ANSWERS, "answers")
    for page, answers in found:
        section = make(f'<section id="{page.target}--answers"><h2>{markup.escape(page.title)}</h2></section>')
        section.extend(answers)
        closing.append(section)
        entry.children.append(Entry(page.title, f"{page.target}--answers"))
    return entry, closing


def write_line(entry: Entry, name: str) -> Element:
    """A line of the printed contents, with those below it."""
    size = SIZES[name == "section"]
    item = make(
        f'<li class="{name}"><a href="#{entry.target}" style="font-size: {size}pt; line-height: {LINE}"></a></li>'
    )
    title = make("<span></span>")
    title.text = entry.title
    item[0].extend([title, make('<span class="leader"></span>'), make('<span class="number"></span>')])
    if entry.children:
        below = make("<ol></ol>")
        below.extend(write_line(child, "section") for child in entry.children)
        item.append(below)
    return item


def list_styles(page: Element, folder: Path) -> list[str]:
    """The style sheets of a page, as paths from the rendered book's root."""
    return [
        posixpath.normpath(posixpath.join(folder.as_posix(), urlsplit(link.get("href")).path))
        for link in page.xpath("head/link[@rel='stylesheet']")
    ]


def make_cover(folder: Path, styles: Iterable[str], heads: list[str]) -> Element:
    """The document with its cover and the page about the copy, before its contents and the book's pages.

    Args:
        folder: the rendered book.
        styles: style sheets, as paths from there.
        heads: rules for the running heads.
    """
    settings = yaml.safe_load((book.ROOT / "_config.yml").read_text(encoding="utf-8"))
    missing = [read_page(folder / f"{name}.html").xpath("//article//h1")[0] for name in LEFT_OUT]
    links = [*((folder / path).resolve().as_uri() for path in styles), (HERE / "pdf.css").as_uri()]
    head = [f'<link rel="stylesheet" href="{link}">' for link in links]
    head.append(f"<style>{' '.join(heads)}</style>")
    head.append(f'<script src="{(folder / "_static" / "print.js").resolve().as_uri()}"></script>')
    text = string.Template((HERE / "pdf.html").read_text(encoding="utf-8")).substitute(
        title=markup.escape(settings["title"]),
        author=markup.escape(settings["author"]),
        rights=markup.escape(settings["copyright"]),
        version=__version__,
        logo=(folder / "_static" / "logo.svg").resolve().as_uri(),
        missing=markup.escape(", ".join(f"“{title.text.strip()}”" for title in missing)),
        head="\n".join(head),
    )
    return html.document_fromstring(text)


def assemble(folder: Path, parts: Parts) -> tuple[Element, list[Entry]]:
    """Join rendered pages to one document.

    Args:
        folder: the rendered book.
        parts: captions, each with its pages.

    Returns:
        The document, and the lines of its contents: captions with pages with sections.

    Raises:
        PdfError: if a page is not rendered.
    """
    pages = {page for _, names in parts for page in names}
    entries, articles, answers, heads = [], [], [], []
    styles: dict[str, None] = {}
    for caption, names in parts:
        part = Entry(caption)
        for name in names:
            page = read_page(folder / f"{name}.html")
            styles |= dict.fromkeys(list_styles(page, Path(name).parent))
            (article,) = select(page, "article.bd-article")
            found = adapt(article, name, pages, folder)
            entry = list_sections(article, name)
            part.children.append(entry)
            articles.append(article)
            if found:
                answers.append((entry, found))
            article.set("style", f"page: part-{len(articles)}")
            running = json.dumps(entry.title, ensure_ascii=False)
            heads.append(f"@page part-{len(articles)} {{ @top-center {{ content: {running}; }} }}")
        entries.append(part)
    if answers:
        last, closing = gather_answers(answers)
        entries.append(Entry("", "", [last]))
        articles.append(closing)
    document = make_cover(folder, styles, heads)
    contents = document.get_element_by_id("contents")
    about = Entry("About this copy", ABOUT)
    entries[0].children.insert(0, about)
    for part in entries:
        if part.title:
            contents.append(make(f"<h2>{markup.escape(part.title)}</h2>"))
        lines = make("<ol></ol>")
        lines.extend(write_line(entry, "page") for entry in part.children)
        contents.append(lines)
    document.body.extend(articles)
    return document, entries


def find_places(reader: PdfReader) -> dict[str, tuple[int, Destination]]:
    """The page, from 0, on which each target of a link stands, and the place on it."""
    numbers = {page.indirect_reference.idnum: count for count, page in enumerate(reader.pages)}
    places = {}
    for name, target in reader.named_destinations.items():
        if isinstance(target.page, IndirectObject):
            places[name.removeprefix("/")] = (numbers[target.page.idnum], target)
    return places


def number_contents(writer: PdfWriter, entries: list[Entry], places: dict[str, tuple[int, Destination]]) -> None:
    """Write the number of its page at the end of each line of the contents, which are links."""
    sizes = {name: size for part in entries for entry in part.children for name, size in entry.sizes()}
    fonts = DictionaryObject({NameObject(f"/{name}"): FONTS[name] for name in FONTS})
    for page in writer.pages[1 : places[ABOUT][0]]:
        written = []
        for annotation in page.get("/Annots", []):
            link = annotation.get_object()
            target = str(link["/Dest"]).removeprefix("/")
            number, size = str(places[target][0] + 1), sizes[target]
            right, bottom = float(link["/Rect"][2]), float(link["/Rect"][1])
            x, y = right - DIGIT * size * len(number), bottom + BASELINE * size
            font = "Bold" if size == max(SIZES) else "Plain"
            written.append(f"BT /{font} {size} Tf {x:.2f} {y:.2f} Td ({number}) Tj ET")
        sheet = PageObject.create_blank_page(width=page.mediabox.width, height=page.mediabox.height)
        content = DecodedStreamObject()
        content.set_data("\n".join(["/Artifact BMC", *written, "EMC"]).encode())
        sheet[NameObject("/Contents")] = content
        sheet[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        page.merge_page(sheet)


def add_bookmarks(writer: PdfWriter, entries: list[Entry], places: dict[str, tuple[int, Destination]]) -> None:
    """The contents as bookmarks: parts, pages, sections."""

    def add(entry: Entry, parent: IndirectObject | None) -> None:
        number, target = places[next(entry.targets())]
        fit = Fit.xyz(left=0, top=target.top if entry.target else None)
        item = writer.add_outline_item(
            title=entry.title, page_number=number, parent=parent, fit=fit, is_open=parent is None
        )
        for child in entry.children:
            add(child, item)

    for part in entries:
        for entry in [part] if part.title else part.children:
            add(entry, None)


def make_pdf(
    folder: Path, target: Path, parts: Parts, *, made_from: str = "", say: Callable[[str], None] = lambda _: None
) -> int:
    """Set these pages of the rendered book as one PDF.

    Args:
        folder: the rendered book.
        target: where the PDF goes.
        parts: captions, each with its pages.
        made_from: what `find_digest` gave, kept in the PDF.
        say: told how far it is.

    Returns:
        The number of pages.

    Raises:
        PdfError: if a page is not rendered.
    """
    document, entries = assemble(folder, parts)
    say(f"{sum(len(pages) for _, pages in parts)} pages of the book are joined")
    with tempfile.TemporaryDirectory(prefix="course-pdf-") as place:
        source, draft, done = (Path(place, name) for name in ("book.html", "draft.pdf", "book.pdf"))
        source.write_bytes(b"<!doctype html>\n" + html.tostring(document, encoding="utf-8"))
        with launch_browser() as browser:
            page = browser.new_page(viewport={"width": 658, "height": 900}, color_scheme="light")
            page.set_default_timeout(WAIT)
            page.emulate_media(media="print")
            page.goto(source.as_uri(), wait_until="load")
            page.evaluate("document.fonts.ready.then(() => null)")
            page.pdf(path=draft, prefer_css_page_size=True, print_background=True, tagged=True)
        reader = PdfReader(draft)
        say(f"{len(reader.pages)} pages are set")
        places = find_places(reader)
        writer = PdfWriter(clone_from=reader)
        number_contents(writer, entries, places)
        add_bookmarks(writer, entries, places)
        title, author = document.findtext("head/title"), document.xpath("string(head/meta[@name='author']/@content)")
        writer.add_metadata({"/Title": title, "/Author": author, MADE_FROM: made_from})
        writer.page_mode = "/UseOutlines"
        writer.create_viewer_preferences().display_doctitle = True
        writer.write(done)
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(".new.pdf")
        fresh.write_bytes(done.read_bytes())
        fresh.replace(target)
        return len(writer.pages)


def find_digest(folder: Path) -> str:
    """What the PDF is made from, as one hash: the rendered pages, their style, and this tool."""
    paths = [
        path for pattern in ("book/**/*.html", "_static/**/*.css", "_static/print.js") for path in folder.glob(pattern)
    ]
    content = hashlib.sha256()
    for path in [*sorted(paths), *sorted(HERE.glob("pdf.*"))]:
        content.update(path.read_bytes())
    return content.hexdigest()


def main() -> None:
    """Make build/book.pdf of the rendered book, unless it is made already."""
    begin = time.perf_counter()
    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of its own copies
    try:
        digest = find_digest(book.BOOK)
        if PDF.is_file() and (PdfReader(PDF).metadata or {}).get(MADE_FROM) == digest:
            console.print(f"The PDF is already up to date: {PDF}")
            return
        count = make_pdf(book.BOOK, PDF, find_parts(book.ROOT), made_from=digest, say=console.print)
    except PdfError as error:
        console.print(str(error), style="red", markup=False)
        raise SystemExit(1) from None
    size = PDF.stat().st_size / 1e6
    console.print(f"The book has {count} pages, {size:.0f} MB, made in {time.perf_counter() - begin:.0f} s: {PDF}")


if __name__ == "__main__":
    main()
