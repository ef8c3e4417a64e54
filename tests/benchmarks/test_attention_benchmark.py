"""The attention benchmark measures what it says, and the figures quoted from it are the committed ones."""

import json
import subprocess
import sys
from typing import Any

import pytest

from benchmarks.attention import run
from benchmarks.attention.run import RESULTS, ROOT, benchmark, markdown_table, run_measurement

SHORT, LONG = 1024, 2048


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.attention.run"]
    options = ["--lengths", str(LONG), str(SHORT), "--repeats", "1", "--json", "-"]
    process = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(process.stdout)


@pytest.fixture
def committed() -> dict[str, Any]:
    return json.loads(RESULTS.read_text())


def growth(results: dict[str, Any], method: str, quantity: str) -> float:
    values = {p["length"]: p[quantity] for p in results["points"] if p["method"] == method}
    return values[LONG] / values[SHORT]


@pytest.mark.slow
def test_a_run_has_the_structure_of_the_committed_results(measured: dict[str, Any], committed: dict[str, Any]) -> None:
    assert measured.keys() == committed.keys()
    assert measured["machine"].keys() == committed["machine"].keys()
    assert measured["settings"].keys() == committed["settings"].keys()
    assert measured["settings"]["lengths"] == [SHORT, LONG]
    assert [(point["length"], point["method"]) for point in measured["points"]] == [
        (length, method) for length in (SHORT, LONG) for method in ("naive", "tiled", "fused")
    ]
    assert {frozenset(point) for point in measured["points"] + committed["points"]} == {
        frozenset(committed["points"][0])
    }


@pytest.mark.slow
def test_naive_memory_grows_with_the_square_of_the_length_and_tiled_memory_does_not(
    measured: dict[str, Any],
) -> None:
    assert 3 < growth(measured, "naive", "peak_mib") < 5
    assert growth(measured, "tiled", "peak_mib") < 2


@pytest.mark.slow
def test_naive_attention_holds_two_tables_of_scores(measured: dict[str, Any]) -> None:
    (naive,) = (p for p in measured["points"] if (p["method"], p["length"]) == ("naive", LONG))
    tables_mib = 2 * LONG**2 * 4 / 2**20  # scores and weights, float32
    assert naive["peak_mib"] == pytest.approx(tables_mib, rel=0.25)


@pytest.mark.slow
def test_the_three_methods_compute_the_same(measured: dict[str, Any]) -> None:
    assert all(point["max_difference_from_fused"] < 1e-5 for point in measured["points"])
    assert any(point["max_difference_from_fused"] > 0 for point in measured["points"])


@pytest.mark.slow
def test_a_measurement_that_fails_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)Measuring memory slow 512 failed: .*invalid choice"):
        run_measurement("memory", "slow", "512")


def test_ratios_are_taken_to_fused_at_the_same_length_and_naive_stops_at_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = {"naive": 6.0, "tiled": 3.0, "fused": 2.0}
    mebibytes = {"naive": 80, "tiled": 20, "fused": 10}

    def measurement(quantity: str, *arguments: str, environment: dict[str, str] | None = None) -> Any:
        if quantity == "memory":
            return {"peak_bytes": mebibytes[arguments[0]] * 2**20}
        return {method: {"seconds": s, "error": 0.0} for method, s in seconds.items() if method in arguments}

    monkeypatch.setattr(run, "run_measurement", measurement)
    points = benchmark([2048, 1024], repeats=1, naive_up_to=1024)["points"]
    found = [(p["length"], p["method"], p["peak_mib"], p["peak_over_fused"], p["time_over_fused"]) for p in points]
    assert found == [
        (1024, "naive", 80, 8.0, 3.0),
        (1024, "tiled", 20, 2.0, 1.5),
        (1024, "fused", 10, 1.0, 1.0),
        (2048, "tiled", 20, 2.0, 1.5),
        (2048, "fused", 10, 1.0, 1.0),
    ]


def test_a_length_without_a_measurable_peak_is_refused() -> None:
    with pytest.raises(ValueError, match="choose 512 or more"):
        benchmark([64, 1024], repeats=1, naive_up_to=1024)


def test_the_index_of_benchmarks_quotes_the_committed_results(committed: dict[str, Any]) -> None:
    readme = (ROOT / "benchmarks" / "README.md").read_text()
    assert markdown_table(committed) in readme
    assert committed["machine"]["processor"] in readme


def test_the_index_lists_the_command_of_each_benchmark() -> None:
    folder = ROOT / "benchmarks"
    scripts = list(folder.glob("*/run.py"))
    assert scripts
    for script in scripts:
        assert f".venv/bin/python -m benchmarks.{script.parent.name}.run" in (folder / "README.md").read_text()
