"""The same assignment as plain nbgrader would have it: each grade cell holds assertions and is run in a kernel.

The expected values are the recorded cases, drawn from the same generators as the hidden ones, so a student's code
computes as much here as it does in ``course grade``. Cells that only show something are left out, and no
mistake is named, which makes the stock version cheaper than a real one.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from course_lib.check.cases import FILE_NAME
from course_lib.grading.places import ROOT
from course_lib.grading.release import grade_cells, source_notebook
from course_lib.grading.sample_class import Plan, submission
from course_lib.grading.solution import grade_id
from course_lib.grading.spec import Assignment

ASSERTIONS = """
import torch
from course_lib.check.probe import execute
from course_lib.check.recorded import find_cases

for line in find_cases("{slug}.{exercise}").lines:
    for case in line.cases:
        reply, expected = execute(case.probe, globals()), case.expected
        assert (reply.failure and reply.failure.kind) == (expected.failure and expected.failure.kind), reply.failure
        torch.testing.assert_close(reply.output, expected.output, rtol=1e-4, atol=1e-6, check_dtype=False)
        for name, gradient in expected.gradients.items():
            torch.testing.assert_close(reply.gradients[name], gradient, rtol=1e-4, atol=1e-6, check_dtype=False)
""".strip()


def nbgrader(folder: Path, *arguments: str) -> list[str]:
    """The command that runs stock nbgrader in a course of its own."""
    return [sys.executable, "-m", "nbgrader", *arguments, f"--course-dir={folder}"]


def environment() -> dict[str, str]:
    """One thread for each process, and the programs of this Python on the path, which nbgrader calls by name."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PATH": path, "COLUMNS": "200"}


def sign(path: Path, spec: Assignment, student: str) -> None:
    """Make a submission differ from all others by a comment: ``course grade`` would run equal ones only once."""
    with contextlib.suppress(ValueError):  # a file that is cut off differs by the place
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cell = next(c for c in notebook["cells"] if grade_id(c) in {e.name for e in spec.exercises})
        cell["source"] = f"{''.join(cell['source'])}\n# {student}"
        path.write_text(json.dumps(notebook), encoding="utf-8")


def make_stock_course(folder: Path, spec: Assignment, plans: list[Plan]) -> None:
    """Write a stock course with the class's submissions, released and ready to be graded.

    Args:
        folder: to be made; the course stands in it alone, with nbgrader's own settings.
        spec: the assignment.
        plans: who hands in what.

    Raises:
        RuntimeError: nbgrader refuses the assignment, with the end of what it said.
    """
    source = folder / "source" / spec.slug
    source.mkdir(parents=True)
    notebook = source_notebook(spec)
    notebook.cells = [cell for cell in notebook.cells if "student-only" not in cell.metadata.get("tags", [])]
    graded = grade_cells(spec, notebook)
    for cell in notebook.cells:
        exercise = graded.get(cell.metadata.get("nbgrader", {}).get("grade_id", ""))
        if exercise:
            cell.source = ASSERTIONS.format(slug=spec.slug, exercise=exercise)
    nbformat.write(notebook, source / f"{spec.notebook}.ipynb")
    shutil.copy(ROOT / "exercises" / spec.slug / FILE_NAME, source)
    (folder / "nbgrader_config.py").write_text("c = get_config()\n")
    made = subprocess.run(
        nbgrader(folder, "generate_assignment", spec.slug),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise RuntimeError(f"nbgrader could not release the stock assignment: {made.stderr.strip()[-500:]}")
    blank = nbformat.read(folder / "release" / spec.slug / f"{spec.notebook}.ipynb", as_version=4)
    for plan in plans:
        path = folder / "submitted" / plan.student / spec.slug / f"{spec.notebook}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(submission(spec, blank, plan), encoding="utf-8")
        sign(path, spec, plan.student)
        shutil.copy(source / FILE_NAME, path.parent)
