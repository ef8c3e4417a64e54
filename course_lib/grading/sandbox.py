"""The sandbox that students' code runs in.

Nothing large is imported here: a command starts the runner before it imports what it needs itself.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from course_lib.grading.launcher import Launcher, local
from course_lib.grading.walls import environment, first_command, inside, walls

if TYPE_CHECKING:
    from course_lib.grading.protections import Protection
    from course_lib.grading.session import Runs

INSTALL = "install bubblewrap (Debian, Ubuntu: apt install bubblewrap)"


class SandboxMissing(Exception):
    """Students' code cannot be confined on this machine; the message says why and what to do."""


class Grounds(Protocol):
    """Where a command's submissions run, tried out at first need: this machine, or a cluster."""

    unsafe_local: bool

    def start(self) -> None:
        """Begin with what takes long."""

    def try_out(self) -> None:
        """Begin to try it, once all is imported."""

    def at_once(self) -> int:
        """How many submissions keep it busy."""

    def launcher(self) -> Runs:
        """What runs them.

        Raises:
            SandboxMissing, RunnerFault
        """

    def close(self) -> None:
        """End what was started."""


class Warming:
    """The launcher for grading: its runner may start while other things are done, and is tried out at first need.

    Args:
        unsafe_local: run students' code without a sandbox, as you; each result says so.
    """

    def __init__(self, *, unsafe_local: bool = False) -> None:
        self.unsafe_local = unsafe_local
        self._made: Launcher | None = None
        self._tried = unsafe_local
        self._trial: Future[list[Protection]] | None = None

    def start(self) -> None:
        """Begin to start the runner, where there can be one; whatever is missing is said by :meth:`launcher`."""
        with suppress(SandboxMissing):
            self._launcher().start()

    def try_out(self) -> None:
        """Begin to try the sandbox beside what the caller does; :meth:`launcher` waits for what comes of it.

        Not while anything is imported: modules that import each other must not be imported by two threads.
        """
        if self._tried or self._trial is not None:
            return
        from course_lib.grading.protections import protections

        with suppress(SandboxMissing):
            launcher, pool = self._launcher(), ThreadPoolExecutor(1, thread_name_prefix="try-sandbox")
            self._trial = pool.submit(protections, launcher)
            pool.shutdown(wait=False)

    def launcher(self) -> Launcher:
        """The launcher, tried out.

        Raises:
            SandboxMissing: a protection does not hold and ``unsafe_local`` was not given.
        """
        launcher = self._launcher()
        self.try_out()
        if self._trial is not None and not self._tried:
            broken = [p for p in self._trial.result() if not p.ok]
            if broken:
                self.close()
                said = "; ".join(f"{p.name}: {p.detail} ({p.remedy})" for p in broken[:3])
                remedy = "To grade without these protections, say --unsafe-local: each result is marked"
                raise SandboxMissing(f"{said}. {remedy}")
            self._tried = True
        return launcher

    def at_once(self) -> int:
        """How many submissions keep this machine busy."""
        return default_jobs()

    def close(self) -> None:
        """End the runner with all its slots."""
        if self._made is not None:
            self._made.close()

    def __enter__(self) -> Warming:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _launcher(self) -> Launcher:
        if self._made is None:
            self._made = local() if self.unsafe_local else sandboxed()
        return self._made


def default_jobs() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sandboxed() -> Launcher:
    """A launcher whose runner stands inside bubblewrap; nothing is started yet.

    Raises:
        SandboxMissing: there is no bubblewrap here.
    """
    if platform.system() != "Linux":
        raise SandboxMissing(f"the sandbox needs Linux, this is {platform.system()}; grade on Linux")
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxMissing(f"bubblewrap is not there; {INSTALL}")
    runner = [str(inside(Path(sys.executable))), "-P", "-s", "-m", "course_lib.runner", "--confined"]
    command = [program, *walls(), "--", *first_command(), *runner]
    return Launcher(command, environment=environment(), name="sandbox")
