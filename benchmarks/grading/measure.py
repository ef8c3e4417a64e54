"""Run a command and watch what it and its processes use."""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

TICK = 1.0


@dataclass(frozen=True)
class Watched:
    """What a command used.

    Attributes:
        began: when it started, as the clock of files counts.
        seconds: wall time from start to end.
        peak_rss: the most resident bytes that its processes had together; pages that two share count twice.
        peak_pss: the same with each shared page divided among those who share it.
        own_cpu: processor seconds of the command's first process, without those that it started.
        returncode, said: how it ended, and the end of what it printed.
        load: the machine's load average when it started.
    """

    began: float
    seconds: float
    peak_rss: int
    peak_pss: int
    own_cpu: float
    returncode: int
    said: str
    load: float


def watch(
    command: list[str], *, cwd: Path, environment: dict[str, str], progress: Callable[[], object] = lambda: None
) -> Watched:
    """Run a command to its end.

    Args:
        command: program and arguments.
        cwd: its working folder.
        environment: its whole environment.
        progress: called now and then, for a progress bar.
    """
    load = os.getloadavg()[0]
    rss = pss = 0
    own_cpu = 0.0
    with tempfile.TemporaryFile() as output:
        began, started = time.time(), time.monotonic()
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            root = psutil.Process(process.pid)
            while process.poll() is None:
                resident, proportional = _memory(root)
                rss, pss = max(rss, resident), max(pss, proportional)
                with contextlib.suppress(psutil.NoSuchProcess):
                    times = root.cpu_times()
                    own_cpu = times.user + times.system
                progress()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(TICK)
            seconds = time.monotonic() - started
        finally:
            process.kill()
            process.wait()
        output.seek(max(0, output.tell() - 4000))
        said = output.read().decode(errors="replace")
    return Watched(began, seconds, rss, pss, own_cpu, process.returncode, said, load)


def _memory(root: psutil.Process) -> tuple[int, int]:
    """Resident and proportional bytes of a tree of processes."""
    resident = proportional = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
                resident += process.memory_info().rss
                proportional += process.memory_full_info().pss
    return resident, proportional
