"""The index of concepts: `{concept-index}` renders book/syllabus.yml with links into the chapters.

A section, experiment or exercise that does not exist fails the build.
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml
from course_api import PageLink, known_names, link_entry
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

LOGGER = logging.getLogger(__name__)
SYLLABUS = Path(__file__).parents[1] / "syllabus.yml"
HEADINGS = ("Concept", "Read", "See it measured", "Practise", "Look up")


class ConceptIndex(SphinxDirective):
    """A table for each chapter: the concept, its section, its experiment, its exercise, the code of that name."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(SYLLABUS))
        syllabus = yaml.safe_load(SYLLABUS.read_text(encoding="utf-8"))
        titles = {chapter["slug"]: chapter["title"] for chapter in syllabus["chapters"]}
        result: list[nodes.Node] = []
        for slug, concepts in groupby(syllabus["concepts"], key=lambda concept: concept["chapter"]):
            section = nodes.section(ids=[f"concepts-{slug}"], names=[f"concepts-{slug}"])
            section += nodes.title(text=f"{int(slug[:2])} · {titles[slug]}")
            section += self.make_table(list(concepts))
            result.append(section)
        return result

    def make_table(self, concepts: list[dict[str, Any]]) -> nodes.table:
        table = nodes.table(classes=["course-concepts"])
        group = nodes.tgroup(cols=len(HEADINGS))
        group += [nodes.colspec(colwidth=1) for _ in HEADINGS]
        group += nodes.thead("", self.make_row([nodes.Text(heading) for heading in HEADINGS]))
        group += nodes.tbody("", *[self.make_row(self.make_cells(concept)) for concept in concepts])
        table += group
        return table

    def make_cells(self, concept: dict[str, Any]) -> list[nodes.Node]:
        return [
            nodes.Text(concept["concept"]),
            self.refer(concept["section"], "ref", name=concept.get("section_name")),
            self.refer(concept["experiment"], "numref") if "experiment" in concept else nodes.Text("in the text"),
            self.name_exercise(concept) if "exercise" in concept else nodes.Text("–"),
            self.look_up(concept.get("exercise", "")),
        ]

    def look_up(self, name: str) -> nodes.Node:
        module = known_names().get(name)
        return link_entry(module, name) if module else nodes.Text("–")

    def name_exercise(self, concept: dict[str, Any]) -> PageLink:
        folder = Path(self.env.srcdir, "exercises", concept["chapter"])
        cells = [cell for path in folder.glob("*.ipynb") for cell in json.loads(path.read_text("utf-8"))["cells"]]
        names = {cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in cells}
        if concept["exercise"] not in names:
            LOGGER.warning(
                "book/syllabus.yml: %s has no exercise %s", folder, concept["exercise"], location=self.get_location()
            )
        page = f"book/{concept['chapter']}/chapter"
        return PageLink("", "", nodes.literal(text=concept["exercise"]), page=page, anchor="exercises")

    def refer(self, label: str, kind: str, *, name: str | None = None) -> pending_xref:
        reference = pending_xref(
            "",
            nodes.inline(text=name or label),
            refdomain="std",
            reftype=kind,
            reftarget=label,
            refexplicit=name is not None,
            refwarn=True,
            refdoc=self.env.docname,
        )
        self.set_source_info(reference)
        return reference

    def make_row(self, cells: list[nodes.Node]) -> nodes.row:
        return nodes.row("", *[nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells])


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("concept-index", ConceptIndex)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
