"""The tiny assignment, and runners that start once for all tests."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from course_lib import cli
from course_lib.commands import DONE
from course_lib.grading import launcher as launchers
from course_lib.grading import sandbox, solution, spec
from course_lib.grading.launcher import Launcher
from tests.grading import tiny
from tests.grading.class_fixtures import _graded, _handed_in, graded, handed_in  # noqa: F401
from tests.grading.classes import Course
from tests.grading.downloads import new  # noqa: F401


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny assignment's solution and released notebook."""
    folder = tmp_path_factory.mktemp("course")
    tiny.write_assignment(folder)
    return folder


@pytest.fixture
def tiny_spec(root: Path, monkeypatch: pytest.MonkeyPatch) -> spec.Assignment:
    """The tiny assignment, in the place of the course's."""
    torch.set_num_threads(1)
    monkeypatch.setattr(solution, "ROOT", root)
    monkeypatch.setattr(spec, "assignments", lambda: {tiny.SLUG: tiny.TINY})
    return tiny.TINY


@pytest.fixture
def submit(root: Path, tiny_spec: spec.Assignment, tmp_path: Path) -> Callable[..., Path]:
    """Write a submission with some answers, and say where it stands."""
    count = iter(range(1000))

    def write(answers: Mapping[str, str] | None = None, **more: Any) -> Path:
        path = tmp_path / f"submission-{next(count)}.ipynb"
        path.write_text(json.dumps(tiny.notebook(root, answers, **more)))
        return path

    return write


@pytest.fixture(scope="session")
def local() -> Iterator[Launcher]:
    """A runner without a sandbox."""
    with launchers.local() as launcher:
        yield launcher


@pytest.fixture(scope="session")
def sandboxed() -> Iterator[Launcher]:
    """A runner in the sandbox."""
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not there")
    with sandbox.sandboxed() as launcher:
        yield launcher


@pytest.fixture
def course(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Course:
    """The `course` command, in this process."""
    monkeypatch.delenv("COURSE_DEBUG", raising=False)

    def run(*words: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["course", *map(str, words)])
        try:
            cli.main()
            code = DONE
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return code, " ".join((printed.out + printed.err).split())

    return run
