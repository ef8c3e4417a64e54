"""Whether a class is as the last complete run of `course grade` left it.

Then nothing has to be imported, read or compared to know what the run would say, and a second run costs next to
nothing. What counts is the content of files, not their times.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from course_lib.grading.places import ROOT

STAMP = "graded.json"
CODE = ("course_lib/**/*.py", "course_lib/**/*.html*", "solutions/**/*.py", "exercises/**/*", "nbgrader_config.py")
LIBRARIES = ("torch", "numpy", "nbgrader", "nbconvert", "nbformat", "sqlalchemy", "safetensors")
GIVEN = ("submitted/**/*", "secret.key", "variants.json", "groups.csv")
MADE = ("gradebook.db", "committed/**/*", "results/**/*", "autograded/*/*/*")


@dataclass(frozen=True)
class Stamp:
    """What a run of `course grade` started from, what it left behind, and what it said.

    Attributes:
        given: of the submissions, the course's code and its settings, before the run.
        made: of the gradebook and the results, after it.
        said: its last words, a text for each assignment.
    """

    given: str
    made: str
    said: Sequence[str]


def given(folder: Path, settings: Sequence[object]) -> str:
    """A digest of everything that a run depends on.

    Args:
        folder: of the class.
        settings: of the command line, as far as they change what is done.
    """
    versions = [platform.python_version(), *(f"{name} {version(name)}" for name in LIBRARIES)]
    named = [versions, os.environ.get("COURSE_DB_URL", ""), *map(str, settings)]
    return _digest([*_files(ROOT, CODE), *_files(folder, GIVEN), json.dumps(named)])


def last_words(folder: Path, settings: Sequence[object]) -> Sequence[str] | None:
    """What the last complete run said, where one with these settings would do nothing now and say the same."""
    try:
        stamp = Stamp(**json.loads((folder / STAMP).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return stamp.said if (stamp.given, stamp.made) == (given(folder, settings), _made(folder)) else None


def never_graded(folder: Path, slug: str | None) -> bool:
    """Whether something was handed in, for this assignment or for any, that the gradebook has no score of."""
    handed_in = (path for path in folder.glob(f"submitted/*/{slug or '*'}") if path.is_dir())
    return any(not (folder / "committed" / path.name / f"{path.parent.name}.json").is_file() for path in handed_in)


def forget(folder: Path) -> None:
    """A run begins: what the last one left is no longer complete."""
    (folder / STAMP).unlink(missing_ok=True)


def remember(folder: Path, given_before: str, said: Sequence[str]) -> None:
    """A run that started from ``given_before`` is complete."""
    part = folder / f"{STAMP}.part"
    part.write_text(json.dumps(asdict(Stamp(given_before, _made(folder), list(said)))))
    part.replace(folder / STAMP)


def _made(folder: Path) -> str:
    """A digest of everything that a run makes and a later one builds on."""
    return _digest(_files(folder, MADE))


def _files(folder: Path, patterns: Iterable[str]) -> list[str]:
    """Name and content of each file; a link stands for where it leads to, and is not followed."""
    lines = []
    for path in sorted({found for pattern in patterns for found in folder.glob(pattern)}):
        if path.is_symlink():
            lines.append(f"{path.relative_to(folder)} -> {path.readlink()}")
        elif path.is_file() and path.suffix != ".pyc":
            with path.open("rb") as file:
                lines.append(f"{path.relative_to(folder)} {hashlib.file_digest(file, 'sha256').hexdigest()}")
    return lines


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
