"""Pages show their text early: what they need before it is one small style sheet."""

from __future__ import annotations

import gzip
import re
import urllib.request
from pathlib import Path

import pytest
import tinycss2
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
)

from tests.browser import launch_browser, serve
from tools.book import ROOT

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
