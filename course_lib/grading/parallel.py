"""Grade many submissions at once: a thread for each slot, results as they are ready.

The threads wait for slots most of the time; comparing is done by one at a time. Scores do not depend
on the order or on the number of jobs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from course_lib.grading.grade import grade_read
from course_lib.grading.ingest import read_submission
from course_lib.grading.keys import hashes_of, key_of
from course_lib.grading.launcher import RunnerFault
from course_lib.grading.limits import Limits
from course_lib.grading.results import Result, ResultStore, StoreError
from course_lib.grading.sandbox import default_jobs
from course_lib.grading.session import Runs
from course_lib.grading.spec import Assignment

SWITCH_SECONDS = 0.0005
"""How long a thread computes while another, whose slot has answered, waits for its turn; the slot waits as well."""


@dataclass(frozen=True)
class Outcome:
    """What became of one submission.

    Attributes:
        name: what the caller named it.
        result: its result; ``None`` where this machine failed.
        fault: then, what happened. Nothing was recorded, so that the next run tries again.
        cached: whether the result was there already.
        seconds: wall time it took here.
    """

    name: str
    result: Result | None
    fault: str = ""
    cached: bool = False
    seconds: float = 0.0


def grade_many(
    submissions: Mapping[str, Path],
    spec: Assignment,
    *,
    secret: bytes,
    launcher: Runs,
    store: ResultStore,
    limits: Limits | None = None,
    jobs: int | None = None,
    variants: Mapping[str, Assignment] | None = None,
) -> Iterator[Outcome]:
    """Grade submissions and keep their results; those that the store holds are not run again.

    Stop at any moment (Ctrl-C, or leaving the loop): submissions that have not begun are left out,
    those that are running are ended together with the launcher, and what was yielded is in the store.

    Args:
        submissions: the notebooks, by a name for the log such as ``student/assignment``.
        spec: of the assignment.
        secret: of the class.
        launcher: runs the students' code.
        store: keeps the results.
        limits: how much each submission may use.
        jobs: how many run at once; the number of cores where it is not given.
        variants: the assignment as each submission's author has it, by the same names, where groups have their own.

    Yields:
        An outcome for each submission, in the order in which they are ready.
    """
    limits = limits or Limits()

    def grade(name: str, path: Path) -> Outcome:
        started = time.monotonic()
        try:
            own = (variants or {}).get(name, spec)
            submission = read_submission(path, spec=own)
            key = key_of(hashes_of(submission, own, secret=secret, launcher=launcher, limits=limits))
            seconds = {"ingest": time.monotonic() - started}
            result = store.get(key)
            cached = result is not None
            if result is None:
                result = grade_read(submission, own, secret=secret, launcher=launcher, limits=limits, seconds=seconds)
            store.put(result, submission=name)
        except (RunnerFault, StoreError, OSError) as error:
            return Outcome(name, None, str(error), seconds=time.monotonic() - started)
        return Outcome(name, result, cached=cached, seconds=time.monotonic() - started)

    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    pool = ThreadPoolExecutor(max_workers=jobs or default_jobs(), thread_name_prefix="grade")
    waiting: set[Future[Outcome]] = set()
    try:
        waiting = {pool.submit(grade, name, path) for name, path in submissions.items()}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        for future in waiting:
            future.cancel()
        if any(not future.done() for future in waiting):
            launcher.close()
        pool.shutdown(wait=True)
        sys.setswitchinterval(before)
