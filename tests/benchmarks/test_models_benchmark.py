"""The models' benchmark compares equals, and the figures quoted from it are the committed ones."""

import json
from typing import Any

import pytest

from benchmarks.attention.run import ROOT
from benchmarks.models.run import BATCHES, MODELS, RESULTS, benchmark, markdown_table, merged
from benchmarks.models.writing import LENGTHS, writing_table


@pytest.fixture
def committed() -> dict[str, Any]:
    return json.loads(RESULTS.read_text())


def test_both_sides_of_each_model_compute_the_same(committed: dict[str, Any]) -> None:
    points = benchmark([(2, 5)], repeats=1, lengths=[])["points"]
    assert [point["model"] for point in points] == list(MODELS)
    for point in points + committed["points"]:
        assert point["loss_difference"] < 1e-3
        assert min(point["ratio"], point["ours_ms"], point["pytorch_ms"]) > 0
    assert {frozenset(point) for point in points + committed["points"]} == {frozenset(points[0])}


def test_the_committed_results_cover_each_model_on_each_batch(committed: dict[str, Any]) -> None:
    assert [(point["model"], point["batch"], point["length"]) for point in committed["points"]] == [
        (model, *batch) for model in MODELS for batch in BATCHES
    ]


def test_with_the_cache_and_without_it_the_same_text_is_written(committed: dict[str, Any]) -> None:
    writing = benchmark([], repeats=1, models=[], lengths=[3, 7])["writing"]
    assert [point["length"] for point in writing] == [3, 7]
    assert [point["length"] for point in committed["writing"]] == LENGTHS
    for point in writing + committed["writing"]:
        assert point["same_text"]
        assert min(point["cached_per_second"], point["full_per_second"], point["ratio"]) > 0


def test_models_measured_again_replace_their_points_and_no_others(committed: dict[str, Any]) -> None:
    name = "translator"
    new = committed | {"points": [point | {"ratio": -1.0} for point in committed["points"] if point["model"] == name]}
    together = merged(committed, new)
    assert [(p["model"], p["batch"], p["length"]) for p in together["points"]] == [
        (p["model"], p["batch"], p["length"]) for p in committed["points"]
    ]
    assert {p["model"] for p in together["points"] if p["ratio"] == -1.0} == {name}
    with pytest.raises(ValueError, match="another machine"):
        merged(committed, new | {"machine": {**committed["machine"], "cores": 64}})


def test_the_readme_quotes_the_committed_tables(committed: dict[str, Any]) -> None:
    readme = (ROOT / "benchmarks" / "README.md").read_text()
    assert markdown_table(committed) in readme
    assert writing_table(committed) in readme
