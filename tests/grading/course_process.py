"""The `course` command with the tiny assignment, as a process to be disturbed: ``course_process.py ROOT RUBRIC WORDS``.

RUBRIC is ``sum``, the tiny assignment as it is, or ``mean``: another rubric, for which ``total`` must average.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import torch

from course_lib import cli
from course_lib.commands import grade
from course_lib.grading import audit, keys, release, solution, spec, writer
from tests.grading import tiny


def assignment(rubric: str) -> spec.Assignment:
    """The tiny assignment with one of its rubrics."""
    if rubric == "sum":
        return tiny.TINY
    double, scale, total = tiny.TINY.exercises
    (line,) = total.lines
    other = dataclasses.replace(
        total, reference=lambda x: x.mean(dim=-1), lines=[dataclasses.replace(line, text="averages")], misconceptions=[]
    )
    return dataclasses.replace(tiny.TINY, exercises=[double, scale, other])


def main() -> None:
    """Run the command that the remaining words are."""
    root, rubric, *words = sys.argv[1:]
    torch.set_num_threads(1)
    chosen = assignment(rubric)
    solution.ROOT = release.ROOT = Path(root)
    spec.assignments = lambda: {tiny.SLUG: chosen}  # type: ignore[assignment]
    audit.is_registered = lambda *_: True  # the tiny notebook was released without nbgrader: it holds no checksums
    keys._spec_hash = lambda slug: rubric  # type: ignore[assignment]
    writer.PROGRAM = (sys.executable, "-m", "tests.grading.course_process", root, rubric, "write")
    grade.APART = int(os.environ.get("SUBMISSIONS_FOR_A_WRITER", grade.APART))
    if words[0] == "write":
        writer.serve(*words[1:])
    else:
        sys.argv = ["course", *words]
        cli.main()


if __name__ == "__main__":
    main()
