"""The map of the chapters: `{chapter-map}` draws it and lists it from book/syllabus.yml.

A chapter that is in the table of contents is drawn as written and leads to its page; every other one is drawn
as still to come.
"""

from __future__ import annotations

import html
import textwrap
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

SYLLABUS = Path(__file__).parents[1] / "syllabus.yml"

WIDTH, HEIGHT = 116, 84
STEP_X, STEP_Y = 138, 120
MARGIN = 4


class MapNode(nodes.General, nodes.Element):
    """Stands where the map goes until all pages are known."""


def read_syllabus() -> dict[str, Any]:
    return yaml.safe_load(SYLLABUS.read_text(encoding="utf-8"))


def corner(chapter: dict[str, Any]) -> tuple[int, int]:
    row, column = chapter["place"]
    return MARGIN + (column - 1) * STEP_X, MARGIN + (row - 1) * STEP_Y


def draw_arrow(start: dict[str, Any], end: dict[str, Any]) -> str:
    """A straight arrow from the edge of one box to the facing edge of another."""
    (x0, y0), (x1, y1) = corner(start), corner(end)
    if y0 == y1:
        forward = x1 > x0
        x0, x1 = (x0 + WIDTH, x1) if forward else (x0, x1 + WIDTH)
        y0 = y1 = y0 + HEIGHT // 2
    else:
        # Arrows that enter one box from several sides keep apart along its upper edge.
        shift = 20 * ((x0 > x1) - (x0 < x1))
        x0, x1 = x0 + WIDTH // 2, x1 + WIDTH // 2 + shift
        y0 = y0 + HEIGHT
    return f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" marker-end="url(#map-arrow)"/>'


def draw_box(chapter: dict[str, Any], target: str | None) -> str:
    """A chapter's box, a link where the chapter is written."""
    x, y = corner(chapter)
    lines = [chapter["slug"][:2], *textwrap.wrap(chapter["title"], 14)]
    if target is None:
        lines.append("to come")
    top = y + HEIGHT / 2 - 7.5 * (len(lines) - 1) + 4
    words = "".join(
        f'<text class="{"map-small" if line in (lines[0], "to come") else "map-title"}" '
        f'x="{x + WIDTH / 2:g}" y="{top + 15 * number:g}">{html.escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    kind = "map-written" if target else "map-planned"
    box = f'<g class="{kind}"><rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>{words}</g>'
    return f'<a href="{html.escape(target)}">{box}</a>' if target else box


def draw_map(chapters: list[dict[str, Any]], targets: dict[str, str]) -> str:
    """The whole map as one SVG.

    Args:
        chapters: entries of the syllabus.
        targets: slug to address, for chapters that are written.
    """
    known = {chapter["slug"]: chapter for chapter in chapters}
    width = max(corner(c)[0] for c in chapters) + WIDTH + MARGIN
    height = max(corner(c)[1] for c in chapters) + HEIGHT + MARGIN
    arrows = "".join(draw_arrow(known[need], c) for c in chapters for need in c["needs"])
    boxes = "".join(draw_box(c, targets.get(c["slug"])) for c in chapters)
    label = "Map of the chapters. " + " ".join(describe(c, known) for c in chapters)
    return (
        f'<svg class="course-map" role="group" aria-label="{html.escape(label)}" viewBox="0 0 {width} {height}">'
        '<defs><marker id="map-arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>'
        f"{arrows}{boxes}</svg>"
    )


def describe(chapter: dict[str, Any], known: dict[str, dict[str, Any]]) -> str:
    """One sentence of the map's alternative text."""
    number = int(chapter["slug"][:2])
    needs = " and ".join(str(int(known[need]["slug"][:2])) for need in chapter["needs"])
    return f"Chapter {number}, {chapter['title']}, " + (f"builds on {needs}." if needs else "starts a line.")


class ChapterMap(SphinxDirective):
    """The directive; its content says what the map shows."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(SYLLABUS))
        figure = nodes.figure("", MapNode(), names=["fig-chapter-map"])
        self.state.document.note_explicit_target(figure, figure)
        caption, messages = self.state.inline_text(" ".join(self.content), self.lineno)
        return [MapNode(), nodes.paragraph("", "", *caption), *messages, MapNode(listed=True)]


class FillMap(SphinxPostTransform):
    """Draw the map once it is known which chapters have a page."""

    default_priority = 400
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for node in list(self.document.findall(MapNode)):
            chapters = read_syllabus()["chapters"]
            targets = {
                chapter["slug"]: self.app.builder.get_relative_uri(self.env.docname, name)
                for chapter in chapters
                if (name := f"book/{chapter['slug']}/chapter") in self.env.found_docs
            }
            if node.get("listed"):
                node.replace_self(self.list_chapters(chapters, targets))
            else:
                node.replace_self(nodes.raw("", draw_map(chapters, targets), format="html"))

    def list_chapters(self, chapters: list[dict[str, Any]], targets: dict[str, str]) -> nodes.bullet_list:
        items = nodes.bullet_list(classes=["course-chapters"])
        for chapter in chapters:
            name = nodes.strong(text=f"{int(chapter['slug'][:2])} · {chapter['title']}")
            line = nodes.paragraph()
            if chapter["slug"] in targets:
                line += nodes.reference("", "", name, refuri=targets[chapter["slug"]], internal=True)
                line += nodes.Text(f". {chapter['about']}")
            else:
                line += [name, nodes.Text(f" (to come). {chapter['about']}")]
            items += nodes.list_item("", line)
        return items


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_node(MapNode)
    app.add_directive("chapter-map", ChapterMap)
    app.add_post_transform(FillMap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
