"""`course grade`: run every submission side by side, and write each score as soon as it is there."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from course_lib.commands import ENVIRONMENT, INTERRUPTED, CommandError, console
from course_lib.commands.choose import chosen, classroom
from course_lib.grading.classroom import ClassFault, Classroom, class_fault
from course_lib.grading.collect import collect
from course_lib.grading.commit import Gradebook, Pending, commit
from course_lib.grading.grade import prepare
from course_lib.grading.groups import read_groups
from course_lib.grading.ingest import read_submission
from course_lib.grading.lookup import find_result
from course_lib.grading.overview import REMEDIES, overview
from course_lib.grading.parallel import Outcome, grade_many
from course_lib.grading.release import register
from course_lib.grading.results import Result, ResultStore
from course_lib.grading.sandbox import Grounds, SandboxMissing
from course_lib.grading.spec import Assignment
from course_lib.grading.unchanged import forget, given, remember
from course_lib.grading.writer import commit_apart

LISTED = 8
APART = 30
"""Submissions to run from which a process of its own for the gradebook pays: it takes two seconds to start."""


def run(
    slug: str | None,
    *,
    sandbox: Grounds,
    folder: Path | None = None,
    jobs: int | None = None,
    replace: bool = False,
) -> None:
    """Grade what was handed in for one assignment, or for all that have submissions.

    Args:
        sandbox: in which submissions are run.
        replace: also put other scores into the gradebook where the submission is the same.
    """
    room = classroom(folder)
    specs = handed_in(room, slug)
    with room.alone("course grade", waits=say_what_works):
        before = given(room.folder, [slug, sandbox.unsafe_local])
        forget(room.folder)
        done = [_grade(room, spec, jobs, sandbox, replace) for spec in specs]
        problems = [text for problems, _ in done for text in problems]
        if problems:
            raise CommandError(" ".join(problems))
        if not room.on_server:  # whether somebody has changed a database elsewhere since, no file says
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
    room: Classroom, spec: Assignment, jobs: int | None, sandbox: Grounds, replace: bool
) -> tuple[list[str], str]:
    """Grade one assignment; returns what could not be done, and what was said at the end.

    Each score is written as soon as it is there, while others run.
    """
    register(room, spec.slug)
    kept: list[Pending] = []
    with closing(Running(room, spec, jobs=jobs, sandbox=sandbox)) as running, progress_table() as progress:
        gradebook = Gradebook(room, spec)
        bar = Bar(progress, "writing", total=len(running.paths))

        def to_write() -> Iterator[str]:
            for student, result in running.each(progress):
                item = gradebook.pending(student, result)
                if item is not None and (replace or not item.held_back):
                    yield student
                else:
                    kept.extend([item] if item is not None else [])
                    bar.advance()

        problems = write(room, spec, to_write(), bar, apart=running.left >= APART)
    problems = running.problems() + problems
    results = running.results
    if kept:
        causes = ", ".join(dict.fromkeys(cause for item in kept for cause in item.causes))
        problems.append(
            f"{len(kept)} of {len(results)} students of {spec.slug} keep the scores that the gradebook has, although "
            f"the same submission earns others now. Changed since: {causes}. To see who changes by how much, and to "
            f"replace the scores: course regrade {spec.slug}."
        )
    return problems, summarise(room, spec, results)


def regraded(
    room: Classroom, spec: Assignment, *, jobs: int | None, sandbox: Grounds
) -> tuple[dict[str, Result], list[str]]:
    """The result of each student, and what could not be done; nothing is written."""
    with closing(Running(room, spec, jobs=jobs, sandbox=sandbox)) as running, progress_table() as progress:
        try:
            for _ in running.each(progress):
                pass
        except KeyboardInterrupt:
            raise CommandError(
                f"stopped; {len(running.results)} of {len(running.paths)} results are kept and none is in the "
                "gradebook that was not there before. The same command goes on from here.",
                code=INTERRUPTED,
            ) from None
    return running.results, running.problems()


class Running:
    """The submissions of an assignment, run side by side, and their results; what is in the store is taken from there.

    Attributes:
        paths: the notebook of each student.
        results: of each student who has one by now.
        left: how many have to be run.
        faults: what this machine could not run.
    """

    def __init__(self, room: Classroom, spec: Assignment, *, jobs: int | None, sandbox: Grounds) -> None:
        self.spec, self.paths = spec, collect(room, spec)
        groups = read_groups(room)
        self.specs = {student: groups.spec_of(student, spec) for student in self.paths}
        self.faults: list[Outcome] = []
        store = ResultStore(room.results)
        self.results = self._stored(room, store, official=not sandbox.unsafe_local)
        left = {f"{student}/{spec.slug}": path for student, path in self.paths.items() if student not in self.results}
        jobs = min(jobs or sandbox.at_once(), len(left)) if left else 0
        console.print(
            f"[bold]{spec.slug}[/]  {len(self.paths)} notebooks, {len(self.results)} graded before"
            + (f", {len(left)} to run, {jobs} at once" if left else "")
        )
        self.left = len(left)
        self._outcomes: Iterator[Outcome] = iter(())
        if left:
            for variant in {own.full_name: own for own in self.specs.values()}.values():
                if variant.variant is None or variant.variant.group:
                    prepare(variant)  # while the runner starts
            try:
                launcher = sandbox.launcher()
            except SandboxMissing as error:
                raise CommandError(f"{error}.", code=ENVIRONMENT) from error
            variants = {f"{student}/{spec.slug}": own for student, own in self.specs.items()}
            self._outcomes = grade_many(
                left, spec, secret=room.secret(), launcher=launcher, store=store, jobs=jobs, variants=variants
            )

    def each(self, progress: Progress) -> Iterator[tuple[str, Result]]:
        """Each student's result as soon as it is there; shows how far it is."""
        yield from list(self.results.items())
        if not self.left:
            return
        bar = Bar(progress, "running", total=self.left)
        for outcome in self._outcomes:
            student = outcome.name.partition("/")[0]
            bar.advance(_said(student, outcome))
            if outcome.result is None:
                self.faults.append(outcome)
            else:
                self.results[student] = outcome.result
                yield student, outcome.result

    def problems(self) -> list[str]:
        """What could not be run."""
        if not self.faults:
            return []
        first = self.faults[0]
        fault = class_fault(first.fault)
        why = f"{fault}" if fault else f"{first.name}: {first.fault.rstrip('.')}. Run the command again."
        return [
            f"{len(self.faults)} of {len(self.paths)} submissions of {self.spec.slug} could not be run, and their "
            f"scores stay as they are; this machine failed{':' if fault else ' at'} {why}"
        ]

    def close(self) -> None:
        """Run no more."""
        if isinstance(self._outcomes, Generator):
            self._outcomes.close()

    def _stored(self, room: Classroom, store: ResultStore, *, official: bool) -> dict[str, Result]:
        logged = {(entry["submission"], entry["key"]) for entry in store.log()}
        results: dict[str, Result] = {}
        for student, path in self.paths.items():
            spec = self.specs[student]
            submission = read_submission(path, spec=spec)
            found = find_result(store, submission, spec, secret=room.secret(), official=official)
            if found is not None:
                results[student] = found
                if (f"{student}/{self.spec.slug}", found.key) not in logged:
                    store.put(found, submission=f"{student}/{self.spec.slug}")
        return results


def write(room: Classroom, spec: Assignment, students: Iterator[str], bar: Bar, *, apart: bool = False) -> list[str]:
    """Put the results of these students into the gradebook, each as it comes; say what could not be done.

    Args:
        apart: in a process of its own, so that this one has time for other things.
        bar: counts whose scores are there; those that were there before are counted already.
    """
    failures: list[tuple[str, str]] = []
    written = 0
    try:
        for student, error in (commit_apart if apart else commit)(room, spec, students):
            if error:
                failures.append((student, error))
            written += 1
            bar.advance(escape(student))
    except KeyboardInterrupt:
        bar.stop()
        raise CommandError(
            f"stopped; {bar.done} of {bar.total} scores are in the gradebook, each of them whole. The same command "
            "goes on from here.",
            code=INTERRUPTED,
        ) from None
    except ClassFault as fault:
        for _ in students:  # results need no gradebook, and are kept
            pass
        bar.stop()
        raise CommandError(
            f"{bar.done - len(failures)} of {bar.total} scores of {spec.slug} could be written: {fault}"
        ) from fault
    bar.stop()
    if not written:
        console.print("  the gradebook is up to date")
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


class Bar:
    """One row of a progress table."""

    def __init__(self, progress: Progress, what: str, *, total: int) -> None:
        self._progress, self._task = progress, progress.add_task(what, total=total, said="")
        self.total, self.done = total, 0

    def advance(self, said: str = "") -> None:
        """One more is done; ``said`` is about that one."""
        self.done += 1
        self._progress.update(self._task, advance=1, said=said)

    def stop(self) -> None:
        """Leave the table as it is now."""
        self._progress.stop()


def progress_table() -> Progress:
    """How far running and writing are."""
    return Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
        console=console,
        transient=False,
    )
