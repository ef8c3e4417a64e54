"""What determines a result, and the key under which it is kept: the same key, the same result."""

from __future__ import annotations

import hashlib
import hmac
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import torch

from course_lib.grading import solution
from course_lib.grading.ingest import Submission
from course_lib.grading.limits import Limits
from course_lib.grading.session import Runs
from course_lib.grading.spec import Assignment

PACKAGE = Path(__file__).resolve().parents[1]
DECIDING = tuple(
    f"{name}.py" for name in ("draw", "grade", "hidden", "ingest", "session", "solution", "spec", "variant", "walls")
)
"""Modules of this package that decide a result; the others only start, keep or show it."""


def hashes_of(
    submission: Submission, spec: Assignment, *, secret: bytes, launcher: Runs, limits: Limits
) -> dict[str, str]:
    """What determines a result, by name."""
    said = [*submission.notes, *(() if submission.verdict == "ok" else (submission.verdict,))]
    varied = {} if spec.variant is None else {"variant": spec.full_name}
    return varied | {
        "sources": submission.sha256,
        "repairs": _hash_text(json.dumps(said)),
        "spec": _spec_hash(spec.slug),
        "grader": _grader_hash(),
        "environment": f"torch {torch.__version__}, numpy {np.__version__}, Python {platform.python_version()}",
        "class": hmac.digest(secret, b"which class", "sha256").hex()[:16],
        "runner": launcher.name,
        "limits": _hash_text(json.dumps(asdict(limits), sort_keys=True)),
    }


def key_of(hashes: Mapping[str, str]) -> str:
    """The name of the result that these hashes determine."""
    return _hash_text(json.dumps(dict(hashes), sort_keys=True))


@cache
def _spec_hash(slug: str) -> str:
    """The assignment's spec, its solution and the reference code."""
    stem = slug.partition("-")[2].replace("-", "_")
    specs = PACKAGE / "grading" / "specs"
    shared = [PACKAGE / "models", PACKAGE / "data"]
    files = [p for p in specs.glob("*.py") if stem in p.name or p.name.startswith("__") or p.stem == "_cases"]
    files += [p for folder in shared for p in folder.rglob("*.py")]
    files += sorted((solution.ROOT / "solutions" / slug).glob("*.py"))
    return _hash_files(files)


@cache
def _grader_hash() -> str:
    files = [p for folder in ("check", "runner", "metrics") for p in (PACKAGE / folder).glob("*.py")]
    return _hash_files([*files, *(PACKAGE / "grading" / name for name in DECIDING)])


def _hash_files(files: Iterable[Path]) -> str:
    digests = sorted((p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files)
    return _hash_text(json.dumps(digests))


def _hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
