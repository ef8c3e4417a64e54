"""Put each SVG figure of a chapter into its page, where it takes the page's own text colour.

A figure that is drawn with `course_lib.figures.show` carries its alternative text. One without it, and one
that stands outside a captioned figure, fails the build.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

from course_lib.figures import INK

LOGGER = logging.getLogger(__name__)


def inline_svg(text: str, prefix: str) -> str:
    """The SVG as part of a page: names that only it uses, and the page's colour for text and axes."""
    text = re.sub(r'(<image [^>]*?) id="[^"]*"', r"\1", text)  # one picture drawn twice would have one name twice
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'href="#', f'href="#{prefix}-', text)
    text = text.replace("url(#", f"url(#{prefix}-")
    return text.replace(INK, "currentColor")


def frame(svg: str) -> str:
    """The element around a figure, which scrolls where the figure would become too small to read.

    The theme gives its own scrolling containers a stop for the keyboard while they have something to scroll to;
    bearing their class, so do ours.
    """
    width = re.search(r'\bwidth="([\d.]+)pt"', svg)
    style = f' style="--natural-width: {width[1]}pt"' if width else ""
    return f'<div class="course-figure pst-scrollable-table-container"{style}>{svg}</div>'


class InlineFigures(SphinxPostTransform):
    """Replace images that chapters made by the SVG itself."""

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
            image.replace_self(nodes.raw("", frame(inline_svg(text, f"figure{count}")), format="html"))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(InlineFigures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
