"""Pages show their text early: what they need before it is one small style sheet."""

from __future__ import annotations

import functools
import gzip
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import tinycss2
from course_figures import FOLDER
from course_speed import (
    BUNDLE,
    MODE,
    RESOLVED,
    SCRIPT,
    SHEET,
    find_names,
    move_addresses,
    order_sheets,
    quicken,
    read_sheet,
    shrink,
    soften,
)
from playwright.sync_api import Browser, Page, Request
from sphinx.errors import ExtensionError

from tests.browser import launch_browser, serve
from tools.book import ROOT

DRAWING = ROOT / "book" / "theme" / "drawing.js"
DRAWN = "document.documentElement.dataset.drawn !== undefined"
PAGE = """<html lang="en" data-content_root="../" data-theme="auto"><head>
<link rel="stylesheet" type="text/css" href="../_static/one.css?v=1" />
<link href="../_static/two.css" rel="stylesheet" />
<link rel="preload" as="script" href="../_static/scripts/bootstrap.js" />
<script src="../_static/documentation_options.js?v=1"></script>
<script src="../_static/doctools.js"></script>
<script src="../searchindex.js"></script>
<script async src="../_static/later.js"></script>
</head><body class="wide"><p id="first">Text</p></body></html>"""


def shrink_text(text: str, *used: str) -> str:
    return shrink(tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True), set(used))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (".used { color: red }", ".used{color: red}"),
        (".other { color: red }", ""),
        ("p, .other > p, #used.used { color: red }", "p,#used.used{color: red}"),
        (".used:not(.other) { color: red }", ".used:not(.other){color: red}"),
        (":is(.other, .used) a { color: red }", ":is(.other, .used) a{color: red}"),
        ("@media print { .other { color: red } }", ""),
        ("@media print { .other { color: red } .used { color: red } }", "@media print{.used{color: red}}"),
        ("@page { margin: 1cm }", "@page {margin: 1cm}"),
        (".bs-tooltip-auto { color: red }", ".bs-tooltip-auto{color: red}"),
        ("/* said */ .used { /* why */ color: red }", ".used{color: red}"),
    ],
)
def test_a_rule_is_kept_where_it_can_match(text: str, kept: str) -> None:
    assert shrink_text(text, "used") == kept


def test_a_style_sheet_with_an_error_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="line 1"):
        shrink_text(".used { color: red } p")


def test_names_come_from_elements_and_from_scripts() -> None:
    names = find_names(['<p class="one two" id="three">four</p><script>five()</script>'], ["add('six')"])
    assert {"one", "two", "three", "five", "six"} <= names
    assert "four" not in names


def test_addresses_in_a_moved_sheet_lead_to_the_same_files() -> None:
    text = "a{b:url(../vendor/x.woff)} c{d:url('y.png')} e{f:url(data:image/png;base64,AA)}"
    moved = move_addresses(text, "_static/styles")
    assert moved == 'a{b:url("vendor/x.woff")} c{d:url("styles/y.png")} e{f:url(data:image/png;base64,AA)}'


def test_an_imported_sheet_stands_before_the_rules_of_the_one_that_imports_it(tmp_path: Path) -> None:
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "one.css").write_text('@import "two.css"; a { color: red }')
    (tmp_path / "_static" / "two.css").write_text("b { color: red }")
    text = read_sheet(tmp_path, "_static/one.css")
    assert text.index("b {") < text.index("a {") and "@import" not in text


def test_sheets_of_all_pages_stand_in_the_order_of_each() -> None:
    assert order_sheets([["a", "c"], ["a", "b", "c"], ["c", "d"]]) == ["a", "b", "c", "d"]


def test_a_page_waits_for_one_style_sheet_and_for_no_script() -> None:
    page = quicken(PAGE, sheet="_static/book.css?v=2", options="const DOCUMENTATION_OPTIONS = {};\n")
    assert re.findall(r"<link[^>]*>", page) == ['<link rel="stylesheet" href="../_static/book.css?v=2" />']
    assert "<script>const DOCUMENTATION_OPTIONS = {};</script>" in page
    assert '<script defer src="../_static/doctools.js"></script>' in page
    assert '<script async src="../_static/later.js"></script>' in page
    assert "searchindex" not in page


def test_the_page_of_the_search_keeps_the_index_and_runs_our_script_after_it() -> None:
    ours = '<script defer="defer" src="../_static/search.js?v=1"></script>\n'
    text = PAGE.replace('id="first"', 'id="search-results"').replace("<script async", f"{ours}<script async")
    page = quicken(text, sheet="book.css", options="")
    assert page.index('<script defer src="../searchindex.js"></script>') < page.index("search.js?v=1")


def test_a_page_settles_light_or_dark_before_it_is_drawn() -> None:
    head = f"<script>document.documentElement.{MODE};</script>"
    page = quicken(PAGE.replace("<head>", f"<head>{head}"), sheet="book.css", options="")
    assert MODE not in page and f"<script>document.documentElement.{RESOLVED};</script>" in page


def test_a_served_page_is_compressed_for_a_browser_that_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("text " * 1000)
    with serve(tmp_path) as address:
        request = urllib.request.Request(f"{address}/page.html", headers={"Accept-Encoding": "br, gzip;q=1.0"})
        with urllib.request.urlopen(request) as packed, urllib.request.urlopen(f"{address}/page.html") as plain:
            content = packed.read()
            assert packed.headers["Content-Encoding"] == "gzip" and len(content) < 200
            assert plain.headers["Content-Encoding"] is None
            assert gzip.decompress(content) == plain.read() == path.read_bytes()
        path.write_text("changed")
        with urllib.request.urlopen(request) as packed:
            assert gzip.decompress(packed.read()) == b"changed"


THEIRS = (
    'const e=()=>{document.querySelectorAll(["pre",".x"].join(", "))'
    ".forEach(e=>{e.tabIndex=e.scrollWidth>e.clientWidth?0:-1})},t=1;"
)


def test_the_theme_s_script_leaves_what_scrolls_to_ours(tmp_path: Path) -> None:
    path = tmp_path / "theme.js"
    path.write_text(f"before();{THEIRS}after();")
    soften(path)
    assert path.read_text() == "before();const e=()=>{window.drawPage()},t=1;after();"
    assert "window.drawPage = " in DRAWING.read_text(encoding="utf-8")


def test_style_and_script_speak_of_the_same_blocks() -> None:
    match = re.search(r'BLOCKS = "(.+?)"', DRAWING.read_text(encoding="utf-8"))
    assert match is not None
    assert f"html:not(.all-drawn) {match[1]} {{" in DRAWING.with_name("course.css").read_text(encoding="utf-8")


def test_another_script_than_the_one_that_is_known_stops_the_build(tmp_path: Path) -> None:
    path = tmp_path / "theme.js"
    path.write_text("nothing();")
    with pytest.raises(ExtensionError, match=r"theme\.js of the theme has changed"):
        soften(path)


@pytest.mark.slow
def test_every_page_waits_for_one_light_style_sheet_only(built_book: Path) -> None:
    pages = [path for path in built_book.rglob("*.html") if "data-content_root" in path.read_text("utf-8")]
    assert len(pages) > 20
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert MODE not in text and RESOLVED in text, path
        sheets = [match["href"] for match in SHEET.finditer(text)]
        assert [(path.parent / sheet).resolve() for sheet in sheets] == [built_book / BUNDLE], path
        assert SCRIPT.search(text) is None, path
    assert len(gzip.compress((built_book / BUNDLE).read_bytes())) < 40_000


UNMATCHED = """
async ([whole, bundle]) => {
  const split = text => text.split(/,(?![^(]*\\))/).map(selector => selector.trim());
  const list = rules => [...rules].flatMap(rule =>
    rule.selectorText ? split(rule.selectorText) : rule.cssRules ? list(rule.cssRules) : []);
  const read = async address => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(await (await fetch(address)).text());
    return list(sheet.cssRules);
  };
  const kept = new Set(await read(bundle));
  const gone = (await Promise.all(whole.map(read))).flat().filter(selector => !kept.has(selector));
  const state = /::?(before|after|marker|placeholder|selection|hover|focus|active)\\b/g;
  const bare = selector => selector.replace(state, '');
  const matches = selector => {
    try { return document.querySelector(bare(selector)) !== null; } catch { return false; }
  };
  return [gone.length, gone.filter(matches)];
}
"""


@pytest.mark.slow
def test_no_rule_that_was_left_out_would_match_anything(built_book: Path) -> None:
    sheets = ["_static/styles/pydata-sphinx-theme.css", "_static/styles/sphinx-book-theme.css"]
    own = {path.name for path in (ROOT / "book" / "theme").glob("*.css")} - {"print.css"}  # a sheet by itself
    sheets += [f"_static/{name}" for name in sorted(own)]
    with serve(built_book) as address, launch_browser() as browser:
        page = browser.new_page()
        page.set_default_timeout(120_000)  # ms: a busy machine
        for name in ("book/index", "book/04-attention-layer/chapter", "search"):
            page.goto(f"{address}/{name}.html", wait_until="networkidle")
            addresses = [f"{address}/{sheet}" for sheet in sheets]
            count, matching = page.evaluate(UNMATCHED, [addresses, f"{address}/{BUNDLE}"])
            assert count > 500
            assert matching == []


CHAPTERS = ["book/01-sequences/chapter", "book/04-attention-layer/chapter", "book/10-generative-models/chapter"]
PAGES_OF_KINDS = ["book/index", *CHAPTERS, "book/api/attention", "book/study", "book/instructor/kill-table"]

OBSERVE = """
  window.shifts = 0;
  window.largest = [];
  new PerformanceObserver(list => list.getEntries().forEach(entry => { window.shifts += entry.value; }))
    .observe({type: "layout-shift", buffered: true});
  new PerformanceObserver(list => list.getEntries().forEach(entry => window.largest.push(entry.url)))
    .observe({type: "largest-contentful-paint", buffered: true});
"""

SCROLL = """
async () => {
  for (let y = 0; y < document.body.scrollHeight; y += 600) {
    window.scrollTo({top: y, behavior: "instant"});
    await new Promise(done => setTimeout(done, 30));
  }
}
"""

LATE = """
() => [...document.querySelectorAll(".course-figure img")].filter(image => image.checkVisibility())
  .every(image => image.complete && image.naturalWidth > 0)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as launched:
        yield launched


@pytest.fixture(scope="module")
def address(built_book: Path) -> Iterator[str]:
    with serve(built_book) as local:
        yield local


def open_telephone(browser: Browser, mode: Literal["light", "dark"] = "light") -> Page:
    context = browser.new_context(viewport={"width": 412, "height": 823}, color_scheme=mode)
    context.add_init_script(OBSERVE)
    page = context.new_page()
    page.set_default_timeout(120_000)  # ms: a busy machine
    return page


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES_OF_KINDS)
def test_a_page_stays_where_it_is_while_it_loads_and_while_it_is_read(
    browser: Browser, address: str, name: str
) -> None:
    page = open_telephone(browser)
    page.goto(f"{address}/{name}.html", wait_until="networkidle")
    page.evaluate(SCROLL)
    page.wait_for_function(LATE)
    assert page.evaluate("window.shifts") < 0.05
    page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES_OF_KINDS)
def test_the_largest_thing_in_the_first_view_is_text_of_the_page_itself(
    browser: Browser, address: str, name: str
) -> None:
    page = open_telephone(browser)
    page.route(re.compile(r"\.(js|svg|png|woff2?)(\?|$)"), lambda route: route.abort())
    page.goto(f"{address}/{name}.html", wait_until="load")
    page.wait_for_function("window.largest.length > 0")
    assert page.evaluate("window.largest.at(-1)") == ""
    page.context.close()


STOPS = """
() => [...document.querySelectorAll(".bd-article pre, .bd-article .cell_output > .output")].map(part => ({
  scrolls: part.scrollWidth > part.clientWidth || part.scrollHeight > part.clientHeight,
  stops: part.tabIndex === 0,
}))
"""
LAST = "[...document.querySelectorAll('.bd-article section > p > *')].at(-1)"
LATER = "window.requestIdleCallback = draw => { (window.put ??= []).push(draw); }"
TOP = "document.getElementById(decodeURIComponent(location.hash.slice(1))).getBoundingClientRect().top"


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAPTERS)
def test_a_page_is_drawn_to_its_end_and_what_scrolls_has_a_stop(browser: Browser, address: str, name: str) -> None:
    page = open_telephone(browser)
    page.goto(f"{address}/{name}.html")
    page.wait_for_function(DRAWN)
    assert page.evaluate(f"{LAST}.checkVisibility({{contentVisibilityAuto: true}})")
    found = page.evaluate(STOPS)
    assert any(part["scrolls"] for part in found)
    assert all(part["scrolls"] == part["stops"] for part in found)
    page.context.close()


@pytest.mark.slow
def test_what_is_far_away_waits_until_the_browser_has_time_for_it(browser: Browser, address: str) -> None:
    page = open_telephone(browser)
    page.add_init_script(LATER)
    page.goto(f"{address}/{CHAPTERS[0]}.html")
    page.wait_for_function("window.put?.length > 0")
    assert not page.evaluate(f"{LAST}.checkVisibility({{contentVisibilityAuto: true}})")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(f"{LAST}.checkVisibility({{contentVisibilityAuto: true}})")
    page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["typed", "followed"])
def test_a_link_leads_to_its_place_in_a_page_that_is_not_drawn_yet(browser: Browser, address: str, way: str) -> None:
    page = open_telephone(browser)
    page.add_init_script(LATER)
    page.goto(f"{address}/{CHAPTERS[0]}.html")
    places = page.evaluate("[...document.querySelectorAll('.bd-article section section[id]')].map(part => part.id)")
    place = places[len(places) * 3 // 4]
    if way == "typed":
        page.goto("about:blank")
        page.goto(f"{address}/{CHAPTERS[0]}.html#{place}")
    else:
        page.wait_for_function("window.put?.length > 0")
        page.evaluate(f'document.querySelector(\'.bd-toc a[href="#{place}"], a[href="#{place}"]\').click()')
    page.wait_for_function(f"Math.abs({TOP}) < 150")
    page.evaluate("(window.put ?? []).splice(0).forEach(draw => draw())")
    page.wait_for_timeout(500)
    assert abs(page.evaluate(TOP)) < 150
    page.context.close()


@pytest.mark.slow
def test_a_page_that_is_loaded_again_shows_the_same_place(browser: Browser, address: str) -> None:
    page = open_telephone(browser)
    page.goto(f"{address}/{CHAPTERS[0]}.html")
    page.wait_for_function(DRAWN)
    page.evaluate("window.scrollTo({top: document.documentElement.scrollHeight * 0.7, behavior: 'instant'})")
    page.wait_for_timeout(500)
    before = page.evaluate("window.scrollY")
    page.reload()
    page.wait_for_function(DRAWN)
    page.wait_for_function(f"Math.abs(window.scrollY - {before}) < 100")
    page.context.close()


def note_figure(asked: list[str], request: Request) -> None:
    if f"/{FOLDER}/" in request.url:
        asked.append(request.url)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAPTERS)
def test_figures_come_near_the_reader_in_the_mode_that_is_shown(browser: Browser, address: str, name: str) -> None:
    modes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for mode in modes:
        page = open_telephone(browser, mode)
        asked: list[str] = []
        page.on("request", functools.partial(note_figure, asked))
        page.goto(f"{address}/{name}.html", wait_until="networkidle")
        sources = page.evaluate(f"[...document.querySelectorAll('.course-figure img.only-{mode}')].map(i => i.src)")
        assert len(asked) < len(set(sources)) / 2
        page.evaluate(SCROLL)
        page.wait_for_function(LATE)
        assert set(asked) == set(sources)
        page.context.close()


@pytest.mark.slow
def test_all_figures_of_a_dark_page_are_there_in_light_colours_when_it_is_printed(
    browser: Browser, address: str
) -> None:
    page = open_telephone(browser, "dark")
    page.goto(f"{address}/{CHAPTERS[0]}.html", wait_until="networkidle")
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function(LATE)
    shown = (
        "[...document.querySelectorAll('.course-figure img')].filter(i => i.checkVisibility()).map(i => i.className)"
    )
    found = page.evaluate(shown)
    assert len(found) > 10 and set(found) == {"only-light"}
    page.context.close()


@pytest.mark.slow
def test_pages_are_not_more_than_a_telephone_can_lay_out(built_book: Path) -> None:
    counts = {}
    for path in built_book.rglob("*.html"):
        counts[path.relative_to(built_book).as_posix()] = len(re.findall(r"<[a-z]", path.read_text(encoding="utf-8")))
    assert max(counts.values()) < 26_000, sorted(counts.items(), key=lambda item: -item[1])[:5]
