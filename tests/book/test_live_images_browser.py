"""The models of images in the page: PyTorch's numbers, readers' drawings, and noise that becomes a digit.

The pages are opened from a folder, where a browser allows least.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Locator, Page, expect
from torch import Tensor, nn

from course_lib.live import rounded
from course_lib.models.flow import euler_sample, guided_velocity, heun_sample, straightness
from course_lib.models.velocity import VelocityDiT, VelocityResidualMLP, VelocityUNet
from course_lib.models.vit import VisionTransformer, attention_rollout
from tests.browser import launch_browser, watch
from tools.book import ROOT

pytestmark = pytest.mark.slow

PAGES = {"draw-digit": "book/08-vit/chapter", "flow-digits": "book/11-rectified-flow/chapter"}
NETWORKS: dict[str, type[nn.Module]] = {
    "flow-digits": VelocityResidualMLP,
    "flow-digits-reflow": VelocityResidualMLP,
    "flow-digits-unet": VelocityUNet,
    "flow-digits-dit": VelocityDiT,
}
LIMITS = {"draw-digit": 150_000, "flow-digits": 750_000}  # bytes that a press on Start loads
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
CLOSE = 1e-4

# A way of writing each digit: places in hundredths from the left and from the top; a slash lifts the pen.
WRITTEN = {
    0: "50,15 36,22 30,40 30,60 36,78 50,85 64,78 70,60 70,40 64,22 50,15",
    1: "40,30 53,15 53,85 / 38,85 66,85",
    2: "32,30 40,18 55,16 66,26 64,42 50,60 32,84 70,84",
    3: "33,20 50,15 65,22 65,38 48,47 66,56 68,74 52,85 32,80",
    4: "55,15 30,58 72,58 / 60,38 56,86",
    5: "68,16 38,16 36,45 52,42 67,52 67,72 52,85 33,80",
    6: "60,15 42,30 33,55 36,76 50,85 65,76 65,60 50,52 36,62",
    7: "30,17 70,17 48,85 / 40,50 68,50",
    8: "50,48 37,38 37,22 50,15 63,22 63,38 50,48 35,62 36,78 50,85 64,78 65,62 50,48",
    9: "66,35 52,47 37,40 36,24 50,15 64,22 66,40 64,65 52,85 36,82",
}
STROKES = {
    digit: [[tuple(int(n) / 100 for n in place.split(",")) for place in part.split()] for part in text.split("/")]
    for digit, text in WRITTEN.items()
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as launched:
        yield launched


def open_demo(browser: Browser, book: Path, demo: str, **options: Any) -> tuple[Page, Locator]:
    """The page from a folder, and the part of it that holds the demo, not started."""
    page = browser.new_context(**options).new_page()
    page.goto((book / f"{PAGES[demo]}.html").as_uri())
    return page, page.locator(f".live[data-demo={demo}]")


def start(demo: Locator) -> None:
    demo.get_by_role("button", name="Start").click()
    expect(demo.locator("canvas").first).to_be_visible(timeout=30_000)
    expect(demo.get_by_role("status")).not_to_have_text(re.compile("Loading|^$"), timeout=30_000)


@pytest.fixture(scope="module")
def drawing(browser: Browser, built_book: Path) -> Iterator[tuple[Page, Locator]]:
    page, demo = open_demo(browser, built_book, "draw-digit", viewport={"width": 1280, "height": 900})
    traffic = watch(page)
    start(demo)
    yield page, demo
    assert traffic.faults() == []
    page.context.close()


@pytest.fixture(scope="module")
def flowing(browser: Browser, built_book: Path) -> Iterator[tuple[Page, Locator]]:
    page, demo = open_demo(browser, built_book, "flow-digits", reduced_motion="reduce")
    traffic = watch(page)
    start(demo)
    yield page, demo
    assert traffic.faults() == []
    page.context.close()


def to_plain(x: Tensor) -> dict[str, Any]:
    return {"shape": list(x.shape), "data": x.flatten().tolist()}


def read_weights(page: Page, name: str) -> dict[str, Tensor]:
    """The weights that the page computes with."""
    found: Mapping[str, tuple[list[int], list[float]]] = page.evaluate(
        "name => Object.fromEntries(Object.entries(courseLive.models[name].weights)"
        ".map(([key, {shape, data}]) => [key, [shape, Array.from(data)]]))",
        name,
    )
    weights = {key: torch.tensor(data).reshape(shape) for key, (shape, data) in found.items()}
    assert all(torch.equal(weight, rounded({"": weight})[""]) for weight in weights.values())
    return weights


@pytest.mark.parametrize("demo", PAGES)
def test_nothing_is_loaded_before_start_and_then_little(browser: Browser, built_book: Path, demo: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    page.goto((built_book / f"{PAGES[demo]}.html").as_uri(), wait_until="networkidle")
    part = page.locator(f".live[data-demo={demo}]")
    expect(part.locator("svg")).to_be_visible()
    assert [url for url in seen if "/live/" in url] == []
    start(part)
    loaded = [Path(url.removeprefix("file://")) for url in seen if "/live/" in url]
    assert {path.name for path in loaded} >= {"nn.js", f"{demo}.js"}
    assert all(path.is_relative_to(built_book) for path in loaded)
    assert sum(path.stat().st_size for path in loaded) < LIMITS[demo]
    context.close()


def test_logits_and_every_head_are_pytorch_s(drawing: tuple[Page, Locator]) -> None:
    page, _ = drawing
    weights = read_weights(page, "draw-digit")
    images = weights.pop("examples")
    model = VisionTransformer(
        image_size=(8, 8),
        patch_size=2,
        in_channels=1,
        num_classes=10,
        d_model=weights["positions"].shape[-1],
        num_heads=page.evaluate("courseLive.models['draw-digit'].about.heads"),
        num_layers=sum(name.endswith("norm1.weight") for name in weights),
        dim_feedforward=len(weights["blocks.0.feed_forward.linear1.bias"]),
    )
    model.load_state_dict(weights)
    model.eval()
    with torch.no_grad():
        logits, attention = model.attend(images)
    for image, wanted, looked in zip(images, logits, attention, strict=True):
        found = page.evaluate(
            """image => {
              const {weights, about} = courseLive.models["draw-digit"];
              const {logits, looks} = courseVit.read(weights, courseNN.tensor(image.shape, image.data), about.heads);
              const rolled = courseVit.rollout(looks);
              return [logits, ...looks, rolled].map(({data}) => Array.from(data));
            }""",
            to_plain(image[None]),
        )
        rollout = attention_rollout(looked[None])
        for mine, theirs in zip(found, [wanted, *looked, rollout], strict=True):
            torch.testing.assert_close(torch.tensor(mine), theirs.flatten(), rtol=0, atol=CLOSE)


def draw(page: Page, demo: Locator, label: int) -> None:
    demo.get_by_role("button", name="Clear").click()
    pad = demo.locator(".live-pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box
    for (x, y), *others in STROKES[label]:
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.mouse.down()
        for x, y in others:
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.mouse.up()


def test_most_digits_that_are_drawn_are_read(drawing: tuple[Page, Locator]) -> None:
    page, demo = drawing
    status, right = demo.get_by_role("status"), []
    for label in STROKES:
        draw(page, demo, label)
        expect(status).to_contain_text("The network reads a")
        text = status.inner_text()
        right.append(f"reads a {label} " in text)
        assert demo.locator(".live-bars li:not(.is-out)").inner_text().startswith(text.split("reads a ")[1][0])
    assert sum(right) >= 8, right
    demo.get_by_role("button", name="Clear").click()
    expect(status).to_have_text("The square is empty.")
    expect(demo.locator(".live-bars")).to_have_count(0)


def test_where_and_how_large_a_digit_is_drawn_does_not_matter(drawing: tuple[Page, Locator]) -> None:
    page, _ = drawing
    strokes = STROKES[3]
    moved = [[(0.6 * x - 0.1, 0.6 * y + 0.3) for x, y in stroke] for stroke in strokes]
    first, second = (
        page.evaluate("strokes => Array.from(courseVit.toImage(strokes).data)", drawn) for drawn in (strokes, moved)
    )
    assert first == pytest.approx(second, abs=2 / 16)
    assert max(first) > 0.5 and min(first) == -1 and all((8 * (pixel + 1)) % 1 == pytest.approx(0) for pixel in first)


def test_a_digit_is_chosen_by_keyboard_and_each_head_says_where_it_looks(browser: Browser, built_book: Path) -> None:
    page, demo = open_demo(browser, built_book, "draw-digit")
    demo.get_by_role("button", name="Start").focus()
    page.keyboard.press("Enter")
    status = demo.get_by_role("status")
    expect(status).to_contain_text("The network reads a")
    before = status.inner_text()
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(demo.get_by_role("combobox", name="Digit")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(status).not_to_have_text(before)
    expect(status).to_contain_text(re.compile(r"It is a \d\. The network reads a \d"))
    blocks, heads = page.evaluate(
        "(({weights, about}) => [Object.keys(weights).filter(k => k.endsWith('norm1.weight')).length, about.heads])"
        "(courseLive.models['draw-digit'])"
    )
    names = [demo.get_by_role("img", name=f"Block {b + 1}, head {h + 1}:") for b in range(blocks) for h in range(heads)]
    for picture in [*names, demo.get_by_role("img", name="Rollout:")]:
        expect(picture).to_have_count(1)
    page.context.close()


@pytest.mark.parametrize("name", NETWORKS)
def test_velocities_and_whole_paths_are_pytorch_s_with_guidance_and_without(
    flowing: tuple[Page, Locator], name: str
) -> None:
    page, demo = flowing
    demo.get_by_role("combobox", name="Network").select_option(name)
    page.wait_for_function("name => name in courseLive.models", arg=name)
    weights, model = read_weights(page, name), NETWORKS[name]()
    model.load_state_dict(weights)
    model.eval()
    noise = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    label = torch.tensor([7])

    for solver, sample in (("euler", euler_sample), ("heun", heun_sample)):
        for weight in (1.0, 2.5):

            def velocity(x: Tensor, t: Tensor, weight: float = weight) -> Tensor:
                if weight == 1:
                    return model(x, t, label)
                return guided_velocity(model, x, t, label, weight=weight, no_class=10)

            with torch.no_grad():
                path = sample(velocity, noise, steps=8)
                arrow = velocity(path[3], torch.tensor([3 / 8]))
            found, v, bend = page.evaluate(
                """([name, noise, solver, weight]) => {
                  const {weights, about} = courseLive.models[name];
                  const velocity = courseFlow.guided(courseFlow.networks[about.network], weights, 7, weight);
                  const path = [...courseFlow.follow(velocity, courseNN.tensor(noise.shape, noise.data), 8, solver)];
                  const places = path.map(({x}) => x);
                  const bend = courseFlow.straightness(places);
                  return [places.map(x => Array.from(x.data)), Array.from(path[3].v.data), bend];
                }""",
                [name, to_plain(noise), solver, weight],
            )
            torch.testing.assert_close(torch.tensor(found), path.flatten(1), rtol=0, atol=CLOSE)
            torch.testing.assert_close(torch.tensor(v), arrow.flatten(), rtol=0, atol=CLOSE)
            assert bend == pytest.approx(straightness(path).item(), abs=CLOSE)


def test_knobs_change_the_path_and_the_slider_moves_along_it(browser: Browser, built_book: Path) -> None:
    page, demo = open_demo(browser, built_book, "flow-digits", reduced_motion="reduce")
    demo.get_by_role("button", name="Start").focus()
    page.keyboard.press("Enter")
    status, time = demo.get_by_role("status"), demo.get_by_role("slider", name="Time", exact=True)
    expect(status).to_contain_text("A 3 in 16 steps: 16 questions to the network")
    expect(demo.locator(".live-strip canvas")).to_have_count(9)
    expect(time).to_have_attribute("aria-valuetext", "t = 1.00")  # less motion: the end at once
    pixels = "canvas => canvas.toDataURL()"
    here, ahead = demo.locator(".is-large canvas").first, demo.locator(".is-large canvas").last
    assert here.evaluate(pixels) == ahead.evaluate(pixels)
    digit = here.evaluate(pixels)
    time.focus()
    page.keyboard.press("Home")
    expect(time).to_have_attribute("aria-valuetext", "t = 0.00")
    noise = here.evaluate(pixels)
    assert len({noise, ahead.evaluate(pixels), digit}) == 3
    page.keyboard.press("ArrowRight")
    expect(time).to_have_attribute("aria-valuetext", "t = 0.06")

    demo.get_by_role("radio", name="3").focus()
    page.keyboard.press("ArrowRight")
    expect(status).to_contain_text("A 4 in 16 steps: 16 questions")
    demo.get_by_role("slider", name="Guidance").focus()
    page.keyboard.press("ArrowRight")
    expect(status).to_contain_text("A 4 in 16 steps: 32 questions")
    demo.get_by_role("combobox", name="Solver").select_option("heun")
    expect(status).to_contain_text("A 4 in 16 steps: 64 questions")
    demo.get_by_role("combobox", name="Steps").select_option("1")
    expect(status).to_contain_text("A 4 in 1 step: 4 questions")
    demo.get_by_role("combobox", name="Network").select_option("flow-digits-reflow")
    expect(status).to_contain_text("A 4 in 1 step: 2 questions")
    expect(demo.get_by_role("slider", name="Guidance")).to_be_disabled()
    expect(demo.get_by_text("After reflow there is no guidance")).to_be_visible()
    demo.get_by_role("combobox", name="Network").select_option("flow-digits-dit")
    expect(demo.get_by_role("slider", name="Guidance")).to_be_enabled()
    time.focus()
    page.keyboard.press("Home")
    assert here.evaluate(pixels) == noise  # the noise stays while all else changes
    demo.get_by_role("button", name="New noise").focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "([canvas, before]) => canvas.toDataURL() !== before", arg=[here.element_handle(), noise], timeout=20_000
    )
    page.context.close()


def test_a_network_that_cannot_be_loaded_is_named_and_the_last_one_stays(browser: Browser, built_book: Path) -> None:
    page = browser.new_context(reduced_motion="reduce").new_page()
    page.route("**/flow-digits-unet.js", lambda route: route.abort())  # files are caught only if asked for beforehand
    page.goto((built_book / f"{PAGES['flow-digits']}.html").as_uri())
    demo = page.locator(".live[data-demo=flow-digits]")
    start(demo)
    demo.get_by_role("combobox", name="Network").select_option("flow-digits-unet")
    expect(demo.get_by_role("status")).to_contain_text(
        "weights/flow-digits-unet.js could not be loaded. The last path is still shown."
    )
    expect(demo.locator(".live-strip canvas")).to_have_count(9)
    page.context.close()


def test_play_walks_from_noise_to_the_digit(browser: Browser, built_book: Path) -> None:
    page, demo = open_demo(browser, built_book, "flow-digits")
    start(demo)
    time = demo.get_by_role("slider", name="Time", exact=True)
    expect(time).to_have_attribute("aria-valuetext", "t = 1.00", timeout=20_000)
    demo.get_by_role("button", name="Play").click()
    expect(time).not_to_have_attribute("aria-valuetext", "t = 1.00")
    expect(time).to_have_attribute("aria-valuetext", "t = 1.00", timeout=20_000)
    page.context.close()


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("demo", PAGES)
def test_a_started_demo_passes_the_accessibility_checker_and_fits_a_narrow_page(
    browser: Browser, built_book: Path, demo: str, mode: str
) -> None:
    page, part = open_demo(browser, built_book, demo, color_scheme=mode, viewport={"width": 360, "height": 800})
    start(part)
    page.add_script_tag(path=AXE)
    found = page.evaluate(
        "name => axe.run(document.querySelector(`.live[data-demo=${name}]`), {resultTypes: ['violations']})", demo
    )
    assert [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in found["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.context.close()
