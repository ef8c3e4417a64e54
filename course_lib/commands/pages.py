"""`course feedback`, `course report`, `course export`: pages and tables from a graded class."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

from nbgrader.apps.api import NbGraderAPI
from rich.progress import track
from sqlalchemy.exc import SAWarning

from course_lib.commands import CommandError, console
from course_lib.commands.choose import chosen, classroom
from course_lib.grading.classroom import Classroom
from course_lib.grading.commit import last_words
from course_lib.grading.export import write_gradebook
from course_lib.grading.groups import read_groups
from course_lib.grading.overview import overview
from course_lib.grading.pages import TEMPLATES
from course_lib.grading.report import class_report
from course_lib.grading.spec import Assignment
from course_lib.grading.standing import comments, read_commit, standings


def feedback(slug: str | None, *, folder: Path | None = None) -> list[Path]:
    """Make the feedback pages that are not there or out of date; the folders they are in."""
    room = classroom(folder)
    made = []
    for spec in _graded(room, slug):
        stale = _stale(room, spec)
        api = NbGraderAPI(config=room.config(), coursedir=room.coursedir())
        failures = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)
            for student, state in track(stale.items(), "  pages", console=console, disable=not stale):
                outcome = api.generate_feedback(spec.slug, student)
                if outcome["success"]:
                    _stamp(room, student, spec).write_text(state)
                else:
                    failures.append(f"{student}: {last_words(outcome)}")
        count = len(room.students(spec.slug))
        console.print(f"[bold]{spec.slug}[/]  {len(stale) - len(failures)} feedback pages made, {count} students")
        if failures:
            raise CommandError(f"{len(failures)} feedback pages of {spec.slug} could not be made, first {failures[0]}")
        made.append(room.folder / "feedback")
    return made


def report(slug: str | None, *, folder: Path | None = None) -> list[Path]:
    """Write the class report of one assignment; or of all, and that of the term before them."""
    room = classroom(folder)
    specs = _graded(room, slug)
    place = room.folder / "reports"
    place.mkdir(parents=True, exist_ok=True)
    written = []
    for spec in specs:
        path = place / f"{spec.slug}.html"
        path.write_text(class_report(overview(room, spec), place), encoding="utf-8")
        console.print(f"[bold]{spec.slug}[/]  {path}", soft_wrap=True)
        written.append(path)
    if slug is None:
        from course_lib.grading.term.report import term_report
        from course_lib.grading.term.term import read_term

        path = place / "term.html"
        path.write_text(term_report(read_term(room, specs), place), encoding="utf-8")
        console.print(f"[bold]the term[/]  {path}", soft_wrap=True)
        written.insert(0, path)
    return written


def export(slug: str | None, *, folder: Path | None = None, to: Path | None = None) -> Path:
    """Write the gradebook as CSV."""
    room = classroom(folder)
    specs = _graded(room, slug)
    path = (to or room.folder / "gradebook.csv").resolve()
    with room.gradebook() as gradebook:
        slugs = [spec.slug for spec in specs]
        count = write_gradebook(gradebook, path, assignments=slugs, groups=read_groups(room).members)
    console.print(f"{count} rows in {path}", soft_wrap=True)
    return path


def _graded(room: Classroom, slug: str | None) -> Sequence[Assignment]:
    specs = [spec for spec in chosen(slug) if standings(room, spec.slug)]
    if not specs:
        raise CommandError(f"nothing is graded in {room.folder} yet; run `course grade` first")
    return specs


def _stale(room: Classroom, spec: Assignment) -> dict[str, str]:
    """Students whose page does not show the present grades and comments, with what it has to show."""
    said = comments(room, spec.slug)
    style = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(TEMPLATES.iterdir()))).hexdigest()
    stale = {}
    for student, standing in standings(room, spec.slug).items():
        if not room.autograded(student, spec.slug).exists():
            continue
        shown = (read_commit(room, student, spec.slug), standing, sorted(said.get(student, {}).items()), style)
        state = hashlib.sha256(repr(shown).encode()).hexdigest()
        page = room.feedback(student, spec.slug) / f"{spec.notebook}.html"
        stamp = _stamp(room, student, spec)
        if not page.exists() or not stamp.exists() or stamp.read_text() != state:
            stale[student] = state
    return stale


def _stamp(room: Classroom, student: str, spec: Assignment) -> Path:
    return room.folder / "committed" / spec.slug / f"{student}.feedback"
