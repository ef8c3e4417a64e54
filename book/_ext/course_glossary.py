"""The glossary: `{glossary-list}` renders book/glossary.yml, and the first mention of a term in a chapter leads to it.

terms.js shows the definition where such a link is pointed at or has the keyboard's focus. A section that does not
exist fails the build.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from course_downloads import CHAPTER
from course_study import Tag
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

GLOSSARY = Path(__file__).parents[1] / "glossary.yml"
SCRIPT = "terms.js"
UNTOUCHED = (nodes.reference, nodes.literal, nodes.strong, nodes.math, nodes.raw, nodes.Titular, Tag)


@cache
def read_glossary(path: Path = GLOSSARY) -> list[dict[str, Any]]:
    """The terms in alphabetical order.

    Raises:
        ValueError: a term stands there twice, or lacks its section or its text.
    """
    entries: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    seen: set[str] = set()
    for entry in entries:
        if not all(entry.get(part) for part in ("term", "section", "text")):
            raise ValueError(f"{path.name}: the entry {entry} needs `term`, `section` and `text`.")
        for form in (entry["term"], *entry.get("also", [])):
            if form in seen:
                raise ValueError(f"{path.name}: {form!r} stands there twice.")
            seen.add(form)
    return sorted(entries, key=lambda entry: str(entry["term"]).lower())


class GlossaryList(SphinxDirective):
    """Every term with what it means and the section that teaches it."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(GLOSSARY))
        lines = [":::{glossary}"]
        for entry in read_glossary():
            lines += [entry["term"], f"  {entry['text']} See {{ref}}`{entry['section']}`.", ""]
        parent = nodes.Element()
        self.state.nested_parse(StringList([*lines, ":::"], source=str(GLOSSARY)), 0, parent)
        return parent.children


def find_form(entries: list[dict[str, Any]]) -> tuple[re.Pattern[str], dict[str, dict[str, Any]]]:
    """A pattern that finds any form of the terms to link, and the entry of each form in lower case."""
    forms = {
        form: entry
        for entry in entries
        if entry.get("linked", True)
        for form in (entry["term"], *entry.get("also", []))
    }
    # a word may begin a sentence; an acronym is written as it is
    parts = [
        f"[{form[0].upper()}{form[0]}]{re.escape(form[1:])}" if form.islower() else re.escape(form)
        for form in sorted(forms, key=len, reverse=True)
    ]
    known = {form.lower(): entry for form, entry in forms.items()}
    return re.compile(rf"(?<![\w-])(?:{'|'.join(parts)})(?![\w-])"), known


class TermLinks(SphinxPostTransform):
    """Link the first mention of each term in a chapter."""

    default_priority = 420
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        if CHAPTER.fullmatch(self.env.docname) is None:
            return
        pattern, known = find_form(read_glossary())
        left = {entry["term"] for entry in known.values()}
        for paragraph in list(self.document.findall(nodes.paragraph)):
            if has_ancestor(paragraph):
                continue
            for text in list(paragraph.findall(nodes.Text)):
                if not has_ancestor(text):
                    self.link(text, pattern, known, left)

    def link(
        self, text: nodes.Text, pattern: re.Pattern[str], known: dict[str, dict[str, Any]], left: set[str]
    ) -> None:
        made: list[nodes.Node] = []
        content, done = text.astext(), 0
        for found in pattern.finditer(content):
            entry = known[found[0].lower()]
            address = self.address(entry["term"])
            if entry["term"] not in left or address is None:
                continue
            left.remove(entry["term"])
            made.append(nodes.Text(content[done : found.start()]))
            made.append(Term("", found[0], refuri=address, definition=entry["text"]))
            done = found.end()
        if made:
            text.parent.replace(text, [*made, nodes.Text(content[done:])])

    def address(self, term: str) -> str | None:
        """Where the glossary has the term, as seen from this page; None in a book without a glossary."""
        place = self.env.get_domain("std").objects.get(("term", term))  # type: ignore[attr-defined]
        if place is None:
            return None
        page, label = place
        return f"{self.app.builder.get_relative_uri(self.env.docname, page)}#{label}"


class Term(nodes.General, nodes.TextElement):
    """A mention of a term that leads to the glossary."""


def has_ancestor(node: nodes.Node) -> bool:
    """Whether the node stands in something in which no link belongs."""
    parent = node.parent
    while parent is not None:
        if isinstance(parent, UNTOUCHED):
            return True
        parent = parent.parent
    return False


def visit_term(translator: Any, node: Term) -> None:
    href, definition = (translator.attval(node[name]) for name in ("refuri", "definition"))
    translator.body.append(f'<a class="term" href="{href}" data-definition="{definition}">')


def depart_term(translator: Any, node: Term) -> None:
    translator.body.append("</a>")


def add_script(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """The script on pages that link terms, and on no other."""
    if doctree is not None and any(doctree.findall(Term)):
        app.add_js_file(SCRIPT, loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_node(Term, html=(visit_term, depart_term))
    app.add_directive("glossary-list", GlossaryList)
    app.add_post_transform(TermLinks)
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
