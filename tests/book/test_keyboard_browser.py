"""A chapter and the page of cards without a mouse: Tab reaches everything once, in order, and is seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import launch_browser, open_drawn, serve

pytestmark = pytest.mark.slow

CHAPTER = "book/04-attention-layer/chapter"
STUDY = "book/study"
PATIENCE = 120_000  # ms: a page of this size on a busy machine

# Everything that a press of Tab should reach, in the order of the page. Of radio buttons of one name, Tab reaches one.
MARK = """
() => {
  const groups = new Set();
  const first = element => {
    if (element.type !== 'radio') return true;
    const fresh = !groups.has(element.name);
    groups.add(element.name);
    return fresh;
  };
  const reachable = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')]
    .filter(element => element.tabIndex >= 0 && !element.disabled)
    .filter(element => element.checkVisibility({visibilityProperty: true}))
    .filter(first);
  reachable.forEach((element, place) => { element.dataset.place = place; });
  window.visited = [];
  document.addEventListener('focusin', event => {
    const element = event.target;
    // an arrow that unfolds a menu stands outside the box of what holds it, and bears the outline itself
    const shown = element.querySelector(':scope > .toctree-toggle') ?? element;
    const style = getComputedStyle(shown);
    const box = shown.getBoundingClientRect();
    window.visited.push({
      place: Number(element.dataset.place ?? -1),
      name: element.outerHTML.slice(0, 100),
      outlined: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
      sized: box.width > 0 && box.height > 0,
      // the link past the menus glides in, which a test of its own waits for
      inView: (box.bottom > 0 && box.top < innerHeight) || element.closest('.skip-link') !== null,
    });
  });
  return reachable.map(element => element.outerHTML.slice(0, 100));
}
"""


@pytest.fixture(scope="module")
def address(built_book: Path) -> Iterator[str]:
    with serve(built_book) as local:
        yield local


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as launched:
        yield launched


def open_page(browser: Browser, address: str, name: str) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    open_drawn(page, f"{address}/{name}.html")
    return page


@pytest.mark.parametrize("name", [CHAPTER, STUDY])
def test_tab_reaches_everything_once_in_the_order_of_the_page(browser: Browser, address: str, name: str) -> None:
    page = open_page(browser, address, name)
    expected = page.evaluate(MARK)
    assert len(expected) > 40
    for _ in range(len(expected) + 20):  # a few more than there are: elements may come into being on the way
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
    else:
        pytest.fail("Tab never leaves the page.")
    visited = page.evaluate("window.visited")
    places = [step["place"] for step in visited if step["place"] >= 0]
    assert [expected[place] for place in sorted(set(range(len(expected))) - set(places))] == []
    assert places == sorted(places)
    assert len(set(places)) == len(places)
    for fact in ("outlined", "sized", "inView"):
        assert [step["name"] for step in visited if not step[fact]] == [], fact
    page.close()


def test_the_first_stop_leads_past_the_menus(browser: Browser, address: str) -> None:
    page = open_page(browser, address, CHAPTER)
    page.keyboard.press("Tab")
    link = page.get_by_role("link", name="Skip to main content")
    expect(link).to_be_focused()
    expect(link).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    page.close()


def test_an_answer_is_unfolded_and_a_question_answered_by_keys_alone(browser: Browser, address: str) -> None:
    page = open_page(browser, address, CHAPTER)
    fold = page.locator(".bd-article details:not([open]) > summary").first.element_handle()
    fold.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("summary => summary.parentElement.open", arg=fold)

    form = page.locator(".quiz-form").first
    form.locator("input[type=radio]").first.focus()
    page.keyboard.press("ArrowDown")
    expect(form.locator("input[type=radio]").nth(1)).to_be_checked()
    page.keyboard.press("Enter")
    expect(form.locator(".quiz-verdict")).not_to_be_empty()
    page.close()


def test_every_figure_that_a_reader_changes_is_changed_by_keys_alone(browser: Browser, address: str) -> None:
    page = open_page(browser, address, CHAPTER)
    panels = page.locator(".figure-controls")
    assert panels.count() > 1
    for panel in panels.all():
        before = panel.locator(".figure-said").inner_text()
        control = panel.locator("input, button:not([aria-disabled=true])").last
        control.focus()
        kind = control.get_attribute("type")
        page.keyboard.press({"range": "ArrowLeft", "radio": "ArrowUp", "checkbox": "Space"}.get(kind or "", "Enter"))
        if kind == "range" and panel.locator(".figure-said").inner_text() == before:  # it stood at its beginning
            page.keyboard.press("ArrowRight")
        expect(panel.locator(".figure-said")).not_to_have_text(before)
    page.close()
