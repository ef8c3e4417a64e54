"""Talk to a student's code in a slot: run cells, ask probes, survive whatever it does.

A :class:`Session` answers every probe with a reply: a fault of the student's code is a failure in that
reply. Only a fault of this machine raises, as :class:`RunnerFault`, so that it can never become a score.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from course_lib.check.probe import MAX_MESSAGE, Failure, Frame, Probe, Reply
from course_lib.check.values import MAX_BYTES, ValueRefused, pack, unpack
from course_lib.grading.launcher import RETRIES, Cells, Launcher, RunnerFault
from course_lib.grading.limits import Limits
from course_lib.grading.pulse import pulse
from course_lib.runner import wire

T = TypeVar("T")

OPEN_SECONDS = 30.0
LEASH_SECONDS = 10.0
MAX_STRETCH = 4.0
MIB = 1 << 20
OUT_OF_MEMORY = ("can't allocate memory", "Cannot allocate memory", "bad_alloc")
SAID_BY_A_SLOT = {"missing", "not_written", "raised", "state", "refused", "memory"}
KILLED = "ended by SIGKILL"


class SlotKilled(RunnerFault):
    """A slot was killed for a reason that nobody knows: the machine was short of memory, or its own code did it."""


@dataclass
class Budget:
    """Wall time that is left for a submission's code, over all its sessions."""

    seconds: float
    spent: float = 0.0
    limits_hit: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self, at_most: float) -> Iterator[float]:
        """While the student's code runs; gives the deadline.

        Args:
            at_most: seconds on a machine that has time; on a busy one it may be several times as long.

        Raises:
            RunnerFault: the deadline passed while this process stood still.
        """
        started, still = time.monotonic(), pulse().seconds_still()
        try:
            yield started + max(0.0, min(at_most * _stretch(), self.seconds - self.spent))
        except wire.Late as error:
            if pulse().seconds_still() > still:
                raise RunnerFault("this machine, or its grading, stood still for a while") from error
            raise
        finally:
            self.spent += time.monotonic() - started - (pulse().seconds_still() - still)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left."""
        return self.spent >= self.seconds


def _stretch() -> float:
    """How much longer things take because this machine has more to do than it has cores."""
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    return min(MAX_STRETCH, max(1.0, busy))


class Session(Protocol):
    """The objects of one submission, ready to be asked."""

    errors: dict[str, Failure]

    def ask(self, probe: Probe) -> Reply:
        """Put one probe. Never raises for what the student's code does."""

    def close(self) -> None:
        """End the student's code."""


class Runs(Protocol):
    """Where submissions run: in slots on this machine, or on the workers of a cluster."""

    name: str

    def session(
        self, cells: Cells, *, limits: Limits, budget: Budget, seed: int = 0, asked: Sequence[Sequence[Probe]] = ()
    ) -> Session:
        """Run the cells apart from all others and return what can be asked.

        Args:
            cells: name and source of each.
            limits: how much they may use.
            budget: what is left of the submission's time; what is used is taken from it.
            seed: of the random state that they start with.
            asked: all probes that will be put, in groups each of which ends at a reply that ends its exercise; a place
                that is far away puts them at once.

        Raises:
            RunnerFault
        """

    def close(self) -> None:
        """End everything that runs."""


class SlotSession:
    """A session in a slot of a launcher's runner; reopened where the slot has died or hung."""

    def __init__(self, launcher: Launcher, cells: Cells, *, limits: Limits, budget: Budget, seed: int) -> None:
        self.errors: dict[str, Failure] = {}
        self._launcher, self._cells, self._seed = launcher, list(cells), seed
        self._limits, self._budget = limits, budget
        self._data: socket.socket | None = None
        self._leash: socket.socket | None = None
        self._number = 0
        self._killed: Counter[str] = Counter()
        self._retrying(self._ensure_open)

    def ask(self, probe: Probe) -> Reply:
        """Put one probe. Never raises for what the student's code does."""
        if probe.room_bytes is not None:
            return self._ask_in_room(replace(probe, room_bytes=None), probe.room_bytes)
        return self._retrying(lambda: self._ask(probe))

    def close(self) -> None:
        """End the student's code."""
        self._drop()

    def _ask_in_room(self, probe: Probe, room_bytes: int) -> Reply:
        """Put a probe to a slot of its own, which from before its first cell has room for so many bytes more."""
        limits = replace(self._limits, room_bytes=room_bytes)
        slot = SlotSession(self._launcher, self._cells, limits=limits, budget=self._budget, seed=self._seed)
        try:
            reply = slot.ask(probe)
        finally:
            slot.close()
        if reply.failure is None or not _for_want_of_room(reply.failure):
            return reply
        message = f"more than {room_bytes / MIB:.3g} MiB at one time in {probe.target}"
        return Reply(failure=Failure("too_large", message=message))

    def _retrying(self, action: Callable[[], T]) -> T:
        """Do it again in a new slot where the runner, not the student's code, has failed."""
        left = RETRIES
        while True:
            try:
                return action()
            except SlotKilled:  # counted by place in `_death`, which soon takes it for the code's own doing
                self._drop()
            except RunnerFault:
                self._drop()
                left -= 1
                if left < 0:
                    raise

    def _ensure_open(self) -> None:
        """Open a slot and run the cells; a cell that hangs or kills the slot is left out from then on."""
        while self._data is None and not self._budget.exhausted:
            self._data, self._leash = self._launcher.open(self._limits, seed=self._seed)
            try:
                wire.receive(self._data, limit=1000, deadline=time.monotonic() + OPEN_SECONDS)
            except (wire.Closed, wire.Late) as error:
                raise RunnerFault(f"a slot does not open: {self._ended().get('detail') or error}") from error
            cells = pack([list(cell) for cell in self._cells], trusted=True)
            with contextlib.suppress(wire.Closed, wire.Late):  # a slot that ended shows at its first cell
                wire.send(self._data, cells, deadline=time.monotonic() + OPEN_SECONDS)
            self._run_cells()

    def _run_cells(self) -> None:
        assert self._data is not None
        for name, _ in list(self._cells):
            failure: Failure | None
            ended = True
            try:
                with self._budget.running(self._limits.cell_seconds) as deadline:
                    message = wire.receive(self._data, limit=MAX_BYTES, deadline=deadline)
                failure, ended = _cell_failure(name, message), False
            except wire.Late:
                self._hit("timeout")
                failure = Failure("timeout", message=f"after {self._limits.cell_seconds:g} s in the cell {name}")
            except wire.Closed:
                failure = self._death(f"in the cell {name}")
            except ValueRefused as error:
                failure = Failure("died", message=f"in the cell {name}: {error}")
            if failure is not None:
                self.errors.setdefault(name, failure)
            if ended:
                self._drop()
                self._cells = [cell for cell in self._cells if cell[0] != name]
                return

    def _ask(self, probe: Probe) -> Reply:
        self._ensure_open()
        if self._data is None:
            return Reply(failure=Failure("timeout", message=f"the submission used up its {self._budget.seconds:g} s"))
        self._number += 1
        try:
            with self._budget.running(probe.seconds) as deadline:
                wire.send(self._data, pack([self._number, probe.to_value()], trusted=True), deadline=deadline)
                message = wire.receive(self._data, limit=MAX_BYTES, deadline=deadline)
            return _read_reply(message, self._number)
        except wire.Late:
            self._hit("timeout")
            self._drop()
            return Reply(failure=Failure("timeout", message=f"after {probe.seconds:g} s in {probe.target}"))
        except wire.Closed:
            failure = self._death(f"in {probe.target}")
            self._drop()
            return Reply(failure=failure)
        except ValueRefused as error:
            self._drop()
            return Reply(failure=Failure("died", message=f"in {probe.target}, which left {error}"))

    def _death(self, where: str) -> Failure:
        """Why the slot ended, once its connection is closed.

        Raises:
            SlotKilled: the machine may have done that; code that kills itself does so each time.
        """
        ended = self._ended()
        verdict = ended["verdict"]
        if verdict == "memory":
            self._hit("memory")
            return Failure("memory", message=f"more than {self._limits.memory_bytes / 2**30:.3g} GiB {where}")
        if verdict == "processes":
            self._hit("processes")
            return Failure("died", message=f"more than {self._limits.processes} processes or threads {where}")
        if verdict == "cpu":
            self._hit("cpu")
            return Failure("timeout", message=f"after {self._limits.cpu_seconds} s of processor time {where}")
        self._killed[where] += ended["detail"] == KILLED
        if ended["detail"] == KILLED and self._killed[where] <= RETRIES:
            raise SlotKilled(f"a slot was killed {where}")
        return Failure("died", message=f"{ended['detail']} {where}")

    def _ended(self) -> dict[str, Any]:
        """The server's report on a slot that closed its connection.

        Raises:
            RunnerFault: the server itself has gone, so that nothing can be said about the slot.
        """
        assert self._leash is not None and self._data is not None
        self._data.close()
        try:
            # a worker that closed its socket and lives on is ended here, after a moment to end by itself
            message = wire.receive(self._leash, limit=10_000, deadline=time.monotonic() + 1)
        except wire.Late:
            return {"verdict": "died", "detail": "it closed its connection"}
        except wire.Closed as error:
            raise RunnerFault(f"the runner has gone: {error}") from error
        report: dict[str, Any] = json.loads(message)
        if report["verdict"] == "not opened":
            raise RunnerFault(f"a slot does not open: {report['detail']}")
        return report

    def _hit(self, limit: str) -> None:
        if limit not in self._budget.limits_hit:
            self._budget.limits_hit.append(limit)

    def _drop(self) -> None:
        for connection in (self._data, self._leash):
            if connection is not None:
                connection.close()
        self._data = self._leash = None


def _cell_failure(name: str, message: bytes) -> Failure | None:
    value = unpack(message)
    if not isinstance(value, dict) or value.get("cell") != name:
        raise ValueRefused("a message that is not about the cell that was run")
    if value["failure"] is None:
        return None
    return _read_failure(Reply.from_value({**_EMPTY, "failure": value["failure"]}).failure)


_EMPTY = Reply().to_value()


def _read_reply(message: bytes, number: int) -> Reply:
    """A slot's reply, checked: its shape, its number, and that it says nothing only the runner may say."""
    value = unpack(message)
    if not isinstance(value, list) or len(value) != 2 or type(value[0]) is not int or value[0] != number:
        raise ValueRefused("a message that answers no question")
    reply = Reply.from_value(value[1])
    if reply.failure is None:
        return reply
    return Reply(failure=_read_failure(reply.failure))


def _for_want_of_room(failure: Failure) -> bool:
    """Whether a failure is what too little memory looks like; code that meets it may end in many ways."""
    if failure.kind == "raised":
        return any(text in failure.message for text in OUT_OF_MEMORY)
    return failure.kind in ("missing", "memory", "refused", "died")


def _read_failure(failure: Failure | None) -> Failure | None:
    if failure is None:
        return None
    if failure.kind not in SAID_BY_A_SLOT:
        raise ValueRefused("a failure that only the runner may report")
    frames = tuple(Frame(f.function[:100], f.line, f.text[:200]) for f in failure.frames[-8:])
    return Failure(failure.kind, failure.type[:100], failure.message[:MAX_MESSAGE], frames)
