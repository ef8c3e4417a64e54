"""The scoreboard trains each model once, keeps it, knows when it is out of date, and shows what it measured."""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.axes import Axes
from typer.testing import CliRunner

from course_lib import scoreboard
from course_lib.models.recurrent_attention import AttentionTranslator
from course_lib.models.translator import FixedContextTranslator
from course_lib.scoreboard import Result, Row

TINY = Row(
    name="tiny",
    label="Tiny",
    model="course_lib.models.translator.FixedContextTranslator",
    options={"d_model": 4, "hidden_size": 6},
    batch_size=3,
    learning_rate=1e-3,
    steps=2,
    length_power=1.0,
    seeds=(0, 1),
    lengths=(4, 5, 12),
    train_per_length=8,
    test_per_length=4,
)
OTHER = dataclasses.replace(
    TINY,
    name="other",
    label="Other",
    model="course_lib.models.recurrent_attention.AttentionTranslator",
    options={"attention": "dot", "d_model": 4, "hidden_size": 6},
)


@pytest.fixture
def trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """A board of two tiny rows in a folder of its own; the list grows with each training."""
    monkeypatch.setattr(scoreboard, "FOLDER", tmp_path / "board")
    monkeypatch.setattr(scoreboard, "ROWS", {"tiny": TINY, "other": OTHER})
    made: list[tuple[str, int]] = []
    train = scoreboard._train

    def count(row: Row, seed: int) -> Any:
        made.append((row.name, seed))
        time.sleep(0.05)
        return train(row, seed)

    monkeypatch.setattr(scoreboard, "_train", count)
    return made


def test_a_row_is_trained_once_for_each_seed(trainings: list[tuple[str, int]]) -> None:
    (standing,) = scoreboard.standings(["tiny"])
    assert trainings == [("tiny", 0), ("tiny", 1)]
    assert scoreboard.standings(["tiny"]) == [standing]
    assert len(trainings) == 2
    assert [result.seed for result in standing.results] == [0, 1]
    assert set(standing.results[0].bleu) == set(standing.results[0].exact) == {(4, 10), (11, 16)}


def test_two_who_ask_at_once_train_once(trainings: list[tuple[str, int]]) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: scoreboard.standings(["other"]), range(4)))
    assert sorted(trainings) == [("other", 0), ("other", 1)]
    assert all(one == found[0] for one in found)


def test_a_trained_model_comes_back_as_it_was(trainings: list[tuple[str, int]]) -> None:
    (standing,) = scoreboard.standings(["other"])
    model, data = scoreboard.trained("other", seed=1)
    assert isinstance(model, AttentionTranslator) and not model.training
    assert sum(weight.numel() for weight in model.parameters()) == standing.parameters
    measured = scoreboard._score(model, data)
    assert measured["bleu"] == standing.results[1].bleu and measured["exact"] == standing.results[1].exact
    again = scoreboard._train(OTHER, 1)
    for name, weight in again.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], weight, rtol=0, atol=0)


def test_seeds_differ(trainings: list[tuple[str, int]]) -> None:
    first, second = (scoreboard.trained("tiny", seed=seed)[0] for seed in (0, 1))
    assert isinstance(first, FixedContextTranslator)
    assert not torch.equal(first.decoder.output.weight, second.decoder.output.weight)


def test_settings_change_the_key_and_names_do_not() -> None:
    key = scoreboard.key_of(TINY)
    for change in ({"steps": 3}, {"options": {"d_model": 4, "hidden_size": 8}}, {"lengths": (4, 5)}):
        assert scoreboard.key_of(dataclasses.replace(TINY, **change)) != key
    for change in ({"label": "Small"}, {"colour": "#000000"}, {"seeds": (0, 1, 2)}):
        assert scoreboard.key_of(dataclasses.replace(TINY, **change)) == key


def test_code_counts_with_all_that_it_imports() -> None:
    files = {path.name for path in scoreboard._modules_below("course_lib.models.recurrent_attention")}
    assert {"recurrent_attention.py", "seq2seq.py", "recurrent.py", "translation.py", "lexicon.py"} <= files
    assert "recurrent_attention.py" not in {p.name for p in scoreboard._modules_below("course_lib.models.translator")}


def test_comments_docstrings_and_layout_are_no_code(tmp_path: Path) -> None:
    sources = (
        "def f(x):\n    return x + 1\n",
        '"""A module."""\ndef f(x):\n    """Add one."""\n    return (x  # one more\n        + 1)\n',
        "def f(x):\n    return x + 2\n",
    )
    codes = []
    for number, source in enumerate(sources):
        path = tmp_path / f"{number}.py"
        path.write_text(source)
        codes.append(scoreboard._code_of(path))
    assert codes[0] == codes[1] != codes[2]


def test_a_result_under_an_older_key_goes(trainings: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    scoreboard.standings(["tiny", "other"])
    changed = dataclasses.replace(TINY, steps=3)
    monkeypatch.setitem(scoreboard.ROWS, "tiny", changed)
    assert scoreboard.missing(["tiny", "other"]) == [(changed, 0), (changed, 1)]
    scoreboard.standings(["tiny"])
    assert len(trainings) == 6
    assert len(list(scoreboard.FOLDER.glob("*.safetensors"))) == 4


def test_a_training_that_fails_leaves_nothing_and_what_was_done_stays(
    trainings: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = scoreboard._train

    def fail_second(row: Row, seed: int) -> Any:
        if seed == 1:
            raise KeyboardInterrupt
        return train(row, seed)

    monkeypatch.setattr(scoreboard, "_train", fail_second)
    with pytest.raises(KeyboardInterrupt):
        scoreboard.standings(["tiny"])
    assert scoreboard.missing(["tiny"]) == [(TINY, 1)]
    monkeypatch.setattr(scoreboard, "_train", train)
    scoreboard.standings(["tiny"])
    assert trainings == [("tiny", 0), ("tiny", 1)]


def test_workers_make_what_is_missing_and_equal_this_process(trainings: list[tuple[str, int]]) -> None:
    scoreboard._result(TINY, 0)
    done: list[Result] = []
    scoreboard.make_missing(["tiny"], done=done.append)
    assert [(result.name, result.seed) for result in done] == [("tiny", 1)]
    assert trainings == [("tiny", 0)] and not scoreboard.missing(["tiny"])
    made_there = scoreboard.trained("tiny", seed=1)[0].state_dict()
    for name, weight in scoreboard._train(TINY, 1).state_dict().items():
        torch.testing.assert_close(made_there[name], weight, rtol=0, atol=0)


def test_a_result_survives_being_written() -> None:
    result = Result("tiny", 2, 10, 1.5, 2.5, {(4, 10): 40.0}, {(4, 10): 0.25}, 41.0, 0.5)
    assert Result.from_json(result.to_json()) == result


def test_means_and_scores_are_those_of_the_seeds() -> None:
    results = tuple(
        Result("tiny", seed, 10, seconds, 9.0, {(4, 10): bleu}, {(4, 10): bleu / 100}, bleu, bleu / 100)
        for seed, (bleu, seconds) in enumerate([(40.0, 1.0), (50.0, 3.0)])
    )
    standing = scoreboard.Standing(TINY, results)
    assert standing.scores((4, 10)) == [40, 50] and standing.mean() == 45 and standing.seconds == 2
    assert standing.mean((4, 10), measure="exact") == pytest.approx(45)


def test_table_and_plot_show_each_row_and_range(
    trainings: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(scoreboard, "show_table", lambda columns, rows: shown.append((columns, rows)))
    scoreboard.table(["tiny", "other"], measure="exact")
    ((columns, rows),) = shown
    assert columns == ["Model", "Parameters", "Training, s", "4–10", "11–16"]
    assert [row[0] for row in rows] == ["Tiny", "Other"] and all(len(row) == 5 for row in rows)
    (ax,) = scoreboard.plot(["tiny", "other"]).axes
    assert isinstance(ax, Axes) and len(ax.lines) == 2
    (standing,) = scoreboard.standings(["tiny"])
    assert list(ax.lines[0].get_ydata()) == [standing.mean((4, 10)), standing.mean((11, 16))]


def test_an_unknown_row_is_named_with_those_there_are(trainings: list[tuple[str, int]]) -> None:
    with pytest.raises(ValueError, match="no row 'tinny': choose one of tiny, other"):
        scoreboard.standings(["tinny"])
    answer = CliRunner().invoke(scoreboard.app, ["tinny"])
    assert answer.exit_code == 2 and not trainings


def test_every_row_of_the_book_can_be_built() -> None:
    for name, row in scoreboard.ROWS.items():
        assert row.name == name and len(row.seeds) == 3
        small = dataclasses.replace(row, lengths=(4,), train_per_length=8, test_per_length=4)
        assert sum(weight.numel() for weight in small.build().parameters()) > 100_000
