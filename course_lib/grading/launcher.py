"""Start the runner in which students' code will run, and open slots in it.

Nothing large is imported here: a command starts the runner before it imports what it needs itself.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING

from course_lib.grading.limits import Limits
from course_lib.runner import wire

if TYPE_CHECKING:
    from course_lib.check.probe import Probe
    from course_lib.grading.session import Budget, Session

Cells = Sequence[tuple[str, str]]

START_SECONDS = 120.0
RETRIES = 2


class RunnerFault(Exception):
    """The runner could not do its work, through no fault of the submission."""


class Launcher:
    """Keeps a warm runner and opens slots in it; a runner that has died is replaced.

    Args:
        command: starts the runner; the number of its control socket is added at the end.
        environment: the runner's whole environment.
        name: ``sandbox`` or ``unsafe-local``; written into each result.
    """

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], name: str) -> None:
        self.name = name
        self._command, self._environment = list(command), dict(environment)
        self._lock = threading.Lock()
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._starting: socket.socket | None = None
        self._control: socket.socket | None = None
        self._complaints: IO[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process that was started last, if any."""
        return None if self._process is None else self._process.pid

    def open(self, limits: Limits, *, seed: int) -> tuple[socket.socket, socket.socket]:
        """Open a slot: the socket to the slot, and its leash.

        Raises:
            RunnerFault: the runner cannot be started; the message has what it said.
        """
        request = json.dumps({"limits": limits.of_a_slot(), "seed": seed}).encode()
        message = wire.HEADER.pack(len(request)) + request
        control: socket.socket | None = None
        for attempt in range(RETRIES + 1):
            data, data_there = socket.socketpair()
            leash, leash_there = socket.socketpair()
            try:
                with self._lock:
                    control = self._running()
                    socket.send_fds(control, [message], [data_there.fileno(), leash_there.fileno()])
                return data, leash
            except OSError as error:
                data.close()
                leash.close()
                self._discard(control)
                if attempt == RETRIES:
                    raise RunnerFault(f"the runner does not answer: {error}; {self._complaint()}") from error
            finally:
                data_there.close()
                leash_there.close()
        raise AssertionError

    def session(
        self, cells: Cells, *, limits: Limits, budget: Budget, seed: int = 0, asked: Sequence[Sequence[Probe]] = ()
    ) -> Session:
        """Run the cells in a slot of their own and return what can be asked, whether announced in ``asked`` or not.

        Raises:
            RunnerFault
        """
        from course_lib.grading.session import SlotSession

        return SlotSession(self, cells, limits=limits, budget=budget, seed=seed)

    def close(self) -> None:
        """End the runner and with it every slot, whoever waits for one; nothing can be opened afterwards."""
        with self._lock:
            self._closed = True
            self._stop()

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Begin to start the runner, and do not wait for it: the first slot does."""
        with self._lock:
            if self._starting is None and self._control is None and not self._closed:
                self._starting = self._spawn()

    def _running(self) -> socket.socket:
        if self._closed:
            raise RunnerFault("grading was stopped")
        if self._control is not None and self._process is not None and self._process.poll() is None:
            return self._control
        ours, self._starting = self._starting or self._spawn(), None
        try:
            wire.receive(ours, limit=1000, deadline=time.monotonic() + START_SECONDS)
        except (wire.Closed, wire.Late) as error:
            ours.close()
            self._stop()
            raise RunnerFault(f"the runner does not start: {self._complaint() or error}") from error
        self._control = ours
        return ours

    def _spawn(self) -> socket.socket:
        """A runner's process; it says on the socket when it is ready."""
        ours, theirs = socket.socketpair()
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        with theirs:
            self._process = subprocess.Popen(
                [*self._command, str(theirs.fileno())],
                env=self._environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._complaints,
                stderr=self._complaints,
                cwd="/",
                start_new_session=True,
            )
        return ours

    def _discard(self, control: socket.socket | None) -> None:
        """End a runner that does not answer, unless another thread has replaced it already."""
        with self._lock:
            if control is None or self._control is control:
                self._stop()

    def _stop(self) -> None:
        for connection in (self._starting, self._control):
            if connection is not None:
                connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._starting = self._control = None

    def _complaint(self) -> str:
        """The end of what the runner wrote to its standard error."""
        if self._complaints is None:
            return ""
        size = os.fstat(self._complaints.fileno()).st_size
        return os.pread(self._complaints.fileno(), 2000, max(0, size - 2000)).decode(errors="replace").strip()


def local() -> Launcher:
    """A launcher without any sandbox, for machines that have none: the code runs as you."""
    environment = dict(os.environ) | {"PYTHONHASHSEED": "0", "MPLBACKEND": "Agg"}
    return Launcher([sys.executable, "-m", "course_lib.runner"], environment=environment, name="unsafe-local")
