"""What the processes of a slot use, read from /proc by the server that stands outside the slot."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """The sum over a slot's processes.

    Attributes:
        memory: resident bytes that no file backs, without what each process shares with the server.
        processes: processes and threads.
        cpu_seconds: processor time of the processes that are alive.
    """

    memory: int = 0
    processes: int = 0
    cpu_seconds: float = 0.0


def private_memory(pid: int) -> int:
    """Resident anonymous and shared memory of a process in bytes; 0 where it is gone."""
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def usage(roots: dict[int, int], *, baseline: int) -> dict[int, Usage]:
    """Usage by slot.

    Args:
        roots: the first process of each slot, by slot.
        baseline: memory that each process had when it was forked.
    """
    processes = _processes()
    children: dict[int, list[int]] = {}
    for pid, (parent, _, _) in processes.items():
        children.setdefault(parent, []).append(pid)
    return {slot: _tree(root, processes, children, baseline) for slot, root in roots.items()}


def _tree(root: int, processes: dict[int, tuple[int, int, float]], children: dict[int, list[int]], base: int) -> Usage:
    todo, memory, count, cpu = [root], 0, 0, 0.0
    while todo:
        pid = todo.pop()
        todo += children.get(pid, [])
        _, threads, seconds = processes.get(pid, (0, 0, 0.0))
        memory += max(0, private_memory(pid) - base)
        count += threads
        cpu += seconds
    return Usage(memory, count, cpu)


def _processes() -> dict[int, tuple[int, int, float]]:
    """Parent, number of threads and processor seconds of each process."""
    found = {}
    for entry in os.scandir(PROC):
        if entry.name.isdigit():
            try:
                stat = (PROC / entry.name / "stat").read_text()
            except OSError:
                continue
            fields = stat.rpartition(")")[2].split()
            found[int(entry.name)] = (int(fields[1]), int(fields[17]), (int(fields[11]) + int(fields[12])) / TICKS)
    return found
