"""Assignment 01: what is ruled out there, and mistakes that only this assignment can be made with."""

from __future__ import annotations

import pytest

from course_lib.grading.draw import PUBLIC_SEED, draw
from course_lib.grading.kill_table import judge_source
from course_lib.grading.spec import assignment

SPEC = assignment("01-sequences")


def lost(name: str, source: str) -> dict[str, str]:
    """The rubric lines that an answer loses, each with what the student is told."""
    result = judge_source(SPEC, draw(SPEC, SPEC.exercise(name), seed=PUBLIC_SEED), source)
    return {line.line.name: line.finding.message for line in result.lines if line.finding}


LIBRARY = {
    "one_hot": "def one_hot(ids, *, vocab_size):\n    return F.one_hot(ids, vocab_size).double()\n",
    "embedding_lookup": "def embedding_lookup(ids, weight):\n    return F.embedding(ids, weight)\n",
    "rnn_step": "def rnn_step(x, state, *weights):\n    return torch.rnn_tanh_cell(x, state, *weights)\n",
    "lstm_step": "def lstm_step(x, state, *weights):\n    return torch.lstm_cell(x, state, *weights)\n",
    "gru_step": "def gru_step(x, state, *weights):\n    return torch.gru_cell(x, state, *weights)\n",
}


@pytest.mark.parametrize("name", LIBRARY)
def test_an_answer_that_lets_the_library_do_the_exercise_earns_nothing(name: str) -> None:
    told = lost(name, LIBRARY[name])
    assert set(told) == {line.name for line in SPEC.exercise(name).lines}
    assert all("does the exercise's work" in message for message in told.values())


def test_ids_as_numbers_of_the_wrong_type_are_told_apart_from_wrong_numbers() -> None:
    source = "def one_hot(ids, *, vocab_size):\n    return torch.eye(vocab_size, dtype=torch.int64)[ids]\n"
    assert lost("one_hot", source)["output"] == "the output is of torch.int64, expected float32 or float64."
