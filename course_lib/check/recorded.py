"""Find the recorded public cases of an exercise from wherever a student's code runs."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from course_lib.check.cases import FILE_NAME, load
from course_lib.check.judge import ExerciseCases
from course_lib.check.values import ValueRefused

EXERCISES = Path(__file__).resolve().parents[2] / "exercises"


class CheckError(Exception):
    """A call of ``check`` that cannot be answered; the message says why and what to do."""

    def _render_traceback_(self) -> list[str]:
        """In a notebook the sentence says it all; IPython asks for this in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


def find_cases(name: str) -> ExerciseCases:
    """The recorded cases of ``'<slug>.<exercise>'``.

    Looked for in the current folder, beside the running notebook, and in the course's exercises folder.

    Raises:
        CheckError: the name is of no exercise, or there is no case file.
    """
    if not isinstance(name, str):
        raise CheckError(f"the first argument is the exercise's name in quotes; it is of type {type(name).__name__}")
    slug, _, exercise = name.partition(".")
    if not exercise:
        raise CheckError(f"{name!r} lacks the assignment: write it as in '04-attention-layer.causal_mask'")
    known: list[str] = []
    looked = [folder / FILE_NAME for folder in dict.fromkeys(_folders(slug))]
    for path in filter(Path.is_file, looked):
        found = _load(path)
        if exercise in found:
            return found[exercise]
        known += [f"{slug}.{other}" for other in found]
    known = list(dict.fromkeys(known + _elsewhere()))
    if known:
        alike = {other.partition(".")[2].lower(): other for other in known if other.startswith(f"{slug}.")}
        near = [alike[e] for e in difflib.get_close_matches(exercise.lower(), alike, n=1)]
        near = near or ([] if alike else difflib.get_close_matches(name, known, n=1))
        hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(alike.values() or known)}."
        raise CheckError(f"there is no exercise {name!r}. {hint}")
    raise CheckError(
        f"the cases of {name!r} are not here: no {FILE_NAME} in {', '.join(str(path.parent) for path in looked)}. "
        f"Put the {FILE_NAME} that came with the assignment beside your notebook."
    )


def _folders(slug: str) -> Iterator[Path]:
    yield Path.cwd()
    yield from _notebook_folders()
    for parent in _up(Path.cwd()):
        yield parent / "exercises" / slug
    yield EXERCISES / slug


def _notebook_folders() -> Iterator[Path]:
    """Where the running notebook stands, as Jupyter and VS Code say it."""
    names = (os.environ.get("JPY_SESSION_NAME"), getattr(sys.modules.get("__main__"), "__vsc_ipynb_file__", None))
    for name in names:
        if isinstance(name, str) and name.endswith(".ipynb"):
            yield Path(name).absolute().parent


def _load(path: Path) -> dict[str, ExerciseCases]:
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (ValueRefused, OSError) as error:
        raise CheckError(f"{path} cannot be read: {error}. Fetch the assignment's {FILE_NAME} again.") from None


@lru_cache(maxsize=16)
def _read(path: Path, changed: int) -> dict[str, ExerciseCases]:
    """One file serves all checks of a notebook; ``changed`` makes a new file a new one."""
    return load(path)


def _elsewhere() -> list[str]:
    """Full names of the exercises in the exercises folders in reach."""
    folders = dict.fromkeys(parent / "exercises" for parent in (*_up(Path.cwd()), EXERCISES.parent))
    paths = [path for folder in folders for path in sorted(folder.glob(f"*/{FILE_NAME}"))]
    return [f"{path.parent.name}.{exercise}" for path in paths for exercise in _load(path)]


def _up(folder: Path) -> tuple[Path, ...]:
    return (folder, *folder.parents)
