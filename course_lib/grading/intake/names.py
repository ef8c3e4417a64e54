"""What the name of a file says about who handed it in and when, in each system's way of naming."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from nbgrader.utils import parse_utc

from course_lib.grading.intake.archive import Entry
from course_lib.grading.spec import Assignment

Kind = Literal["folder", "moodle", "canvas", "exchange"]
KINDS: dict[Kind, str] = {
    "folder": "a folder of notebooks",
    "moodle": "a Moodle download",
    "canvas": "a Canvas download",
    "exchange": "an nbgrader exchange",
}

MOODLE = re.compile(r"(?P<name>.+)_(?P<number>\d+)_assignsubmission_(?P<plugin>[a-z]+)(?:_(?P<file>.*))?")
CANVAS = re.compile(r"(?P<name>.*?)_(?:(?P<late>late)_)?(?P<number>\d+)_\d+_(?P<file>.+)", re.IGNORECASE)
ANONYMOUS = re.compile(r"(?:late_)?anon_\w+?_\d+_.+", re.IGNORECASE)
EXCHANGE = re.compile(r"(?P<student>.+)\+(?P<slug>[^+]+)\+(?P<time>\d{4}-\d\d-\d\d [^+]+)(?:\+[^+]*)?")
AGAIN = re.compile(r"(?P<stem>.+?)(?:-(?P<number>\d+)| ?\((?P<other>\d+)\))")


@dataclass(frozen=True)
class Claim:
    """What a file's name says.

    Attributes:
        entry: the file.
        words: for each part of the name that may say who it is, the forms to look for, the likeliest first: an
            id, a login, an e-mail address or a person's name.
        name: the person's name, where the system gives one.
        number: what the system knows the student by.
        notebook: the name of the notebook, without ending and without the mark of a second hand-in.
        again: how many times a file of that name had been handed in before.
        time: when it was handed in, where the name says so.
        late: whether the system calls it late.
        other: why it is no submission to this assignment, or "".
    """

    entry: Entry
    words: Sequence[Sequence[str]] = ()
    name: str = ""
    number: str = ""
    notebook: str = ""
    again: int = 0
    time: datetime | None = None
    late: bool = False
    other: str = ""


def detect(entries: Sequence[Entry]) -> Kind:
    """Which system named these files; a folder of notebooks where none did."""
    notebooks = [entry for entry in entries if entry.is_notebook] or list(entries)
    if any(_find(EXCHANGE, entry) for entry in notebooks):
        return "exchange"
    if any(_find(MOODLE, entry) for entry in entries):
        return "moodle"
    named = sum(bool(CANVAS.fullmatch(e.parts[-1]) or ANONYMOUS.fullmatch(e.parts[-1])) for e in notebooks)
    return "canvas" if notebooks and 2 * named > len(notebooks) else "folder"


def read_claim(entry: Entry, kind: Kind, spec: Assignment) -> Claim:
    """What a file's name says, where files are named in this way."""
    readers: dict[Kind, Callable[[Entry, Assignment], Claim]] = {
        "folder": _folder,
        "moodle": _moodle,
        "canvas": _canvas,
        "exchange": _exchange,
    }
    return readers[kind](entry, spec)


def _folder(entry: Entry, spec: Assignment) -> Claim:
    stem = _stem(entry.parts[-1])
    base, _ = _without_number(stem, spec)
    forms = [stem, _without_assignment(stem, spec), base, _without_assignment(base, spec)]
    words = [[part] for part in entry.parts[:-1] if _without_assignment(part, spec)]
    if forms[-1]:
        words.append(list(dict.fromkeys(form for form in forms if form)))
    return Claim(entry, words, notebook=base)


def _moodle(entry: Entry, spec: Assignment) -> Claim:
    found = _find(MOODLE, entry)
    if found is None:
        return Claim(entry, other="its name is not one that Moodle gives")
    if found["plugin"] != "file":
        return Claim(entry, name=found["name"], number=found["number"], other="text typed into Moodle, not a file")
    base, again = _without_number(_stem(found["file"] or entry.parts[-1]), spec)
    return Claim(entry, name=found["name"], number=found["number"], notebook=base, again=again)


def _canvas(entry: Entry, spec: Assignment) -> Claim:
    found = CANVAS.fullmatch(entry.parts[-1])
    if ANONYMOUS.fullmatch(entry.parts[-1]):
        return Claim(entry, other="handed in anonymously; let Canvas show the names and download it again")
    if found is None:
        return Claim(entry, other="its name is not one that Canvas gives")
    base, again = _without_number(_stem(found["file"]), spec)
    late = found["late"] is not None
    return Claim(entry, name=found["name"], number=found["number"], notebook=base, again=again, late=late)


def _exchange(entry: Entry, spec: Assignment) -> Claim:
    found = _find(EXCHANGE, entry)
    if found is None:
        return Claim(entry, other="it is in no folder that nbgrader's exchange makes")
    if found["slug"] != spec.slug:
        return Claim(entry, other=f"handed in for {found['slug']}")
    try:
        time = parse_utc(found["time"])
    except ValueError:
        return Claim(entry, other=f"its time, {found['time']}, cannot be read")
    return Claim(entry, words=[[found["student"]]], notebook=_stem(entry.parts[-1]), time=time)


def _find(pattern: re.Pattern[str], entry: Entry) -> re.Match[str] | None:
    return next((found for part in entry.parts if (found := pattern.fullmatch(part))), None)


def _stem(name: str) -> str:
    return name[: -len(".ipynb")] if name.casefold().endswith(".ipynb") else name


def _without_number(stem: str, spec: Assignment) -> tuple[str, int]:
    """A name without the number that Canvas or a browser adds to the second file of a name, and the number."""
    found = AGAIN.fullmatch(stem)
    if found is None or stem in (spec.notebook, spec.slug):
        return stem, 0
    return found["stem"], int(found["number"] or found["other"])


def _without_assignment(stem: str, spec: Assignment) -> str:
    """What is left of ``ada_attention-layer`` or ``attention-layer ada`` without the assignment's name."""
    name = f"(?:{re.escape(spec.slug)}|{re.escape(spec.notebook)})"
    return re.sub(rf"^{name}(?:[-_ .]+|$)|(?:^|[-_ .]+){name}$", "", stem, flags=re.IGNORECASE)
