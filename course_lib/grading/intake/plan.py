"""What will be taken into ``submitted/``, worked out before anything is written, and then done."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from pathlib import Path

from nbgrader.utils import parse_utc

from course_lib.grading.classroom import Classroom
from course_lib.grading.collect import other_notebooks
from course_lib.grading.groups import spec_of
from course_lib.grading.ingest import read_submission
from course_lib.grading.intake.archive import Entry, EntryError, Source, is_whole, shown
from course_lib.grading.intake.names import EXCHANGE, Claim, Kind, read_claim
from course_lib.grading.intake.roster import Match, Members, is_possible_id, match
from course_lib.grading.spec import Assignment
from course_lib.grading.standing import LATE_MARK, handed_in_at

EARLIER = "earlier"
"""Folder in the class's folder that keeps what was replaced."""

SECRET, MAX_SECRET = "submission_secret.txt", 1024
"""By this file of a submission, and its bytes, nbgrader finds the feedback for it in the exchange."""

OF_NBGRADER = {"timestamp.txt", SECRET, LATE_MARK}


class State(Enum):
    """What taking in a notebook would do."""

    NEW = "new"
    SAME = "as before"
    TIME = "adds its time"
    REPLACES = "differs"


@dataclass(frozen=True)
class Taken:
    """A notebook that is understood.

    Attributes:
        student: whose it is.
        entry: the file.
        time: when it was handed in, in UTC, if that is known.
        state: what taking it in would do.
        notes: what a person should know about it.
        late: whether its system calls it late.
    """

    student: str
    entry: Entry
    time: datetime | None
    state: State
    notes: tuple[str, ...] = ()
    late: bool = False


@dataclass
class Plan:
    """What is in a folder or archive.

    Attributes:
        kind: how its files are named.
        taken: notebooks, one for each student.
        problems: names of what is not taken in although a student may have meant it, each with the reason.
        left_out: names of what need not be taken in, each with the reason.
    """

    kind: Kind
    taken: list[Taken] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def make_plan(
    source: Source, kind: Kind, classroom: Classroom, spec: Assignment, members: Members, *, new_students: bool = False
) -> Plan:
    """Work out whose each file is.

    Args:
        source: the folder or archive.
        kind: how its files are named.
        classroom: of the class.
        spec: of the assignment.
        members: who is in the class.
        new_students: take a name that nobody in the class has for the id of a new student.
    """
    plan = Plan(kind, problems=list(source.refused))
    notebooks: dict[str, list[Claim]] = {}
    others: dict[str, list[Claim]] = {}
    entries = [entry for entry in source.entries if entry.parts[-1] not in OF_NBGRADER]
    for claim in (_checked(read_claim(entry, kind, spec), source, kind) for entry in entries):
        if claim.other and claim.entry.is_notebook and kind != "exchange":
            plan.problems.append((claim.entry.name, claim.other))
        elif claim.other:
            plan.left_out.append((claim.entry.name, claim.other))
        else:
            found = _whose(claim, members, new_students)
            if found.student:
                (notebooks if claim.entry.is_notebook else others).setdefault(found.student, []).append(claim)
            elif claim.entry.is_notebook:
                plan.problems.append((claim.entry.name, found.why))
            else:
                plan.left_out.append((claim.entry.name, "no notebook"))
    for student, claims in sorted(notebooks.items()):
        _choose(student, claims, source, classroom, spec, members, plan)
    for student, claims in sorted(others.items()):
        aim = plan.left_out if student in notebooks or kind in ("folder", "exchange") else plan.problems
        why = "no notebook" if aim is plan.left_out else f"{student} handed in this, and no notebook"
        aim += [(claim.entry.name, why) for claim in claims]
    return plan


def _checked(claim: Claim, source: Source, kind: Kind) -> Claim:
    """The claim, unless it stands in an exchange where somebody else has made the folder that bears the name.

    What is still being handed in there is left for the next time.
    """
    if kind != "exchange" or claim.other:
        return claim
    parts, student = claim.entry.parts, claim.words[0][0]
    folder = "/".join(parts[: 1 + next(i for i, part in enumerate(parts) if EXCHANGE.fullmatch(part))])
    owner = source.stranger(folder)
    if not owner:
        return claim
    if owner != student:
        return replace(claim, other=f"its folder says {student} and belongs to {owner}; look into it")
    if not is_whole(source.path / folder):
        return replace(claim, other="not handed in to its end yet; collect again later")
    return claim


def apply(plan: Plan, source: Source, classroom: Classroom, spec: Assignment, *, replace: bool) -> int:
    """Take in what the plan says; return the number of students with something new.

    Each student's folder is replaced as a whole; what was there is kept in ``earlier/``.

    Args:
        replace: also take in what takes the place of another notebook.
    """
    count = 0
    for item in plan.taken:
        folder = classroom.submitted(item.student, spec.slug)
        if item.state is State.TIME:
            _write_time(folder, item.time)
        elif item.state is State.NEW or (item.state is State.REPLACES and replace):
            fresh = folder.with_name(f".{spec.slug}.new")
            shutil.rmtree(fresh, ignore_errors=True)  # of a command that was stopped
            fresh.mkdir(parents=True)
            _write(fresh / f"{spec.notebook}.ipynb", source.read(item.entry))
            _write_time(fresh, item.time)
            if plan.kind == "exchange":
                _write_secret(fresh, item.entry, source)
            if item.late:
                _write(fresh / LATE_MARK, b"late; the system that it comes from says so, and not when it came\n")
            if folder.exists():
                _keep(folder, classroom.folder / EARLIER / spec.slug / item.student)
            fresh.rename(folder)
        else:
            continue
        count += 1
    return count


def _whose(claim: Claim, members: Members, new_students: bool) -> Match:
    found = match(claim, members)
    words = [forms[-1] for forms in claim.words]
    if found.student or not new_students or not words or any(members.called(word) for word in words):
        return found
    if len(words) > 1:
        return Match(why=f"the new student may be {' or '.join(shown(word) for word in words)}")
    if not is_possible_id(words[0]):
        return Match(why=f"{shown(words[0])} cannot be the name of a folder")
    return Match(words[0])


def _choose(
    student: str,
    claims: Sequence[Claim],
    source: Source,
    classroom: Classroom,
    spec: Assignment,
    members: Members,
    plan: Plan,
) -> None:
    """The notebook of one student that counts; where that is not clear, none does."""
    last = max((claim.time for claim in claims if claim.time is not None), default=None)
    older = [claim for claim in claims if claim.time != last]
    claims = [claim for claim in claims if claim.time == last]
    named = [claim for claim in claims if claim.notebook == spec.notebook] or claims
    others = [claim for claim in claims if claim not in named]
    if plan.kind != "folder":  # systems count what is handed in again; a number in a folder may mean anything
        newest = max(claim.again for claim in named)
        older += [claim for claim in named if claim.again < newest]
        named = [claim for claim in named if claim.again == newest]
    data: dict[str, tuple[Claim, bytes]] = {}
    for claim in named:
        try:
            content = source.read(claim.entry)
        except EntryError as error:
            plan.problems.append((claim.entry.name, f"{student}: {error}"))
            return
        data.setdefault(hashlib.sha256(content).hexdigest(), (claim, content))
    if len(data) > 1:
        names = [claim.entry.name for claim, _ in data.values()]
        plan.problems += [(name, f"one of {len(names)} different notebooks of {student}; leave one") for name in names]
        return
    ((claim, content),) = data.values()
    plan.left_out += [(c.entry.name, f"{student} handed in again later") for c in older]
    plan.left_out += [(c.entry.name, f"another notebook of {student} than {spec.notebook}.ipynb") for c in others]
    plan.left_out += [(c.entry.name, f"the same as {claim.entry.name}") for c in named if c is not claim]
    time = claim.time or _time_beside(claim.entry, source, plan.kind) or _time_in_list(student, members, plan.kind)
    state = _state(classroom, student, spec, content, time)
    plan.taken.append(
        Taken(
            student,
            claim.entry,
            time,
            state,
            tuple(_notes(claim, time, content, spec_of(classroom, student, spec))),
            claim.late,
        )
    )


def _state(classroom: Classroom, student: str, spec: Assignment, content: bytes, time: datetime | None) -> State:
    """What taking in this notebook would do to what is there."""
    folder = classroom.submitted(student, spec.slug)
    if not folder.exists():
        return State.NEW
    wanted = folder / f"{spec.notebook}.ipynb"
    there = [wanted] if wanted.exists() else other_notebooks(folder, spec)
    if not there:
        return State.NEW
    if len(there) > 1 or there[0].is_symlink() or there[0].read_bytes() != content:
        return State.REPLACES
    before = handed_in_at(classroom, student, spec.slug)
    if time is None or time == before:
        return State.SAME
    return State.TIME if before is None else State.REPLACES


def _notes(claim: Claim, time: datetime | None, content: bytes, spec: Assignment) -> Iterable[str]:
    if claim.late:
        yield "late" if time else "late, and Canvas does not say when"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notebook.ipynb"
        path.write_bytes(content)
        verdict = read_submission(path, spec=spec).verdict
    if verdict != "ok":
        yield verdict.rstrip(".")


def _time_beside(entry: Entry, source: Source, kind: Kind) -> datetime | None:
    """The time in a ``timestamp.txt`` beside a notebook, as nbgrader's folders have it."""
    beside = Entry((*entry.parts[:-1], "timestamp.txt"))
    if kind != "folder" or len(entry.parts) == 1 or beside not in source.entries:
        return None
    try:
        return parse_utc(source.read(beside).decode().strip())
    except (EntryError, ValueError):
        return None


def _time_in_list(student: str, members: Members, kind: Kind) -> datetime | None:
    member = members.by_id.get(student)
    return member.time if member is not None and kind == "moodle" else None


def _write_time(folder: Path, time: datetime | None) -> None:
    if time is not None:
        _write(folder / "timestamp.txt", f"{time:%Y-%m-%d %H:%M:%S.%f} UTC\n".encode())


def _write_secret(folder: Path, entry: Entry, source: Source) -> None:
    beside = Entry((*entry.parts[:-1], SECRET))
    with contextlib.suppress(EntryError):  # without it, the feedback goes another way
        if beside in source.entries:
            _write(folder / SECRET, source.read(beside)[:MAX_SECRET])


def _write(path: Path, data: bytes) -> None:
    """Write a file that was not there; where the disk is full, it is not there afterwards."""
    try:
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _keep(folder: Path, place: Path) -> None:
    """Move a folder to the first free number."""
    place.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(path.name) for path in place.iterdir() if path.name.isdigit()), default=0)
    folder.rename(place / str(number))


def missing(plan: Plan, members: Members) -> Mapping[str, str]:
    """Members of the class of whom nothing was taken, with their names."""
    here = {item.student for item in plan.taken}
    return {
        student: " ".join(part for part in (member.first, member.last) if part)
        for student, member in sorted(members.by_id.items())
        if student not in here
    }
