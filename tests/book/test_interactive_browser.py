"""Interactive figures as readers use them: numbers equal PyTorch's; by mouse, by keyboard, printed, without scripts."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
import torch.nn.functional as F
from playwright.sync_api import Browser, Locator, Page, expect
from torch import Tensor

from course_lib.interactive import element
from course_lib.models.attention import scaled_dot_product_attention
from tests.browser import launch_browser, serve, watch
from tools.book import ROOT

pytestmark = pytest.mark.slow

CONFIG = """
import sys
sys.path.insert(0, {extensions!r})
extensions = ["myst_nb", "sphinx_book_theme", "course_figures", "course_interactive"]
nb_execution_mode = "off"
html_theme = "sphinx_book_theme"
html_static_path = [{theme!r}]
html_css_files = ["course.css"]
html_context = {{"default_mode": "auto"}}
"""
SCORES, VALUES = [1.0, 3.0, 2.0, 5.0, 0.0, 4.0], [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
WORDS = ["the", "river", "bank", "flows", "slowly"]
VECTORS = [[0, 0, 0], [0, 2, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]]
INPUT, KERNEL = [[1.0, 2.0], [3.0, 4.0]], [[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]]
LOOKS = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).softmax(dim=-1)
ASKING, ASKED = ["il", "gatto", "nero"], ["the", "black", "cat", "<end>"]


def weights(*, beside: bool) -> dict[str, Any]:
    tables = [{"title": f"head {n + 1}", "weights": table.tolist()} for n, table in enumerate(LOOKS)]
    labels = {"rows": ASKING, "columns": ASKED, "row_title": "written", "column_title": "read"}
    return {"tables": tables, "beside": beside, **labels}


FIGURES: dict[str, tuple[str, dict[str, Any]]] = {
    "saturation": ("saturation", {}),
    "tiles": ("tiles", {"scores": SCORES, "values": VALUES}),
    "masks": ("masks", {"words": WORDS, "vectors": VECTORS}),
    "transposed": ("transposed", {"input": INPUT, "kernel": KERNEL}),
}
CELLS = {"beside": weights(beside=True), "one": weights(beside=False)}


def directive(name: str) -> str:
    figure, values = FIGURES[name]
    options = f":name: fig-{name}\n:alt: The figure {name}.\n:values: {json.dumps(values)}"
    return f"```{{interactive}} {figure}\n{options}\n\nWhat to *see*.\n```"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of two pages: one with every figure, made by directives and by cells, and one with none."""
    root = tmp_path_factory.mktemp("interactive")
    places = {"extensions": str(ROOT / "book" / "_ext"), "theme": str(ROOT / "book" / "theme")}
    (root / "conf.py").write_text(CONFIG.format(**places))
    (root / "plain.md").write_text("# Nothing to move\n")
    text = "\n\n".join(["# Figures", *map(directive, FIGURES), "```{toctree}\nplain\n```"])
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    for name, values in CELLS.items():
        output = nbformat.v4.new_output(
            "display_data", {"text/html": element("weights", values, alt=f"Looks, {name}.")}
        )
        figure = {"figure": {"name": f"fig-{name}", "caption": "Who looks at whom."}}
        notebook.cells.append(nbformat.v4.new_code_cell("draw()", outputs=[output], metadata={"mystnb": figure}))
    nbformat.write(notebook, root / "index.ipynb")
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
def page(browser: Browser, folder: Path) -> Iterator[Page]:
    """The page with every figure, from a folder and narrow; no fault may have happened on it by the end."""
    context = browser.new_context(viewport={"width": 360, "height": 800}, reduced_motion="reduce")
    opened = context.new_page()
    traffic = watch(opened)
    opened.goto(f"file://{folder}/index.html", wait_until="networkidle")
    yield opened
    assert traffic.faults() == []
    context.close()


def figure_of(page: Page, name: str) -> Locator:
    return page.locator(f"#fig-{name}")


def drawn(figure: Locator) -> Tensor:
    """The numbers of a picture, as it holds them."""
    found = figure.locator("svg [data-value]").evaluate_all("parts => parts.map(p => Number(p.dataset.value))")
    return torch.tensor(found, dtype=torch.float64)


def slide(figure: Locator, label: str, place: int) -> None:
    figure.get_by_role("slider", name=label).fill(str(place))


def close(shown: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(shown, expected.double().flatten(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("place", [0, 7, 11, 19])
def test_saturation_is_that_of_its_vectors(page: Page, place: int) -> None:
    figure = figure_of(page, "saturation")
    slide(figure, "Width", place)
    slider = figure.get_by_role("slider")
    width = int(slider.get_attribute("aria-valuetext") or "0")
    found = page.evaluate("courseFigures.figures.saturation.vectors(0)")
    query, keys = (torch.tensor(found[part], dtype=torch.float64)[..., :width] for part in ("query", "keys"))
    plain = (keys @ query).softmax(dim=0)
    divided = (keys @ query / math.sqrt(width)).softmax(dim=0)
    close(drawn(figure), torch.cat([plain, divided]))
    said = figure.get_by_role("status").inner_text()
    for shown in (plain, divided):
        nats = torch.special.entr(shown).sum()
        assert f"largest weight {shown.max():.4f}, entropy {nats:.4f} nats" in said


def test_saturation_draws_from_a_normal_distribution_and_draws_others_when_asked(page: Page) -> None:
    found = page.evaluate("courseFigures.figures.saturation.vectors(0)")
    numbers = torch.tensor(found["keys"]).flatten()
    assert len(numbers) == 12 * 1024
    assert abs(numbers.mean()) < 0.03 and abs(numbers.var() - 1) < 0.04
    assert abs((numbers.abs() < 1).double().mean() - math.erf(math.sqrt(0.5))) < 0.02
    figure = figure_of(page, "saturation")
    before = drawn(figure)
    figure.get_by_role("button", name="Draw other vectors").click()
    assert (drawn(figure) - before).abs().max() > 0.01


def press_until(page: Page, button: Locator, done: Callable[[], bool]) -> int:
    """Press a focused button until it is done; how often it took."""
    button.focus()
    for times in range(10):
        if done():
            return times
        page.keyboard.press("Enter")
    raise AssertionError("ten times were not enough")


@pytest.mark.parametrize(("place", "tiles"), [(0, 6), (1, 3), (2, 2), (3, 2), (4, 1)])
def test_tiles_lead_to_the_dense_answer_by_keyboard(page: Page, place: int, tiles: int) -> None:
    figure = figure_of(page, "tiles")
    slide(figure, "Tile size", place)
    figure.get_by_role("button", name="Start again").press("Enter")
    expect(figure.get_by_role("status")).to_contain_text("Nothing is read yet.")
    next_ = figure.get_by_role("button", name="Next")
    pressed = press_until(page, next_, lambda: next_.get_attribute("aria-disabled") == "true")
    assert pressed == tiles + 1
    scores, values = torch.tensor(SCORES).double(), torch.tensor(VALUES).double()
    dense = scores.softmax(dim=0) @ values
    expect(figure.get_by_role("status")).to_contain_text(f"O / S = {dense:.4f}, and the dense result is {dense:.4f}")
    powers = (scores - 5).exp()
    close(drawn(figure), torch.cat([powers, torch.stack([scores.max(), powers.sum(), powers @ values, dense, dense])]))


def test_a_tile_rescales_what_was_before(page: Page) -> None:
    figure = figure_of(page, "tiles")
    slide(figure, "Tile size", 2)
    figure.get_by_role("button", name="Start again").press("Enter")
    for _ in range(2):
        figure.get_by_role("button", name="Next").press("Enter")
    named = figure.locator("svg [data-name]").evaluate_all("parts => parts.map(p => [p.dataset.name, p.dataset.value])")
    powers = (torch.tensor(SCORES).double() - 5).exp()
    expected = {"M": 5.0, "factor": math.exp(-2), "S": powers.sum(), "O": powers @ torch.tensor(VALUES).double()}
    assert {name: float(value) for name, value in named} == pytest.approx(
        {name: float(value) for name, value in expected.items()}, abs=1e-5
    )


@pytest.mark.parametrize(
    ("causal", "reach", "length"),
    [(False, 4, 5), (True, 4, 5), (False, 1, 5), (True, 1, 4), (True, 0, 2), (False, 4, 0)],
)
def test_masked_weights_are_those_of_the_library(page: Page, causal: bool, reach: int, length: int) -> None:
    figure = figure_of(page, "masks")
    figure.get_by_role("checkbox").set_checked(causal)
    slide(figure, "Window", reach)
    slide(figure, "Words before padding", length)
    place = torch.arange(5)
    away = place[:, None] - place
    allowed = (away.abs() <= reach) & (place < length)
    if causal:
        allowed &= away >= 0
    x = torch.tensor(VECTORS, dtype=torch.float64)
    _, weights = scaled_dot_product_attention(x, x, x, allowed)
    close(drawn(figure), weights)
    said = figure.get_by_role("status").inner_text()
    blocked = int((~allowed).sum())
    assert f"{blocked} of 25 pairs are blocked" in said if blocked else "Nothing is blocked" in said
    assert ("get zeros" in said) == bool((~allowed).all(dim=-1).any())


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_each_pixel_lays_down_what_the_transposed_convolution_adds(page: Page, stride: int) -> None:
    figure = figure_of(page, "transposed")
    slide(figure, "Stride", stride - 1)
    figure.get_by_role("button", name="Start again").press("Enter")
    pixels = torch.tensor(INPUT).double()
    for step in range(5):
        seen = (pixels.flatten() * (torch.arange(4) < step)).reshape(1, 1, 2, 2)
        expected = F.conv_transpose2d(seen, torch.tensor(KERNEL).double()[None, None], stride=stride)
        close(drawn(figure), expected)
        figure.get_by_role("button", name="Next").press("Enter")
    writers = F.conv_transpose2d(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 3, 3), stride=stride)[0, 0]
    held = int((writers[-3:, -3:] > 1).sum())
    said = f"Pixel 4 of 4: 4 times the kernel is added to the 9 framed places. {held} of them held something before"
    expect(figure.get_by_role("status")).to_contain_text(said)


def test_a_word_shows_its_weights_where_it_is_pointed_at_and_by_keyboard(page: Page) -> None:
    figure = figure_of(page, "beside")
    figure.locator("svg [data-row='1']").first.hover()
    close(drawn(figure), LOOKS[:, 1])
    expect(figure.get_by_role("radio", name="gatto")).to_be_checked()
    figure.get_by_role("radio", name="gatto").focus()
    page.keyboard.press("ArrowDown")
    expect(figure.get_by_role("radio", name="nero")).to_be_checked()
    close(drawn(figure), LOOKS[:, 2])
    said = figure.get_by_role("status").inner_text()
    for number, row in enumerate(LOOKS[:, 2]):
        assert f"head {number + 1}: {ASKED[int(row.argmax())]} {row.max():.2f}" in said


def test_one_of_several_tables_is_chosen(page: Page) -> None:
    figure = figure_of(page, "one")
    figure.get_by_text("il", exact=True).last.hover()
    for number in (1, 0):
        figure.get_by_role("radio", name=f"head {number + 1}").check()
        close(drawn(figure), LOOKS[number, 0])


def test_every_control_is_reached_by_tab_and_says_what_it_changes(page: Page) -> None:
    page.locator("body").evaluate("body => document.activeElement.blur()")
    reached: set[str] = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "(e => { const f = e.closest('figure'); return f && e.closest('.figure-controls')"
            " ? f.id + ' ' + (e.getAttribute('aria-label') || e.textContent || e.parentElement.textContent) : '' })"
            "(document.activeElement)"
        )
        reached.add(found)
    for name, label in (
        ("saturation", "Width d"),
        ("saturation", "Draw other vectors"),
        ("tiles", "Next"),
        ("tiles", "Tile size"),
        ("masks", "Causal: no word looks ahead"),
        ("masks", "Window: words away"),
        ("transposed", "Back"),
        ("transposed", "Stride"),
    ):
        assert f"fig-{name} {label}" in reached
    assert any(place.startswith("fig-beside") for place in reached)


def test_what_is_printed_is_the_still_without_controls(browser: Browser, folder: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    still = context.new_page()
    still.goto(f"file://{folder}/index.html")
    pictures = ".course-figure[data-figure] svg"
    expected = still.locator(pictures).evaluate_all("all => all.map(svg => svg.innerHTML)")
    assert len(expected) == len(FIGURES) + len(CELLS)
    for svg in still.locator(pictures).all():
        assert svg.is_visible() and svg.get_attribute("role") == "img"
        assert (svg.get_attribute("aria-label") or "").startswith(("The figure", "Looks"))
    assert still.locator(".figure-controls").count() == 0
    context.close()
    page = browser.new_page()
    page.goto(f"file://{folder}/index.html")
    for slider in page.get_by_role("slider").all():
        slider.press("End")
        slider.press("ArrowLeft")
    page.get_by_role("radio", name="gatto").first.check()
    now = page.locator(pictures)
    changed = zip(now.evaluate_all("all => all.map(svg => svg.innerHTML)"), expected, strict=True)
    assert [a != b for a, b in changed][: len(FIGURES) + 1] == (len(FIGURES) + 1) * [True]
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert now.evaluate_all("all => all.map(svg => svg.innerHTML)") == expected
    assert not any(panel.is_visible() for panel in page.locator(".figure-controls").all())
    page.close()


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_accessibility_checker_finds_nothing_in_figures(browser: Browser, folder: Path, mode: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 800}, color_scheme=mode)
    page = context.new_page()
    page.goto(f"file://{folder}/index.html", wait_until="networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("radio", name="gatto").first.check()
    page.add_script_tag(path=ROOT / "node_modules" / "axe-core" / "axe.min.js")
    found = page.evaluate("axe.run('figure', {resultTypes: ['violations']})")
    assert len(found["passes"]) > 10
    assert [(v["id"], [node["target"] for node in v["nodes"]]) for v in found["violations"]] == []
    context.close()


def test_only_a_page_with_figures_loads_their_scripts(browser: Browser, folder: Path) -> None:
    with serve(folder) as address:
        page = browser.new_page()
        seen: list[str] = []
        page.on("response", lambda response: seen.append(response.url))
        page.goto(f"{address}/plain.html", wait_until="networkidle")
        assert not any("interactive" in url for url in seen)
        page.goto(f"{address}/index.html", wait_until="networkidle")
        names = {url.rpartition("/")[2].partition("?")[0] for url in seen if "interactive" in url}
        figures = ("weights", *FIGURES)
        assert names == {"interactive.css", "interactive.js", *(f"interactive-{name}.js" for name in figures)}
        page.close()
