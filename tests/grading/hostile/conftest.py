"""Hostile submissions go through the sandbox; after each, the host and the neighbours are as before.

Every attack is made from a wrong answer to the exercise ``double``, so that any point it gains is a hole.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from course_lib.grading.grade import grade_submission
from course_lib.grading.launcher import Launcher
from course_lib.grading.limits import MIB, Limits
from course_lib.grading.results import Result
from course_lib.grading.spec import Assignment
from tests.grading.hostile_record import pytest_runtest_makereport  # noqa: F401
from tests.grading.tiny import RIGHT, notebook

SECRET = b"s" * 32
WRONG = "def double(x):\n    return 0 * x\n"
TRACE = "course-hostile-trace"
PLACES = (Path("/"), Path("/tmp"), Path("/dev/shm"), Path("/var/tmp"), Path.home(), Path.cwd())
LIMITS = Limits(cell_seconds=5, submission_seconds=60, memory_bytes=300 * MIB, processes=32)

Attack = Callable[..., Result]
Edit = Callable[[dict[str, Any]], None]


def grade_in_sandbox(path: Path, spec: Assignment, launcher: Launcher) -> Result:
    return grade_submission(path, spec, secret=SECRET, launcher=launcher, limits=LIMITS)


@pytest.fixture
def attack(root: Path, tiny_spec: Assignment, sandboxed: Launcher, tmp_path: Path) -> Attack:
    """Grade a submission whose ``double`` is an attack; it must earn nothing there, and the rest must count."""

    def run(
        source: str = WRONG, *, edit: Edit | None = None, rest: bool = True, answers: Mapping[str, str] | None = None
    ) -> Result:
        value = notebook(root, RIGHT | {"double": source} | (answers or {}))
        if edit is not None:
            edit(value)
        path = tmp_path / "attack.ipynb"
        path.write_text(json.dumps(value))
        result = grade_in_sandbox(path, tiny_spec, sandboxed)
        scores = {exercise.name: exercise.earned for exercise in result.exercises}
        assert result.verdict == "graded" and result.official
        assert scores["double"] == 0
        if rest:
            assert scores == {"double": 0, "Scale": 3, "total": 1}
        return result

    return run


@pytest.fixture(scope="session")
def undisturbed() -> dict[str, Any]:
    """What a neighbour's submission earned before any attack."""
    return {}


@pytest.fixture(autouse=True)
def _unharmed(
    submit: Callable[..., Path], tiny_spec: Assignment, sandboxed: Launcher, undisturbed: dict[str, Any]
) -> Iterator[None]:
    """Before and after each test: a neighbour's result, the host's files, the runner's processes."""
    neighbour = submit(RIGHT | {"total": "def total(x):\n    return x.sum(-1) + 0.001 * torch.rand(1)"})
    if not undisturbed:
        undisturbed.update(grade_in_sandbox(neighbour, tiny_spec, sandboxed).scores())
    processes = _processes(sandboxed)
    yield
    assert grade_in_sandbox(neighbour, tiny_spec, sandboxed).scores() == undisturbed
    assert [str(p) for place in PLACES for p in place.glob(f"{TRACE}*")] == []
    assert _wait_for(lambda: _processes(sandboxed) <= processes), "a slot's process is still there"


def _processes(launcher: Launcher) -> int:
    """How many processes there are below the launcher's."""
    assert launcher.pid is not None
    return len(psutil.Process(launcher.pid).children(recursive=True))


def _wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()
