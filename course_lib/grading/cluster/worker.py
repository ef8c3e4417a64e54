"""What a Dask worker does: run a batch in a warm sandbox of its own, and give back replies as bytes.

Each worker process keeps one runner. It starts at first need, is tried out before anything is run in it, and ends with
the process. This module imports neither the reference nor the specs, so a worker's machine needs neither.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import platform
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import torch

from course_lib.check.probe import Failure, Reply
from course_lib.check.values import ValueRefused, pack
from course_lib.grading.cluster.messages import Answers, Batch, ends_exercise
from course_lib.grading.launcher import Launcher, RunnerFault
from course_lib.grading.sandbox import SandboxMissing, Warming
from course_lib.grading.session import Budget
from course_lib.grading.walls import VISIBLE_PARTS

PACKAGE = Path(__file__).resolve().parents[2]
HERE = ("cluster", "launcher.py", "limits.py", "protections.py", "pulse.py", "sandbox.py", "session.py", "walls.py")
"""Modules of the grading that work here too; with what a notebook needs, they are all of the course that is needed."""

MAX_REPLIES = 256 * 1024 * 1024
"""Bytes that the replies of one batch may have together; right answers need less than a hundredth."""

_trying = threading.Lock()
_warm: dict[bool, Warming] = {}
_unfit: dict[bool, str] = {}


def answer(message: bytes) -> bytes:
    """Run a batch. A fault of this machine is an answer too, so that no exception has to travel."""
    try:
        batch = Batch.from_bytes(message)
        if why := unfit(batch.course, official=batch.official):
            return Answers(worker=address(), unfit=why).to_bytes()
        return _run(batch, _launcher(batch.official)).to_bytes()
    except (RunnerFault, SandboxMissing, ValueRefused, OSError) as error:
        return Answers(worker=address(), fault=str(error)).to_bytes()


async def examine(course: Mapping[str, str], *, official: bool) -> str:
    """Why this worker may not grade, or nothing."""
    return await asyncio.to_thread(unfit, course, official=official)


def unfit(course: Mapping[str, str], *, official: bool) -> str:
    """Why this worker may not grade, or nothing.

    Args:
        course: what it must have, as :func:`course_here` says it of the controller.
        official: whether each protection of the sandbox must hold here.
    """
    mine = course_here()
    if other := [
        f"{name} is {mine.get(name)} there and {theirs} here"
        for name, theirs in course.items()
        if mine.get(name) != theirs
    ]:
        return f"{'; '.join(other)}: give it the same installation"
    try:
        _launcher(official)
    except SandboxMissing as error:
        return str(error)
    return ""


@cache
def course_here() -> dict[str, str]:
    """What decides how a student's code behaves, by name: the same everywhere, or scores would depend on the worker."""
    parts = [*(PACKAGE / part for part in VISIBLE_PARTS), *(PACKAGE / "grading" / part for part in HERE)]
    files = [file for part in parts for file in ([part] if part.is_file() else part.rglob("*.py"))]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.relative_to(PACKAGE)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return {
        "Python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "the course's code": digest.hexdigest()[:16],
    }


def address() -> str:
    """Of this worker."""
    from distributed import get_worker

    return str(get_worker().address)


def _launcher(official: bool) -> Launcher:
    """This process's runner, tried out; a machine that failed once is not tried again.

    Raises:
        SandboxMissing: a protection does not hold here.
    """
    with _trying:
        if official in _unfit:
            raise SandboxMissing(_unfit[official])
        if official not in _warm:
            _warm[official] = Warming(unsafe_local=not official)
            atexit.register(_warm[official].close)
        try:
            return _warm[official].launcher()
        except SandboxMissing as error:
            _unfit[official] = str(error)
            raise


def _run(batch: Batch, launcher: Launcher) -> Answers:
    budget = Budget(batch.budget, batch.spent, list(batch.limits_hit))
    left = MAX_REPLIES
    replies: list[list[Reply]] = []
    session = launcher.session(batch.cells, limits=batch.limits, budget=budget, seed=batch.seed)
    try:
        for group in batch.asked:
            replies.append([])
            for probe in group:
                reply = session.ask(probe)
                reply, size = _within(reply, left, probe.target)
                left -= size
                replies[-1].append(reply)
                if ends_exercise(reply):
                    break
    finally:
        session.close()
    return Answers(
        worker=address(), replies=replies, errors=session.errors, spent=budget.spent, limits_hit=budget.limits_hit
    )


def _within(reply: Reply, left: int, target: str) -> tuple[Reply, int]:
    """The reply if it can travel, and its size; else a failure that says why it cannot."""
    try:
        size = len(pack(reply.to_value()))
    except ValueRefused as error:
        return Reply(failure=Failure("died", message=f"in {target}, which left {error}")), 0
    if size > left:
        text = f"what {target} returns is, with what was returned before, larger than can be returned"
        return Reply(failure=Failure("refused", "ValueRefused", text)), 0
    return reply, size
