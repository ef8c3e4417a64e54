"""The models' benchmark compares equals, and the figures quoted from it are the committed ones."""

import json
from typing import Any

import pytest

from benchmarks.attention.run import ROOT
from benchmarks.models.run import BATCHES, MODELS, RESULTS, benchmark, markdown_table


@pytest.fixture
def committed() -> dict[str, Any]:
    return json.loads(RESULTS.read_text())


def test_both_sides_of_each_model_compute_the_same(committed: dict[str, Any]) -> None:
    points = benchmark([(2, 5)], repeats=1)["points"]
    assert [point["model"] for point in points] == list(MODELS)
    for point in points + committed["points"]:
        assert point["loss_difference"] < 1e-3
        assert min(point["ratio"], point["ours_ms"], point["pytorch_ms"]) > 0
    assert {frozenset(point) for point in points + committed["points"]} == {frozenset(points[0])}


def test_the_committed_results_cover_each_model_on_each_batch(committed: dict[str, Any]) -> None:
    assert [(point["model"], point["batch"], point["length"]) for point in committed["points"]] == [
        (model, *batch) for model in MODELS for batch in BATCHES
    ]


def test_the_readme_quotes_the_committed_table(committed: dict[str, Any]) -> None:
    assert markdown_table(committed) in (ROOT / "benchmarks" / "README.md").read_text()
