"""The result of grading one submission, and the store that keeps results.

A result is plain data: JSON there and back. The store is a folder with one file for each result,
named by what determined it, and a log whose lines are chained by their hashes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

FORMAT = 1
START = "0" * 64


class StoreError(Exception):
    """A store that is damaged or was changed by hand; the message says where."""


@dataclass(frozen=True)
class LineScore:
    """One rubric line: what it is worth, what was earned, and if it was not, why.

    ``message`` reveals no hidden input and no expected value.
    """

    name: str
    points: float
    earned: float
    kind: str = ""
    message: str = ""
    mistake: str = ""


@dataclass(frozen=True)
class ExerciseScore:
    """One exercise: its lines, notes for the student, and the feedback as HTML."""

    name: str
    lines: Sequence[LineScore]
    notes: Sequence[str] = ()
    html: str = ""

    @property
    def points(self) -> float:
        """What the exercise is worth."""
        return sum(line.points for line in self.lines)

    @property
    def earned(self) -> float:
        """What the answer earned."""
        return sum(line.earned for line in self.lines)


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of grading one submission.

    Attributes:
        key: what names it: the hash of everything that determined it.
        assignment: slug.
        verdict: ``graded``, or a sentence that says why nothing could be graded.
        exercises: scores, in the assignment's order.
        written: grade_ids of the written questions that hold an answer for a person to read.
        notes: what was repaired, for student and instructor.
        needs_person: reasons for which a person should look at it.
        limits_hit: names of limits that the submission ran into.
        hashes: of sources, spec, grader and environment.
        protections: the sandbox's protections in force, or what there was instead.
        seconds: time by stage.
    """

    key: str
    assignment: str
    verdict: str
    exercises: Sequence[ExerciseScore] = ()
    written: Sequence[str] = ()
    notes: Sequence[str] = ()
    needs_person: Sequence[str] = ()
    limits_hit: Sequence[str] = ()
    hashes: Mapping[str, str] = field(default_factory=dict)
    protections: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def points(self) -> float:
        """What the automatic part is worth."""
        return sum(exercise.points for exercise in self.exercises)

    @property
    def earned(self) -> float:
        """What the answers earned."""
        return sum(exercise.earned for exercise in self.exercises)

    @property
    def official(self) -> bool:
        """Whether it was made inside the sandbox."""
        return self.protections == "sandbox"

    def exercise(self, name: str) -> ExerciseScore | None:
        """The score of one exercise, if it was graded."""
        return next((exercise for exercise in self.exercises if exercise.name == name), None)

    def scores(self) -> dict[str, Any]:
        """Everything but times: equal for equal submissions, in any order and on any number of cores."""
        return {name: value for name, value in asdict(self).items() if name != "seconds"}


def to_json(result: Result) -> str:
    """The result as JSON, keys sorted."""
    return json.dumps({"format": FORMAT, **asdict(result)}, sort_keys=True, indent=1, ensure_ascii=False)


def from_json(text: str) -> Result:
    """What :func:`to_json` wrote.

    Raises:
        StoreError: the text is no result of this version.
    """
    try:
        value = json.loads(text)
        if value.pop("format") != FORMAT:
            raise StoreError("a result of another version of the course")
        exercises = tuple(
            ExerciseScore(e["name"], tuple(LineScore(**line) for line in e["lines"]), tuple(e["notes"]), e["html"])
            for e in value.pop("exercises")
        )
        plain: dict[str, Any] = {n: tuple(item) if isinstance(item, list) else item for n, item in value.items()}
        return Result(exercises=exercises, **plain)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"not a result: {type(error).__name__}: {error}") from error


class ResultStore:
    """A folder of results: ``<key>.json`` for each, and ``log.jsonl``.

    Nothing is ever overwritten. Each file is complete or not there; the log's lines each hold the hash
    of the line before, so that a change, a removal or a reordering shows in :meth:`audit`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> Result | None:
        """The result of this key, if there is one.

        Raises:
            StoreError: its file is damaged.
        """
        try:
            text = self._file(key).read_text()
        except FileNotFoundError:
            return None
        try:
            return from_json(text)
        except StoreError as error:
            raise StoreError(f"{self._file(key)}: {error}") from error

    def put(self, result: Result, *, submission: str) -> None:
        """Keep a result. Putting the same key again changes nothing but may add the submission to the log.

        Args:
            submission: whose it is, for the log, such as ``student/assignment``.
        """
        with self._locked():
            if not self._file(result.key).exists():
                write_atomically(self._file(result.key), to_json(result).encode())
            entries = self._repaired_log()
            if any(entry["key"] == result.key and entry["submission"] == submission for entry in entries):
                return
            body = {
                "number": len(entries),
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "submission": submission,
                "key": result.key,
                "file": hashlib.sha256(self._file(result.key).read_bytes()).hexdigest(),
                "previous": entries[-1]["hash"] if entries else START,
            }
            line = json.dumps({**body, "hash": _chain(body)}, sort_keys=True) + "\n"
            with self._log.open("ab") as log:
                log.write(line.encode())
                log.flush()
                os.fsync(log.fileno())

    def log(self) -> list[dict[str, Any]]:
        """The entries of the log, oldest first."""
        with self._locked():
            return self._repaired_log()

    def audit(self) -> list[str]:
        """What is wrong with the store, as sentences; empty where nothing is."""
        problems: list[str] = []
        previous, seen = START, set()
        for number, line in enumerate(_lines(self._log)):
            try:
                entry = json.loads(line)
                body = {name: value for name, value in entry.items() if name != "hash"}
                if entry["number"] != number or entry["previous"] != previous or entry["hash"] != _chain(body):
                    problems.append(f"log line {number + 1} was changed, moved or follows one that was removed")
                previous = entry["hash"]
                seen.add(entry["key"])
                file = self._file(entry["key"])
                if not file.exists():
                    problems.append(f"{file.name}, named in log line {number + 1}, is not there")
                elif hashlib.sha256(file.read_bytes()).hexdigest() != entry["file"]:
                    problems.append(f"{file.name} is not what log line {number + 1} says it was")
            except (ValueError, KeyError, TypeError):
                problems.append(f"log line {number + 1} cannot be read")
        strays = sorted(file.name for file in self.folder.glob("*.json") if file.stem not in seen)
        return problems + [f"{name} is not in the log" for name in strays]

    @property
    def _log(self) -> Path:
        return self.folder / "log.jsonl"

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        """Two graders at once take turns."""
        with (self.folder / ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock

    def _repaired_log(self) -> list[dict[str, Any]]:
        """The entries; a last line that a killed run left half-written is cut off first."""
        lines = _lines(self._log)
        if lines and not lines[-1].endswith(b"\n"):
            keep = sum(len(line) for line in lines[:-1])
            with self._log.open("r+b") as log:
                log.truncate(keep)
                os.fsync(log.fileno())
            lines.pop()
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise StoreError(f"{self._log} is damaged: {error}") from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole, or not at all, whenever the machine stops."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _chain(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
