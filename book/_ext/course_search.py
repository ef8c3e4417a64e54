"""The page of search results: terms of the glossary and names of the library come first, and say what they are.

What they are stands in the page itself, so it is shown without a network and from a folder as well.
"""

from __future__ import annotations

import json
import re
from typing import Any

from api_reading import read_module
from course_api import find_pages, list_names
from course_glossary import read_glossary
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

SCRIPT = "search.js"


def list_entries(env: BuildEnvironment) -> dict[str, dict[str, Any]]:
    """Address of each term and name, with the forms that find it, and what it is."""
    found: dict[str, dict[str, Any]] = {}
    places = env.get_domain("std").objects  # type: ignore[attr-defined]
    for term in read_glossary():
        page, anchor = places.get(("term", term["term"]), ("", ""))
        if page:
            forms = [term["term"], *term.get("also", [])]
            found[f"{page}#{anchor}"] = {"forms": forms, "text": f"Glossary: {write_plain(term['text'])}"}
    for module, page in find_pages().items():
        if page not in env.found_docs:
            continue
        name = module.removeprefix("course_lib.")
        for entry in list_names(read_module(module)):
            text = f"{name}: {entry.doc.first_sentence}" if entry.doc.body else name
            found[f"{page}#{entry.name.replace('.', '-')}"] = {"forms": [entry.name], "text": write_plain(text)}
    return found


def write_plain(text: str) -> str:
    """Markdown without its marks."""
    text = re.sub(r"\{[\w:]+\}`([^`]*)`", r"\1", text)
    return re.sub(r"[`*]|\$(?=\S)|(?<=\S)\$", "", text)


def add_entries(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    if page == "search":
        entries = json.dumps(list_entries(app.env), ensure_ascii=False).replace("</", "<\\/")
        app.add_js_file(None, body=f"window.courseEntries = {entries};")
        app.add_js_file(SCRIPT, loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", add_entries)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
