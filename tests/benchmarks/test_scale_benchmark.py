"""The benchmark of a cluster runs on a real one, and the figures quoted from it are the committed ones."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scale import run
from benchmarks.scale.run import MANY, README, RESULTS, ROOT, estimate, markdown_tables


@pytest.fixture
def committed() -> dict[str, Any]:
    return json.loads(RESULTS.read_text())


@pytest.mark.slow
def test_a_run_measures_what_the_committed_results_have(committed: dict[str, Any], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.scale.run", "--students", "2", "--workers", "1", "--tasks", "30"]
    options = ["--work", str(tmp_path / "work"), "--out", "-", *([] if shutil.which("bwrap") else ["--unsafe-local"])]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout)
    assert structure(measured) == structure(
        committed | {"throughput": committed["throughput"][:1], "overhead": committed["overhead"][:1]}
    )
    (grown,), (empty,) = measured["throughput"], measured["overhead"]
    assert (grown["workers"], grown["submissions"], empty["tasks"]) == (1, 2, 30)
    assert grown["tasks"] >= 2 and 0 < grown["inside_slots"] < grown["seconds"] and grown["judge"] > 0
    assert measured["message"]["task_bytes"] > 1000 and measured["message"]["answer_bytes"] > 1000
    assert measured["commit_seconds"] > 0


def structure(value: Any) -> Any:
    """The names in a tree of results."""
    if isinstance(value, dict):
        return {name: structure(item) for name, item in value.items() if name != "settings"}
    return [structure(item) for item in value] if isinstance(value, list) and value else None


def test_the_estimate_multiplies_what_one_submission_takes_in_each_place() -> None:
    grown = {"submissions": 10, "tasks": 15, "inside_slots": 20.0, "judge": 3.0}
    found = estimate(grown, [{"milliseconds_each": 9.0}, {"milliseconds_each": 4.0}], 0.1)
    assert found["tasks_each"] == 1.5
    assert found["scheduler_hours"] == pytest.approx(MANY * 1.5 * 0.004 / 3600)
    assert found["controller_hours"] == pytest.approx(MANY * (0.3 + 0.1) / 3600)
    assert found["slot_hours_on_one_core"] == pytest.approx(MANY * 2.0 / 3600)
    assert found["workers_that_keep_the_controller_busy"] == pytest.approx(2.0 / 0.4)


def test_the_index_quotes_the_committed_results(committed: dict[str, Any]) -> None:
    begin, end = run.MARKS
    assert README.read_text().partition(begin)[2].partition(end)[0] == f"\n\n{markdown_tables(committed)}\n"
