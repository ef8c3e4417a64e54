"""What a command line's words stand for."""

from __future__ import annotations

from pathlib import Path

from course_lib.grading import spec
from course_lib.grading.classroom import Classroom
from course_lib.grading.places import default_class


def chosen(slug: str | None) -> list[spec.Assignment]:
    """The assignment of this slug, or all."""
    return list(spec.assignments().values()) if slug is None else [spec.assignment(slug)]


def classroom(folder: Path | None) -> Classroom:
    """The class in this folder, or the default one."""
    return Classroom(folder.resolve() if folder else default_class())
