"""The pictures and the commands' words on the instructor's page, as a browser shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.browser import launch_browser, open_drawn, serve, watch
from tools import instructor_pictures, transcripts

pytestmark = pytest.mark.slow
PAGE = "book/instructor/index.html"
PATIENCE = 120_000  # ms: a busy machine


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as launched:
        yield launched


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_each_picture_is_there_once_with_words_and_large_enough_to_read(
    browser: Browser, built_book: Path, width: int, mode: str
) -> None:
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=mode).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE)
    traffic = watch(page)
    with serve(built_book) as address:
        open_drawn(page, f"{address}/{PAGE}")
        for frame in page.locator(".course-screen").all():
            shown = [image for image in frame.locator("img").all() if image.is_visible()]
            assert len(shown) == 1
            shown[0].scroll_into_view_if_needed()
            page.wait_for_function("image => image.complete", arg=shown[0].element_handle())
            size = shown[0].evaluate("image => [image.naturalWidth, image.naturalHeight, image.width, image.height]")
            assert size[0] / size[1] == pytest.approx(size[2] / size[3], rel=0.02)
            assert size[2] >= 0.6 * size[0] / 1.5
            assert len(shown[0].get_attribute("alt") or "") > 40
            dark = (shown[0].get_attribute("src") or "").endswith("-dark.png")
            assert dark == (mode == "dark") or frame.locator("img").count() == 1
        assert page.locator(".course-screen").count() == len(instructor_pictures.NAMES)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert traffic.faults() == []
    page.context.close()


def test_no_picture_is_blank(built_book: Path) -> None:
    drawn = json.loads((instructor_pictures.PICTURES / instructor_pictures.MADE).read_text(encoding="utf-8"))["drawn"]
    assert {name.removesuffix(".png").removesuffix("-dark") for name in drawn} == set(instructor_pictures.NAMES)
    for name in drawn:
        with Image.open(instructor_pictures.PICTURES / name) as picture:
            most = max(count for count, _ in picture.convert("RGB").getcolors(picture.width * picture.height))
            assert most < 0.98 * picture.width * picture.height, name


def test_the_page_says_what_the_commands_said(browser: Browser, built_book: Path) -> None:
    said = json.loads(transcripts.KEPT.read_text(encoding="utf-8"))["said"]
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    open_drawn(page, (built_book / PAGE).as_uri())
    shown = [block.inner_text().strip() for block in page.locator(".course-terminal pre").all()]
    text = page.locator("article").inner_text()
    source = (transcripts.ROOT / "book" / "instructor" / "index.md").read_text(encoding="utf-8")
    asked = [name for name in transcripts.ROUND if f"{{transcript}} {name}\n" in source]
    assert len(asked) >= 7
    assert shown == [
        said[name].strip() for name in sorted(asked, key=lambda name: source.index(f"}} {name}\n")) if name in said
    ]
    assert text.count("its words are not shown") == sum(name not in said for name in asked)
    page.close()
