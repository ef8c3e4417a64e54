"""What a cell hands to its page arrives there under its name and in a readable form."""

from typing import Any

import numpy as np
import pytest
import torch

from course_lib import page


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, str], dict[str, Any]]]:
    calls: list[tuple[dict[str, str], dict[str, Any]]] = []
    monkeypatch.setattr(page, "display", lambda data, raw, metadata=None: calls.append((data, metadata or {})))
    return calls


@pytest.mark.parametrize("value", [0.5, np.float64(0.5), torch.tensor(0.5, dtype=torch.float64), np.array([0.5])[0]])
def test_a_number_of_any_library_is_recorded_as_a_plain_one(
    shown: list[tuple[dict[str, str], dict[str, Any]]], value: float
) -> None:
    page.record(share=value)
    [(data, metadata)] = shown
    assert data == {"application/papermill.record/text/plain": "0.5"}
    assert metadata["scrapbook"]["name"] == "share"


def test_a_text_is_recorded_as_it_is(shown: list[tuple[dict[str, str], dict[str, Any]]]) -> None:
    page.record(winner="head 2")
    assert shown[0][0] == {"application/papermill.record/text/plain": "head 2"}


def test_several_numbers_under_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="one number or a text as losses"):
        page.record(losses=torch.zeros(3))  # type: ignore[arg-type]


def test_a_table_names_its_rows_and_columns_and_escapes_its_cells(
    shown: list[tuple[dict[str, str], dict[str, Any]]],
) -> None:
    page.show_table(["method", "N < 100"], [["naive", "4"], ["tiled", "2"]])
    [(data, _)] = shown
    assert '<th scope="col">N &lt; 100</th>' in data["text/html"]
    assert '<tr><th scope="row">naive</th><td>4</td></tr>' in data["text/html"]
    assert data["text/plain"].splitlines() == ["method  N < 100", "naive   4", "tiled   2"]


def test_a_row_with_a_missing_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        page.show_table(["a", "b"], [["only"]])


def test_two_generators_of_one_seed_give_the_same_chance() -> None:
    assert torch.equal(*(torch.rand(3, generator=page.generator(7)) for _ in range(2)))


def test_the_shortest_run_counts_and_the_one_that_warms_up_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 3.0, 10.0, 12.0, 20.0, 25.0])
    monkeypatch.setattr(page.time, "perf_counter", lambda: next(clock))
    runs: list[int] = []
    assert page.best_time(lambda: runs.append(1), repeats=3) == 2000
    assert len(runs) == 4


def test_several_seeds_are_written_as_their_mean_with_the_lowest_and_the_highest() -> None:
    assert page.spread([0.95, 0.9, 0.91], digits=3) == "0.920 (0.900 to 0.950)"


@pytest.mark.parametrize(
    ("value", "text"), [(0.4219, "0.42"), (12.3, "12"), (3e-7, "3·10⁻⁷"), (0.004, "4·10⁻³"), (52000, "5·10⁴")]
)
def test_a_number_is_written_short(value: float, text: str) -> None:
    assert page.short(value) == text
