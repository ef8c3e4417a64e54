"""`course kill-table`, `course doctor`, `course audit`: proof that the grading can be trusted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from course_lib.commands import ENVIRONMENT, CommandError, console
from course_lib.commands.choose import chosen, classroom
from course_lib.grading.audit import REMEDIES, Difference, agreement, table_differences
from course_lib.grading.kill_table import ExerciseKills, KillTable, kill_table
from course_lib.grading.protections import protections
from course_lib.grading.results import ResultStore
from course_lib.grading.standing import standings
from course_lib.grading.variant import parse, vary

LISTED = 24
MANY, SHOWN = 6, 3
"""Students with the same difference from which they share a line, and how many of them it names."""


def kills(
    slug: str | None,
    *,
    as_json: bool = False,
    mutants: bool = False,
    exercises: tuple[str, ...] = (),
    variant: str | None = None,
) -> None:
    """Print which rubric line catches which mistake."""
    tables = []
    specs = chosen(slug) if variant is None else [vary(spec, parse(variant)) for spec in chosen(slug)]
    for spec in specs:
        for name in exercises:
            spec.exercise(name)
        with console.status(spec.slug) as status:
            tables.append(
                kill_table(spec, with_mutants=mutants, exercises=exercises, progress=lambda text: status.update(text))
            )
    if as_json:
        print(json.dumps([asdict(table) | {"holds": table.holds} for table in tables], indent=1, ensure_ascii=False))
    else:
        for table in tables:
            _show(table)
    broken = [f"{table.slug}.{exercise.name}" for table in tables for exercise in table.exercises if not exercise.holds]
    if broken:
        raise CommandError(f"the rubric does not do what it must in {', '.join(broken)}; see the lines marked ✗")


def doctor() -> None:
    """Print which protections of the sandbox hold on this machine, each tried out."""
    with console.status("putting a hostile notebook into the sandbox"):
        found = protections()
    table = Table()
    for name in ("", "protection", "what was seen", "what to do"):
        table.add_column(name, overflow="fold")
    for item in found:
        mark = "[green]✓[/]" if item.ok else "[red]✗[/]"
        table.add_row(mark, escape(item.name), escape(item.detail), "" if item.ok else escape(item.remedy))
    console.print(table)
    broken = [item.name for item in found if not item.ok]
    if broken:
        raise CommandError(
            f"official grading needs every protection, and {len(broken)} do not hold here: {', '.join(broken)}; "
            "the last column says what to do",
            code=ENVIRONMENT,
        )
    console.print(f"All {len(found)} protections hold: this machine can grade.")


def audit(folder: Path | None) -> None:
    """Check that no result was changed, lost or added behind the log, and that the gradebook agrees with them."""
    room = classroom(folder)
    if not room.results.exists():
        raise CommandError(f"nothing is graded in {room.folder} yet; run `course grade` first")
    store = ResultStore(room.results)
    problems = store.audit()
    for problem in problems:
        console.print(f"[red]✗[/] {escape(problem)}", soft_wrap=True)
    if problems:
        console.print("  Restore the results from a copy; or remove the folder and grade again.", soft_wrap=True)
    else:
        console.print(
            f"[green]✓[/] {len(store.log())} log lines and their results are whole, in {room.results}", soft_wrap=True
        )
    found: list[Difference] = []
    for spec in chosen(None):
        if room.students(spec.slug) or standings(room, spec.slug):
            checked = agreement(room, spec)
            found += checked.differences
            people = f", {checked.by_person} more were given by a person" if checked.by_person else ""
            if not checked.differences:
                scores = f"{checked.scores} automatic scores in the gradebook are those of the results"
                console.print(f"[green]✓[/] {spec.slug}: {scores}{people}", soft_wrap=True)
    found += table_differences(room)
    for kind, remedy in REMEDIES.items():
        group = [item for item in found if item.kind == kind]
        if group:
            console.print(f"[red]✗[/] [bold]{kind}[/] ({len(group)}). {remedy}", soft_wrap=True)
        lines = _together(group)
        for line in lines[:LISTED]:
            console.print(f"    {escape(line)}", soft_wrap=True)
        if len(lines) > LISTED:
            console.print(f"    and {len(lines) - LISTED} more")
    counts = [f"{len(problems)} with the results in {room.results}"] * bool(problems)
    counts += [f"{len(found)} between results, gradebook and table"] * bool(found)
    if counts:
        raise CommandError(f"not everything agrees: {', and '.join(counts)}. Each line says where, and what to do.")


def _together(group: Sequence[Difference]) -> list[str]:
    """A line for each difference, and one for all students of an assignment who have the same."""
    whose: dict[tuple[str, str], list[str]] = {}
    for item in group:
        student, _, rest = item.where.partition("/")
        whose.setdefault((rest, item.text), []).append(student)
    lines = []
    for (rest, text), students in whose.items():
        if len(students) < MANY:
            lines += [f"{'/'.join([student, rest] if rest else [student])}: {text}" for student in students]
        else:
            names = ", ".join(students[:SHOWN])
            lines.append(f"{rest}, {len(students)} students: {text} ({names} and {len(students) - SHOWN} more)")
    return lines


def _show(table: KillTable) -> None:
    console.print(f"[bold]{escape(table.title)}[/], {table.seeds} draws of cases each")
    rows = Table()
    for name in ("", "exercise", "put to the rubric", "caught by", "earned"):
        rows.add_column(name, justify="right" if name == "earned" else "left", overflow="fold")
    for exercise in table.exercises:
        rows.add_section()
        _add_rows(rows, exercise)
    console.print(rows)
    known = sum(len(exercise.misconceptions) for exercise in table.exercises)
    caught = sum(kill.holds for exercise in table.exercises for kill in exercise.misconceptions)
    made = [mutant for exercise in table.exercises for mutant in exercise.mutants]
    text = f"{caught} of {known} known mistakes lose the line meant to catch them and are named there"
    if made:
        equivalent = sum(bool(mutant.equivalent) for mutant in made)
        survivors = sum(len(exercise.survivors) for exercise in table.exercises)
        text += (
            f"; of {len(made)} automatic mutants {survivors} survive, {equivalent} more are as right as the solution"
        )
    console.print(text + ".", soft_wrap=True)


def _add_rows(rows: Table, exercise: ExerciseKills) -> None:
    good = "[green]✓[/]", "[red]✗[/]"
    mark = good[exercise.solution != exercise.points]
    rows.add_row(mark, exercise.name, "the solution", "nothing", f"{exercise.solution:g} of {exercise.points:g}")
    rows.add_row(good[exercise.blank != 0], "", "the blank stub", escape(exercise.blank_says), f"{exercise.blank:g}")
    for kill in exercise.misconceptions:
        caught = ", ".join(f"[bold]{name}[/]" if name == kill.intended else name for name in kill.caught_by)
        caught += "" if kill.named else " (not named)"
        rows.add_row(good[not kill.holds], "", kill.name, caught or "nothing", f"{kill.earned:g}")
    if exercise.no_mutants:
        rows.add_row("", "", "automatic mutants", f"none are made: {escape(exercise.no_mutants)}", "")
    for mutant in exercise.mutants:
        caught = ", ".join(mutant.caught_by) or mutant.stopped or escape(mutant.equivalent) or "nothing"
        rows.add_row(good[not mutant.holds], "", escape(mutant.mutant.description), caught, "")
