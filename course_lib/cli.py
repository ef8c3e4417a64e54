"""The `course` command. Each command imports what it needs when it runs, so that help is instant."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import course_lib.lean  # noqa: F401
from course_lib.commands import ATTENTION, ENVIRONMENT, FAULT, USAGE, CommandError, console, errors

if TYPE_CHECKING:
    from course_lib.grading.sandbox import Grounds

os.environ.setdefault("OMP_NUM_THREADS", "1")  # arrays are small; two threads beside another busy process are slower

EXIT_CODES = """
**Exit codes**

* **0** done
* **1** not everything could be done: the last line says what is left, and what to do
* **2** the command was asked for something that does not exist
* **3** the machine lacks something that the command needs
* **4** a fault of the course itself; COURSE_DEBUG=1 shows where
* **130** interrupted; the same command goes on where it stopped
"""

app = typer.Typer(
    name="course",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
    help="""
    Release assignments, grade a class and report on it.

    An assignment is written once, in `solutions/`. `course release` makes the student's notebook from it,
    `course collect` takes in what students handed in, `course grade` grades it, each notebook in a sandbox of its
    own, and writes the scores into nbgrader's gradebook; `course feedback`, `course report` and `course export` make
    the pages and the table.

    A class is a folder: `class/`, or the one that `--class` or the variable COURSE_CLASS names. What students
    handed in stands in its `submitted/STUDENT/ASSIGNMENT/`; all else in it is made from that.
    """,
)

Slug = Annotated[
    str | None, typer.Argument(metavar="[ASSIGNMENT]", help="Such as 04-attention-layer. Without it: every assignment.")
]
ClassFolder = Annotated[
    Path | None, typer.Option("--class", metavar="DIR", help="The class's folder. Default: COURSE_CLASS, else class/.")
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Submissions graded at once. Default: one for each core.")]
UnsafeLocal = Annotated[
    bool,
    typer.Option(
        "--unsafe-local",
        help="Grade without the sandbox, where it cannot be had. Students' code then runs as you, and each result "
        "is marked as not official.",
    ),
]

Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Run submissions on the workers of the Dask scheduler there, such as tcp://node1:8786.",
    ),
]

PREPARE, GRADE, LOOK = "Prepare", "Grade a class", "Look into it"


@app.command(rich_help_panel=PREPARE)
def release(
    slug: Slug = None,
    every: Annotated[bool, typer.Option("--all", help="Every assignment, as without a name.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; say whether exercises/ is what the solutions give.")
    ] = False,
    variant: Annotated[
        str | None,
        typer.Option(metavar="GROUP/SEED", help="For one group of the class, with constants and cases of its own."),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where a variant goes. Default: release/ in the class's folder."),
    ] = None,
    folder: ClassFolder = None,
) -> None:
    """Make the students' notebook of an assignment, and the recorded cases it is checked with.

    Reads `solutions/ASSIGNMENT/`, writes `exercises/ASSIGNMENT/`. The same solution gives the same bytes.
    With `--check`, exit code 1 means that `exercises/` is out of date.

    With `--variant A/2027`, writes `DIR/A/ASSIGNMENT/`: the notebook of group A, in which numbers and recorded cases
    differ as the seed 2027 draws them. The class remembers it; who is in which group stands in its `groups.csv`.
    """
    from course_lib.commands.release import run, run_variant

    if every and slug is not None:
        raise CommandError("give the name of an assignment or --all, not both", code=USAGE)
    if variant is not None:
        if check:
            raise CommandError("--check compares exercises/, which holds no variants", code=USAGE)
        run_variant(slug, variant, into=into, folder=folder)
        return
    if into is not None or folder is not None:
        raise CommandError("--into and --class say where a --variant goes; name one", code=USAGE)
    run(slug, check=check)


@app.command(rich_help_panel=PREPARE)
def due(
    slug: Slug = None,
    when: Annotated[
        str | None,
        typer.Argument(metavar="[WHEN]", help="Such as '2026-03-06 17:00', or '2026-03-06 17:00 +01:00'."),
    ] = None,
    folder: ClassFolder = None,
) -> None:
    """Say until when an assignment can be handed in; without a time, show the dates.

    The date goes into the class's gradebook. A time without a zone is one of this machine's. Who hands in later is
    listed as late by the reports; whether it costs points is set in `nbgrader_config.py`.
    """
    from course_lib.commands.due import run

    run(slug, when, folder=folder)


@app.command("sample-class", rich_help_panel=PREPARE)
def sample_class(
    slug: Slug = None,
    size: Annotated[int, typer.Option(min=1, help="How many students.")] = 12,
    seed: Annotated[int, typer.Option(help="Decides who they are and what they wrote.")] = 0,
    into: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The class's folder. Default: COURSE_CLASS, else class/.")
    ] = None,
    hostile: Annotated[bool, typer.Option("--hostile", help="One of them hands in an endless loop.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove an earlier sample class with all its grades.")] = False,
    groups: Annotated[
        str | None,
        typer.Option(metavar="A/1,B/2", help="Groups with a variant each, as `course release --variant` names them."),
    ] = None,
) -> None:
    """Write submissions of made-up students: right, blank, wrong in every known way, crashed, late, broken.

    Use it to try the other commands. The same size and seed give the same class. What each student deserves is
    written to `truth.json` in the class's folder. A folder with real submissions is never touched.
    """
    from course_lib.commands import sample

    sample.sample_class(slug, size=size, seed=seed, into=into, hostile=hostile, fresh=fresh, groups=groups)


@app.command(rich_help_panel=PREPARE)
def demo(
    size: Annotated[int, typer.Option(min=1, help="How many students.")] = 12,
    seed: Annotated[int, typer.Option(help="Decides who they are and what they wrote.")] = 0,
    jobs: Jobs = None,
    unsafe_local: UnsafeLocal = False,
) -> None:
    """Do everything once with a sample class: release, grade, feedback, gradebook, report.

    The class is in `build/class`. Steps that are up to date are left out, so a second run takes seconds.
    """
    from course_lib.commands import sample

    sample.demo(size=size, seed=seed, jobs=jobs, unsafe_local=unsafe_local)


@app.command(rich_help_panel=GRADE)
def collect(
    slug: Annotated[str, typer.Argument(metavar="ASSIGNMENT", help="Such as 04-attention-layer.")],
    source: Annotated[Path, typer.Argument(metavar="FROM", help="A folder, or a zip archive as it was downloaded.")],
    folder: ClassFolder = None,
    kind: Annotated[
        str | None,
        typer.Option("--from", metavar="KIND", help="folder, moodle, canvas or exchange. Default: found out."),
    ] = None,
    roster: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV", help="A list of the class, for who is not in the gradebook or is called otherwise."
        ),
    ] = None,
    new_students: Annotated[
        bool, typer.Option("--new-students", help="Take a name that nobody in the class has for a new student's id.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Take in what differs from what is there; the old one is kept in earlier/."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Take in without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be taken in; write nothing.")] = False,
) -> None:
    """Take in what students handed in: a folder, Moodle's or Canvas' download, nbgrader's exchange.

    First a table says whose each file is, when it was handed in, and what was not understood and why; then you are
    asked. Students are found by id, login, e-mail address or name in the gradebook and in the list that `--roster`
    names: any CSV with headings, Moodle's grading worksheet, or the gradebook that Canvas exports. Nobody is guessed,
    and nothing is overwritten. Exit code 1 says that files are left.
    """
    from course_lib.commands.collect import run

    if yes and dry_run:
        raise CommandError("give --yes or --dry-run, not both", code=USAGE)
    run(
        slug,
        source,
        folder=folder,
        kind=kind,
        roster=roster,
        new_students=new_students,
        replace=replace,
        yes=yes,
        dry_run=dry_run,
    )


@app.command(rich_help_panel=GRADE)
def grade(
    slug: Slug = None,
    folder: ClassFolder = None,
    jobs: Jobs = None,
    unsafe_local: UnsafeLocal = False,
    scheduler: Scheduler = None,
) -> None:
    """Grade what was handed in and write the scores into the gradebook.

    Submissions run side by side, each in a sandbox of its own; as soon as one is done, its score is written through
    nbgrader. What is graded already is not run again. Stop it at any time: the same command goes on from there.

    A score that a person gave stays. So does every score where this machine could not run the submission, and
    where the same submission would now earn other points, since the rubric has changed: exit code 1 says so, and
    `course regrade` shows the difference and replaces them.
    """
    from course_lib.grading.places import default_class
    from course_lib.grading.unchanged import last_words, never_graded

    room = folder.resolve() if folder else default_class()
    if (said := last_words(room, [slug, unsafe_local])) is not None:
        console.print("nothing has changed since the last run: no submission, no score, no rubric")
        for text in said:
            console.print(text, soft_wrap=True)
        return
    with closing(_grounds(scheduler, unsafe_local=unsafe_local)) as sandbox:
        first = never_graded(room, slug)
        if first:
            sandbox.start()  # it takes as long as what is imported now
        from course_lib.commands.grade import run

        if first:
            sandbox.try_out()
        run(slug, folder=folder, jobs=jobs, sandbox=sandbox)


@app.command(rich_help_panel=GRADE)
def regrade(
    slug: Slug = None,
    folder: ClassFolder = None,
    jobs: Jobs = None,
    unsafe_local: UnsafeLocal = False,
    scheduler: Scheduler = None,
    yes: Annotated[bool, typer.Option("--yes", help="Replace the scores without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; write no score.")] = False,
) -> None:
    """Grade anew after the rubric or the solution has changed, and show the difference before it counts.

    A table says who changes, by how much and on which rubric line; then you are asked. What has not changed is not
    run again, and points that a person gave stay. Without an answer, or with a no, nothing is written, and exit
    code 1 says so.
    """
    from course_lib.commands.regrade import run

    if yes and dry_run:
        raise CommandError("give --yes or --dry-run, not both", code=USAGE)
    with closing(_grounds(scheduler, unsafe_local=unsafe_local)) as sandbox:
        run(slug, sandbox=sandbox, folder=folder, jobs=jobs, yes=yes, dry_run=dry_run)


@app.command(rich_help_panel=GRADE)
def feedback(slug: Slug = None, folder: ClassFolder = None) -> None:
    """Make the page that each student gets back: `feedback/STUDENT/ASSIGNMENT/` in the class's folder.

    It shows points, what was found, comments of graders and the student's answers; no hidden input and no
    expected value. Only pages that are out of date are made anew.
    """
    from course_lib.commands import pages

    pages.feedback(slug, folder=folder)


@app.command(rich_help_panel=GRADE)
def report(slug: Slug = None, folder: ClassFolder = None) -> None:
    """Make a page about the class: scores, the commonest mistakes, what needs a person.

    Written to `reports/ASSIGNMENT.html` in the class's folder. Without a name: a page for each assignment and
    `reports/term.html`, the class over the term: whom to help first, progress by student and concept, how hard and
    how telling each exercise is, similar answers. Make the feedback first: the reports link to it.
    """
    from course_lib.commands import pages

    pages.report(slug, folder=folder)


@app.command(rich_help_panel=GRADE)
def export(
    slug: Slug = None,
    folder: ClassFolder = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FILE", help="Default: gradebook.csv, or with --fill lms/, in the class's folder."
        ),
    ] = None,
    fill: Annotated[
        Path | None,
        typer.Option(
            "--fill", metavar="CSV", help="A gradebook file as Canvas or Moodle gave it; a copy is filled in."
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(metavar="HEADING", help="The assignment's column in it, if it is not called like the assignment."),
    ] = None,
    scale: Annotated[
        bool, typer.Option("--scale", help="Multiply scores, so that full marks are the column's points.")
    ] = False,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Also fill in scores to which a person has yet to add.")
    ] = False,
    feedback: Annotated[
        bool, typer.Option("--feedback", help="Also write the feedback pages as a zip archive for Moodle.")
    ] = False,
) -> None:
    """Write the gradebook as CSV, or fill in a gradebook file that you downloaded from Canvas or Moodle.

    The table has one row for each assignment and student, with nbgrader's columns and one that says whether something
    still waits for a person. Text is quoted, and no field can act as a spreadsheet's formula.

    With `--fill`, scores are put into a copy of the file, and no other byte of it changes. Students are found by id,
    login and e-mail address. Rows that are nobody's or appear twice are listed, and nothing is guessed. A column is
    never added: one that is not found is an error.
    """
    if fill is not None:
        from course_lib.commands import lms

        lms.run(slug, fill, folder=folder, to=to, column=column, scale=scale, waiting=waiting, feedback=feedback)
        return
    if column is not None or scale or waiting or feedback:
        raise CommandError("--column, --scale, --waiting and --feedback say how to --fill a file; name it", code=USAGE)
    from course_lib.commands import pages

    pages.export(slug, folder=folder, to=to)


@app.command("kill-table", rich_help_panel=LOOK)
def kill_table(
    slug: Slug = None,
    exercise: Annotated[list[str] | None, typer.Option(help="Only this exercise; may be repeated.")] = None,
    mutants: Annotated[
        bool, typer.Option("--mutants", help="Also change the solutions automatically in every place; takes minutes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    variant: Annotated[
        str | None, typer.Option(metavar="GROUP/SEED", help="Of this variant, with its constants and public cases.")
    ] = None,
) -> None:
    """Show which rubric line catches which mistake.

    The solution must earn all points, the blank stub none, and each known mistake must lose the line that is
    meant to catch it and be named there. Exit code 1 says that one does not.
    """
    from course_lib.commands import inspect

    inspect.kills(slug, as_json=as_json, mutants=mutants, exercises=tuple(exercise or ()), variant=variant)


@app.command(rich_help_panel=LOOK)
def doctor() -> None:
    """Try out each protection of the grading sandbox on this machine.

    A hostile notebook is put into the sandbox, and the table says what it could do. Exit code 3 says that a
    protection does not hold; then `course grade` refuses, unless told `--unsafe-local`.
    """
    from course_lib.commands import inspect

    inspect.doctor()


@app.command(rich_help_panel=LOOK)
def audit(folder: ClassFolder = None) -> None:
    """Check that results, gradebook and exported table agree.

    The results' log is a chain: nothing in it can be changed, lost or added unseen. Each automatic score in the
    gradebook is compared with its result. What was changed by hand, is missing or out of date is listed, and exit
    code 1 says that there is something.
    """
    from course_lib.commands import inspect

    inspect.audit(folder)


def main() -> None:
    """Run the command line; what goes wrong is one sentence and an exit code."""
    atexit.register(gc.freeze)  # or Python looks through all that was imported before it ends, for a second
    try:
        app()
    except Exception as error:
        if os.environ.get("COURSE_DEBUG"):
            raise
        code = _exit_code(error)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            from course_lib.grading.classroom import class_fault

            error, code = class_fault(str(error)) or error, ATTENTION
        if code == FAULT:
            errors.print(
                f"[red]Error:[/] unexpected {type(error).__name__}: {error}. This is a fault of the course; "
                "run the command again with COURSE_DEBUG=1 to see where.",
                soft_wrap=True,
            )
        else:
            errors.print("[red]Error:[/]", str(error), soft_wrap=True, markup=True)
        sys.exit(code)


def _grounds(scheduler: str | None, *, unsafe_local: bool) -> Grounds:
    """Where submissions are run: here, or on a cluster."""
    if scheduler is None:
        from course_lib.grading.sandbox import Warming

        return Warming(unsafe_local=unsafe_local)
    from course_lib.grading.cluster.controller import Cluster

    return Cluster(scheduler, unsafe_local=unsafe_local)


def _exit_code(error: Exception) -> int:
    if isinstance(error, CommandError):
        return error.code
    by_name = {
        "ClassFault": ATTENTION,
        "SpecError": USAGE,
        "ReleaseError": ATTENTION,
        "GroupError": ATTENTION,
        "StoreError": ATTENTION,
        "RunnerFault": ENVIRONMENT,
        "ModuleNotFoundError": ENVIRONMENT,
    }
    return next((by_name[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in by_name), FAULT)
