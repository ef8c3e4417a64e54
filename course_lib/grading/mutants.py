"""Small changes to a solution, one at a time, to see whether the rubric notices each of them.

A misconception is a mistake that somebody thought of; a mutant is one that nobody had to think of. Mutants are
made on the syntax tree: an operator, a comparison, a constant, an axis, an index, a call, a keyword or a statement is
changed or dropped. Annotations, documentation and the text of errors stay as they are.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
}
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
TWINS = {
    "sin": "cos",
    "cos": "sin",
    "max": "min",
    "amax": "amin",
    "maximum": "minimum",
    "sum": "mean",
    "tril": "triu",
    "zeros": "ones",
    "zeros_like": "ones_like",
    "stack": "cat",
    "softmax": "log_softmax",
}
SYMMETRIC = {"transpose", "max", "min", "maximum", "minimum", "zip", "Linear", "swapaxes"}
"""Calls whose first two arguments may change places, or whose exchange only ends in another error."""


@dataclass(frozen=True)
class Mutant:
    """A solution with one change.

    Attributes:
        kind: what was changed, in one word.
        before, after: the changed statement's first line, as it was and as it is.
        line: number of the statement's line in the source.
        source: the whole changed source.
    """

    kind: str
    before: str
    after: str
    line: int
    source: str

    @property
    def description(self) -> str:
        """The change in one line."""
        return f"{self.kind}, line {self.line}: {self.before}  →  {self.after}"


def mutants(source: str) -> list[Mutant]:
    """Every single change to a source that gives another text.

    Args:
        source: a cell that defines a function or a class.

    Returns:
        The mutants in the order of the changed lines, each text once.
    """
    tree = ast.parse(source)
    found: dict[str, Mutant] = {}
    for path, statement in _statements(tree):
        before = _first_line(statement)
        for kind, changed in _changes(statement):
            after = _first_line(changed)
            whole = ast.unparse(_replaced(tree, path, changed))
            if whole != ast.unparse(tree):
                found.setdefault(whole, Mutant(kind, before, after, statement.lineno, whole))
    return sorted(found.values(), key=lambda mutant: mutant.line)


Path = tuple[tuple[str, int], ...]


def _statements(node: ast.AST, path: Path = ()) -> Iterator[tuple[Path, ast.stmt]]:
    """The statements below a node that may be changed, each with the way to it."""
    for field in ("body", "orelse"):
        for index, child in enumerate(getattr(node, field, [])):
            here = (*path, (field, index))
            documentation = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if not documentation and not isinstance(child, (ast.Raise, ast.Import, ast.ImportFrom, ast.ClassDef)):
                yield here, child
            yield from _statements(child, here)


def _replaced(tree: ast.Module, path: Path, statement: ast.stmt) -> ast.Module:
    """A copy of the tree with the statement at the end of the way replaced."""
    tree = copy.deepcopy(tree)
    node: ast.AST = tree
    for field, index in path[:-1]:
        node = getattr(node, field)[index]
    field, index = path[-1]
    getattr(node, field)[index] = statement
    return ast.fix_missing_locations(tree)


def _first_line(statement: ast.stmt) -> str:
    return ast.unparse(statement).split("\n")[0]


def _changes(statement: ast.stmt) -> Iterator[tuple[str, ast.stmt]]:
    """Changed copies of one statement. Of a compound statement only its head is changed."""
    if isinstance(statement, (ast.Assign, ast.AugAssign, ast.Expr, ast.If)):
        yield "statement", ast.copy_location(ast.Pass(), statement)
    places = [node for field in _head(statement) for node in ast.walk(field) if isinstance(node, ast.expr)]
    for number in range(len(places)):
        for kind, _ in _alternatives(places[number]):
            yield kind, _with_change(statement, number, kind)


def _head(statement: ast.stmt) -> list[ast.AST]:
    """The expressions of a statement that may be changed: of a definition its defaults, of a block its condition."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return [*statement.args.defaults, *(default for default in statement.args.kw_defaults if default is not None)]
    if isinstance(statement, (ast.If, ast.While)):
        return [statement.test]
    if isinstance(statement, ast.For):
        return [statement.iter]
    return [statement]


def _with_change(statement: ast.stmt, number: int, kind: str) -> ast.stmt:
    changed = copy.deepcopy(statement)
    places = [node for field in _head(changed) for node in ast.walk(field) if isinstance(node, ast.expr)]
    place = places[number]
    new = next(node for name, node in _alternatives(place) if name == kind)
    _Exchange(place, new).visit(changed)
    return ast.fix_missing_locations(changed)


class _Exchange(ast.NodeTransformer):
    """Put one node in the place of another."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        """The new node for the old one; all others as they are."""
        if node is self._old:
            return self._new
        changed: ast.AST = super().visit(node)
        return changed


def _alternatives(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """What may stand in the place of an expression, each kind of change once."""
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        yield "operator", ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
        yield "left operand only", node.left
        yield "right operand only", node.right
    elif isinstance(node, ast.Compare):
        yield "comparison", ast.Compare(node.left, [COMPARISONS[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.UnaryOp):
        value = node.operand.value if isinstance(node.operand, ast.Constant) else None
        if isinstance(node.op, ast.USub) and isinstance(value, int):
            yield "axis up", ast.Constant(1 - value) if value < 2 else ast.UnaryOp(ast.USub(), ast.Constant(value - 1))
            yield "axis down", ast.UnaryOp(ast.USub(), ast.Constant(value + 1))
        else:
            yield "sign or negation dropped", node.operand
    elif isinstance(node, ast.Constant):
        yield from _other_constants(node.value)
    elif isinstance(node, ast.Subscript):
        yield "index dropped", node.value
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)


def _other_constants(value: object) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(value, bool):
        yield "constant", ast.Constant(not value)
    elif isinstance(value, int):
        yield "constant up", ast.Constant(value + 1)
        yield "constant down", ast.Constant(value - 1)
    elif isinstance(value, float):
        yield "constant", ast.Constant(value * 2 if value else 1.0)


def _other_calls(node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    method = isinstance(node.func, ast.Attribute) and not _is_module(node.func.value)
    if method and isinstance(node.func, ast.Attribute):
        yield "call dropped", node.func.value
    elif node.args:
        yield "call dropped", node.args[0]
    if name in TWINS:
        twin = (
            ast.Attribute(node.func.value, TWINS[name])
            if isinstance(node.func, ast.Attribute)
            else ast.Name(TWINS[name])
        )
        yield "call", ast.Call(twin, node.args, node.keywords)
    if len(node.args) > 1 and name not in SYMMETRIC:
        yield "arguments exchanged", ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)
    for number, keyword in enumerate(node.keywords):
        rest = node.keywords[:number] + node.keywords[number + 1 :]
        yield f"keyword {keyword.arg} dropped", ast.Call(node.func, node.args, rest)


def _is_module(node: ast.expr) -> bool:
    """Whether a call's object is one of the modules of the set-up cell, so that there is no object to keep."""
    root = node
    while isinstance(root, ast.Attribute):
        root = root.value
    return isinstance(root, ast.Name) and root.id in {"torch", "math", "nn", "F", "self"}
