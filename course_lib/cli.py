"""The `course` command. Each command imports what it needs when it runs, so that help is instant."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from course_lib.commands import ATTENTION, ENVIRONMENT, FAULT, USAGE, CommandError, errors

EXIT_CODES = """
**Exit codes**

* **0** done
* **1** done, but something needs a person: the last lines say what
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
    `course grade` grades what students handed in, each in a sandbox of its own, and writes the scores into
    nbgrader's gradebook; `course feedback`, `course report` and `course export` make the pages and the table.

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

PREPARE, GRADE, LOOK = "Prepare", "Grade a class", "Look into it"


@app.command(rich_help_panel=PREPARE)
def release(
    slug: Slug = None,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; say whether exercises/ is what the solutions give.")
    ] = False,
) -> None:
    """Make the students' notebook of an assignment, and the recorded cases it is checked with.

    Reads `solutions/ASSIGNMENT/`, writes `exercises/ASSIGNMENT/`. The same solution gives the same bytes.
    With `--check`, exit code 1 means that `exercises/` is out of date.
    """
    from course_lib.commands.release import run

    run(slug, check=check)


def main() -> None:
    """Run the command line; what goes wrong is one sentence and an exit code."""
    try:
        app()
    except Exception as error:
        if os.environ.get("COURSE_DEBUG"):
            raise
        code = _exit_code(error)
        if code == FAULT:
            errors.print(
                f"[red]Error:[/] unexpected {type(error).__name__}: {error}. This is a fault of the course; "
                "run the command again with COURSE_DEBUG=1 to see where.",
                soft_wrap=True,
            )
        else:
            errors.print("[red]Error:[/]", str(error), soft_wrap=True, markup=True)
        sys.exit(code)


def _exit_code(error: Exception) -> int:
    if isinstance(error, CommandError):
        return error.code
    by_name = {"SpecError": USAGE, "ReleaseError": ATTENTION, "ModuleNotFoundError": ENVIRONMENT}
    return next((by_name[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in by_name), FAULT)
