"""`course sample-class` and `course demo`."""

from __future__ import annotations

from pathlib import Path

from course_lib.commands import ENVIRONMENT, USAGE, CommandError, console
from course_lib.commands.choose import chosen, classroom
from course_lib.grading.classroom import Classroom
from course_lib.grading.groups import read_groups
from course_lib.grading.places import ROOT
from course_lib.grading.sample_class import TRUTH, make_class, same_class
from course_lib.grading.sandbox import Warming
from course_lib.grading.spec import Variant
from course_lib.grading.unchanged import never_graded
from course_lib.grading.variant import parse


def sample_class(
    slug: str | None,
    *,
    size: int,
    seed: int,
    into: Path | None = None,
    hostile: bool = False,
    fresh: bool = False,
    groups: str | None = None,
) -> None:
    """Write a sample class, in the place of an earlier sample class if there is one.

    Args:
        groups: the variants of its groups, ``A/1,B/2``.
    """
    room = classroom(into)
    specs = chosen(slug)
    variants = _variants(groups)
    _make_room(room, fresh=fresh)
    for spec in specs:
        before = read_groups(room).variants.get(spec.slug, ())
        if (room.folder / "submitted").exists() and before and set(before) != set(variants):
            raise CommandError(
                f"this sample class has the groups {', '.join(map(str, before))} for {spec.slug}; name them again "
                "with --groups, or start anew with --fresh"
            )
        if same_class(spec, room, size=size, seed=seed, hostile=hostile, groups=variants):
            console.print(f"[bold]{spec.slug}[/]  {size} students, as before")
            continue
        plans = make_class(spec.slug, room, size=size, seed=seed, hostile=hostile, groups=variants)
        of_groups = f" of the groups {', '.join(map(str, variants))}" if variants else ""
        console.print(
            f"[bold]{spec.slug}[/]  {len(plans)} students{of_groups} in {room.folder / 'submitted'}", soft_wrap=True
        )


def _variants(groups: str | None) -> list[Variant]:
    variants = [parse(word.strip()) for word in groups.split(",")] if groups else []
    if len({variant.group for variant in variants}) < len(variants):
        raise CommandError(f"--groups names a group twice: {groups}", code=USAGE)
    return variants


def demo(*, size: int, seed: int, jobs: int | None, unsafe_local: bool) -> None:
    """Release, sample class, grades, feedback, gradebook, report: each step where it is needed."""
    from course_lib.commands import grade, pages, release

    room = Classroom(ROOT / "build" / "class")
    console.rule("Assignments", align="left")
    release.run(None)
    console.rule("Sample class", align="left")
    sample_class(None, size=size, seed=seed, into=room.folder)
    console.rule("Grading", align="left")

    def graded(*, unsafe_local: bool) -> None:
        with Warming(unsafe_local=unsafe_local) as sandbox:
            if never_graded(room.folder, None):
                sandbox.start()
            grade.run(None, folder=room.folder, jobs=jobs, sandbox=sandbox, replace=True)

    try:
        graded(unsafe_local=unsafe_local)
    except CommandError as error:
        if error.code != ENVIRONMENT:
            raise
        console.print(
            f"[yellow]No sandbox here:[/] {error} The sample class is the course's own code, so it is graded without."
        )
        graded(unsafe_local=True)
    console.rule("Feedback, gradebook, report", align="left")
    pages.feedback(None, folder=room.folder)
    table = pages.export(None, folder=room.folder)
    reports = pages.report(None, folder=room.folder)
    page = next(iter(sorted((room.folder / "feedback").glob("*/*/*.html"))), None)
    console.rule("Where everything is", align="left")
    book = ROOT / "build" / "book" / "index.html"
    rows = [
        ("the book", book if book.exists() else None, "open it in a browser"),
        ("the assignments", ROOT / "exercises", "what students get; open a notebook in Jupyter"),
        *(("the class report", path, "open it in a browser") for path in reports),
        ("a student's feedback", page, "open it in a browser"),
        ("the gradebook", table, "open it in a spreadsheet"),
    ]
    for what, path, how in rows:
        if path is not None:
            console.print(f"  {what:22}{path.relative_to(ROOT)}   [dim]{how}[/]", soft_wrap=True)
    console.print(
        f"  {'the formgrader':22}COURSE_CLASS={room.folder.relative_to(ROOT)} make formgrader   "
        "[dim]then: Formgrader in the Nbgrader menu[/]",
        soft_wrap=True,
    )


def _make_room(room: Classroom, *, fresh: bool) -> None:
    """Never write among real submissions, nor into a gradebook on a server, which may be a real class's."""
    if room.on_server:
        raise CommandError(
            "made-up students would go into the gradebook that COURSE_DB_URL or nbgrader_config.py names; "
            "unset it for this command"
        )
    if (room.folder / TRUTH).exists():
        if fresh:
            room.clear()
        return
    if (room.folder / "submitted").exists() or room.gradebook_file.exists():
        raise CommandError(f"{room.folder} holds a class that is no sample; name another folder: --into DIR")
