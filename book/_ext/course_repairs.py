"""Repairs of what the theme and other extensions write: weight, names for screen readers, the single-page build."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder

REPAIRS = [
    # 1.5 MB of script that draws icons which the icon font draws as well.
    (re.compile(r"<(script|link)[^>]*fontawesome\.js[^>]*>(</script>)?"), ""),
    # A name that leaves out the words which are visible on the element; without it, those words are its name.
    (re.compile(r'(<summary) aria-label="Toggle hidden content"'), r"\1"),
    (re.compile(r'(<button class="[^"]*search-button-field[^>]*?) aria-label="[^"]*"'), r"\1"),
    # A name for the arrow that unfolds the pages below a page in the sidebar.
    (
        re.compile(
            r'(<a class="[^"]*reference internal[^"]*" href="[^"]*">([^<]*)</a><details[^>]*><summary)'
            r'(?=><span class="toctree-toggle")'
        ),
        r'\1 aria-label="Pages of: \2"',
    ),
    # Roles for a list of references that their elements may not have.
    (re.compile(r' role="(list|doc-biblioentry)"'), ""),
]


def repair_pages(app: Sphinx, error: Exception | None) -> None:
    if error is not None or not isinstance(app.builder, StandaloneHTMLBuilder):
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for pattern, replacement in REPAIRS:
            text = pattern.sub(replacement, text)
        page.write_text(text, encoding="utf-8")
    for script in Path(app.outdir, "_static").rglob("fontawesome.js*"):
        script.unlink()


def copy_handlers(app: Sphinx) -> None:
    """Give the single-page builder every handler that the HTML builder has."""
    handlers = app.registry.translation_handlers
    if app.builder.name == "singlehtml" and "singlehtml" in handlers:
        handlers["singlehtml"] = {**handlers["html"], **handlers["singlehtml"]}


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", copy_handlers)
    app.connect("build-finished", repair_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
