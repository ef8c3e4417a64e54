"""Figures that a reader changes: `{interactive} NAME` puts one into a page; a cell does so by `course_lib.interactive`.

The still that is printed, and that readers without scripts see, is drawn while the book is built, with the code that
draws the figure anew in the page: theme/interactive.js and theme/interactive-NAME.js. Only pages with such a figure
load these scripts.

    ```{interactive} NAME
    :name: fig-…
    :alt: what is drawn, and what it shows
    :values: what the figure needs, as JSON; {} where it needs nothing

    The caption.
    ```
"""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

from course_figures import frame
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from course_lib.interactive import element

LOGGER = logging.getLogger(__name__)
THEME = Path(__file__).parents[1] / "theme"
SHARED = "interactive.js"
STYLE = "interactive.css"


def script_of(name: str) -> str:
    return f"interactive-{name}.js"


def draw(name: str, values: str) -> dict[str, Any]:
    """The still of a figure: its width and height in points, and what is drawn in it.

    Raises:
        ValueError: no figure has this name, or it cannot draw these values.
    """
    path = THEME / script_of(name)
    if not path.is_file():
        known = sorted(found.stem.partition("-")[2] for found in THEME.glob(script_of("*")))
        raise ValueError(f"No interactive figure is called {name}: write one of {', '.join(known)}.")
    node = shutil.which("node")
    if node is None:
        raise ValueError("Stills are drawn with Node.js, which is not there: install the Debian package `nodejs`.")
    program = [(THEME / SHARED).read_text("utf-8"), path.read_text("utf-8")]
    program.append(f"process.stdout.write(JSON.stringify(courseFigures.still({json.dumps(name)}, {values})));")
    made = subprocess.run([node, "-"], input="\n".join(program), capture_output=True, text=True, check=False)
    if made.returncode:
        reason = next((line for line in made.stderr.splitlines() if "Error:" in line), made.stderr)
        raise ValueError(f"The interactive figure {name} cannot draw its values: {reason}")
    still: dict[str, Any] = json.loads(made.stdout)
    return still


class Interactive(SphinxDirective):
    """A figure with a caption."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {
        "name": directives.unchanged_required,
        "alt": directives.unchanged_required,
        "values": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        try:
            values = json.loads(self.options.get("values", "{}"))
            text = element(self.arguments[0], values, alt=self.options.get("alt", ""))
        except ValueError as error:
            raise self.error(f"{{interactive}} {self.arguments[0]}: {error}") from error
        parent = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, parent)
        figure = nodes.figure("", nodes.raw("", text, format="html"))
        self.set_source_info(figure)
        if parent.children:
            figure += nodes.caption("", "", *parent.children[0].children)
        self.add_name(figure)
        return [figure]


class Stills(SphinxPostTransform):
    """Put the still into each figure's element."""

    default_priority = 500
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for raw in list(self.document.findall(nodes.raw)):
            if not raw.astext().startswith("<div data-figure="):
                continue
            holder = ElementTree.fromstring(raw.astext())
            name, values = holder.attrib["data-figure"], holder.attrib["data-values"]
            figure = raw.parent
            while figure is not None and not isinstance(figure, nodes.figure):
                figure = figure.parent
            if figure is None or not any(isinstance(child, nodes.caption) for child in figure):
                LOGGER.warning("The interactive figure %s has no caption.", name, location=raw)
            try:
                still = draw(name, values)
            except ValueError as error:
                LOGGER.warning("%s", error, location=raw)
                continue
            label, size = html.escape(holder.text or ""), f"{still['width']:g} {still['height']:g}"
            svg = (
                f'<svg role="img" aria-label="{label}" width="{still["width"]:g}pt" height="{still["height"]:g}pt" '
                f'viewBox="0 0 {size}" font-family="DejaVu Sans, sans-serif">{still["body"]}</svg>'
            )
            content = frame(svg).replace(
                "<div ", f'<div data-figure="{html.escape(name)}" data-values="{html.escape(values)}" ', 1
            )
            raw.replace_self(nodes.raw("", content, format="html", figure=name))


def add_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """The scripts of a page's figures on that page, and on no other."""
    names = {raw["figure"] for raw in doctree.findall(nodes.raw) if "figure" in raw} if doctree is not None else set()
    if not names:
        return
    for script in (SHARED, *map(script_of, sorted(names))):
        app.add_js_file(script, loading_method="defer")
    app.add_css_file(STYLE)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("interactive", Interactive)
    app.add_post_transform(Stills)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
