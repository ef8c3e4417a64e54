"""`{run-times}`: how long each page with code took when it was last run, from the build's own records.

The models of the scoreboard are trained once for all pages; they have a line of their own.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

from course_lib.scoreboard import ROWS, missing, standings


def training_seconds() -> float:
    """Processor time of the training of the scoreboard's models: those that pages show, not older ones beside them."""
    if missing(list(ROWS)):
        return 0.0
    return sum(result.seconds for standing in standings(list(ROWS)) for result in standing.results)


class RunTimes(nodes.General, nodes.Element):
    """Stands where the table goes until all pages are known."""


class RunTimesDirective(SphinxDirective):
    """The directive; it takes nothing."""

    def run(self) -> list[nodes.Node]:
        return [RunTimes()]


class FillRunTimes(SphinxPostTransform):
    """One row for each page that was run, in the order of the book, and their sum."""

    default_priority = 400

    def run(self, **kwargs: Any) -> None:
        for node in list(self.document.findall(RunTimes)):
            data = NbMetadataCollector.get_doc_data(self.env)
            seconds = {name: found["exec_data"]["runtime"] for name, found in data.items() if found.get("exec_data")}
            rows = [self.make_row(self.link(name), f"{seconds[name]:.1f}") for name in sorted(seconds)]
            models = training_seconds()
            if models:
                rows.append(self.make_row(nodes.Text("The scoreboard's models, trained once"), f"{models:.1f}"))
            rows.append(self.make_row(nodes.strong(text="Together"), f"{sum(seconds.values()) + models:.1f}"))
            group = nodes.tgroup("", *[nodes.colspec(colwidth=width) for width in (3, 1)], cols=2)
            group += nodes.thead("", self.make_row(nodes.Text("Page"), "Seconds"))
            group += nodes.tbody("", *rows)
            node.replace_self(nodes.table("", group, classes=["course-run-times"]))

    def link(self, name: str) -> nodes.reference:
        address = self.app.builder.get_relative_uri(self.env.docname, name)
        return nodes.reference("", self.env.titles[name].astext(), refuri=address, internal=True)

    def make_row(self, page: nodes.Node, seconds: str) -> nodes.row:
        cells = (nodes.paragraph("", "", page), nodes.paragraph(text=seconds))
        return nodes.row("", *[nodes.entry("", cell) for cell in cells])


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_node(RunTimes)
    app.add_directive("run-times", RunTimesDirective)
    app.add_post_transform(FillRunTimes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
