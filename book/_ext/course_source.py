"""`{literalinclude}` with one more option, `:without-docstrings:`, for code that the text around it explains.

The code still comes from the library's file at each build; only what is said twice is left out. Below it stands a link
to its entry in the reference, which says the rest.
"""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path
from typing import Any, ClassVar

import course_api
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.directives.code import LiteralInclude


def drop_docstrings(source: str) -> str:
    """Python source without the docstrings of its functions and classes, and without the blank line after each.

    A method taken out of its class begins at the margin.
    """
    source = textwrap.dedent(source)
    lines = source.splitlines()
    dropped: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if ast.get_docstring(node) is None or len(node.body) == 1:
            continue
        first, last = node.body[0].lineno, node.body[0].end_lineno or node.body[0].lineno
        if last < len(lines) and not lines[last].strip():
            last += 1
        dropped.update(range(first, last + 1))
    return "\n".join(line for number, line in enumerate(lines, start=1) if number not in dropped) + "\n"


class SourceInclude(LiteralInclude):
    """Sphinx's directive, with the option and the link."""

    option_spec: ClassVar[dict[str, Any]] = {**LiteralInclude.option_spec, "without-docstrings": directives.flag}

    def run(self) -> list[nodes.Node]:
        result = super().run()
        blocks = [block for node in result for block in node.findall(nodes.literal_block)]
        for block in blocks:
            if "without-docstrings" in self.options:
                text = drop_docstrings(block.astext())
                block.rawsource = text
                block.children = []
                block += nodes.Text(text)
        module, name = self.name_object()
        entry = course_api.find_entry(module, name)
        if entry is None or not blocks:
            return result
        blocks[0]["course_object"] = f"{module}.{name}"
        link = course_api.link_entry(module, entry)
        return [*result, nodes.paragraph("", "Reference: ", link, classes=["course-reference"])]

    def name_object(self) -> tuple[str, str]:
        """The module of the library that the file is, and the name of what is taken from it."""
        path = Path(self.env.relfn2path(self.arguments[0])[0])
        return ".".join(path.with_suffix("").parts), self.options.get("pyobject", "")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("literalinclude", SourceInclude, override=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
