"""`course grade`: run every submission side by side, then write the scores one by one."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import cast

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.prompt import Confirm
from rich.table import Table

from course_lib.commands import ENVIRONMENT, INTERRUPTED, CommandError, console
from course_lib.commands.choose import chosen, classroom
from course_lib.grading.classroom import Classroom
from course_lib.grading.collect import collect
from course_lib.grading.commit import Pending, commit, pending
from course_lib.grading.ingest import read_submission
from course_lib.grading.lookup import find_result
from course_lib.grading.overview import REMEDIES, overview
from course_lib.grading.parallel import Outcome, default_jobs, grade_many
from course_lib.grading.release import register
from course_lib.grading.results import Result, ResultStore
from course_lib.grading.sandbox import SandboxMissing, open_launcher
from course_lib.grading.spec import Assignment

LISTED = 8


def run(
    slug: str | None,
    *,
    folder: Path | None = None,
    jobs: int | None = None,
    unsafe_local: bool = False,
    replace: bool = False,
) -> None:
    """Grade what was handed in for one assignment, or for all that have submissions."""
    room = classroom(folder)
    specs = [spec for spec in chosen(slug) if room.students(spec.slug)]
    if not specs:
        wanted = f"for {slug} " if slug else ""
        raise CommandError(
            f"nothing was handed in {wanted}in {room.folder / 'submitted'}; put each notebook into "
            "STUDENT/ASSIGNMENT/ there, or make a class to try: course sample-class"
        )
    problems = [text for spec in specs for text in grade(room, spec, jobs, unsafe_local, replace)]
    if problems:
        raise CommandError(" ".join(problems))


def grade(room: Classroom, spec: Assignment, jobs: int | None, unsafe_local: bool, replace: bool) -> list[str]:
    """Grade one assignment; say what could not be done."""
    register(room, spec.slug)
    paths = collect(room, spec)
    results, faults = _run(room, spec, paths, jobs, unsafe_local)
    problems = []
    if faults:
        first = f"{faults[0].name}: {faults[0].fault}"
        problems.append(
            f"{len(faults)} submissions of {spec.slug} could not be run on this machine ({first}); "
            "their scores stay as they are. Run the command again."
        )
    todo = pending(room, spec, results)
    kept = [] if replace else _held_back(todo)
    failures = _commit(room, spec, [item for item in todo if item not in kept])
    if failures:
        student, reason = failures[0]
        problems.append(f"nbgrader refused {len(failures)} results of {spec.slug}, first that of {student}: {reason}.")
    if kept:
        problems.append(
            f"{len(kept)} students of {spec.slug} keep the scores that the gradebook has, although the same "
            "submission earns others now; to replace them: course grade --replace."
        )
    _summary(room, spec, results)
    return problems


def _run(
    room: Classroom, spec: Assignment, paths: Mapping[str, Path], jobs: int | None, unsafe_local: bool
) -> tuple[dict[str, Result], list[Outcome]]:
    """The result of each student, and what failed; results that are in the store are taken from there."""
    store = ResultStore(room.results)
    logged = {(entry["submission"], entry["key"]) for entry in store.log()}
    results: dict[str, Result] = {}
    for student, path in paths.items():
        found = find_result(store, read_submission(path, spec=spec), spec, secret=room.secret())
        if found is not None:
            results[student] = found
            if (f"{student}/{spec.slug}", found.key) not in logged:
                store.put(found, submission=f"{student}/{spec.slug}")
    left = {f"{student}/{spec.slug}": path for student, path in paths.items() if student not in results}
    console.print(
        f"[bold]{spec.slug}[/]  {len(paths)} notebooks, {len(results)} graded before"
        + (f", {len(left)} to run, {min(jobs or default_jobs(), len(left))} at once" if left else "")
    )
    faults: list[Outcome] = []
    if not left:
        return results, faults
    try:
        launcher = open_launcher(unsafe_local=unsafe_local)
    except SandboxMissing as error:
        raise CommandError(f"{error}.", code=ENVIRONMENT) from error
    with launcher, _progress("running") as progress:
        task = progress.add_task("running", total=len(left), said="")
        outcomes = grade_many(left, spec, secret=room.secret(), launcher=launcher, store=store, jobs=jobs)
        try:
            for outcome in outcomes:
                student = outcome.name.partition("/")[0]
                if outcome.result is None:
                    faults.append(outcome)
                else:
                    results[student] = outcome.result
                progress.update(task, advance=1, said=_said(student, outcome))
        except KeyboardInterrupt:
            cast(Generator[Outcome, None, None], outcomes).close()
            progress.stop()
            raise CommandError(
                f"stopped; {len(results)} of {len(paths)} results are kept and none is in the gradebook that was "
                "not there before. The same command goes on from here.",
                code=INTERRUPTED,
            ) from None
    return results, faults


def _commit(room: Classroom, spec: Assignment, todo: list[Pending]) -> list[tuple[str, str]]:
    """Write what is new; who was refused, and why."""
    if not todo:
        console.print("  the gradebook is up to date")
        return []
    failures, done = [], 0
    with _progress("writing") as progress:
        task = progress.add_task("writing", total=len(todo), said="")
        try:
            for student, error in commit(room, spec, [item.student for item in todo]):
                if error:
                    failures.append((student, error))
                done += 1
                progress.update(task, advance=1, said=escape(student))
        except KeyboardInterrupt:
            progress.stop()
            raise CommandError(
                f"stopped; {done} of {len(todo)} scores are in the gradebook, each of them whole. The same command "
                "goes on from here.",
                code=INTERRUPTED,
            ) from None
    return failures


def _held_back(todo: list[Pending]) -> list[Pending]:
    """Show which scores would be replaced by others for the same submission; who keeps the old ones."""
    changed = [item for item in todo if item.changes and item.same_submission]
    if not changed:
        return []
    table = Table(title="The same submissions earn other points than the gradebook has", title_justify="left")
    for name in ("student", "exercise", "before", "now"):
        table.add_column(name, justify="right" if name in ("before", "now") else "left")
    for item in changed:
        for change in item.changes:
            table.add_row(escape(item.student), change.exercise, f"{change.before:g}", f"{change.after:g}")
    console.print(table)
    if sys.stdin.isatty() and Confirm.ask("Replace them?", default=False, console=console):
        return []
    return changed


def _summary(room: Classroom, spec: Assignment, results: Mapping[str, Result]) -> None:
    if results:
        mean = sum(result.earned for result in results.values()) / len(results)
        most = next(iter(results.values())).points
        console.print(f"  mean of the automatic part: {mean:.1f} of {most:g} points")
    for kind, group in overview(room, spec).matters().items():
        names = ", ".join(escape(entry.person.student) for entry, _ in group[:LISTED])
        more = f" and {len(group) - LISTED} more" if len(group) > LISTED else ""
        console.print(f"  [yellow]{kind}[/] ({len(group)}): {names}{more}. {REMEDIES[kind]}", soft_wrap=True)


def _said(student: str, outcome: Outcome) -> str:
    if outcome.result is None:
        return f"[red]{escape(student)}: {escape(outcome.fault[:60])}[/]"
    result = outcome.result
    return f"{escape(student)}: {result.earned:g} of {result.points:g}"


def _progress(what: str) -> Progress:
    return Progress(
        TextColumn(f"  {what}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
        console=console,
        transient=False,
    )
