"""A grading run of the tiny assignment as a process of its own, to be killed: ``faulty_run.py KIND ROOT SUBMISSIONS STORE``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from course_lib.grading import launcher, sandbox, solution, spec
from course_lib.grading.parallel import grade_many
from course_lib.grading.results import ResultStore
from tests.grading import tiny
from tests.grading.hostile.conftest import LIMITS, SECRET


def main() -> None:
    """Grade every notebook of the folder, in a sandbox or without."""
    torch.set_num_threads(1)
    kind, *folders = sys.argv[1:]
    root, submissions, store = map(Path, folders)
    solution.ROOT = root
    spec.assignments = lambda: {tiny.SLUG: tiny.TINY}  # type: ignore[assignment]
    paths = {path.stem: path for path in sorted(submissions.glob("*.ipynb"))}
    print("ready", flush=True)
    with {"local": launcher.local, "sandboxed": sandbox.sandboxed}[kind]() as opened:
        for outcome in grade_many(
            paths, tiny.TINY, secret=SECRET, launcher=opened, store=ResultStore(store), limits=LIMITS, jobs=2
        ):
            print(outcome.name, outcome.fault, flush=True)


if __name__ == "__main__":
    main()
