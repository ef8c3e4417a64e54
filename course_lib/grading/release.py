"""Release an assignment: ``solutions/<slug>/`` → ``build/source/<slug>/`` → ``exercises/<slug>/``.

The solution becomes nbgrader's source notebook, and nbgrader's own GenerateAssignment makes the
student's from it. The same solution and spec give the same bytes: ids of cells come from what they
hold, and nothing records a time or a version.
"""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.api import MissingEntry
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import SaveCells
from nbgrader.utils import capture_log, compute_checksum
from traitlets.config import Config

from course_lib.check import cases
from course_lib.grading.classroom import Classroom, class_fault
from course_lib.grading.draw import public_cases
from course_lib.grading.ingest import MARK
from course_lib.grading.places import ROOT
from course_lib.grading.solution import grade_id, is_answer, read_solution
from course_lib.grading.spec import Assignment, SpecError, assignment

INSTRUCTOR_TAG = "instructor-only"
SCHEMA_VERSION = 3
NAMELESS = "default_course"
"""nbgrader's row for a course without a name; a database that checks its references takes no assignment without one."""
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class ReleaseError(Exception):
    """An assignment that cannot be released; the message says why."""


@dataclass(frozen=True)
class Release:
    """What a release wrote, or would write: files that differ from what stood there, by name."""

    slug: str
    folder: Path
    changed: tuple[str, ...]


def release(slug: str, *, exercises: Path = ROOT / "exercises", build: Path = ROOT / "build") -> Release:
    """Make the student's folder of an assignment. What is up to date is not touched, nor made again.

    Raises:
        SpecError: the solution and the spec contradict each other.
        ReleaseError: nbgrader refuses the solution.
    """
    target, stamp = exercises / slug, build / "release" / f"{slug}.stamp"
    source = build / "source" / slug / cases.FILE_NAME
    if stamp.exists() and source.exists() and stamp.read_text() == _state(slug, target):
        return Release(slug, target, ())
    changed = _put_right(_make(assignment(slug), build), target)
    stamp.write_text(_state(slug, target))
    return Release(slug, target, changed)


def release_variant(spec: Assignment, into: Path) -> Release:
    """Make the students' folder of a variant: ``into/GROUP/SLUG``. Its notebook says of which group it is.

    Args:
        spec: the variant, with the seal of its group.

    Raises:
        SpecError: the solution and the spec contradict each other.
        ReleaseError: nbgrader refuses the solution.
    """
    assert spec.variant is not None
    target = into / spec.variant.group / spec.slug
    with tempfile.TemporaryDirectory() as folder:
        return Release(spec.slug, target, _put_right(_make(spec, Path(folder)), target))


def check_release(slug: str, *, exercises: Path = ROOT / "exercises") -> Release:
    """Which files of the student's folder differ from what a release would write now."""
    with tempfile.TemporaryDirectory() as folder:
        return Release(slug, exercises / slug, _differences(_make(assignment(slug), Path(folder)), exercises / slug))


def source_notebook(spec: Assignment) -> NotebookNode:
    """nbgrader's source notebook: the solution, with complete metadata and without instructor's cells.

    Raises:
        SpecError: a cell of an exercise or written question is missing, doubled or worth other points
            than the spec says.
    """
    given = read_solution(spec.full_name)
    cells, seen = [], Counter[str]()
    for cell in given.cells:
        tags = cell.metadata.get("tags", [])
        if INSTRUCTOR_TAG in tags:
            continue
        name = grade_id(cell)
        key = name or f"{cell.cell_type}\n{cell.source}"
        seen[key] += 1
        if name and seen[key] > 1:
            raise SpecError(f"{spec.slug}: two cells of the solution have the grade_id {name!r}; rename one")
        digest = hashlib.sha256(f"{spec.slug}\n{key}\n{seen[key]}".encode()).hexdigest()
        metadata = {"tags": list(tags)} if tags else {}
        make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}[cell.cell_type]
        cells.append(make(cell.source, id=digest[:12], metadata=metadata))
        if name:
            cells[-1].metadata["nbgrader"] = {
                "grade": False,
                "solution": False,
                "locked": False,
                "task": False,
                "schema_version": SCHEMA_VERSION,
                **cell.metadata["nbgrader"],
            }
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=dict(NOTEBOOK_METADATA))
    mark(spec, notebook)
    _set_points(spec, notebook)
    return notebook


def mark(spec: Assignment, notebook: NotebookNode) -> None:
    """Write into a variant's notebook of which group it is, with the group's seal."""
    if spec.variant is not None:
        group = spec.variant.group
        notebook.metadata[MARK] = {"assignment": spec.slug, "group": group, "seal": spec.variant.seals[group]}


def grade_cells(spec: Assignment, notebook: NotebookNode) -> dict[str, str]:
    """The exercise that each automatic grade cell, by grade_id, gives the score of: the one answered last before it."""
    found: dict[str, str] = {}
    exercise = None
    for cell in notebook.cells:
        settings = cell.metadata.get("nbgrader", {})
        if is_answer(cell):
            exercise = str(grade_id(cell))
        elif settings.get("grade") and cell.cell_type == "code" and exercise is not None:
            found[str(grade_id(cell))] = exercise
    return found


def register(classroom: Classroom, slug: str, *, build: Path | None = None) -> bool:
    """Put the assignment's cells and points into the class's gradebook; say whether they were new or changed.

    Its source notebook is made too where it is not there, or the formgrader would not list the assignment.

    Raises:
        ReleaseError: students have scores for another set of cells.
        ClassFault: the gradebook cannot be written now.
    """
    spec = assignment(slug)
    source = (build or ROOT / "build") / "source"
    if not (source / slug).exists():
        with suppress(OSError):  # the course may belong to somebody else
            _write_notebook(spec, source)
    if is_registered(classroom, spec):
        return False
    classroom.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        _write_notebook(spec, source)
        _generate(slug, source, Path(folder) / "release", classroom.database)
    return True


def _state(slug: str, target: Path) -> str:
    """A hash of all that a release is made from, and of what it made."""
    files = [*(ROOT / "course_lib").rglob("*.py"), *(ROOT / "solutions" / slug).iterdir(), ROOT / "nbgrader_config.py"]
    files += target.iterdir() if target.exists() else []
    digest = hashlib.sha256()
    for path in sorted(file for file in files if file.is_file()):
        digest.update(f"{path}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _make(spec: Assignment, build: Path) -> Path:
    source = build / "source"
    _write_notebook(spec, source)
    beside = source / spec.slug / cases.FILE_NAME  # nbgrader copies it beside the student's notebook
    cases.save(public_cases(spec), beside)
    _generate(spec.slug, source, build / "release")
    return build / "release" / spec.slug


def _write_notebook(spec: Assignment, source: Path) -> None:
    folder = source / spec.slug
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(source_notebook(spec), folder / f"{spec.notebook}.ipynb")


def _generate(slug: str, source: Path, released: Path, database: str | None = None) -> None:
    """Run nbgrader's GenerateAssignment; with a database, the cells are recorded there."""
    root = source.parent
    config = Classroom(root).config()
    course = str(config.CourseDirectory.get("course_id", "")) or NAMELESS
    config.CourseDirectory = Config(
        root=str(root),
        source_directory=source.name,
        release_directory=os.path.relpath(released, root),
        assignment_id=slug,
        db_url=database or "sqlite://",
        course_id=course,
    )
    converter = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config)
    converter.force = True
    if database is None:
        converter.no_database = True
        converter.preprocessors = [step for step in converter.preprocessors if step is not SaveCells]
    outcome = capture_log(converter)
    if not outcome["success"]:
        if fault := class_fault(outcome["error"] + outcome.get("log", "")):
            raise fault
        if "Cannot add or remove cells" in outcome["error"] + outcome.get("log", ""):
            raise ReleaseError(
                f"students of this class have scores for other cells than {slug} has now; "
                "grade the new version in a new class folder (--class DIR)"
            )
        reason = outcome["error"].strip().splitlines()[-1]
        raise ReleaseError(f"nbgrader refuses the solution of {slug}: {reason}\n{outcome.get('log', '').strip()}")


def _put_right(made: Path, target: Path) -> tuple[str, ...]:
    """Make one folder hold what another does; the names of the files that were not the same."""
    changed = _differences(made, target)
    for name in changed:
        if (made / name).exists():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made / name, target / name)
        else:
            (target / name).unlink()
    return changed


def _differences(made: Path, target: Path) -> tuple[str, ...]:
    names = {path.name for folder in (made, target) if folder.exists() for path in folder.iterdir() if path.is_file()}
    same = filecmp.cmpfiles(made, target, sorted(names), shallow=False)[0] if target.exists() else []
    return tuple(sorted(names - set(same)))


def _set_points(spec: Assignment, notebook: NotebookNode) -> None:
    """Give each grade cell the points of the spec; the solution need not repeat them."""
    cells = {str(grade_id(cell)): cell for cell in notebook.cells if grade_id(cell)}
    graded = grade_cells(spec, notebook)
    for exercise in spec.exercises:
        if exercise.name not in cells or not is_answer(cells[exercise.name]):
            raise SpecError(f"{spec.slug}: the solution has no answer cell with grade_id {exercise.name!r}")
        own = [name for name, belongs in graded.items() if belongs == exercise.name]
        if len(own) != 1:
            raise SpecError(f"{spec.slug}.{exercise.name} must be followed by one grade cell, there are {len(own)}")
        _set_cell_points(spec, cells[own[0]], exercise.points)
    for written in spec.written:
        cell = cells.get(written.name)
        if cell is None or cell.cell_type != "markdown":
            raise SpecError(f"{spec.slug}: the solution has no written answer with grade_id {written.name!r}")
        _set_cell_points(spec, cell, written.points)
    declared = {exercise.name for exercise in spec.exercises} | {written.name for written in spec.written}
    for name, belongs in graded.items():
        if belongs not in declared:
            raise SpecError(f"{spec.slug}: grade cell {name!r} belongs to {belongs!r}, which the spec does not declare")


def _set_cell_points(spec: Assignment, cell: NotebookNode, points: float) -> None:
    settings = cell.metadata["nbgrader"]
    if settings.get("points", points) != points:
        raise SpecError(
            f"{spec.slug}: cell {settings['grade_id']!r} says {settings['points']} points, the spec {points:g}; "
            "leave the points out of the solution"
        )
    settings["points"] = points


def is_registered(classroom: Classroom, spec: Assignment) -> bool:
    """Whether the gradebook holds the cells and points of the released notebook."""
    released = ROOT / "exercises" / spec.slug / f"{spec.notebook}.ipynb"
    if not classroom.has_gradebook or not released.exists():
        return False
    wanted = {
        str(grade_id(cell)): (compute_checksum(cell), cell.metadata["nbgrader"].get("points"))
        for cell in nbformat.read(released, as_version=4).cells
        if grade_id(cell)
    }
    with classroom.gradebook() as gradebook:
        try:
            notebook = gradebook.find_notebook(spec.notebook, spec.slug)
        except MissingEntry:
            return False
        points = {cell.name: cell.max_score for cell in notebook.grade_cells}
        return wanted == {cell.name: (cell.checksum, points.get(cell.name)) for cell in notebook.source_cells}
