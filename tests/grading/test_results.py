"""Results survive whatever stops a run, and the store tells when it was changed by hand."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from course_lib.grading import results
from course_lib.grading.results import ExerciseScore, LineScore, Result, ResultStore, StoreError, from_json, to_json


def made(key: str, earned: float = 1.0) -> Result:
    line = LineScore("output", 2.0, earned, "values", "3 entries differ.", "mean")
    return Result(
        key=key,
        assignment="00-tiny",
        verdict="graded",
        exercises=(ExerciseScore("double", (line,), ("A note.",), "<p>é</p>"),),
        notes=("Repaired.",),
        hashes={"sources": "abc"},
        protections="sandbox",
        seconds={"grading": 0.5},
    )


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


def test_a_result_comes_back_equal() -> None:
    assert from_json(to_json(made("a"))) == made("a")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "exercises": [{}]}', "null"])
def test_what_is_no_result_is_refused(text: str) -> None:
    with pytest.raises(StoreError):
        from_json(text)


def test_points_add_up() -> None:
    assert (made("a").points, made("a").earned) == (2.0, 1.0)


def test_a_stored_result_is_found_by_its_key(store: ResultStore) -> None:
    assert store.get("a") is None
    store.put(made("a"), submission="ada/00-tiny")
    assert store.get("a") == made("a")


def test_a_result_is_never_overwritten(store: ResultStore) -> None:
    store.put(made("a", 1.0), submission="ada/00-tiny")
    store.put(made("a", 2.0), submission="ada/00-tiny")
    assert store.get("a") == made("a", 1.0)
    assert len(store.log()) == 1


def test_the_same_result_for_two_submissions_is_logged_for_each(store: ResultStore) -> None:
    for student in ("ada", "ben", "ada"):
        store.put(made("a"), submission=f"{student}/00-tiny")
    assert [entry["submission"] for entry in store.log()] == ["ada/00-tiny", "ben/00-tiny"]


def test_a_sound_store_passes_the_audit(store: ResultStore) -> None:
    for key in "abc":
        store.put(made(key), submission=f"{key}/00-tiny")
    assert store.audit() == []


def test_a_changed_score_is_found(store: ResultStore) -> None:
    store.put(made("a"), submission="ada/00-tiny")
    file = store.folder / "a.json"
    file.write_text(file.read_text().replace('"earned": 1.0', '"earned": 2.0'))
    assert store.audit() == ["a.json is not what log line 1 says it was"]


@pytest.mark.parametrize(
    "change", [lambda lines: lines[1:], lambda lines: [lines[0], lines[2]], lambda lines: lines[::-1]]
)
def test_a_removed_or_moved_log_line_is_found(store: ResultStore, change: object) -> None:
    for key in "abc":
        store.put(made(key), submission=f"{key}/00-tiny")
    log = store.folder / "log.jsonl"
    log.write_text("".join(change(log.read_text().splitlines(keepends=True))))  # type: ignore[operator]
    assert any("was changed, moved or follows" in problem for problem in store.audit())


def test_a_rewritten_log_line_is_found(store: ResultStore) -> None:
    store.put(made("a"), submission="ada/00-tiny")
    log = store.folder / "log.jsonl"
    entry = json.loads(log.read_text()) | {"submission": "ben/00-tiny"}
    log.write_text(json.dumps(entry) + "\n")
    assert store.audit()


def test_a_missing_and_a_stray_file_are_found(store: ResultStore) -> None:
    store.put(made("a"), submission="ada/00-tiny")
    (store.folder / "a.json").rename(store.folder / "b.json")
    assert store.audit() == ["a.json, named in log line 1, is not there", "b.json is not in the log"]


def test_a_log_line_that_a_killed_run_left_half_written_is_dropped(store: ResultStore) -> None:
    for key in "ab":
        store.put(made(key), submission=f"{key}/00-tiny")
    log = store.folder / "log.jsonl"
    log.write_bytes(log.read_bytes()[:-20])
    store.put(made("b"), submission="b/00-tiny")
    assert [entry["key"] for entry in store.log()] == ["a", "b"] and store.audit() == []


def test_a_result_whose_log_line_was_never_written_is_logged_by_the_next_run(store: ResultStore) -> None:
    store.put(made("a"), submission="a/00-tiny")
    results.write_atomically(store.folder / "b.json", to_json(made("b")).encode())
    store.put(made("b"), submission="b/00-tiny")
    assert store.audit() == []


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        results.write_atomically(tmp_path / "file", b"data")
    assert list(tmp_path.iterdir()) == []


def test_two_graders_at_once_keep_one_chain(store: ResultStore) -> None:
    def put(worker: int) -> None:
        own = ResultStore(store.folder)
        for number in range(15):
            own.put(made(f"{number}"), submission=f"{worker}-{number}")

    workers = [threading.Thread(target=put, args=(number,)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(store.log()) == 45 and store.audit() == []
