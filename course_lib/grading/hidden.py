"""Where an exercise rules something out: what in an answer's source could hide that it is used all the same.

Calls are also watched where they happen, in the student's process, which can be deceived. The source cannot: it is
read here. What it hides is no proof of anything, so it costs no points and a person looks.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache

from course_lib.check.judge import mentions, ruled_out
from course_lib.check.reading import alone, parse

NOTE = "What this answer calls cannot be read from its source"
SHOWN = 3
KEPT = 1024
"""Cells that stay read: given ones come again with every submission, answers with each of its exercises."""

LIBRARY = {"torch", "nn", "F", "Tensor", "math", "np", "numpy", "course_lib"}
LOOK_UP = {"eval", "exec", "compile", "globals", "locals", "vars", "dir", "setattr", "delattr", "get_ipython"}
LOOK_UP |= {"__import__", "__builtins__", "attrgetter", "methodcaller"}
INSIDE = {"__dict__", "__globals__", "__builtins__", "__code__", "__closure__", "__subclasses__", "__dir__"}
INSIDE |= {"__getattribute__", "__loader__", "__spec__", "__import__", "CompilationUnit", "ops"}
MODULES = {"importlib", "ctypes", "gc", "inspect", "builtins", "marshal", "pickle", "runpy", "pkgutil"}
CHECK = ("course_lib.check", "check")
MACHINERY: tuple[str, ...] = ("course_lib.check.", "course_lib.runner", "sys.modules")
MACHINERY += ("torch.ops", "torch._", "torch.library", "torch.jit")


@dataclass(frozen=True)
class _Statement:
    """A statement at the top of a cell: what it could hide, what it loads, binds and mentions."""

    hiding: Sequence[str]
    names: Sequence[str]
    binds: Set[str]
    mentions: Set[str]


@dataclass(frozen=True)
class _Cell:
    """A cell: what it could hide, the names that it loads, and its statements."""

    hiding: Sequence[str]
    names: Sequence[str]
    statements: Sequence[_Statement]


def hidden_calls(answer: str, others: Sequence[str], banned: Sequence[str]) -> list[str]:
    """What in an answer, or in what it uses of other cells, could hide a call of something ruled out.

    Args:
        answer: source of the exercise's cell.
        others: sources of the submission's other cells.
        banned: what the exercise rules out.

    Returns:
        Descriptions such as ``getattr with a computed name``, each once, in the order of the source.
    """
    read = _read(answer)
    if read is None:
        return []
    found = [*read.hiding]
    cells = [cell for cell in map(_read, others) if cell is not None]
    elsewhere: dict[str, list[_Statement]] = {}
    for statement in (statement for cell in cells for statement in cell.statements):
        for name in statement.binds:
            elsewhere.setdefault(name, []).append(statement)
    seen: set[str] = set()
    todo = [*read.names]
    while todo:
        name = todo.pop(0)
        if name in seen:
            continue
        seen.add(name)
        for statement in elsewhere.get(name, ()):
            found += [f"{what} behind {name}" for what in statement.hiding]
            if used := ruled_out(statement.mentions, banned):
                found.append(f"{name}, which uses {used}")
            todo += statement.names
    for cell in cells:  # a library that was changed is changed for every cell
        found += [what for what in cell.hiding if what.startswith(("a change of ", "course_lib."))]
    return list(dict.fromkeys(found))


def note_about(found: Sequence[str], banned: Sequence[str]) -> str:
    """What the student and the instructor are told."""
    what = ", ".join(banned[:SHOWN]) + (" and their like" if len(banned) > SHOWN else "")
    return (
        f"{NOTE} ({'; '.join(found[:SHOWN])}), and this exercise rules out {what}: your instructor looks at it. "
        "That by itself costs no points."
    )


@lru_cache(KEPT)
def _read(source: str) -> _Cell | None:
    """What a cell's source says, without its syntax tree, which is large; ``None`` for no Python."""
    tree = parse(source)
    if tree is None:
        return None
    statements = [_statement(statement) for statement in tree.body]
    hiding = [what for statement in statements for what in statement.hiding]
    names = dict.fromkeys(name for statement in statements for name in statement.names)
    return _Cell(hiding, [*names], statements)


def _statement(statement: ast.stmt) -> _Statement:
    nodes = [*ast.walk(statement)]
    tree = alone(statement, nodes)
    named = mentions(tree, nodes if len(tree.body) == 1 else None)
    return _Statement([*_hiding(nodes)], _names(nodes), _binds(statement, nodes), named)


def _hiding(nodes: Sequence[ast.AST]) -> Iterator[str]:
    plain = {id(name) for node in nodes if (name := _read_through(node)) is not None}
    for node in nodes:
        if isinstance(node, ast.Name):
            if id(node) in plain:
                continue
            if node.id == "getattr":
                yield "getattr with a computed name"
            elif node.id in LOOK_UP and isinstance(node.ctx, ast.Load):
                yield node.id
        elif isinstance(node, ast.Attribute):
            path = _path(node)
            if node.attr in INSIDE or node.attr in LOOK_UP - {"compile", "dir", "eval"}:
                yield path
            elif isinstance(node.ctx, ast.Store) and path.partition(".")[0] in LIBRARY:
                yield f"a change of {path}"
            elif path.startswith(MACHINERY) or _is_private(path):
                yield path
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (name for name in _imported(node) if _is_inside(name))


def _read_through(node: ast.AST) -> ast.Name | None:
    """The name in a call that hides nothing.

    ``getattr(x, "name")`` is like ``x.name``, ``self`` is the answer's own, and ``parse`` reads what a magic runs.
    """
    if not isinstance(node, ast.Call):
        return None
    fixed = all(isinstance(argument, ast.Constant) for argument in node.args)
    if isinstance(node.func, ast.Name) and node.func.id == "getattr":
        own = bool(node.args) and isinstance(node.args[0], ast.Name) and node.args[0].id == "self"
        return node.func if own or (len(node.args) > 1 and isinstance(node.args[1], ast.Constant)) else None
    match node.func:
        case ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython") as name)) if fixed:
            return name
    return None


def _is_private(path: str) -> bool:
    """``torch._C``, under whatever name; not what a class keeps for itself."""
    root, _, last = path.partition(".")[0], *path.rpartition(".")[1:]
    return last.startswith("_") and not last.endswith("__") and root not in ("self", "cls")


def _is_inside(name: str) -> bool:
    return name.partition(".")[0] in MODULES or name.startswith(MACHINERY) or name.rpartition(".")[2] in LOOK_UP


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module or ''}.{alias.name}" for alias in node.names if (node.module, alias.name) != CHECK]


def _path(node: ast.Attribute) -> str:
    """``torch.ops.aten`` for what is written so; a dot and the last name where it does not begin with a name."""
    parts = [node.attr]
    value: ast.expr = node.value
    while isinstance(value, ast.Attribute):
        parts.insert(0, value.attr)
        value = value.value
    return ".".join([value.id if isinstance(value, ast.Name) else "", *parts])


def _names(nodes: Sequence[ast.AST]) -> list[str]:
    """Names and methods that something uses."""
    loads = (n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
    return list(dict.fromkeys(loads))


def _binds(statement: ast.stmt, nodes: Sequence[ast.AST]) -> Set[str]:
    """The names that a statement at the top of a cell binds."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
