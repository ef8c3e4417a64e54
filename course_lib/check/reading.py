"""Read a cell's source without running it, magics and all."""

from __future__ import annotations

import ast
from collections.abc import Iterable

RUNS_MAGIC = ("run_line_magic", "run_cell_magic")


def parse(source: str) -> ast.Module | None:
    """The syntax tree of a cell; what ``%time`` and ``%%time`` would run stands at its end. ``None`` for no Python."""
    tree = _parse(source)
    if tree is None:
        source = _without_magics(source)
        tree = _parse(source)
    if tree is None or not any(name in source for name in RUNS_MAGIC):
        return tree
    return _with_what_magics_run(tree, ast.walk(tree))


def alone(statement: ast.stmt, nodes: Iterable[ast.AST]) -> ast.Module:
    """The syntax tree of a cell that holds only this statement of another, from all nodes of the statement."""
    return _with_what_magics_run(ast.Module(body=[statement], type_ignores=[]), nodes)


def _with_what_magics_run(tree: ast.Module, nodes: Iterable[ast.AST]) -> ast.Module:
    for text in [argument for call in nodes if _is_magic(call) for argument in _texts(call)]:
        inner = parse(text)
        tree.body += inner.body if inner is not None else []
    return tree


def _parse(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _without_magics(source: str) -> str:
    """The cell as a kernel runs it: each magic is a call."""
    from IPython.core.inputtransformer2 import TransformerManager  # takes long, and few cells need it

    return str(TransformerManager().transform_cell(source))


def _is_magic(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    return node.func.attr in RUNS_MAGIC


def _texts(call: ast.AST) -> list[str]:
    """What a magic was given, without its name."""
    arguments = call.args[1:] if isinstance(call, ast.Call) else []
    return [a.value for a in arguments if isinstance(a, ast.Constant) and isinstance(a.value, str)]
