"""Find what students handed in."""

from __future__ import annotations

import shutil
from pathlib import Path

from course_lib.grading.classroom import Classroom
from course_lib.grading.spec import Assignment

CHECKPOINTS = ".ipynb_checkpoints"


def collect(classroom: Classroom, spec: Assignment) -> dict[str, Path]:
    """The notebook of each student who handed one in, under the name that nbgrader looks for.

    Where a student's only notebook has another name or stands in a subfolder, a copy gets the right one.
    """
    found = {}
    for student in classroom.students(spec.slug):
        folder = classroom.submitted(student, spec.slug)
        wanted = folder / f"{spec.notebook}.ipynb"
        others = other_notebooks(folder, spec)
        if not wanted.exists() and not wanted.is_symlink() and len(others) == 1:
            shutil.copyfile(others[0], wanted)
        if wanted.exists() or wanted.is_symlink():
            found[student] = wanted
    return found


def other_notebooks(folder: Path, spec: Assignment) -> list[Path]:
    """Notebooks in a submission besides the one that is graded."""
    return sorted(
        path
        for path in folder.rglob("*.ipynb")
        if path != folder / f"{spec.notebook}.ipynb"
        and CHECKPOINTS not in path.parts
        and path.is_file()
        and not path.is_symlink()
    )


def remarks(folder: Path, spec: Assignment) -> list[str]:
    """What an instructor should know about the files of a submission."""
    wanted = folder / f"{spec.notebook}.ipynb"
    others = other_notebooks(folder, spec)
    if not wanted.exists() and not wanted.is_symlink():
        return ["no notebook was handed in" if not others else f"{len(others)} notebooks, none of them {wanted.name}"]
    if wanted.is_file() and len(others) == 1 and others[0].read_bytes() == wanted.read_bytes():
        return [f"handed in as {others[0].relative_to(folder)}"]
    return [f"also holds {path.relative_to(folder)}" for path in others]
