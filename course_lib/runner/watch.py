"""What the processes of a slot use, read from /proc by the server that stands outside the slot."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
CHILDREN_ARE_LISTED = (PROC / "self" / "task" / str(os.getpid()) / "children").exists()


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
    children = _listed_children if CHILDREN_ARE_LISTED else _found_children()
    return {slot: _tree(root, children, baseline) for slot, root in roots.items()}


def _tree(root: int, children: Callable[[int], list[int]], base: int) -> Usage:
    todo, seen, memory, count, cpu = [root], {root}, 0, 0, 0.0
    while todo:
        pid = todo.pop()
        new = [child for child in children(pid) if child not in seen]
        seen.update(new)
        todo += new
        _, threads, seconds = _stat(pid)
        memory += max(0, private_memory(pid) - base)
        count += threads
        cpu += seconds
    return Usage(memory, count, cpu)


def _listed_children(pid: int) -> list[int]:
    """The children of a process as the kernel lists them by thread: far quicker than to look at every process."""
    found: list[int] = []
    with suppress(OSError), os.scandir(PROC / str(pid) / "task") as tasks:
        for task in tasks:
            with suppress(OSError):
                found += map(int, Path(task.path, "children").read_text().split())
    return found


def _found_children() -> Callable[[int], list[int]]:
    """The same from a look at every process, where the kernel keeps no lists."""
    found: dict[int, list[int]] = {}
    for entry in os.scandir(PROC):
        if entry.name.isdigit():
            found.setdefault(_stat(int(entry.name))[0], []).append(int(entry.name))
    return lambda pid: found.get(pid, [])


def _stat(pid: int) -> tuple[int, int, float]:
    """Parent, number of threads and processor seconds of a process; nothing of one that is gone."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, 0, 0.0
    return int(fields[1]), int(fields[17]), (int(fields[11]) + int(fields[12])) / TICKS
