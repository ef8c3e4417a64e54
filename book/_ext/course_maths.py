"""Maths typeset while the book is built; a formula that cannot be typeset fails the build."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinxcontrib import katex

LOGGER = logging.getLogger(__name__)


def visit_inline(translator: Any, node: nodes.math) -> None:
    _typeset(katex.html_visit_math, translator, node)


def visit_block(translator: Any, node: nodes.math_block) -> None:
    _typeset(katex.html_visit_displaymath, translator, node)


def _typeset(visit: Any, translator: Any, node: nodes.Element) -> None:
    try:
        visit(translator, node)
    except katex.KaTeXError as error:
        LOGGER.warning("This formula cannot be typeset: %s\n%s", error, node.astext(), location=node)
        raise nodes.SkipNode from error


class PatientServer(katex.KaTeXServer):
    """The maths server, started again where it had made its socket and did not listen to it yet."""

    START = katex.KaTeXServer.start
    ATTEMPTS = 5

    @classmethod
    def start(cls) -> katex.KaTeXServer:
        for _ in range(cls.ATTEMPTS - 1):
            try:
                return cls.START()
            except ConnectionRefusedError:
                LOGGER.info("The maths server was not listening yet: another is started.")
        return cls.START()


def setup(app: Sphinx) -> dict[str, bool]:
    katex.KATEX_DEFAULT_OPTIONS["throwOnError"] = True
    katex.STARTUP_TIMEOUT = 60.0
    katex.RENDER_TIMEOUT = 60.0
    katex.KaTeXServer.start = PatientServer.start
    app.setup_extension("sphinxcontrib.katex")
    app.add_html_math_renderer(
        "course_katex", inline_renderers=(visit_inline, None), block_renderers=(visit_block, None)
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
