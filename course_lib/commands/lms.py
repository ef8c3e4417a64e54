"""`course export --fill`: scores into a gradebook file of Canvas or Moodle, and feedback as Moodle takes it in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from course_lib.commands import USAGE, CommandError, console
from course_lib.commands.choose import chosen, classroom
from course_lib.grading.lms.feedback_zip import write_feedback_zip
from course_lib.grading.lms.fill import Filled, fill, match_rows
from course_lib.grading.lms.layout import MOODLE, read_layout
from course_lib.grading.lms.people import Students, known_students
from course_lib.grading.lms.table import TableError, read_table
from course_lib.grading.results import write_atomically
from course_lib.grading.standing import standings

LISTED = 12
FOLDER = "lms"
"""Where the filled files go, in the class's folder."""


def run(
    slug: str | None,
    source: Path,
    *,
    folder: Path | None = None,
    to: Path | None = None,
    column: str | None = None,
    scale: bool = False,
    waiting: bool = False,
    feedback: bool = False,
) -> Path:
    """Fill in a copy of the file, and say what was left and why.

    Args:
        source: the file as it was downloaded; it stays as it is.
        to: the copy.
        column: the heading of the assignment's column.
        scale: multiply scores so that full marks are the column's points.
        waiting: also write scores to which a person has yet to add.
        feedback: write Moodle's archive of feedback pages too.
    """
    room = classroom(folder)
    path = (to or room.folder / FOLDER / source.name).resolve()
    if not source.is_file():
        raise CommandError(f"{source} is not there, or no file", code=USAGE)
    if path.exists() and path.samefile(source):
        raise CommandError("the download itself stays as it is; name another file with --to", code=USAGE)
    specs = [spec for spec in chosen(slug) if standings(room, spec.slug)]
    if not specs:
        raise CommandError(f"nothing is graded in {room.folder} yet; run `course grade` first")
    try:
        table = read_table(source.read_bytes())
        layout = read_layout(table)
        if len(specs) > 1 and (layout.system == MOODLE or column is not None or feedback):
            raise CommandError(
                f"{source.name} or --column is about one assignment, and {len(specs)} are graded; name it: course "
                "export ASSIGNMENT --fill FILE",
                code=USAGE,
            )
        rows, unknown = match_rows(table, layout, Students(known_students(room)))
        filled = [
            fill(
                table,
                layout,
                rows,
                spec,
                standings(room, spec.slug),
                column=column,
                scale=scale,
                waiting=waiting,
            )
            for spec in specs
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        archive = path.with_name(f"{specs[0].slug}-feedback.zip")
        if feedback:  # before the table: a file that allows no archive leaves nothing half done
            pages, without = write_feedback_zip(archive, table, layout, rows, room, specs[0])
        write_atomically(path, table.to_bytes())
        console.print(f"[bold]{escape(source.name)}[/]  read as {layout.system}, {len(rows)} students understood")
        problems = _say_unknown(unknown)
        for item in filled:
            problems += _say(item)
        if feedback:
            _list("No feedback page for", [name for name in without if name not in filled[0].absent])
            console.print(f"  {pages} feedback pages in {archive}", soft_wrap=True)
    except TableError as error:
        raise CommandError(f"{source}: {error}.") from error
    console.print(f"  the file to upload: {path}", soft_wrap=True)
    if problems:
        raise CommandError(" ".join(problems))
    return path


def _say_unknown(unknown: Sequence[tuple[str, str]]) -> list[str]:
    if not unknown:
        return []
    console.print(f"[red]Not filled in[/] ({len(unknown)}):")
    for where, why in unknown:
        console.print(f"    {escape(where)}: {escape(why)}", soft_wrap=True)
    return [f"Rows that are nobody's, or not one student's alone: {len(unknown)}; the list says why."]


def _say(done: Filled) -> list[str]:
    console.print(
        f"[bold]{done.spec.slug}[/]  in the column {escape(repr(done.heading))}: {len(done.written)} scores written, "
        f"{done.same} as before",
        soft_wrap=True,
    )
    _list("In the place of others", [f"{w.student} {w.before} → {w.after}" for w in done.replaced])
    _list("Left as the file has it", [f"{student} {text}" for student, text in done.kept])
    _list("Nothing handed in by", done.absent)
    _list("A score, and no row that is theirs alone", done.no_row)
    _list("Left, since a person has yet to grade something", done.waiting)
    problems = []
    if done.no_row:
        problems.append(
            f"Students with a score for {done.spec.slug} and no row that is theirs alone: {len(done.no_row)}."
        )
    if done.waiting:
        problems.append(
            f"{len(done.waiting)} scores for {done.spec.slug} are not complete and were left; grade the answers in "
            "words, or say --waiting to fill in what there is."
        )
    return problems


def _list(what: str, items: Sequence[str]) -> None:
    if items:
        more = f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
        console.print(f"  {what} ({len(items)}): {escape('; '.join(items[:LISTED]))}{more}", soft_wrap=True)
