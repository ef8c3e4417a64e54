"""Downloads with the names that each system gives, and a class to take them into."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from course_lib.grading.classroom import Classroom
from tests.grading.class_fixtures import Made
from tests.grading.classes import SLUG, SPEC, Course

NAME = f"{SPEC.notebook}.ipynb"


@dataclass(frozen=True)
class Class:
    """A class with names in the gradebook and nothing handed in, and notebooks to hand in."""

    room: Classroom
    students: list[str]
    names: Mapping[str, tuple[str, str]]
    notebooks: Mapping[str, bytes]

    def taken(self) -> dict[str, bytes]:
        """The notebooks in ``submitted/``, by student."""
        return {s: (self.room.submitted(s, SLUG) / NAME).read_bytes() for s in self.room.students(SLUG)}


@pytest.fixture
def new(handed_in: Made, tmp_path: Path) -> Class:
    """Eight students whose notebooks are elsewhere."""
    room = handed_in.room
    notebooks = {s: (room.submitted(s, SLUG) / NAME).read_bytes() for s in handed_in.plans}
    names = {s: (plan.first_name, plan.last_name) for s, plan in handed_in.plans.items()}
    (room.folder / "submitted").rename(tmp_path / "gone")
    return Class(room, sorted(notebooks), names, notebooks)


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    """A zip archive as a system makes it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def unpacked(folder: Path, files: Mapping[str, bytes]) -> Path:
    """The same as a folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def moodle(new: Class, *, folders: bool = True, ending: str = "_") -> dict[str, bytes]:
    """Names as Moodle gives them: one folder for each student, or none."""
    between = f"{ending}/" if folders else "_"
    return {
        f"{' '.join(new.names[s]).replace('_', ' ')}_{1000 + n}_assignsubmission_file{between}{NAME}": data
        for n, (s, data) in enumerate(new.notebooks.items())
    }


def canvas(new: Class, *, late: str = "") -> dict[str, bytes]:
    """Names as Canvas gives them: the sortable name in small letters, letters and digits only."""
    files = {}
    for number, (student, data) in enumerate(new.notebooks.items()):
        first, last = new.names[student]
        name = "".join(c for c in f"{last}, {first}".lower() if c.isalnum() or c == "_")
        mark = "_LATE" if student == late else ""
        files[f"{name}{mark}_{500 + number}_{90210 + number}_{NAME}"] = data
    return files


def collected(course: Course, new: Class, source: Path, *more: str | Path) -> tuple[int, str]:
    return course("collect", SLUG, source, "--class", new.room.folder, *more)


def exchange(new: Class, root: Path, *, course: str = "cs") -> Path:
    """An exchange in which the first student handed in twice and the last for something else."""
    inbound = root / course / "inbound"
    for number, (student, data) in enumerate(new.notebooks.items()):
        time = f"2026-03-0{number + 1} 10:00:00.250000 UTC"
        slug = SLUG if number < 7 else "01-sequences"
        folder = f"{student}+{slug}+{time}+{number:x}abc"
        unpacked(inbound / folder, {NAME: data, "timestamp.txt": time.encode(), "submission_secret.txt": b"x"})
    early = f"{new.students[0]}+{SLUG}+2026-02-27 10:00:00.000000 UTC"
    unpacked(inbound / early, {NAME: b"{}", "timestamp.txt": b"2026-02-27 10:00:00.000000 UTC"})
    return inbound


def table(path: Path, *rows: list[str], delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path
