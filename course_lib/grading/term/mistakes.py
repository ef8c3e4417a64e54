"""The commonest known mistakes of a term, each with an example that names nobody."""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import dataclass

from course_lib.grading.solution import answers
from course_lib.grading.standing import Person
from course_lib.grading.term.term import Term, Work

LONGEST = 32
"""Lines of an example; a longer one shows nothing at a glance."""


@dataclass(frozen=True)
class Mistake:
    """A known mistake.

    Attributes:
        slug, exercise: where.
        says: the sentence that students read.
        count: how many made it.
        students: of how many who handed in a notebook that can be read.
        example: the answer of one of them, or "" where none can be shown.
    """

    slug: str
    exercise: str
    says: str
    count: int
    students: int
    example: str


def commonest(term: Term, most: int) -> list[Mistake]:
    """The mistakes that most students made, over all assignments."""
    found = [mistake for work in term.works for mistake in _mistakes(work)]
    return sorted(found, key=lambda m: (-m.count / m.students, m.slug, m.exercise, m.says))[:most]


def _mistakes(work: Work) -> list[Mistake]:
    made: Counter[tuple[str, str]] = Counter()
    makers: dict[tuple[str, str], list[str]] = {}
    readable = work.readable()
    for student in readable:
        result = work.entries[student].result
        for exercise in result.exercises if result else ():
            for name in {line.mistake for line in exercise.lines if line.mistake}:
                made[exercise.name, name] += 1
                makers.setdefault((exercise.name, name), []).append(student)
    said = {(e.name, m.name): m.says for e in work.spec.exercises for m in e.misconceptions}
    return [
        Mistake(
            work.spec.slug,
            key[0],
            said.get(key, key[1].replace("_", " ")),
            count,
            len(readable),
            _example(work, key[0], makers[key]),
        )
        for key, count in made.items()
    ]


def _example(work: Work, exercise: str, students: list[str]) -> str:
    """The shortest answer that can be shown."""
    solved = answers(work.spec.slug)[exercise]
    shown = []
    for student in students:
        source = (work.answers or {}).get(student, {}).get(exercise, "")
        code = anonymous(source, solved, work.entries[student].person)
        if code and code.count("\n") < LONGEST:
            shown.append(code)
    return min(shown, key=lambda code: (len(code), code), default="")


def anonymous(source: str, solved: str, person: Person) -> str | None:
    """An answer as code alone: without comments, and without text that the solution does not hold.

    ``None`` where it is no Python, or where a word in it is a name of its author.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None
    plain = _Plain(solved).visit(tree)
    for node in ast.walk(plain):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.body:
            node.body.append(ast.Pass())
    code = ast.unparse(plain)
    own = {word.casefold() for word in re.findall(r"[^\W\d_]+", " ".join((person.first_name, person.last_name)))}
    words = {word.casefold() for word in re.findall(r"[^\W_]+", code)}
    named = own & words or person.student.casefold() in words
    return None if named else code


class _Plain(ast.NodeTransformer):
    """Takes out descriptions, and text that is the student's own."""

    def __init__(self, solved: str) -> None:
        self.solved = solved

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if isinstance(node.value, str) and node.value not in self.solved:
            return ast.copy_location(ast.Constant("…"), node)
        if isinstance(node.value, bytes):
            return ast.copy_location(ast.Constant(b""), node)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return ast.copy_location(ast.Constant("…"), node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else self.generic_visit(node)
