"""What the library's files say of themselves, read without importing them: public names, signatures, docstrings."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEADING = re.compile(r"(?P<name>Args|Attributes|Returns|Yields|Raises|Sources?|Chapters?):(?: +(?P<text>\S.*))?")
ITEM = re.compile(r"(?P<name>[\w*, ]+): (?P<text>.*)")
CHAPTER = re.compile(r"\d\d-[a-z0-9-]+")
WIDTH = 88
QUOTES = "'"


@dataclass(frozen=True)
class Block:
    """A paragraph of a docstring; `literal` keeps its lines as they are."""

    text: str
    literal: bool = False


@dataclass(frozen=True)
class Docstring:
    """A docstring, taken apart.

    Attributes:
        body: what stands before the first heading.
        parts: of each heading, its items: a name (empty where there is none) and what it is.
        chapters: slugs of the chapters that the docstring names.
    """

    body: tuple[Block, ...]
    parts: dict[str, tuple[tuple[str, str], ...]]
    chapters: tuple[str, ...]

    @property
    def first_sentence(self) -> str:
        """What a list of names says of this one."""
        text = self.body[0].text if self.body else ""
        return re.split(r"(?<=\.)\s(?=[A-Z])", text, maxsplit=1)[0]


@dataclass(frozen=True)
class Entry:
    """A public name of a module: a function, a class with its public methods, or a constant that has a docstring."""

    name: str
    signature: str
    doc: Docstring
    members: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Module:
    name: str
    doc: Docstring
    entries: tuple[Entry, ...]


def parse_docstring(text: str) -> Docstring:
    """Take a docstring in Google's style apart."""
    body: list[str] = []
    sections: dict[str, list[str]] = {}
    lines, last = body, ""
    for line in inspect.cleandoc(text).splitlines():
        if found := HEADING.fullmatch(line):
            lines = sections.setdefault(found["name"].rstrip("s") if found["name"][0] in "SC" else found["name"], [])
            lines += [found["text"]] if found["text"] else []
        else:
            if not last and line[:1].strip():
                lines = body  # a paragraph at the margin belongs to no heading
            lines.append(line)
        last = line
    chapters = tuple(dict.fromkeys(CHAPTER.findall("\n".join(sections.pop("Chapter", [])))))
    named = {"Args", "Attributes", "Raises"}
    parts = {name: tuple(split_items(content, named=name in named)) for name, content in sections.items()}
    return Docstring(tuple(split_blocks(body)), parts, chapters)


def split_blocks(lines: list[str]) -> Iterator[Block]:
    """The paragraphs of a text; indented ones that follow each other are one literal block."""
    paragraphs = [part for part in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")) if part.strip()]
    for literal, group in groupby(paragraphs, key=lambda part: part.startswith(" ")):
        if literal:
            yield Block(inspect.cleandoc("\n" + "\n\n".join(group)), literal=True)
        else:
            yield from (Block(" ".join(part.split())) for part in group)


def split_items(lines: list[str], *, named: bool) -> Iterator[tuple[str, str]]:
    """The items below a heading: each begins at the margin, with its name where items have one."""
    for item in re.split(r"\n(?=\S)", inspect.cleandoc("\n" + "\n".join(lines))):
        text = " ".join(item.split())
        found = ITEM.fullmatch(text) if named else None
        if text:
            yield (found["name"], found["text"]) if found else ("", text)


def write_signature(name: str, parameters: list[str], returns: str = "") -> str:
    """A call as one line, or with a line for each parameter where that is too long."""
    line = f"{name}({', '.join(parameters)}){returns}"
    if len(line) <= WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {parameter},\n" for parameter in parameters) + f"){returns}"


def list_parameters(arguments: ast.arguments) -> list[str]:
    """Each parameter with its type and default, and the marks `/` and `*`."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    written = [write_parameter(*pair) for pair in zip(positional, defaults, strict=True)]
    if arguments.posonlyargs:
        written.insert(len(arguments.posonlyargs), "/")
    if arguments.vararg:
        written.append(f"*{write_parameter(arguments.vararg, None)}")
    elif arguments.kwonlyargs:
        written.append("*")
    written += [write_parameter(*pair) for pair in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    if arguments.kwarg:
        written.append(f"**{write_parameter(arguments.kwarg, None)}")
    return written


def write_parameter(argument: ast.arg, default: ast.expr | None) -> str:
    annotated = f"{argument.arg}: {ast.unparse(argument.annotation)}" if argument.annotation else argument.arg
    if default is None:
        return annotated
    return f"{annotated} = {ast.unparse(default)}" if argument.annotation else f"{annotated}={ast.unparse(default)}"


def read_function(node: ast.FunctionDef, owner: str = "") -> Entry:
    parameters = list_parameters(node.args)
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    if owner and "staticmethod" not in decorators:
        del parameters[0]
    returns = f" -> {ast.unparse(node.returns).strip(QUOTES)}" if node.returns else ""
    if decorators & {"property", "cached_property"}:
        signature = f"{node.name}: {ast.unparse(node.returns)}" if node.returns else node.name
    else:
        signature = write_signature(node.name, parameters, returns)
    name = f"{owner}.{node.name}" if owner else node.name
    return Entry(name, signature, parse_docstring(ast.get_docstring(node) or ""))


def read_class(node: ast.ClassDef) -> Entry:
    """A class: its signature is that of its first call, be it written or made of the fields of a dataclass."""
    methods = {child.name: child for child in node.body if isinstance(child, ast.FunctionDef)}
    parameters: list[str] = []
    if "__init__" in methods:
        parameters = list_parameters(methods["__init__"].args)[1:]
    elif any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        fields = [child for child in node.body if isinstance(child, ast.AnnAssign)]
        parameters = [write_field(field) for field in fields]
    public = (child for name, child in methods.items() if not name.startswith("_") and ast.get_docstring(child))
    members = tuple(read_function(child, node.name) for child in public)
    doc = parse_docstring(ast.get_docstring(node) or "")
    return Entry(node.name, write_signature(node.name, parameters), doc, members)


def write_field(node: ast.AnnAssign) -> str:
    written = f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}"
    if node.value is None:
        return written
    if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "field":
        made = {keyword.arg: ast.unparse(keyword.value) for keyword in node.value.keywords}
        default = made.get("default") or (f"{made['default_factory']}()" if "default_factory" in made else "")
        return f"{written} = {default}" if default else written
    return f"{written} = {ast.unparse(node.value)}"


def list_entries(body: list[ast.stmt]) -> Iterator[Entry]:
    for node, after in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield read_function(node)
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield read_class(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(target, ast.Name) and not target.id.startswith("_") and said:
                kind = f": {ast.unparse(node.annotation)}" if isinstance(node, ast.AnnAssign) else ""
                text = ast.literal_eval(after.value)  # type: ignore[attr-defined]
                yield Entry(target.id, f"{target.id}{kind}", parse_docstring(str(text)))


@cache
def read_module(name: str) -> Module:
    """A module of the library, its entries in the order of the file.

    Raises:
        ValueError: if the library has no such module.
    """
    path = ROOT.joinpath(*name.split("."))
    found = next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
    if found is None:
        raise ValueError(f"The library has no module {name}: give a name such as course_lib.models.attention.")
    tree = ast.parse(found.read_text(encoding="utf-8"))
    return Module(name, parse_docstring(ast.get_docstring(tree) or ""), tuple(list_entries(tree.body)))
