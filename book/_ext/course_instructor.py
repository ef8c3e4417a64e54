"""What an instructor sees: `{transcript} NAME` shows what a command printed when the book was built, `{screen} NAME` a
picture of a page in the browser.

Transcripts are made by `python -m tools.transcripts`, pictures by `python -m tools.instructor_pictures`. A picture
that has a dark twin gives way to it on a dark page.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.images import get_image_size

ROOT = Path(__file__).resolve().parents[2]
TRANSCRIPTS = ROOT / "build" / "transcripts.json"
PICTURES = ROOT / "build" / "pictures"
NOT_DRAWN = "Here stands a picture where Chromium and the sandbox are there when the pages are made. It shows: "
MISSING = "This machine could not run the command when the pages were made, so its words are not shown."
PIXELS = 1.5
"""Of a picture to one of the page."""


class Transcript(SphinxDirective):
    """The words of a command, as they stood in the terminal."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if not TRANSCRIPTS.is_file():
            raise self.error(f"{TRANSCRIPTS} is not there: run `python -m tools.transcripts`.")
        kept: dict[str, Any] = json.loads(TRANSCRIPTS.read_text(encoding="utf-8"))
        self.env.note_dependency(str(TRANSCRIPTS))
        if name not in kept["round"]:
            raise self.error(f"tools/transcripts.py runs no command called {name}: {', '.join(kept['round'])}.")
        said = kept["said"].get(name)
        if said is None:
            return [nodes.paragraph("", "", nodes.emphasis(text=MISSING))]
        return [nodes.literal_block(said, said, language="text", classes=["course-terminal"])]


class Screen(SphinxDirective):
    """A picture with its caption; it scrolls where its letters would become too small to read."""

    required_arguments = 1
    has_content = True
    option_spec = {"alt": directives.unchanged_required}  # noqa: RUF012 (docutils reads it from the class)

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if not self.options.get("alt") or not self.content:
            raise self.error(f"the picture {name} needs :alt: and a caption.")
        self.options["name"] = f"screen-{name}"
        made = PICTURES / "made.json"
        if not made.is_file():
            raise self.error(f"{made} is not there: run `python -m tools.instructor_pictures`.")
        self.env.note_dependency(str(made))
        kept: dict[str, Any] = json.loads(made.read_text(encoding="utf-8"))
        if name not in kept["names"]:
            raise self.error(f"tools/instructor_pictures.py draws no picture {name}: {', '.join(kept['names'])}.")
        if not kept["drawn"]:
            shown = nodes.emphasis(text=f"{NOT_DRAWN}{self.options['alt'][0].lower()}{self.options['alt'][1:]}")
            return [nodes.paragraph("", "", shown)]
        frame = nodes.container(classes=["course-screen", "pst-scrollable-table-container"])
        light, dark = PICTURES / f"{name}.png", PICTURES / f"{name}-dark.png"
        frame += self.picture(light, "only-light" if dark.is_file() else "")
        if dark.is_file():
            frame += self.picture(dark, "only-dark")
        words, _ = self.parse_inline(" ".join(self.content))
        figure = nodes.figure("", frame, nodes.caption("", "", *words))
        self.add_name(figure)
        return [figure]

    def picture(self, path: Path, shown: str) -> nodes.image:
        self.env.note_dependency(str(path))
        width, height = (round(side / PIXELS) for side in get_image_size(str(path)) or (0, 0))
        return nodes.image(
            uri=f"/{path.relative_to(self.env.srcdir).as_posix()}",
            alt=self.options["alt"],
            width=f"{width}px",
            height=f"{height}px",
            classes=[shown] if shown else [],
        )


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("transcript", Transcript)
    app.add_directive("screen", Screen)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
