"""Find the result of a submission in the store."""

from __future__ import annotations

from course_lib.grading.ingest import Submission
from course_lib.grading.keys import hashes_of, key_of
from course_lib.grading.launcher import Launcher
from course_lib.grading.limits import Limits
from course_lib.grading.results import Result, ResultStore
from course_lib.grading.spec import Assignment

KINDS = ("sandbox", "unsafe-local")
"""How a result may have been made; an official one comes first."""


def find_result(
    store: ResultStore,
    submission: Submission,
    spec: Assignment,
    *,
    secret: bytes,
    limits: Limits | None = None,
    official: bool = False,
) -> Result | None:
    """The stored result of a submission as it is now, or ``None``.

    Args:
        official: only one that was made in the sandbox; else an unofficial one is better than none.
    """
    for kind in KINDS[:1] if official else KINDS:
        launcher = Launcher([], environment={}, name=kind)
        hashes = hashes_of(submission, spec, secret=secret, launcher=launcher, limits=limits or Limits())
        if (found := store.get(key_of(hashes))) is not None:
            return found
    return None
