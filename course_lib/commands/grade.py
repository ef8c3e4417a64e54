"""`course grade`: run every submission side by side, then write the scores one by one."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import cast

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from course_lib.commands import ENVIRONMENT, INTERRUPTED, CommandError, console
from course_lib.commands.choose import chosen, classroom
from course_lib.grading.classroom import ClassFault, Classroom, class_fault
from course_lib.grading.collect import collect
from course_lib.grading.commit import Pending, commit, pending
from course_lib.grading.ingest import read_submission
from course_lib.grading.lookup import find_result
from course_lib.grading.overview import REMEDIES, overview
from course_lib.grading.parallel import Outcome, default_jobs, grade_many
from course_lib.grading.release import register
from course_lib.grading.results import Result, ResultStore
from course_lib.grading.sandbox import SandboxMissing, Warming
from course_lib.grading.spec import Assignment
from course_lib.grading.standing import read_commit
from course_lib.grading.unchanged import forget, given, remember

LISTED = 8


def run(
    slug: str | None,
    *,
    folder: Path | None = None,
    jobs: int | None = None,
    unsafe_local: bool = False,
    replace: bool = False,
) -> None:
    """Grade what was handed in for one assignment, or for all that have submissions.

    Args:
        replace: also put other scores into the gradebook where the submission is the same.
    """
    room = classroom(folder)
    specs = handed_in(room, slug)
    with room.alone("course grade", waits=say_what_works), Warming(unsafe_local=unsafe_local) as sandbox:
        before = given(room.folder, [slug, unsafe_local])
        forget(room.folder)
        if any(read_commit(room, student, spec.slug) is None for spec in specs for student in room.students(spec.slug)):
            sandbox.start()
        done = [_grade(room, spec, jobs, sandbox, replace) for spec in specs]
        problems = [text for problems, _ in done for text in problems]
        if problems:
            raise CommandError(" ".join(problems))
        remember(room.folder, before, [said for _, said in done])


def handed_in(room: Classroom, slug: str | None) -> list[Assignment]:
    """The assignment of this slug, or all, for which there are submissions."""
    specs = [spec for spec in chosen(slug) if room.students(spec.slug)]
    if not specs:
        wanted = f"for {slug} " if slug else ""
        raise CommandError(
            f"nothing was handed in {wanted}in {room.folder / 'submitted'}; take in what students handed in with "
            "course collect, or make a class to try: course sample-class"
        )
    return specs


def say_what_works(holder: str) -> None:
    """Tell that another command has to end first."""
    console.print(f"  waiting: {holder} works on this class", soft_wrap=True)


def _grade(
    room: Classroom, spec: Assignment, jobs: int | None, sandbox: Warming, replace: bool
) -> tuple[list[str], str]:
    """Grade one assignment; returns what could not be done, and what was said at the end."""
    register(room, spec.slug)
    results, problems = run_all(room, spec, jobs=jobs, sandbox=sandbox)
    todo = pending(room, spec, results)
    kept = [] if replace else [item for item in todo if item.held_back]
    problems += write(room, spec, [item for item in todo if item not in kept])
    if kept:
        causes = ", ".join(dict.fromkeys(cause for item in kept for cause in item.causes))
        problems.append(
            f"{len(kept)} of {len(results)} students of {spec.slug} keep the scores that the gradebook has, although "
            f"the same submission earns others now. Changed since: {causes}. To see who changes by how much, and to "
            f"replace the scores: course regrade {spec.slug}."
        )
    return problems, summarise(room, spec, results)


def run_all(
    room: Classroom, spec: Assignment, *, jobs: int | None, sandbox: Warming
) -> tuple[dict[str, Result], list[str]]:
    """The result of each student, and what could not be done; what is in the store is taken from there."""
    paths = collect(room, spec)
    results, faults = _run(room, spec, paths, jobs, sandbox)
    if not faults:
        return results, []
    first = faults[0]
    known = class_fault(first.fault)
    why = (
        f"this machine failed: {known}" if known else f"this machine failed at {first.name}: {first.fault.rstrip('.')}"
    )
    return results, [
        f"{len(faults)} of {len(paths)} submissions of {spec.slug} could not be run, and their scores stay as they "
        "are; " + (why if known else f"{why}. Run the command again.")
    ]


def _run(
    room: Classroom, spec: Assignment, paths: Mapping[str, Path], jobs: int | None, sandbox: Warming
) -> tuple[dict[str, Result], list[Outcome]]:
    """Run what is not in the store; the result of each student, and what failed."""
    store = ResultStore(room.results)
    logged = {(entry["submission"], entry["key"]) for entry in store.log()}
    results: dict[str, Result] = {}
    for student, path in paths.items():
        submission = read_submission(path, spec=spec)
        found = find_result(store, submission, spec, secret=room.secret(), official=not sandbox.unsafe_local)
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
        launcher = sandbox.launcher()
    except SandboxMissing as error:
        raise CommandError(f"{error}.", code=ENVIRONMENT) from error
    with _progress("running") as progress:
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


def write(room: Classroom, spec: Assignment, todo: list[Pending]) -> list[str]:
    """Put results into the gradebook; say what could not be done."""
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
        except ClassFault as fault:
            progress.stop()
            raise CommandError(
                f"{done - len(failures)} of {len(todo)} scores of {spec.slug} could be written: {fault}"
            ) from fault
    if not failures:
        return []
    student, reason = failures[0]
    return [f"nbgrader refused {len(failures)} results of {spec.slug}, first that of {student}: {reason}."]


def summarise(room: Classroom, spec: Assignment, results: Mapping[str, Result]) -> str:
    """Print the mean, and who needs a person; returns what it printed."""
    lines = []
    if results:
        mean = sum(result.earned for result in results.values()) / len(results)
        most = next(iter(results.values())).points
        lines.append(f"  mean of the automatic part: {mean:.1f} of {most:g} points")
    for kind, group in overview(room, spec).matters().items():
        names = ", ".join(escape(entry.person.student) for entry, _ in group[:LISTED])
        more = f" and {len(group) - LISTED} more" if len(group) > LISTED else ""
        lines.append(f"  [yellow]{kind}[/] ({len(group)}): {names}{more}. {REMEDIES[kind]}")
    said = "\n".join(lines)
    console.print(said, soft_wrap=True)
    return said


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
