"""`course regrade`: grade anew what has scores, show who changes by how much and where, then replace the scores."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.markup import escape
from rich.prompt import Confirm
from rich.table import Table

from course_lib.commands import CommandError, console
from course_lib.commands.choose import classroom
from course_lib.commands.grade import Bar, handed_in, progress_table, regraded, say_what_works, summarise, write
from course_lib.grading.classroom import Classroom
from course_lib.grading.commit import Change, Pending, pending
from course_lib.grading.release import register
from course_lib.grading.sandbox import Grounds
from course_lib.grading.spec import Assignment
from course_lib.grading.standing import standings


def run(
    slug: str | None,
    *,
    sandbox: Grounds,
    folder: Path | None = None,
    jobs: int | None = None,
    yes: bool = False,
    dry_run: bool = False,
) -> None:
    """Grade one assignment anew, or all that have scores.

    Args:
        sandbox: in which submissions are run.
        yes: replace the scores without asking.
        dry_run: only show what would change.
    """
    room = classroom(folder)
    specs = [spec for spec in handed_in(room, slug) if standings(room, spec.slug)]
    if not specs:
        raise CommandError(f"nothing is graded in {room.folder} yet; run `course grade` first")
    with room.alone("course regrade", waits=say_what_works):
        problems = [text for spec in specs for text in _regrade(room, spec, jobs, sandbox, yes, dry_run)]
    if problems:
        raise CommandError(" ".join(problems))


def _regrade(
    room: Classroom, spec: Assignment, jobs: int | None, sandbox: Grounds, yes: bool, dry_run: bool
) -> list[str]:
    """Grade one assignment anew; say what could not be done."""
    results, problems = regraded(room, spec, jobs=jobs, sandbox=sandbox)
    todo = pending(room, spec, results)
    changed = [item for item in todo if item.changes]
    if not changed:
        console.print(f"  no score changes: {len(results)} submissions earn what the gradebook has")
    else:
        _show(changed, len(results))
    if dry_run:
        console.print("  nothing was written: --dry-run")
        return problems
    if changed and not yes:
        question = f"Replace the scores of {len(changed)} students?"
        if not sys.stdin.isatty() or not Confirm.ask(question, default=False, console=console):
            return [
                *problems,
                f"nothing of {spec.slug} was written; to replace the scores: course regrade {spec.slug} --yes.",
            ]
    register(room, spec.slug)
    with progress_table() as progress:
        bar = Bar(progress, "writing", total=len(todo))
        problems += write(room, spec, (item.student for item in todo), bar)
    summarise(room, spec, results)
    return problems


def _show(changed: list[Pending], size: int) -> None:
    """The students whose scores change, with the rubric lines, and the sum of it."""
    table = Table(title="What a rubric line earned before, and earns now", title_justify="left")
    for name in ("student", "exercise", "rubric line", "before", "now", "points"):
        table.add_column(name, justify="right" if name in ("before", "now", "points") else "left", overflow="fold")
    for item in changed:
        table.add_section()
        who = escape(item.student) + ("" if item.same_submission else " (handed in again)")
        for number, row in enumerate(row for change in item.changes for row in _rows(change)):
            table.add_row(who if number == 0 else "", *row, f"{item.difference:+g}" if number == 0 else "")
    console.print(table)
    for item in changed:
        for change in item.changes:
            if change.by_hand is not None:
                given = f"{change.exercise} keeps the {change.by_hand:g} points that a person gave"
                console.print(f"  {escape(item.student)}: {given}; the formgrader asks to look at it again.")
    differences = [item.difference for item in changed]
    more, less = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    causes = ", ".join(dict.fromkeys(cause for item in changed for cause in item.causes))
    low, high = f"{min(differences):+g}", f"{max(differences):+g}"
    console.print(
        f"  {len(changed)} of {size} students change: {more} get more, {less} get less, by "
        + (
            f"{low} points"
            if low == high
            else f"{low} to {high} points, {sum(differences) / len(changed):+.2f} on average"
        )
        + f". Changed since they were graded: {causes}.",
        soft_wrap=True,
    )


def _rows(change: Change) -> list[tuple[str, str, str, str]]:
    """Exercise, line, before and now, for each line; for the exercise as a whole where its lines are not known."""
    lines = [(line.name, line.before, line.after) for line in change.lines]
    if sum(after - before for _, before, after in lines) != change.after - change.before:
        lines = [("in all", change.before, change.after)]
    return [
        (change.exercise if number == 0 else "", name, f"{before:g}", f"{after:g}")
        for number, (name, before, after) in enumerate(lines)
    ]
