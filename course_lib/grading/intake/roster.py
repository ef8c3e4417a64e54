"""Who is in the class, and whom a name, login, e-mail address or number stands for. Nobody is guessed."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from course_lib.grading.classroom import Classroom
from course_lib.grading.intake.archive import shown
from course_lib.grading.intake.names import Claim, Kind

COLUMNS: Mapping[str, Sequence[str]] = {
    "id": (
        "student_id",
        "studentid",
        "id",
        "sisloginid",
        "loginid",
        "login",
        "username",
        "netid",
        "sisuserid",
        "idnumber",
    ),
    "login": ("sisloginid", "loginid", "login", "username", "netid", "sisuserid", "idnumber", "integrationid"),
    "email": ("email", "emailaddress", "mail"),
    "first": ("firstname", "givenname", "vorname"),
    "last": ("lastname", "familyname", "surname", "nachname"),
    "full": ("fullname", "name", "student"),
    "canvas": ("lmsuserid", "canvasid", "canvasuserid"),
    "moodle": ("identifier",),
    "time": ("lastmodifiedsubmission",),
}
"""What a column is for, by the letters of its heading; the earlier name counts more."""

MOODLE_TIMES = ("%A, %d %B %Y, %I:%M %p", "%A, %B %d, %Y, %I:%M %p", "%d %B %Y, %I:%M %p", "%A, %d %B %Y, %H:%M")
NO_STUDENT = ("points possible", "student, test", "test student")
LETTERS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "þ": "th", "ð": "d", "æ": "ae", "œ": "oe"})
NO_FOLDER = re.compile(r"[\x00-\x1f/\\*?\[\]]|^[.\s]|^$|\s$")


class RosterError(Exception):
    """A roster that cannot be read; the message says why."""


@dataclass(frozen=True)
class Member:
    """Someone in the class.

    Attributes:
        student: the id in the gradebook and in ``submitted/``.
        email, first, last: as people know them.
        logins: other ids.
        names: the whole name as a list has it.
        number: what the system that the files come from knows them by; Moodle has another for each assignment.
        time: when the system says that they handed in.
        known: whether the gradebook has them.
    """

    student: str
    email: str = ""
    first: str = ""
    last: str = ""
    logins: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    number: str = ""
    time: datetime | None = None
    known: bool = False

    def name_keys(self) -> set[str]:
        """Forms of the name that stand for this person."""
        spoken = {f"{self.first} {self.last}", f"{self.last} {self.first}", *self.names}
        for name in self.names:
            last, comma, first = name.rpartition(",")
            spoken |= {f"{first} {last}"} if comma else set()
        return {key for name in spoken if (key := folded(name))}


class Members:
    """Everyone in the class, found by what files and lists call them."""

    def __init__(self, members: Iterable[Member]) -> None:
        self.by_id: dict[str, Member] = {}
        self._words: dict[str, set[str]] = {}
        self._names: dict[str, set[str]] = {}
        self._numbers: dict[str, set[str]] = {}
        for member in members:
            self.add(member)

    def add(self, member: Member) -> None:
        """Add somebody, or more about somebody."""
        self.by_id[member.student] = member
        for word in {member.student.casefold(), member.email.casefold(), *member.logins}:
            self._words.setdefault(word, set()).add(member.student)
        for name in member.name_keys():
            self._names.setdefault(name, set()).add(member.student)
        self._numbers.setdefault(member.number, set()).add(member.student)

    def called(self, word: str) -> set[str]:
        """Ids of those whom a word stands for: an id before a login or e-mail address, that before a name."""
        if word in self.by_id:
            return {word}
        plain, name = word.strip().casefold(), folded(word)
        found = self._words.get(plain, set()) if plain else set()
        return set(found or (self._names.get(name, set()) if name else set()))

    def numbered(self, number: str) -> set[str]:
        """Ids of those with this number."""
        return set(self._numbers.get(number, set()) if number else set())


@dataclass(frozen=True)
class Match:
    """Whose a file is, or why that is not known."""

    student: str = ""
    why: str = ""


def match(claim: Claim, members: Members) -> Match:
    """The one student for whom everything in a file's name stands."""
    said = [(word, found) for forms in claim.words if (pair := _first(forms, members)) for word, found in [pair]]
    if claim.name and (found := members.called(claim.name)):
        said.append((claim.name, found))
    if found := members.numbered(claim.number):
        said.append((f"number {claim.number}", found))
    if not said:
        words = [shown(word) for word in (*(forms[-1] for forms in claim.words), claim.name) if word]
        number = f" (number {claim.number})" if claim.number else ""
        return Match(why=f"nobody in the class is called {' or '.join(words)}{number}" if words else "it names nobody")
    common = set.intersection(*(found for _, found in said))
    if len(common) == 1:
        return Match(common.pop())
    if common:
        return Match(why=f"{shown(said[0][0])} may be {' or '.join(sorted(common))}")
    return Match(why="; ".join(f"{shown(word)} is {' or '.join(sorted(found))}" for word, found in said))


def _first(forms: Sequence[str], members: Members) -> tuple[str, set[str]] | None:
    return next(((form, found) for form in forms if (found := members.called(form))), None)


def folded(name: str) -> str:
    """A name without accents, blanks, signs and capitals."""
    plain = unicodedata.normalize("NFKD", name.casefold().translate(LETTERS))
    return "".join(character for character in plain if character.isalnum())


def is_possible_id(student: str) -> bool:
    """Whether nbgrader can keep submissions under this id."""
    return not NO_FOLDER.search(student)


def known_members(classroom: Classroom, kind: Kind) -> list[Member]:
    """Everyone in the gradebook, for files that are named in this way."""
    if not classroom.has_gradebook:
        return []
    with classroom.gradebook() as gradebook:
        return [
            Member(
                s.id,
                s.email or "",
                s.first_name or "",
                s.last_name or "",
                number=s.lms_user_id or "" if kind == "canvas" else "",
                known=True,
            )
            for s in gradebook.students
        ]


def with_roster(members: Sequence[Member], path: Path, kind: Kind) -> tuple[list[Member], list[str]]:
    """The members together with those of a list as CSV, and what in the list was not understood.

    A row belongs to the member of the gradebook who has its id, login or e-mail address, or where it has none
    of the first two, to the only one of that name. Other rows are new members.

    Raises:
        RosterError: it is no list of students.
    """
    everyone = Members(members)
    problems, lines = [], dict[str, int]()
    for line, row in _rows(path, kind):
        where = f"line {line} of {path.name}"
        words = [word for word in (row.student, *sorted(row.logins), row.email) if word]
        found = set[str]().union(*(everyone.called(word) for word in words))
        if not found and not row.student:
            found = set[str]().union(*(everyone.called(name) for name in (*row.names, f"{row.first} {row.last}")))
        student = found.pop() if len(found) == 1 else row.student or row.email
        if found:
            problems.append(f"{where} fits {' and '.join(sorted({student, *found} - {''}))}; it was left out")
        elif not student:
            problems.append(f"{where} has neither an id nor an e-mail address; it was left out")
        elif not is_possible_id(student):
            problems.append(f"{where}: {student!r} cannot be the name of a folder; it was left out")
        elif student in lines:
            problems.append(f"{where} is {student} again, as line {lines[student]}; it was left out")
        else:
            lines[student] = line
            known = everyone.by_id.get(student)
            everyone.add(_merged(known, row) if known else replace(row, student=student))
    return list(everyone.by_id.values()), problems


def _merged(known: Member, row: Member) -> Member:
    """What the gradebook and a list know about the same person."""
    return replace(
        known,
        email=known.email or row.email,
        first=known.first or row.first,
        last=known.last or row.last,
        logins=known.logins | row.logins,
        names=known.names | row.names | {f"{row.first} {row.last}"},
        number=row.number or known.number,
        time=row.time,
    )


def _rows(path: Path, kind: Kind) -> list[tuple[int, Member]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RosterError(f"{path} cannot be read: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    lines = text.splitlines()
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    reader = csv.DictReader(lines, delimiter=delimiter)
    use = _columns(reader.fieldnames or [])
    if not {"id", "email", "full", "last"} & set(use):
        raise RosterError(
            f"{path} is no list of students: its first line must name columns such as id, email, first_name, last_name"
        )
    found = []
    for row in reader:
        values = {purpose: (row.get(column) or "").strip() for purpose, column in use.items()}
        if any(values.values()) and values.get("full", "").casefold() not in NO_STUDENT:
            found.append((reader.line_num, _member(values, row, kind)))
    return found


def _columns(headings: Sequence[str]) -> dict[str, str]:
    """The column for each purpose. In Canvas' table ``Student`` is a name and ``ID`` is Canvas' own number."""
    plain = {folded(heading): heading for heading in reversed(headings)}
    found = {use: plain[name] for use, names in COLUMNS.items() for name in reversed(names) if name in plain}
    if {"student", "section"} <= set(plain) or {"sisloginid", "sisuserid"} & set(plain):
        own = [plain[name] for name in COLUMNS["id"] if name in plain and name != "id"]
        found |= {"canvas": plain.get("id", ""), "id": own[0] if own else ""}
    elif "student" in plain and "id" not in found and "first" in found:
        found["id"] = plain["student"]
    return found


def _member(values: Mapping[str, str], row: Mapping[str, str], kind: Kind) -> Member:
    logins = [row.get(column) or "" for column in row if column and folded(column) in COLUMNS["login"]]
    return Member(
        student=values.get("id", ""),
        email=values.get("email", ""),
        first=values.get("first", ""),
        last=values.get("last", ""),
        logins=frozenset(login.strip().casefold() for login in logins if login.strip()),
        names=frozenset(filter(None, [values.get("full", "")])),
        number=values.get(kind, "").rpartition(" ")[2],
        time=_time(values.get("time", "")),
    )


def _time(text: str) -> datetime | None:
    """Moodle's time of a submission, in UTC; it is written in local time, which is taken to be this machine's."""
    for form in MOODLE_TIMES:
        try:
            return datetime.strptime(text, form).astimezone(UTC).replace(tzinfo=None)
        except ValueError:
            continue
    return None
