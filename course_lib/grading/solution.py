"""The solution notebook of an assignment: its cells, its released form, and wrong variants of it.

``solutions/<slug>/<notebook>.py`` is the only source. Here it is read with jupytext; the answers
between ``### BEGIN SOLUTION`` and ``### END SOLUTION`` stay, their markers go. A ``slug`` may be the full name of a
variant everywhere here: its constants stand in the cells then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jupytext
from nbformat import NotebookNode

from course_lib.grading.places import ROOT
from course_lib.grading.spec import Assignment, Misconception, SpecError
from course_lib.grading.variant import find, rewrite

MARKER = re.compile(r"^[ \t]*### (BEGIN|END) SOLUTION[ \t]*\n?", re.MULTILINE)
ANSWER = re.compile(
    r"^([ \t]*)### BEGIN SOLUTION[ \t]*\n.*?^[ \t]*### END SOLUTION[ \t]*(?:\n|\Z)", re.MULTILINE | re.DOTALL
)


def solution_path(spec: Assignment) -> Path:
    """Where the assignment's source stands."""
    return ROOT / "solutions" / spec.slug / f"{spec.notebook}.py"


@cache
def read_solution(slug: str) -> NotebookNode:
    """The solution as a notebook with nbgrader metadata. Do not change it: it is shared."""
    spec = find(slug)
    notebook = jupytext.read(solution_path(spec))
    rewrite(spec, notebook.cells)
    return notebook


def grade_id(cell: Mapping[str, Any]) -> str | None:
    """The nbgrader id of a cell, if it has one."""
    return cell.get("metadata", {}).get("nbgrader", {}).get("grade_id")


def is_answer(cell: Mapping[str, Any]) -> bool:
    """Whether a code cell is one that the student writes in."""
    settings = cell.get("metadata", {}).get("nbgrader", {})
    return cell["cell_type"] == "code" and bool(settings.get("solution"))


@cache
def answers(slug: str) -> Mapping[str, str]:
    """The solved source of each answer cell by grade_id, without markers."""
    return {str(grade_id(c)): MARKER.sub("", c["source"]) for c in read_solution(slug).cells if is_answer(c)}


def given_cells(slug: str) -> list[tuple[str, str]]:
    """The code cells that run before grading, in order, as (name, source).

    Answer cells are named by their grade_id and hold the solved source. Cells tagged ``student-only`` (plots,
    experiments to look at) and grade cells are left out.
    """
    cells = []
    for number, cell in enumerate(read_solution(slug).cells):
        if cell["cell_type"] != "code" or "student-only" in cell["metadata"].get("tags", []):
            continue
        if is_answer(cell):
            cells.append((str(grade_id(cell)), answers(slug)[str(grade_id(cell))]))
        elif not cell["metadata"].get("nbgrader", {}).get("grade"):
            cells.append((grade_id(cell) or f"cell-{number}", cell["source"]))
    return cells


def stub(slug: str, exercise: str) -> str:
    """The exercise's cell as the student gets it: each answer is a NotImplementedError."""
    cell = next(c for c in read_solution(slug).cells if is_answer(c) and grade_id(c) == exercise)
    return str(ANSWER.sub(r"\1raise NotImplementedError()\n", cell["source"]))


def wrong_source(slug: str, exercise: str, misconception: Misconception) -> str:
    """The solution cell of an exercise with a misconception in it.

    Raises:
        SpecError: an edit does not occur exactly once in the solution.
    """
    if misconception.source is not None:
        return misconception.source
    source = answers(slug)[exercise]
    for old, new in misconception.edits:
        if source.count(old) != 1:
            raise SpecError(
                f"{slug}.{exercise}: the edit of misconception {misconception.name!r} must occur once in the "
                f"solution, it occurs {source.count(old)} times: {old!r}"
            )
        source = source.replace(old, new)
    return source


def namespace(slug: str, *, replace: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run the solution's cells, some answers replaced, and return what they define.

    The sources of the cells stand there as ``__sources__``. Only for the course's own sources: this runs them here,
    in this process.
    """
    cells = [(name, (replace or {}).get(name, source)) for name, source in given_cells(slug)]
    scope: dict[str, Any] = {"__name__": "__main__", "__sources__": tuple(source for _, source in cells)}
    for name, source in cells:
        exec(compile(source, f"<{name}>", "exec"), scope)
    return scope
