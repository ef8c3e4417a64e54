"""How much a submission may use. Exceeding a limit is a verdict of its own, never a crash of the grader."""

from __future__ import annotations

from dataclasses import asdict, dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one submission.

    Attributes:
        cell_seconds: wall time of one cell.
        submission_seconds: wall time that a submission's code may take altogether, all attempts counted.
        cpu_seconds: processor time of one process.
        memory_bytes: resident memory of a slot's processes together, beyond what an empty slot has.
        processes: processes and threads of a slot together.
        open_files: descriptors of one process.
        file_bytes: size of one file.
        scratch_bytes: of /tmp, /dev/shm and the home folder, each.
        room_bytes: memory that a process may map beside what a slot begins with, arrays that are only passed
            through included; ``None`` where only ``memory_bytes`` holds.
    """

    cell_seconds: float = 60.0
    submission_seconds: float = 300.0
    cpu_seconds: int = 300
    memory_bytes: int = 2048 * MIB
    processes: int = 64
    open_files: int = 256
    file_bytes: int = 64 * MIB
    scratch_bytes: int = 128 * MIB
    room_bytes: int | None = None

    def of_a_slot(self) -> dict[str, int]:
        """The limits that the runner enforces, for its request."""
        return {name: value for name, value in asdict(self).items() if isinstance(value, int)}
