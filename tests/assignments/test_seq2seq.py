"""Assignment 02: what is ruled out there, and what the trained translator is measured on."""

from __future__ import annotations

import pytest
import torch

from course_lib.check.measures import FixedContext
from course_lib.data.translation import UNK
from course_lib.grading.draw import PUBLIC_SEED, draw
from course_lib.grading.kill_table import judge_source
from course_lib.grading.spec import assignment
from course_lib.grading.specs import _seq2seq_training as training
from course_lib.models.seq2seq import DecoderStep, Encoder

SPEC = assignment("02-seq2seq")


def lost(name: str, source: str) -> dict[str, str]:
    """The rubric lines that an answer loses, each with what the student is told."""
    result = judge_source(SPEC, draw(SPEC, SPEC.exercise(name), seed=PUBLIC_SEED), source)
    return {line.line.name: line.finding.message for line in result.lines if line.finding}


LIBRARY = {
    "build_vocabulary": "from course_lib.data.translation import Vocabulary\n\n"
    "def build_vocabulary(sentences):\n    return Vocabulary(sentences).index\n",
    "pad_batch": "def pad_batch(sequences, *, pad=0):\n    rows = [torch.tensor(s) for s in sequences]\n"
    "    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)\n"
    "    return ids, torch.tensor([len(s) for s in sequences])\n",
    "masked_cross_entropy": "def masked_cross_entropy(logits, target, *, pad=0):\n"
    "    return F.cross_entropy(logits.transpose(1, 2), target, ignore_index=pad)\n",
    "corpus_bleu": "from course_lib import metrics\n\n"
    "def corpus_bleu(hypotheses, references, *, max_order=4):\n"
    "    return metrics.corpus_bleu(hypotheses, references, max_order=max_order)\n",
}


@pytest.mark.parametrize("name", LIBRARY)
def test_an_answer_that_lets_the_library_do_the_exercise_earns_nothing(name: str) -> None:
    told = lost(name, LIBRARY[name])
    assert set(told) == {line.name for line in SPEC.exercise(name).lines}
    assert all("does the exercise's work" in message for message in told.values())


# The trained translator


def test_every_draw_asks_for_the_same_training_and_measures_on_other_sentences() -> None:
    drawn = [draw(SPEC, SPEC.exercise("train_translator"), seed=seed) for seed in (PUBLIC_SEED, b"one", b"two")]
    probes = [case.probe for cases in drawn for line in cases.lines for case in line.cases]
    assert all(probe == probes[0] for probe in probes)
    sources = [cases.lines[1].measures[-1].parameters["source"] for cases in drawn]
    assert not torch.equal(sources[0], sources[1])
    assert not torch.equal(sources[1], sources[2])


def test_no_sentence_to_measure_on_is_one_to_train_on_and_none_holds_an_unknown_word() -> None:
    data = training._data()
    seen = {tuple(data.source_vocabulary.encode(pair.source)) for pair in data.train}
    for line in draw(SPEC, SPEC.exercise("train_translator"), seed=b"any").lines:
        given = line.measures[-1].parameters
        rows = [tuple(i for i in row if i) for row in given["source"].tolist()]
        assert len(rows) == training.NEW_SENTENCES
        assert not seen & set(rows)
        assert not any((ids == UNK).any() for ids in (given["source"], given["target"]))


def test_the_weights_that_are_measured_are_those_of_the_networks_of_the_exercises() -> None:
    sizes = training._sizes() | {"d_model": 32, "hidden_size": 64}
    with torch.device("meta"):
        network = FixedContext(**sizes)
        encoder = Encoder(vocab_size=sizes["source_size"], d_model=32, hidden_size=64)
        decoder = DecoderStep(vocab_size=sizes["target_size"], d_model=32, hidden_size=64, d_context=64)
    built = torch.nn.ModuleDict({"encoder": encoder, "decoder": decoder}).state_dict()
    assert {k: v.shape for k, v in network.state_dict().items()} == {k: v.shape for k, v in built.items()}
