"""Draw the README's picture from the rendered book.

    python -m tools.screenshot      docs/chapter.png

The picture is committed, so that the README shows it where nothing is built. Draw it again when the
chapter has changed enough to tell.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from tests.browser import launch_browser, serve
from tools.book import BOOK, ROOT

PAGE = "book/04-attention-layer/chapter.html"
PICTURE = ROOT / "docs" / "chapter.png"
COLOURS = 256


def keep(shot: Image.Image, path: Path) -> None:
    """Write a picture with a palette: pages have few colours, and the repository stays small."""
    shot.convert("RGB").quantize(COLOURS, method=Image.Quantize.FASTOCTREE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Open the chapter at the figure that shows a word pulled toward another, and keep what is seen."""
    with serve(BOOK) as address, launch_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto(f"{address}/{PAGE}#fig-attention-pull", wait_until="networkidle")
        page.evaluate("window.scrollBy(0, -215)")
        shot = Image.open(io.BytesIO(page.screenshot()))
    keep(shot, PICTURE)


if __name__ == "__main__":
    main()
