"""The grading benchmark grades the same notebooks both ways, and the figures quoted from it are the committed ones."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.grading import run
from benchmarks.grading.measure import watch
from benchmarks.grading.run import RESULTS, ROOT, Steps, markdown_tables
from benchmarks.grading.stock import environment

STAGES = ["start", "run_and_judge", "commit"]


@pytest.fixture
def committed() -> dict[str, Any]:
    return json.loads(RESULTS.read_text())


class Silent:
    """Takes what a progress bar takes."""

    def add_task(self, *_: object, **__: object) -> int:
        return 0

    def update(self, *_: object, **__: object) -> None:
        pass


@pytest.mark.slow
def test_a_run_grades_one_class_both_ways_and_measures_what_the_committed_results_have(
    committed: dict[str, Any], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "benchmarks.grading.run", "--students", "2", "--growth", "2", "--work"]
    options = [str(tmp_path / "work"), "--out", "-"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout)
    assert _structure(measured) == _structure(committed | {"growth": committed["growth"][:1]})
    mine, plain = measured["ours"], measured["stock"]
    assert mine["students"] == plain["students"] == mine["runs"] == mine["scores_as_deserved"] == 2
    assert plain["not_graded"] == 0
    assert measured["ratio"] == plain["seconds"] / mine["seconds"]
    assert sum(mine["stages"].values()) == pytest.approx(mine["seconds"], rel=0.05)
    assert all(mine["stages"][stage] > 0 for stage in STAGES)
    assert 0 < mine["bound"]["inside_slots_over_cores"] < mine["seconds"]
    assert mine["bound"]["times_bound"] > 1
    assert mine["peak_rss_mib"] >= mine["peak_pss_mib"] > 100
    assert measured["ours_unchanged"]["seconds"] < mine["seconds"]
    notebooks = sorted((tmp_path / "work" / "stock").glob("autograded/*/*/*.ipynb"))
    assert len(notebooks) == 2 and all("assert_close" in path.read_text() for path in notebooks)


def test_what_is_measured_is_kept_and_not_measured_again(tmp_path: Path) -> None:
    made = []

    def step(_: object) -> dict[str, Any]:
        made.append(1)
        return {"seconds": len(made)}

    for _ in range(2):
        steps = Steps(tmp_path / "work", {"students": 2}, Silent())  # type: ignore[arg-type]
        assert steps.do("one", step, total=2) == {"seconds": 1}
    other = Steps(tmp_path / "work", {"students": 3}, Silent())  # type: ignore[arg-type]
    assert other.do("one", step, total=3) == {"seconds": 2}


def test_a_watched_command_is_measured_with_its_children(tmp_path: Path) -> None:
    hungry = "import subprocess, sys; subprocess.run([sys.executable, '-c', {!r}]); print('done'); sys.exit(3)"
    child = "import time; kept = bytearray(200 << 20); time.sleep(1)"
    seen = watch([sys.executable, "-c", hungry.format(child)], cwd=tmp_path, environment=environment())
    assert (seen.returncode, seen.said.strip()) == (3, "done")
    assert seen.peak_rss >= seen.peak_pss > 200 << 20
    assert seen.seconds > 1


def test_the_figures_replace_the_last_ones_in_the_index(
    committed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, end = run.MARKS
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    monkeypatch.setattr(run, "README", readme)
    run.quote(markdown_tables(committed))
    assert readme.read_text() == f"before\n{begin}\n\n{markdown_tables(committed)}\n{end}\nafter\n"


def test_the_index_of_benchmarks_quotes_the_committed_results(committed: dict[str, Any]) -> None:
    assert markdown_tables(committed) in (ROOT / "benchmarks" / "README.md").read_text()


def _structure(value: Any) -> Any:
    """A result without its figures: names, and the shape of what they hold."""
    if isinstance(value, dict):
        return {name: _structure(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_structure(item) for item in value if isinstance(item, dict)]
    return None
