"""Trained weights are measured by whoever judges: on a network of torch.nn alone that equals the reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from course_lib.check import cases
from course_lib.check.judge import Case, ExerciseCases, ExerciseResult, Mistake, RubricLine, judge
from course_lib.check.measures import FixedContext, Measure, until_end
from course_lib.check.probe import Failure, Probe, Reply
from course_lib.check.weights import Misfit, fit
from course_lib.models.seq2seq import shift_right
from course_lib.models.translator import FixedContextTranslator

SIZES = {"source_size": 13, "target_size": 11, "d_model": 6, "hidden_size": 5}


def reference(seed: int = 0) -> FixedContextTranslator:
    torch.manual_seed(seed)
    return FixedContextTranslator(**SIZES)


def weights(seed: int = 0) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in reference(seed).state_dict().items()}


def fitted(seed: int = 0) -> FixedContext:
    with torch.device("meta"):
        network = FixedContext(**SIZES)
    fit(network, weights(seed))
    return network


def sentences() -> dict[str, Tensor]:
    """Sources of 4 and 2 words, targets of 2 and 4."""
    source = torch.tensor([[4, 5, 6, 7], [8, 9, 0, 0]])
    target = torch.tensor([[4, 5, 2, 0, 0], [6, 7, 8, 9, 2]])
    return {"source": source.to(torch.int16), "target": target.to(torch.int16)}


# The network


def test_the_network_computes_what_the_reference_computes() -> None:
    source = torch.tensor([[4, 5, 6, 7], [8, 9, 0, 0], [10, 11, 12, 0]])
    lengths = torch.tensor([4, 2, 3])
    tokens = shift_right(torch.tensor([[4, 5, 2, 0], [6, 2, 0, 0], [7, 8, 9, 2]]))
    torch.testing.assert_close(fitted()(source, lengths, tokens), reference()(source, tokens, lengths))


def test_the_network_translates_as_the_reference_does() -> None:
    source = torch.from_numpy(np.random.default_rng(0).integers(4, 13, size=(20, 5)))
    lengths = torch.full((20,), 5)
    expected = reference(3).translate(source, lengths, max_length=9)
    assert fitted(3).translate(source, lengths, max_length=9) == [until_end(row) for row in expected]


def test_making_the_network_leaves_the_random_state_as_it_was() -> None:
    before = torch.get_rng_state()
    fitted_weights = weights()
    torch.set_rng_state(before)
    Measure("translator_next_words", {"sizes": SIZES, **sentences(), "at_least": 0.9}).broken(fitted_weights)
    assert torch.equal(torch.get_rng_state(), before)


# What does not fit


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in weights().items() if key != name}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "it must return a dict of weights by name."),
        (torch.zeros(3), "it must return a dict of weights by name."),
        (without("decoder.output.bias"), "the returned weights lack decoder.output.bias."),
        ({}, "the returned weights lack decoder.embedding.weight, decoder.output.bias, decoder.output.weight, 9 more."),
        (weights() | {"decoder.more": torch.zeros(2)}, "the returned weights also hold decoder.more."),
        (
            weights() | {"decoder.output.bias": torch.zeros(12)},
            "decoder.output.bias has shape (12,), expected (11,).",
        ),
        (
            weights() | {"decoder.output.bias": torch.zeros(11, dtype=torch.int64)},
            "decoder.output.bias must be a tensor of floating-point numbers.",
        ),
        (weights() | {"decoder.output.bias": 0.5}, "decoder.output.bias must be a tensor of floating-point numbers."),
        (
            weights() | {"decoder.output.bias": torch.full((11,), torch.nan)},
            "decoder.output.bias holds numbers that are not finite.",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_weights_that_do_not_fit_are_refused_with_the_reason(given: Any, says: str) -> None:
    measure = Measure("translator_bleu", {"sizes": SIZES, **sentences(), "at_least": 0.0})
    with pytest.raises(Misfit) as problem:
        measure.broken(given)
    assert str(problem.value) == says


def test_weights_in_float64_are_measured_like_those_in_float32() -> None:
    measure = Measure("translator_next_words", {"sizes": SIZES, **sentences(), "at_least": 2.0})
    double = {name: weight.double() for name, weight in weights().items()}
    assert measure.broken(double) == measure.broken(weights()) is not None


def test_random_weights_are_seen_to_be_untrained() -> None:
    assert Measure("translator_is_untrained", {"sizes": SIZES, **sentences()}).broken(weights()) is not None


def test_a_decoder_that_always_expects_padding_is_seen() -> None:
    given = weights()
    given["decoder.output.bias"][0] = 50.0
    measure = Measure("translator_writes_padding", {"sizes": SIZES, **sentences()})
    assert measure.broken(weights()) is None
    assert measure.broken(given) is not None


def test_sentences_that_are_never_padded_cannot_show_whether_padding_was_counted() -> None:
    full = {name: ids[1:] for name, ids in sentences().items()}
    with pytest.raises(ValueError, match="No target is padded"):
        Measure("translator_writes_padding", {"sizes": SIZES, **full}).broken(weights())


# Judging by measures


def exercise(*lines: tuple[str, list[Measure]]) -> ExerciseCases:
    probe = Probe(target="train")
    made = [RubricLine(name, name, 1, [Case(probe, Reply())], measures=measures) for name, measures in lines]
    return ExerciseCases("train", ("the weights",), made, {"lazy": Mistake("nothing was trained.", "first")})


def judged(made: ExerciseCases, reply: Reply) -> tuple[ExerciseResult, int]:
    asked: list[Probe] = []

    def ask(probe: Probe) -> Reply:
        asked.append(probe)
        return reply

    return judge(made, ask), len(asked)


COMMON = {"sizes": SIZES, **sentences()}
EASY = Measure("translator_next_words", COMMON | {"at_least": 0.0})
HARD = Measure("translator_next_words", COMMON | {"at_least": 2.0})
SIGN = Measure("translator_is_untrained", COMMON, "lazy")


def test_lines_that_measure_the_same_training_share_it() -> None:
    result, asked = judged(exercise(("first", [EASY]), ("second", [HARD])), Reply(weights()))
    assert asked == 1
    assert [line.earned for line in result.lines] == [1, 0]


def test_a_sign_names_its_mistake_and_comes_before_what_is_only_not_good_enough() -> None:
    result, _ = judged(exercise(("first", [SIGN, HARD]), ("second", [HARD])), Reply(weights()))
    assert [line.mistake for line in result.lines] == ["lazy", None]
    assert result.mistakes == ["lazy"]


def test_weights_that_do_not_fit_are_no_sign_of_a_mistake() -> None:
    result, _ = judged(exercise(("first", [SIGN])), Reply({}))
    (line,) = result.lines
    assert line.earned == 0
    assert line.mistake is None
    assert line.finding is not None and line.finding.message.startswith("the returned weights lack")


def test_a_training_that_ends_in_an_error_earns_nothing_and_is_told_it() -> None:
    reply = Reply(failure=Failure("raised", "ValueError", "no such batch"))
    result, _ = judged(exercise(("first", [EASY]), ("second", [EASY])), reply)
    assert result.earned == 0
    assert {line.finding.message for line in result.lines if line.finding} == {"it raised ValueError: no such batch"}


def test_recorded_measures_come_back_as_they_were(tmp_path: Path) -> None:
    made = exercise(("first", [SIGN, EASY]))
    cases.save({"train": made}, tmp_path / "cases.safetensors")
    back = cases.load(tmp_path / "cases.safetensors")["train"]
    (line,) = back.lines
    assert [(m.name, m.mistake) for m in line.measures] == [(m.name, m.mistake) for m in (SIGN, EASY)]
    assert judged(back, Reply(weights()))[0].mistakes == ["lazy"]
    assert judged(replace(back, lines=[replace(line, measures=[line.measures[1]])]), Reply(weights()))[0].earned == 1
