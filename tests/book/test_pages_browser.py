"""Every page in a real browser with no other host to reach: narrow and wide, light and dark, by keyboard."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from course_figures import FOLDER, TEXT
from playwright.sync_api import Browser, Page, expect
from sphinx_external_toc.parsing import parse_toc_yaml

from course_lib.figures import contrast
from tests.browser import launch_browser, open_drawn, serve, watch
from tests.counts import count
from tools.book import ROOT

pytestmark = pytest.mark.slow

REFERENCE = ("book/api/index", "book/api/attention")  # of the pages made from docstrings, which test_api.py opens
PAGES = [name for name in parse_toc_yaml(ROOT / "_toc.yml") if name in REFERENCE or not name.startswith("book/api/")]
CHAPTER = "book/04-attention-layer/chapter"
MODES = ["light", "dark"]
VIEWS = count([(360, "light"), (1280, "dark")], soak=[(width, mode) for width in (360, 1280) for mode in MODES])
RULES = {"light": {}, "dark": count({"runOnly": ["color-contrast"]}, soak={})}
"""Which rules the accessibility checker tries, by mode: dark differs from light in colours."""
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"

# Taken away before the check, which they would slow down a hundredfold: typeset maths is hidden from screen
# readers (they get MathML), and a figure is one picture with one text.
LEFT_OUT = ".katex-html, .course-figure svg > *"

LOADED = "name => [...document.fonts].some(font => font.status === 'loaded' && font.family.includes(name))"

PAGE_COLOURS = """
() => {
  const hex = text => '#' + text.match(/\\d+/g).slice(0, 3).map(n => Number(n).toString(16).padStart(2, '0')).join('');
  const shown = [...document.querySelectorAll('.course-figure :is(svg, img)')].filter(part => part.checkVisibility());
  return shown.map(part => {
    let behind = part;
    while (behind && getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
    const colours = [hex(getComputedStyle(part).color), hex(getComputedStyle(behind || document.body).backgroundColor)];
    return [part.className.baseVal ?? part.className, ...colours];
  });
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as launched:
        yield launched


@pytest.fixture(scope="module")
def address(built_book: Path) -> Iterator[str]:
    with serve(built_book) as local:
        yield local


def open_page(browser: Browser, *, width: int = 1280, mode: str = "light") -> Page:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=mode)
    return context.new_page()


@pytest.mark.parametrize(("width", "mode"), VIEWS)
@pytest.mark.parametrize("name", [*PAGES, "search"])
def test_page_is_whole_without_another_host_and_does_not_scroll_sideways(
    browser: Browser, address: str, name: str, width: int, mode: str
) -> None:
    page = open_page(browser, width=width, mode=mode)
    traffic = watch(page)
    open_drawn(page, f"{address}/{name}.html")
    assert traffic.faults() == []
    page.wait_for_function("mode => document.documentElement.dataset.theme === mode", arg=mode)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [*PAGES, "search"])
def test_accessibility_checker_finds_nothing_serious(browser: Browser, address: str, name: str, mode: str) -> None:
    page = open_page(browser, mode=mode)
    open_drawn(page, f"{address}/{name}.html")
    page.evaluate("selector => document.querySelectorAll(selector).forEach(part => part.remove())", LEFT_OUT)
    page.add_script_tag(path=AXE)
    result = page.evaluate("options => axe.run(document, options)", {"resultTypes": ["violations"]} | RULES[mode])
    serious = [
        (violation["id"], [node["target"] for node in violation["nodes"]])
        for violation in result["violations"]
        if violation["impact"] in {"serious", "critical"}
    ]
    assert len(result["passes"]) > (10 if RULES[mode] == {} else 0)
    assert serious == []
    page.context.close()


@pytest.mark.parametrize("mode", MODES)
def test_text_of_figures_stands_out_from_the_page(browser: Browser, address: str, mode: str) -> None:
    page = open_page(browser, mode=mode)
    open_drawn(page, f"{address}/{CHAPTER}.html")
    colours = page.evaluate(PAGE_COLOURS)
    assert {kind for kind, _, _ in colours} == {"", f"only-{mode}"}
    assert min(contrast(text, behind) for _, text, behind in colours) >= 7
    assert {text for kind, text, _ in colours if kind} == {TEXT[mode]}  # what the files of this mode are drawn in
    page.context.close()


def test_letters_of_figures_stay_large_enough_on_a_narrow_page(browser: Browser, address: str) -> None:
    page = open_page(browser, width=360)
    open_drawn(page, f"{address}/{CHAPTER}.html")
    scales = page.evaluate(
        "[...document.querySelectorAll('.course-figure :is(svg, img)')].filter(part => part.checkVisibility())"
        ".map(part => part.getBoundingClientRect().width"
        " / (part.viewBox ? part.viewBox.baseVal.width * 96 / 72 : part.getAttribute('width')))"
    )
    assert scales
    assert min(scales) >= 0.59
    page.context.close()


def test_maths_is_drawn_with_the_book_s_own_fonts(browser: Browser, address: str) -> None:
    page = open_page(browser)
    open_drawn(page, f"{address}/{CHAPTER}.html")
    for name in ("KaTeX_Main", "KaTeX_Math"):
        page.wait_for_function(LOADED, arg=name, timeout=120_000)
    page.context.close()


def test_icons_are_drawn_by_the_icon_font(browser: Browser, address: str) -> None:
    page = open_page(browser)
    open_drawn(page, f"{address}/book/index.html")
    page.wait_for_function(LOADED, arg="Font Awesome", timeout=120_000)
    page.context.close()


def test_a_chapter_can_be_read_from_a_folder(browser: Browser, built_book: Path) -> None:
    page = open_page(browser)
    traffic = watch(page)
    open_drawn(page, f"file://{built_book}/{CHAPTER}.html")
    assert traffic.faults() == []
    assert page.locator(".katex").count() > 10
    page.context.close()


def test_the_first_page_leads_into_the_book(browser: Browser, address: str) -> None:
    page = open_page(browser)
    page.goto(f"{address}/")
    page.wait_for_url("**/book/index.html")
    page.locator(".course-map a").first.click()
    page.wait_for_url("**/chapter.html")
    page.context.close()


def test_search_finds_a_concept_without_a_network(browser: Browser, address: str) -> None:
    page = open_page(browser)
    traffic = watch(page)
    page.goto(f"{address}/search.html?q=rotary")
    expect(page.locator("#search-results li").first).to_be_visible(timeout=30_000)
    assert traffic.faults() == []
    page.context.close()


def test_the_reader_s_choice_of_light_or_dark_is_kept(browser: Browser, address: str) -> None:
    page = open_page(browser, mode="light")
    open_drawn(page, f"{address}/book/index.html")
    for _ in range(3):
        page.locator(".theme-switch-button").first.click()
        if page.evaluate("document.documentElement.dataset.theme") == "dark":
            break
    open_drawn(page, f"{address}/book/notation.html")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.context.close()


@pytest.mark.parametrize("mode", MODES)
def test_keyboard_focus_can_be_seen_wherever_it_stands(browser: Browser, address: str, mode: str) -> None:
    page = open_page(browser, mode=mode)
    open_drawn(page, f"{address}/book/setup.html")
    reached = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        kind, name, width, style = page.evaluate(
            "(() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return [e.tagName, e.outerHTML.slice(0, 60), parseFloat(s.outlineWidth), s.outlineStyle]; })()"
        )
        if kind == "BODY":  # past the last one
            break
        assert style != "none" and width >= 2, name
        reached.add(name)
    assert len(reached) > 10
    page.context.close()


@pytest.mark.parametrize(
    ("link", "file"),
    [
        ("Download the chapter as a notebook", "04-attention-layer.ipynb"),
        ("Download the assignment", "04-attention-layer.zip"),
    ],
)
def test_downloads_work_without_a_network(browser: Browser, address: str, link: str, file: str) -> None:
    page = open_page(browser)
    traffic = watch(page)
    page.goto(f"{address}/{CHAPTER}.html")
    with page.expect_download() as waiting:
        page.get_by_role("link", name=link, exact=True).click()
    assert waiting.value.suggested_filename == file
    assert waiting.value.path().stat().st_size > 1000
    assert traffic.external == []
    page.context.close()


FLOW_CHAPTER = "book/11-rectified-flow/chapter"


def test_a_figure_is_scrubbed_through_time_by_mouse_keyboard_and_from_a_folder(
    browser: Browser, built_book: Path
) -> None:
    page = open_page(browser)
    traffic = watch(page)
    open_drawn(page, f"file://{built_book}/{FLOW_CHAPTER}.html")
    slider = page.get_by_role("slider", name="Time", exact=True)
    expect(slider).to_have_count(1)
    figure = page.locator("#fig-flow-trajectories")
    dot, trail = figure.locator("circle").first, figure.locator("polyline").first
    whole = (trail.get_attribute("points") or "").split(" ")
    assert len(whole) > 10

    def place() -> list[float]:
        return [float(dot.get_attribute(axis) or "nan") for axis in ("cx", "cy")]

    def point(number: int) -> list[float]:
        return [float(part) for part in whole[number].split(",")]

    assert place() == pytest.approx(point(-1), abs=0.01)
    slider.fill("0")
    assert place() == pytest.approx(point(0), abs=0.01)
    assert figure.get_by_text("t = 0.00").is_visible()
    slider.fill("50")
    middle = (len(whole) - 1) // 2
    assert place() == pytest.approx(point(middle), abs=0.01)
    assert len((trail.get_attribute("points") or "").split(" ")) < len(whole)
    slider.press("End")
    assert place() == pytest.approx(point(-1), abs=0.01)
    slider.press("ArrowLeft")
    assert figure.get_by_text("t = 0.99").is_visible()
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert place() == pytest.approx(point(-1), abs=0.01)
    assert not figure.locator("input").is_visible()
    assert traffic.faults() == []


@pytest.mark.parametrize("name", [name for name in PAGES if name.endswith("/chapter")])
def test_first_view_of_a_chapter_is_light(browser: Browser, address: str, built_book: Path, name: str) -> None:
    page = open_page(browser)
    seen: list[str] = []
    page.on("response", lambda response: seen.append(response.url))
    open_drawn(page, f"{address}/{name}.html")
    page.context.close()
    weight = 0
    for path in {built_book / urlsplit(url).path.lstrip("/") for url in seen}:
        if path.parent.name == FOLDER:  # figures are not counted
            continue
        content = path.read_bytes()
        if path.suffix == ".html":
            content = re.sub(rb"<svg.*?</svg>", b"", content, flags=re.DOTALL)
        weight += min(len(content), len(gzip.compress(content)))
    assert weight < 400_000


def test_icons_that_pages_show_are_in_the_trimmed_fonts(browser: Browser, address: str) -> None:
    page = open_page(browser)
    open_drawn(page, f"{address}/{CHAPTER}.html")
    missing = page.evaluate(
        """async () => {
          await document.fonts.ready;
          const known = new FontFace('f', 'url(../../_static/vendor/fontawesome/webfonts/fa-solid-900.woff)');
          document.fonts.add(await known.load());
          const width = (letter, font) => {
            const context = document.createElement('canvas').getContext('2d');
            context.font = `40px ${font}`;
            return context.measureText(letter).width;
          };
          const icons = [...document.querySelectorAll('.fa-solid')];
          const letters = icons.map(icon => getComputedStyle(icon, '::before').content.slice(1, -1));
          const missing = letter => letter === '' || width(letter, 'f, monospace') === width(letter, 'monospace');
          return [icons.length, letters.filter(missing)];
        }"""
    )
    assert missing[0] > 5 and missing[1] == []
    page.context.close()
