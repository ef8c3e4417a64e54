"""A real Dask cluster for the tests: a scheduler and workers, each a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from course_lib.grading.cluster.worker import HERE
from course_lib.grading.walls import PACKAGE, VISIBLE_PARTS

DASK = Path(sys.executable).with_name("dask")
START_SECONDS = 120


def copy_what_a_worker_needs(folder: Path) -> Path:
    """The few parts of the course that a worker needs, below ``folder``: no model, no spec, no solution."""
    parts = [*VISIBLE_PARTS, "grading/__init__.py", *(f"grading/{name}" for name in HERE)]
    for name in [*parts, "grading/places.py"]:
        source, target = PACKAGE / name, folder / "course_lib" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return folder


class DaskCluster:
    """A scheduler on a port of its own, and the workers that were started for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ""
        self.workers: list[subprocess.Popen[bytes]] = []
        self._scheduler: subprocess.Popen[bytes] | None = None

    def start_scheduler(self) -> None:
        """Start the scheduler, on the same port as before if there was one."""
        port = self.address.rpartition(":")[2] or "0"
        words = ["scheduler", "--host", "tcp://127.0.0.1", "--port", port, "--no-dashboard"]
        self._scheduler = self._start("scheduler", words)
        deadline = time.monotonic() + START_SECONDS
        while not (said := _after("Scheduler at:", self._log("scheduler"))):
            assert self._scheduler.poll() is None and time.monotonic() < deadline, self._log("scheduler")
            time.sleep(0.05)
        self.address = said

    def kill_scheduler(self) -> None:
        """End the scheduler without a word to anybody."""
        assert self._scheduler is not None
        self._scheduler.kill()
        self._scheduler.wait()

    def add_worker(
        self, *, course: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a worker with one thread; its course is this one, or the one in a folder. Does not wait for it."""
        words = ["worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "tcp://127.0.0.1"]
        more = dict(environment or {}) | ({"PYTHONPATH": str(course)} if course else {})
        self.workers.append(self._start(f"worker-{len(self.workers)}", words, more))
        return self.workers[-1]

    def log(self, worker: subprocess.Popen[bytes]) -> str:
        """What a worker has said."""
        return self._log(f"worker-{self.workers.index(worker)}")

    def close(self) -> None:
        """End all of it."""
        for process in [*self.workers, *([self._scheduler] if self._scheduler else [])]:
            if process.poll() is None:
                process.kill()
            process.wait()

    def _start(
        self, name: str, words: list[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        place = self.folder / f"{name}-files"
        place.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [str(DASK), *words, *(["--local-directory", str(place)] if words[0] == "worker" else [])],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=place,
                env=os.environ | {"OMP_NUM_THREADS": "1"} | dict(environment or {}),
            )

    def _log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")


def below(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes that a worker has started."""
    return psutil.Process(process.pid).children(recursive=True)


def _after(words: str, text: str) -> str:
    """The word that follows, where they stand in a line that is complete."""
    lines = [line for line in text.splitlines(keepends=True) if words in line and line.endswith("\n")]
    return lines[0].partition(words)[2].split()[0] if lines else ""
