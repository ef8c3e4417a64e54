"""15. Faults of the machine: a run that was stopped anywhere resumes, each score is there once and is the right one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from course_lib.grading import launcher as launchers
from course_lib.grading import results
from course_lib.grading.launcher import Launcher
from course_lib.grading.parallel import grade_many
from course_lib.grading.results import ResultStore
from course_lib.grading.session import Budget
from course_lib.grading.spec import Assignment
from tests.grading.hostile.conftest import LIMITS, SECRET
from tests.grading.tiny import RIGHT

SIZE = 12


@pytest.fixture
def folder(submit: Callable[..., Path], tmp_path: Path) -> Path:
    """A class of submissions, right and wrong."""
    target = tmp_path / "submissions"
    target.mkdir()
    for number in range(SIZE):
        wrong = {} if number % 2 else {"total": f"def total(x):\n    return x.mean(-1)  # {number}"}
        submit(RIGHT | {"double": f"def double(x):\n    return x + x  # {number}"} | wrong).rename(
            target / f"{number}.ipynb"
        )
    return target


def paths(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.ipynb"))}


def scores(store: ResultStore) -> dict[str, Any]:
    """What the log says each submission earned."""
    found: dict[str, Any] = {}
    for entry in store.log():
        assert entry["submission"] not in found, "a score was written twice"
        result = store.get(entry["key"])
        assert result is not None
        found[entry["submission"]] = result.scores()
    return found


def grade(folder: Path, spec: Assignment, launcher: Launcher, store: ResultStore) -> list[str]:
    """Grade the class; returns the faults."""
    outcomes = grade_many(paths(folder), spec, secret=SECRET, launcher=launcher, store=store, limits=LIMITS, jobs=2)
    return [outcome.fault for outcome in outcomes if outcome.fault]


@pytest.fixture
def expected(folder: Path, tiny_spec: Assignment, local: Launcher, tmp_path: Path) -> dict[str, Any]:
    """What an undisturbed run gives."""
    store = ResultStore(tmp_path / "undisturbed")
    assert grade(folder, tiny_spec, local, store) == []
    return scores(store)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "number"), [("local", 0), ("sandboxed", 1), ("sandboxed", 2), ("local", 3)])
def test_a_killed_controller_loses_nothing(
    folder: Path,
    root: Path,
    tiny_spec: Assignment,
    local: Launcher,
    sandboxed: Launcher,
    tmp_path: Path,
    kind: str,
    number: int,
) -> None:
    launcher = {"local": local, "sandboxed": sandboxed}[kind]
    undisturbed = ResultStore(tmp_path / "undisturbed")
    assert grade(folder, tiny_spec, launcher, undisturbed) == []
    store = ResultStore(tmp_path / "results")
    command = [
        sys.executable,
        "-m",
        "tests.grading.hostile.faulty_run",
        kind,
        str(root),
        str(folder),
        str(store.folder),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for _ in range(number * 3):
        process.stdout.readline()
    time.sleep(random.Random(number).random() * 0.05)
    below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == [], "the runner or a slot outlived its controller"
    assert store.audit() == [] or all("not in the log" in problem for problem in store.audit())
    assert grade(folder, tiny_spec, launcher, store) == []
    assert scores(store) == scores(undisturbed) and store.audit() == []


def test_killed_runners_are_replaced_and_no_score_changes(
    folder: Path, tiny_spec: Assignment, tmp_path: Path, expected: Any
) -> None:
    store = ResultStore(tmp_path / "results")
    with launchers.local() as launcher:
        stop = threading.Event()

        def kill_sometimes() -> None:
            for _ in range(2):
                if stop.wait(0.3):
                    return
                if launcher.pid is not None:
                    with_group = os.getpgid(launcher.pid)
                    os.killpg(with_group, signal.SIGKILL)

        killer = threading.Thread(target=kill_sometimes)
        list(launcher.session([], limits=LIMITS, budget=Budget(30)).errors)
        killer.start()
        faults = grade(folder, tiny_spec, launcher, store)
        stop.set()
        killer.join()
        assert all("runner" in fault for fault in faults)
        grade(folder, tiny_spec, launcher, store)
    assert scores(store) == expected and store.audit() == []


def test_a_full_disk_records_nothing_and_the_next_run_completes(
    folder: Path, tiny_spec: Assignment, local: Launcher, tmp_path: Path, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResultStore(tmp_path / "results")
    writes = iter(range(1000))
    right = os.fsync

    def full(descriptor: int) -> None:
        if next(writes) % 3 == 1:
            raise OSError(28, "No space left on device")
        right(descriptor)

    monkeypatch.setattr(results.os, "fsync", full)
    faults = grade(folder, tiny_spec, local, store)
    monkeypatch.setattr(results.os, "fsync", right)
    assert faults and all("No space left" in fault for fault in faults)
    assert grade(folder, tiny_spec, local, store) == []
    assert scores(store) == expected and store.audit() == []


def test_two_graders_at_once_write_each_score_once(
    folder: Path, tiny_spec: Assignment, local: Launcher, tmp_path: Path, expected: Any
) -> None:
    store = ResultStore(tmp_path / "results")
    other = threading.Thread(target=grade, args=(folder, tiny_spec, local, ResultStore(store.folder)))
    other.start()
    assert grade(folder, tiny_spec, local, store) == []
    other.join()
    assert scores(store) == expected and store.audit() == []


def test_a_damaged_result_is_a_fault_and_no_score(
    folder: Path, tiny_spec: Assignment, local: Launcher, tmp_path: Path
) -> None:
    store = ResultStore(tmp_path / "results")
    grade(folder, tiny_spec, local, store)
    damaged = store.folder / f"{store.log()[0]['key']}.json"
    damaged.write_text("{")
    faults = grade(folder, tiny_spec, local, store)
    assert len(faults) == 1 and damaged.name in faults[0]
