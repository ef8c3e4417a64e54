"""Maths typeset while the book is built; a formula that cannot be typeset fails the build."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
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
    """The maths server, waited for until it listens: its socket is there a moment earlier, and refuses until then."""

    @classmethod
    def start_server_process(cls, rundir: Path, timeout: float) -> tuple[subprocess.Popen[bytes], socket.socket]:
        path = rundir / "katex.sock"
        command = cls.build_command(socket=path)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=rundir)
        deadline = time.monotonic() + timeout
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(str(path))
                return process, connection
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
            if time.monotonic() > deadline:
                process.kill()  # left alive, it would hold the output of whoever waits for this build to end
                raise cls.timeout_error(timeout)
            time.sleep(0.001)


def setup(app: Sphinx) -> dict[str, bool]:
    katex.KATEX_DEFAULT_OPTIONS["throwOnError"] = True
    katex.STARTUP_TIMEOUT = 60.0
    katex.RENDER_TIMEOUT = 60.0
    katex.KaTeXServer.start_server_process = PatientServer.start_server_process
    app.setup_extension("sphinxcontrib.katex")
    app.add_html_math_renderer(
        "course_katex", inline_renderers=(visit_inline, None), block_renderers=(visit_block, None)
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
