"""`course collect`: show whose each file of a download is, then take the notebooks into the class."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.prompt import Confirm
from rich.table import Table

from course_lib.commands import USAGE, CommandError, console, counted
from course_lib.commands.choose import classroom
from course_lib.commands.grade import say_what_works
from course_lib.grading.classroom import Classroom
from course_lib.grading.intake.archive import ArchiveError, Source, open_source
from course_lib.grading.intake.names import KINDS, Kind, detect
from course_lib.grading.intake.plan import EARLIER, Plan, State, apply, make_plan, missing
from course_lib.grading.intake.roster import Member, Members, RosterError, known_members, with_roster
from course_lib.grading.spec import Assignment, assignment

LISTED = 12
HINTS: dict[Kind, str] = {
    "folder": "Give a list of the class with --roster, rename the files, or say --new-students.",
    "moodle": "Give Moodle's grading worksheet with --roster.",
    "canvas": "Give the gradebook that Canvas exports with --roster.",
    "exchange": "Give a list of the class with --roster, or say --new-students.",
}


def run(
    slug: str,
    path: Path,
    *,
    folder: Path | None = None,
    kind: str | None = None,
    roster: Path | None = None,
    new_students: bool = False,
    replace: bool = False,
    yes: bool = False,
    dry_run: bool = False,
) -> None:
    """Take what was handed in for one assignment into the class.

    Args:
        kind: how files are named; found out where it is not given.
        roster: a list of the class as CSV.
        new_students: take names that nobody in the class has for ids of new students.
        replace: let a notebook take the place of another; that one is kept.
        yes: take in without asking.
        dry_run: only show what would be done.
    """
    spec, room = assignment(slug), classroom(folder)
    if kind is not None and kind not in KINDS:
        raise CommandError(f"--from is one of {', '.join(KINDS)}, not {kind}", code=USAGE)
    if not path.exists():
        raise CommandError(f"{path} is not there", code=USAGE)
    try:
        alone = contextlib.nullcontext() if dry_run else room.alone("course collect", waits=say_what_works)
        with open_source(_inbound(path, spec)) as source, alone:
            problems = _collect(
                room, spec, source, kind, roster, new_students=new_students, replace=replace, yes=yes, dry_run=dry_run
            )
    except (ArchiveError, RosterError) as error:
        raise CommandError(f"{error}.") from error
    if problems:
        raise CommandError(" ".join(problems))


def _collect(
    room: Classroom,
    spec: Assignment,
    source: Source,
    kind: str | None,
    roster: Path | None,
    *,
    new_students: bool,
    replace: bool,
    yes: bool,
    dry_run: bool,
) -> list[str]:
    """Show the plan, ask, do it; say what is left."""
    chosen = next((name for name in KINDS if name == kind), None) or detect(source.entries)
    everyone = known_members(room, chosen)
    everyone, unread = with_roster(everyone, roster, chosen) if roster else (everyone, [])
    members = Members(everyone)
    plan = make_plan(source, chosen, room, spec, members, new_students=new_students)
    _show(plan, source, spec, members, unread, replace)
    new = [item for item in plan.taken if item.state in (State.NEW, State.TIME)]
    others = [item for item in plan.taken if item.state is State.REPLACES]
    problems = []
    if plan.problems:
        hint = "Add whoever is missing to the list of the class, or rename the files." if roster else HINTS[chosen]
        problems.append(f"{counted(len(plan.problems), 'file')} not understood; the list says why. {hint}")
    if others and not replace:
        problems.append(
            f"{len(others)} students have another notebook already, which stays; to take the new one and keep the old "
            f"one in {EARLIER}/: --replace."
        )
    todo = new + (others if replace else [])
    if dry_run:
        console.print("  nothing was taken in: --dry-run")
        return problems
    if not todo:
        console.print("  nothing is left to take in" if plan.taken else "  no notebook was found")
        return problems if plan.taken or problems else [f"{source.path} holds no notebook that could be taken in."]
    question = f"Take in {len(todo)} notebooks?"
    if not yes and not (sys.stdin.isatty() and Confirm.ask(question, default=True, console=console)):
        return [*problems, "Nothing was taken in; to do it without a question: --yes."]
    _add_students(room, [member for member in everyone if not member.known])
    count = apply(plan, source, room, spec, replace=replace)
    console.print(
        f"  {count} notebooks taken into {room.folder / 'submitted'}; next: course grade {spec.slug}", soft_wrap=True
    )
    return problems


def _inbound(path: Path, spec: Assignment) -> Path:
    """The folder of submissions in what may be a course's folder in nbgrader's exchange, or the exchange itself."""
    if not path.is_dir() or path.name == "inbound":
        return path
    if (path / "inbound").is_dir():
        return path / "inbound"
    courses = sorted(place.parent for place in path.glob("*/inbound") if any(place.glob(f"*+{spec.slug}+*")))
    if len(courses) > 1:
        names = ", ".join(course.name for course in courses)
        raise CommandError(f"{path} is the exchange of several courses: {names}; name the folder of one", code=USAGE)
    return courses[0] / "inbound" if courses else path


def _show(plan: Plan, source: Source, spec: Assignment, members: Members, unread: list[str], replace: bool) -> None:
    understood = f"{counted(len(plan.taken), 'notebook')} understood, {counted(len(plan.problems), 'file')} not"
    console.print(
        f"[bold]{spec.slug}[/]  {escape(str(source.path))}, read as {KINDS[plan.kind]}: {understood}",
        soft_wrap=True,
    )
    if plan.taken:
        table = Table()
        for name in ("student", "file", "handed in (UTC)", "what it does"):
            table.add_column(name, overflow="fold")
        for item in plan.taken:
            time = f"{item.time:%Y-%m-%d %H:%M}" if item.time else "not known"
            differs = "replaces another" if replace else "differs, stays"
            does = differs if item.state is State.REPLACES else item.state.value
            file = item.entry.name.replace("_assignsubmission_file", "…")  # the same in each of Moodle's names
            if file.endswith(f"/{spec.notebook}.ipynb"):  # and this in most
                file = file.removesuffix(f"{spec.notebook}.ipynb")
            table.add_row(escape(item.student), escape(file), time, does)
        console.print(table)
    notes = [f"{item.student}: {note}" for item in plan.taken for note in item.notes]
    if notes:
        console.print(f"[yellow]To look at[/] ({len(notes)}); it keeps nothing from being taken in:")
        for note in notes:
            console.print(f"    {escape(note)}", soft_wrap=True)
    if plan.problems:
        console.print(f"[red]Not understood[/] ({len(plan.problems)}), and not taken in:")
        for name, why in plan.problems:
            console.print(f"    {escape(name)}: {escape(why)}", soft_wrap=True)
    for text in unread:
        console.print(f"  [yellow]The list of the class[/]: {escape(text)}", soft_wrap=True)
    _list("Left out", [f"{name} ({why})" for name, why in plan.left_out])
    absent = missing(plan, members)
    _list("No notebook from", [f"{student} ({name})" if name else student for student, name in absent.items()])


def _list(what: str, items: Sequence[str]) -> None:
    if items:
        more = f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
        console.print(f"  {what} ({len(items)}): {escape('; '.join(items[:LISTED]))}{more}", soft_wrap=True)


def _add_students(room: Classroom, members: Sequence[Member]) -> None:
    """Put those whom only the list of the class knows into the gradebook."""
    if not members:
        return
    with room.gradebook() as gradebook:
        for member in members:
            first, last = member.first, member.last
            if not first and not last and member.names:
                name = min(member.names)
                before, _, after = name.rpartition("," if "," in name else " ")
                first, last = (after, before) if "," in name else (before, after)
            gradebook.update_or_create_student(
                member.student, first_name=first.strip(), last_name=last.strip(), email=member.email or None
            )
    console.print(f"  {len(members)} students of the list are new in the gradebook")
