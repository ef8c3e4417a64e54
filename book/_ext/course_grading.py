"""Pages for instructors: `{kill-tables}` shows which rubric line catches which mistake, `{hostile-table}` what the
hostile submissions of the tests managed to do, `{term-plan}` and `{term-paths}` the weeks and hours of a term.

They read what commands have written, the released notebooks and the syllabus: nothing in these tables is typed by hand.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import yaml
from course_downloads import HEADER
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]
SYLLABUS = ROOT / "book" / "syllabus.yml"
KILL_TABLES = ROOT / "build" / "kill-table"
HOSTILE_TESTS = ROOT / "tests" / "grading" / "hostile"
HOSTILE_RECORD = ROOT / "build" / "hostile.json"


def make_table(headings: tuple[str, ...], widths: tuple[int, ...], rows: list[list[nodes.Node]]) -> nodes.table:
    """A table of ready-made cells."""
    group = nodes.tgroup("", *[nodes.colspec(colwidth=width) for width in widths], cols=len(widths))
    head = nodes.row("", *[nodes.entry("", nodes.paragraph(text=heading)) for heading in headings])
    group += nodes.thead("", head)
    group += nodes.tbody("", *[nodes.row("", *[nodes.entry("", cell) for cell in row]) for row in rows])
    return nodes.table("", group)


def words(text: str) -> nodes.paragraph:
    return nodes.paragraph(text=text)


def code(*texts: str) -> nodes.paragraph:
    """Names in code type, with commas."""
    paragraph = nodes.paragraph()
    for number, text in enumerate(texts):
        paragraph += [nodes.Text(", "), nodes.literal(text=text)] if number else [nodes.literal(text=text)]
    return paragraph


def exercise_rows(exercise: dict[str, Any]) -> list[list[nodes.Node]]:
    """What was put to the rubric of one exercise, the line that caught it, and what it earned."""
    full = f"{exercise['solution']:g} of {exercise['points']:g}"
    rows: list[list[nodes.Node]] = [
        [words("the solution"), words("nothing"), words(full)],
        [words("the blank stub"), words(f"every line: “{exercise['blank_says']}”"), words(f"{exercise['blank']:g}")],
    ]
    for kill in exercise["misconceptions"]:
        says = nodes.paragraph("", "", nodes.literal(text=kill["name"]), nodes.Text(f": “{kill['says']}”"))
        caught = code(*kill["caught_by"]) if kill["caught_by"] else words("nothing")
        rows.append([says, caught, words(f"{kill['earned']:g}")])
    return rows


def totals(table: dict[str, Any]) -> str:
    """The table in one sentence."""
    exercises = table["exercises"]
    known = [kill for exercise in exercises for kill in exercise["misconceptions"]]
    caught = sum(kill["named"] and kill["intended"] in kill["caught_by"] for kill in known)
    full = sum(exercise["solution"] == exercise["points"] for exercise in exercises)
    blank = sum(exercise["blank"] == 0 for exercise in exercises)
    return (
        f"{full} of {len(exercises)} solutions earn all their points and {blank} of {len(exercises)} blank stubs none. "
        f"{caught} of {len(known)} known mistakes lose the rubric line that is meant to catch them and are named "
        f"there. Each was put to the rubric with {table['seeds']} draws of inputs."
    )


def mutant_totals(table: dict[str, Any]) -> str:
    """The automatic mutants in one sentence."""
    made = [mutant for exercise in table["exercises"] for mutant in exercise["mutants"]]
    if not made:
        return "Automatic mutants are not in this table: `python -m tools.kill_tables --mutants` adds them."
    survived = [mutant for mutant in made if not mutant["caught_by"] and not mutant["stopped"]]
    equivalent = sum(bool(mutant["equivalent"]) for mutant in survived)
    return (
        f"Of {len(made)} automatic mutants, {len(made) - len(survived)} lose points, {equivalent} are as right as the "
        f"solution for the reasons below, and {len(survived) - equivalent} earn full marks without being right."
    )


def equivalent_rows(table: dict[str, Any]) -> list[list[nodes.Node]]:
    """The mutants that are right as well, each with the reason."""
    return [
        [code(exercise["name"]), code(mutant["mutant"]["after"]), words(mutant["equivalent"])]
        for exercise in table["exercises"]
        for mutant in exercise["mutants"]
        if mutant["equivalent"]
    ]


class KillTables(SphinxDirective):
    """A section for each assignment."""

    def run(self) -> list[nodes.Node]:
        paths = sorted(KILL_TABLES.glob("*.json"))
        if not paths:
            raise self.error(f"{KILL_TABLES} holds no table: run `python -m tools.kill_tables`.")
        return [self.make_section(path) for path in paths]

    def make_section(self, path: Path) -> nodes.section:
        self.env.note_dependency(str(path))
        table = json.loads(path.read_text(encoding="utf-8"))["table"]
        name = f"kill-table-{path.stem}"
        section = nodes.section(ids=[name], names=[name])
        section += nodes.title(text=f"{int(path.stem[:2])} · {table['title']}")
        section += [words(totals(table)), *self.parse(mutant_totals(table))]
        for exercise in table["exercises"]:
            part = nodes.section(ids=[f"{name}-{nodes.make_id(exercise['name'])}"])
            part += nodes.title("", "", nodes.literal(text=exercise["name"]))
            part += make_table(("Put to the rubric", "Caught by", "Earned"), (6, 3, 1), exercise_rows(exercise))
            if reason := exercise.get("no_mutants"):
                part += words(f"No automatic mutants are made of it: {reason}")
            section += part
        if rows := equivalent_rows(table):
            part = nodes.section(ids=[f"{name}-equivalent-mutants"])
            part += nodes.title(text="Mutants that are right as well")
            part += make_table(("Exercise", "Changed to", "Why it gives the same"), (2, 4, 4), rows)
            section += part
        return section

    def parse(self, text: str) -> list[nodes.Node]:
        container = nodes.container()
        self.state.nested_parse(StringList([text]), 0, container)
        return container.children


def read_hostile(folder: Path, record: Path) -> list[dict[str, Any]]:
    """The modules of the hostile suite: what each is about, and how many of its tests held in the last run."""
    known = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    modules = []
    for path in sorted(folder.glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {f.name for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) and f.name.startswith("test_")}
        outcomes = [o for name, o in known.get(path.name, {}).items() if name.partition("[")[0] in functions]
        modules.append(
            {
                "about": (ast.get_docstring(tree) or path.stem).partition("\n\n")[0].replace("\n", " "),
                "file": path.name,
                "run": sum(outcome != "skipped" for outcome in outcomes),
                "held": outcomes.count("passed"),
            }
        )
    return modules


class HostileTable(SphinxDirective):
    """One row for each module of the hostile suite."""

    def run(self) -> list[nodes.Node]:
        for path in (HOSTILE_RECORD, *sorted(HOSTILE_TESTS.glob("test_*.py"))):
            if path.is_file():
                self.env.note_dependency(str(path))
        rows: list[list[nodes.Node]] = []
        for module in read_hostile(HOSTILE_TESTS, HOSTILE_RECORD):
            shown = f"{module['held']} of {module['run']}" if module["run"] else "not run here yet"
            rows.append([words(module["about"]), words(shown)])
        return [make_table(("What the submissions try, and what holds", "Attempts that gain nothing"), (6, 1), rows)]


def exercise_minutes(slug: str) -> int:
    """The minutes that an assignment's exercises state."""
    (path,) = (ROOT / "exercises" / slug).glob("*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return sum(int(found["minutes"]) for cell in cells if (found := HEADER.search("".join(cell["source"]))))


def hours(minutes: int) -> str:
    """Minutes as hours, to the next quarter."""
    quarters = -(-minutes // 15)
    return f"{quarters / 4:g}"


def weeks(chapters: list[dict[str, Any]]) -> list[str]:
    """A week for each chapter, as the lines of a Markdown table."""
    rows = []
    for number, chapter in enumerate(chapters, 1):
        minutes = exercise_minutes(chapter["slug"])
        needs = ", ".join(str(int(slug[:2])) for slug in chapter["needs"]) or "none"
        link = f"[](../{chapter['slug']}/chapter.md)"
        rows.append(f"| {number} | {int(chapter['slug'][:2])} | {link} | {needs} | {hours(minutes)} |")
    total = hours(sum(exercise_minutes(chapter["slug"]) for chapter in chapters))
    rows.append(f"| | | **Together** | | **{total}** |")
    return ["| week | chapter | | builds on chapter | hours of exercises |", "|---:|---:|---|---|---:|", *rows]


def paths(chapters: list[dict[str, Any]]) -> list[str]:
    """For each chapter that no other needs, what leads to it, as the lines of a Markdown table."""
    needs = {chapter["slug"]: chapter["needs"] for chapter in chapters}
    ends = [slug for slug in needs if not any(slug in others for others in needs.values())]
    rows = []
    for end in ends:
        all_of_it, waiting = {end}, [end]
        while waiting:
            fresh = [slug for slug in needs[waiting.pop()] if slug not in all_of_it]
            all_of_it |= set(fresh)
            waiting += fresh
        before = ", ".join(str(int(slug[:2])) for slug in sorted(all_of_it - {end})) or "none"
        time = hours(sum(exercise_minutes(slug) for slug in all_of_it))
        rows.append(f"| [](../{end}/chapter.md) | {before} | {len(all_of_it)} | {time} |")
    return ["| to reach | read the chapters | weeks | hours of exercises |", "|---|---|---:|---:|", *rows]


class TermTable(SphinxDirective):
    """A table of the syllabus' chapters with the hours of their exercises."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(SYLLABUS))
        for path in sorted((ROOT / "exercises").glob("*/*.ipynb")):
            self.env.note_dependency(str(path))
        chapters = yaml.safe_load(SYLLABUS.read_text(encoding="utf-8"))["chapters"]
        table = nodes.Element()
        make = weeks if self.name == "term-plan" else paths
        self.state.nested_parse(StringList(make(chapters)), 0, table)
        return table.children


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("kill-tables", KillTables)
    app.add_directive("hostile-table", HostileTable)
    app.add_directive("term-plan", TermTable)
    app.add_directive("term-paths", TermTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
