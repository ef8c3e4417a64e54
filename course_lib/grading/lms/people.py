"""Whose row it is in a system's gradebook: by id, login and e-mail address. Nobody is guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from course_lib.grading.classroom import Classroom
from course_lib.grading.intake.roster import folded

Kind = Literal["id", "login", "e-mail address"]
KINDS: Mapping[Kind, frozenset[str]] = {
    "id": frozenset({"id", "studentid", "sisuserid", "idnumber", "integrationid", "canvasid", "lmsuserid"}),
    "login": frozenset({"sisloginid", "loginid", "login", "username", "netid"}),
    "e-mail address": frozenset({"email", "emailaddress", "mail"}),
}
"""What a column names a student by, by the letters of its heading; the first kind counts most."""


@dataclass(frozen=True)
class Known:
    """A student of the gradebook, with what others may call them."""

    student: str
    name: str = ""
    email: str = ""
    number: str = ""


@dataclass(frozen=True)
class Owner:
    """Whose row it is, or why that is not known."""

    student: str = ""
    why: str = ""


def known_students(classroom: Classroom) -> list[Known]:
    """Everyone in the gradebook."""
    with classroom.gradebook() as gradebook:
        return [
            Known(
                s.id,
                " ".join(filter(None, (s.first_name, s.last_name))),
                s.email or "",
                str(s.lms_user_id or ""),
            )
            for s in gradebook.students
        ]


def naming_columns(headings: Sequence[str]) -> dict[int, Kind]:
    """The columns that name a student, and by what."""
    return {
        number: kind
        for number, heading in enumerate(headings)
        for kind, names in KINDS.items()
        if folded(heading) in names
    }


class Students:
    """Finds the students that a row's words stand for."""

    def __init__(self, students: Iterable[Known]) -> None:
        self.by_id = {known.student: known for known in students}
        self._words: dict[tuple[Kind, str], set[str]] = {}
        for known in self.by_id.values():
            self._call("id", known.student, known)
            self._call("id", known.number, known)
            self._call("login", known.student, known)
            self._call("login", known.email, known)  # where people sign in with it
            self._call("e-mail address", known.email, known)

    def owner(self, words: Sequence[tuple[Kind, str]]) -> Owner:
        """The one student for whom everything that is known of a row stands."""
        given = [(kind, word.strip()) for kind, word in words if word.strip()]
        said = [(kind, word, found) for kind, word in given if (found := self._words.get((kind, word.casefold())))]
        if not said:
            text = ", ".join(f"{kind} {word}" for kind, word in given) or "no id, login or e-mail address"
            return Owner(why=f"nobody in the class has {text}" if given else f"the row has {text}")
        common = set.intersection(*(found for _, _, found in said))
        if len(common) == 1:
            return Owner(common.pop())
        if common:
            return Owner(why=f"{said[0][0]} {said[0][1]} may be {' or '.join(sorted(common))}")
        return Owner(why="; ".join(f"{kind} {word} is {' or '.join(sorted(found))}" for kind, word, found in said))

    def _call(self, kind: Kind, word: str, known: Known) -> None:
        if word.strip():
            self._words.setdefault((kind, word.strip().casefold()), set()).add(known.student)
