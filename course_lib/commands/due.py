"""`course due`: when an assignment is due in a class."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from nbgrader.api import MissingEntry

from course_lib.commands import USAGE, CommandError, console
from course_lib.commands.choose import chosen, classroom
from course_lib.commands.grade import say_what_works
from course_lib.grading.classroom import Classroom
from course_lib.grading.release import register
from course_lib.grading.spec import Assignment


def run(slug: str | None, when: str | None, *, folder: Path | None = None) -> None:
    """Put an assignment's date into the gradebook, or show the dates that stand there.

    Args:
        when: date and time; in this machine's time zone, unless it names another.
    """
    room, specs = classroom(folder), chosen(slug)
    if slug is not None and when is not None:
        moment = read_moment(when)
        with room.alone("course due", waits=say_what_works):
            register(room, slug)
            with room.gradebook() as gradebook:
                gradebook.update_or_create_assignment(slug, duedate=moment)
    for spec in specs:
        date = _date(room, spec)
        console.print(f"[bold]{spec.slug}[/]  {f'due {date:%a %Y-%m-%d %H:%M} UTC' if date else 'has no date'}")


def read_moment(text: str) -> datetime:
    """A point in time as nbgrader keeps it: in UTC, which it does not say.

    Raises:
        CommandError: the text names no day with a time.
    """
    plain = re.sub(r"\s*UTC$", "+00:00", text.strip())
    plain = re.sub(r"\s+(?=[+-]\d\d:?\d\d$)", "", plain)
    try:
        if not re.match(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d", plain):
            raise ValueError
        return datetime.fromisoformat(plain).astimezone(UTC).replace(tzinfo=None)
    except ValueError:
        raise CommandError(
            f"{text!r} is no date with a time; write it as '2026-03-06 17:00', in this machine's time zone, or with "
            "another one as '2026-03-06 17:00 +01:00'",
            code=USAGE,
        ) from None


def _date(room: Classroom, spec: Assignment) -> datetime | None:
    if not room.has_gradebook:
        return None
    with room.gradebook() as gradebook:
        try:
            date: datetime | None = gradebook.find_assignment(spec.slug).duedate
        except MissingEntry:
            return None
    return date
