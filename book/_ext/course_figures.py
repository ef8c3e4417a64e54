"""Write each SVG figure of a chapter to two files beside its page: in the text colour of light pages, and of dark ones.

A page full of drawings is slow to lay out, so it holds a reference to each, which a browser follows when the reader
comes near, in the mode that is shown. What has a script stands in the page itself, where it takes the page's colour.

A figure that is drawn with `course_lib.figures.show` carries its alternative text. One without it, and one
that stands outside a captioned figure, fails the build.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

from course_lib.figures import INK

LOGGER = logging.getLogger(__name__)
FOLDER = "_figures"
TEXT = {"light": "#222832", "dark": "#ced6dd"}
"""The theme's colour of text in each mode: a file of its own cannot take it from the page."""

SIZE = re.compile(r'\bwidth="(?P<width>[\d.]+)pt" height="(?P<height>[\d.]+)pt"')
LABEL = re.compile(r'\baria-label="(?P<text>[^"]*)"')


def inline_svg(text: str, prefix: str) -> str:
    """The SVG as part of a page: names that only it uses, and the page's colour for text and axes."""
    text = re.sub(r'(<image [^>]*?) id="[^"]*"', r"\1", text)  # one picture drawn twice would have one name twice
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'href="#', f'href="#{prefix}-', text)
    text = text.replace("url(#", f"url(#{prefix}-")
    return text.replace(INK, "currentColor")


def frame(svg: str, shown: str = "") -> str:
    """The element around a figure, or around what is shown in its place, which scrolls where the figure would
    become too small to read.

    The theme gives its own scrolling containers a stop for the keyboard while they have something to scroll to;
    bearing their class, so do ours.
    """
    width = re.search(r'\bwidth="([\d.]+)pt"', svg)
    style = f' style="--natural-width: {width[1]}pt"' if width else ""
    return f'<div class="course-figure pst-scrollable-table-container"{style}>{shown or svg}</div>'


def write_files(svg: str, folder: Path) -> dict[str, str]:
    """Write the figure for each mode; returns the names of the files, which change with their content."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {}
    for mode, colour in TEXT.items():
        text = svg.replace(INK, colour)
        names[mode] = f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.svg"
        (folder / names[mode]).write_text(text, encoding="utf-8")
    return names


def refer(svg: str, addresses: dict[str, str]) -> str:
    """The two pictures of a figure, of which the page shows the one for its mode; the place is kept for them."""
    size, label = SIZE.search(svg), LABEL.search(svg)
    assert size is not None
    width, height = (round(float(length) * 96 / 72) for length in size.groups())
    alt = label["text"] if label else ""
    return "".join(
        f'<img class="only-{mode}" src="{address}" alt="{alt}" width="{width}" height="{height}" loading="lazy" '
        'decoding="async">'
        for mode, address in addresses.items()
    )


class Figures(SphinxPostTransform):
    """Replace images that chapters made by references to their files, or, with a script, by the SVG itself."""

    default_priority = 500
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for count, image in enumerate(list(self.document.findall(nodes.image))):
            path = Path(self.env.srcdir, image["uri"])
            if path.suffix != ".svg" or "jupyter_execute" not in path.parts:
                continue
            text = path.read_text(encoding="utf-8")
            figure = image
            while figure is not None and not isinstance(figure, nodes.figure):
                figure = figure.parent
            if "aria-label=" not in text.partition(">")[0]:
                LOGGER.warning("A figure has no alternative text: use figures.show(figure, alt=...).", location=image)
            if figure is None or not any(isinstance(child, nodes.caption) for child in figure):
                LOGGER.warning("A figure has no caption: give its cell `mystnb: figure: caption:`.", location=image)
            if "<script" in text or SIZE.search(text) is None:
                shown = inline_svg(text, f"figure{count}")
            else:
                names = write_files(text, Path(self.app.outdir, FOLDER))
                steps = posixpath.relpath(FOLDER, posixpath.dirname(self.env.docname))
                shown = refer(text, {mode: f"{steps}/{name}" for mode, name in names.items()})
            image.replace_self(nodes.raw("", frame(text, shown), format="html"))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(Figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
