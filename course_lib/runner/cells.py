"""Run a notebook's code cells as a kernel would, in one namespace, without a kernel."""

from __future__ import annotations

import contextlib
import linecache
import sys
import types
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from course_lib.check.probe import MAX_MESSAGE, Failure, Frame, student_frames

PROMPT = "In ["  # a kernel takes it away; to Python `In [3]: x = 1` is an annotation
RUNS_ITS_BODY = {"time", "capture", "prun"}
"""Magics whose body a kernel runs in the notebook's own namespace; all others are ignored."""


class Shell:
    """What ``get_ipython()`` gives: takes every call and does nothing, but runs the body of ``%%time``."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self._scope = scope
        self.filename = "<cell>"

    def run_line_magic(self, name: str, line: str, *_: Any, **__: Any) -> None:
        """``%time statement`` runs the statement; other line magics do nothing."""
        if name in RUNS_ITS_BODY:
            exec(line, self._scope)

    def run_cell_magic(self, name: str, line: str, cell: str) -> None:
        """``%%time`` runs the cell; other cell magics do nothing."""
        if name in RUNS_ITS_BODY:
            exec(compile("\n" + TransformerManager().transform_cell(cell), self.filename, "exec"), self._scope)

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


def fresh_namespace() -> dict[str, Any]:
    """A new ``__main__`` module's namespace, with what a kernel puts there."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    scope = module.__dict__
    shell = Shell(scope)
    scope["get_ipython"] = lambda: shell
    scope["display"] = lambda *args, **kwargs: None
    return scope


def run_cell(name: str, source: str, scope: dict[str, Any]) -> Failure | None:
    """Run one cell. What it raises is returned, so that the next cells can run."""
    filename = f"<{name}>"
    scope["get_ipython"]().filename = filename
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    try:
        exec(_compile(source, filename), scope)
    except SyntaxError as error:
        frame = Frame("<module>", error.lineno or 0, (error.text or "").strip()[:200])
        return Failure("raised", type(error).__name__, str(error.msg)[:MAX_MESSAGE], (frame,))
    except BaseException as error:
        return Failure("raised", type(error).__name__, _text(error), student_frames(error))
    return None


def _compile(source: str, filename: str) -> types.CodeType:
    """The cell's code. Most cells hold no magic and are Python as they stand; to look for one takes far longer."""
    if PROMPT not in source:
        with contextlib.suppress(SyntaxError):
            return compile(source, filename, "exec", dont_inherit=True)
    return compile(TransformerManager().transform_cell(source), filename, "exec", dont_inherit=True)


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_MESSAGE]
    except BaseException:
        return ""
