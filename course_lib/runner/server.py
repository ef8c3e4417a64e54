"""The warm server: everything imported once, one thread, a fork for each slot.

On its socket it receives requests to open a slot. Each brings two sockets: one that becomes the
slot's, and one between the server and whoever asked, the *leash*: closing it ends the slot, and when
the slot has ended, the server writes on it how.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import gc
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from course_lib.check.probe import DTYPES, Probe, execute
from course_lib.runner import confine, room, slot, watch, wire

TICK = 0.02
MAX_REQUEST = 10_000
MAX_DESCRIPTOR = 65_536
LARGE_PAGE, MADV_COLLAPSE = 1 << 21, 25


@dataclass
class Slot:
    """A running slot: its first process, its leash, its limits, its folder and, once it is being ended, why."""

    pid: int
    leash: socket.socket
    limits: dict[str, int]
    folder: str
    verdict: str = ""
    usage: watch.Usage = field(default_factory=watch.Usage)


class Server:
    """Opens slots, watches what they use, and reports how they end."""

    def __init__(self, control: socket.socket, *, confined: bool) -> None:
        self.control, self.confined = control, confined
        self.slots: dict[int, Slot] = {}
        self.baseline = watch.private_memory(os.getpid())
        if confined:
            self.calls = confine.call_filter()
            self.calls_in_room = room.call_filter()

    def run(self) -> None:
        """Serve until the controller closes its end."""
        wire.send(self.control, json.dumps({"ready": True, "baseline": self.baseline}).encode())
        while True:
            # the closed leash of a slot that is being ended stays readable until it is reaped
            waiting = [self.control, *(s.leash for s in self.slots.values() if not s.verdict)]
            ready, _, _ = select.select(waiting, [], [], TICK if self.slots else None)
            for found in [s for s in self.slots.values() if s.leash in ready]:
                self._end(found, "closed")
            self._watch()
            self._reap()
            if self.control in ready:
                try:
                    self._open()
                except wire.Closed:
                    for found in self.slots.values():
                        self._end(found, "closed")
                    return

    def _open(self) -> None:
        header, descriptors = _receive_with_descriptors(self.control)
        request = json.loads(wire.receive_body(self.control, header, limit=MAX_REQUEST))
        data, leash = (socket.socket(fileno=fd) for fd in descriptors)
        try:
            pid = self._fork(request, data)
            self.slots[pid] = Slot(pid, leash, request["limits"], request.get("folder", ""))
        except OSError as error:
            _say(leash, {"verdict": "not opened", "detail": str(error)})
            leash.close()
        finally:
            data.close()

    def _fork(self, request: dict[str, Any], data: socket.socket) -> int:
        if self.confined:
            with confine.next_child_first_of_its_own():
                pid = os.fork()
                if pid == 0:
                    self._become(lambda: self._serve_confined(request, data))
            return pid
        request["folder"] = tempfile.mkdtemp(prefix="course-slot-")
        pid = os.fork()
        if pid == 0:
            self._become(lambda: _serve_plain(request, data))
        return pid

    def _serve_confined(self, request: dict[str, Any], data: socket.socket) -> None:
        limits = request["limits"]
        os.setsid()  # a signal to its group must not reach the server, which no namespace would keep it from
        confine.enter_namespaces()
        confine.mount_private_places(scratch_bytes=limits["scratch_bytes"])
        confine.own_user_namespace(inside=confine.STUDENT)  # for the count of its processes
        confine.limit_resources(limits, own_processes=True)
        confine.give_up_privileges()
        if "room_bytes" in limits:
            room.hold(limits["room_bytes"])
            self.calls_in_room.load()
        else:
            self.calls.load()
        _serve(request, data)

    def _become(self, run: Callable[[], None]) -> NoReturn:
        """In a forked child: run, and end without any exit hook."""
        try:
            run()
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.write(2, f"slot: {type(error).__name__}: {error}\n".encode())
        os._exit(1)

    def _watch(self) -> None:
        if not self.slots or not watch.PROC.is_dir():
            return
        running = {pid: pid for pid, found in self.slots.items() if not found.verdict}
        for pid, used in watch.usage(running, baseline=self.baseline).items():
            found = self.slots[pid]
            found.usage = watch.Usage(
                max(used.memory, found.usage.memory),
                max(used.processes, found.usage.processes),
                max(used.cpu_seconds, found.usage.cpu_seconds),
            )
            if used.memory > found.limits["memory_bytes"]:
                self._end(found, "memory")
            elif used.processes > found.limits["processes"]:
                self._end(found, "processes")

    def _end(self, found: Slot, verdict: str) -> None:
        found.verdict = found.verdict or verdict
        with contextlib.suppress(ProcessLookupError):
            if self.confined:
                os.kill(found.pid, signal.SIGKILL)  # the first process of its namespace: the kernel ends the others
            else:
                os.killpg(found.pid, signal.SIGKILL)

    def _reap(self) -> None:
        while self.slots:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            found = self.slots.pop(pid, None)
            if found is None:
                continue
            if not self.confined:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                shutil.rmtree(found.folder, ignore_errors=True)
            code = os.waitstatus_to_exitcode(status)
            report = {
                "verdict": found.verdict or _verdict(code),
                "detail": _describe(code),
                "memory": found.usage.memory,
                "cpu_seconds": round(found.usage.cpu_seconds, 2),
            }
            _say(found.leash, report)
            found.leash.close()


def main(control: int, *, confined: bool) -> None:
    """Import what notebooks import, then serve on the socket of this number."""
    _warm_up()
    tasks = Path("/proc/self/task")
    threads = len(list(tasks.iterdir())) if tasks.is_dir() else 1
    if threads != 1:
        sys.exit(f"the grading server has {threads} threads before its first fork; it must have one")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the controller's to handle
    Server(socket.socket(fileno=control), confined=confined).run()


def _warm_up() -> None:
    import einops  # noqa: F401 - imported so that each slot has it
    import matplotlib
    import torch

    import course_lib.check.student

    matplotlib.use("Agg")
    import matplotlib.pyplot
    import sklearn.datasets  # noqa: F401

    torch.set_num_threads(1)
    for module in (course_lib.check, course_lib.check.student):
        module.__dict__["check"] = lambda *args, **kwargs: None  # a notebook's own checks have nobody to show to
    for dtype in DTYPES:  # the first operations choose kernels and load tables; autograd might start threads
        square = torch.ones(8, 8, dtype=DTYPES[dtype])
        execute(Probe(target="f", args=(square,), dtype=dtype, watch=True), {"f": lambda x: torch.softmax(x @ x, -1)})
    torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)  # the first optimiser imports for seconds
    gc.collect()
    gc.freeze()  # the collector of a slot leaves the shared pages alone
    _collapse_pages()


def _collapse_pages() -> None:
    """Gather this process's memory in large pages, where the kernel can: a fork then copies far smaller tables."""
    if not Path("/proc/self/maps").is_file():
        return
    advise = confine.libc.madvise
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split()
        if fields[1].startswith("rw") and (len(fields) < 6 or fields[5] == "[heap]"):
            start, end = (int(text, 16) for text in fields[0].split("-"))
            for place in range(-(-start // LARGE_PAGE) * LARGE_PAGE, end - LARGE_PAGE + 1, LARGE_PAGE):
                advise(place, LARGE_PAGE, MADV_COLLAPSE)


def _serve_plain(request: dict[str, Any], data: socket.socket) -> None:
    os.setsid()
    os.chdir(request["folder"])
    confine.limit_resources(request["limits"], own_processes=False)
    if "room_bytes" in request["limits"]:
        room.hold(request["limits"]["room_bytes"])
    _serve(request, data)


def _serve(request: dict[str, Any], data: socket.socket) -> None:
    nothing = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    # the slot keeps its own connection and nothing of the server's: no leash, no namespace, no control socket
    os.closerange(3, data.fileno())
    os.closerange(data.fileno() + 1, MAX_DESCRIPTOR)
    with contextlib.suppress(wire.Closed):
        slot.serve(data, seed=request["seed"])


def _receive_with_descriptors(control: socket.socket) -> tuple[bytes, list[int]]:
    """The header of a request and the descriptors that came with its first byte."""
    room = array.array("i", [0, 0])
    control.settimeout(None)
    header, extra, _, _ = control.recvmsg(wire.HEADER.size, socket.CMSG_SPACE(room.itemsize * 2))
    if len(header) < wire.HEADER.size:
        raise wire.Closed("the controller has gone")
    descriptors = array.array("i")
    for level, kind, body in extra:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(body[: len(body) - len(body) % descriptors.itemsize])
    return header, list(descriptors)


def _say(leash: socket.socket, report: dict[str, Any]) -> None:
    with contextlib.suppress(wire.Closed, wire.Late):
        wire.send(leash, json.dumps(report).encode(), deadline=time.monotonic() + 1)


def _verdict(code: int) -> str:
    return "cpu" if code in (-signal.SIGXCPU, 128 + signal.SIGXCPU) else "died"


def _describe(code: int) -> str:
    number = -code if code < 0 else code - 128
    with contextlib.suppress(ValueError):
        return f"ended by {signal.Signals(number).name}"
    return f"ended with exit code {code}"
