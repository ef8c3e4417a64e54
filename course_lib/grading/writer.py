"""Write results into the gradebook in a process of its own, while this one judges others.

nbgrader's conversion of a notebook is Python that computes, and so is judging: in one process they would take turns.

    python -m course_lib.grading.writer FOLDER SLUG

reads one student from each line of its input and answers each with a line of JSON: the student and an error, or "".
It ends with its input, and with the process that started it.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import course_lib.lean  # noqa: F401
from course_lib.grading.classroom import ClassFault, Classroom
from course_lib.grading.commit import commit
from course_lib.grading.spec import Assignment, assignment

PROGRAM = (sys.executable, "-m", "course_lib.grading.writer")
AHEAD = 2  # students who are given to the process and not yet written: one in work, one that waits
END_SECONDS = 60.0
PR_SET_PDEATHSIG = 1


def commit_apart(classroom: Classroom, spec: Assignment, students: Iterable[str]) -> Iterator[tuple[str, str]]:
    """As :func:`course_lib.grading.commit.commit`, by another process; at a Ctrl-C what it has begun is still yielded.

    Raises:
        ClassFault: the gradebook is locked or the disk full, or the process has ended; the students not yet yielded
            keep what they had.
    """
    command = [*PROGRAM, str(classroom.folder), spec.slug, str(os.getpid())]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, start_new_session=True
        )
        assert process.stdin is not None
        waiting, interrupted = 0, False
        try:
            try:
                for student in students:
                    if waiting == AHEAD:
                        yield _reply(process, said)
                        waiting -= 1
                    with suppress(BrokenPipeError):  # its last words stand in its output
                        process.stdin.write(f"{json.dumps(student)}\n")
                        process.stdin.flush()
                    waiting += 1
            except KeyboardInterrupt:
                interrupted = True
            _close(process.stdin)
            for _ in range(waiting):
                yield _reply(process, said)
            if interrupted:
                raise KeyboardInterrupt
        finally:
            _close(process.stdin)
            try:
                process.wait(END_SECONDS)
            finally:
                process.kill()
                process.wait()


def _reply(process: subprocess.Popen[str], said: IO[str]) -> tuple[str, str]:
    """The next student who is written.

    Raises:
        ClassFault: the process says one, or has ended.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        said.seek(0)
        last = (said.read().strip().splitlines() or ["it said nothing"])[-1]
        raise ClassFault(f"the process that writes the gradebook has ended ({last}). Run the command again.")
    student, error, fault = json.loads(line)
    if fault:
        raise ClassFault(fault)
    return student, error


def _close(pipe: IO[str]) -> None:
    with suppress(BrokenPipeError):
        pipe.close()


def serve(folder: str, slug: str, parent: str) -> None:
    """Write the students that are named on the standard input, until its end."""
    if sys.platform == "linux":  # whoever grades next must find nobody writing
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent):
            return
    atexit.register(gc.freeze)  # or Python looks through all that was imported before it ends, for a second
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(student: str, error: str, fault: str = "") -> None:
        print(json.dumps([student, error, fault]), file=answers, flush=True)

    try:
        for student, error in commit(
            Classroom(Path(folder)), assignment(slug), (json.loads(line) for line in sys.stdin)
        ):
            answer(student, error)
    except ClassFault as problem:
        answer("", "", str(problem))


if __name__ == "__main__":
    serve(*sys.argv[1:])
