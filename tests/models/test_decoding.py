"""Filters keep what they should, draws follow the distribution, beam search finds what an exhaustive search finds."""

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from course_lib.models.decoding import (
    beam_search,
    next_probabilities,
    sample,
    select_rows,
    temperature_softmax,
    top_k_filter,
    top_p_filter,
)
from course_lib.models.seq2seq import DecoderStep, Step, greedy_decode

VOCAB = 4
START, END = 0, 1


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_logits(seed: int, *shape: int) -> Tensor:
    return 2 * torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def random_step(seed: int) -> Step:
    """A model over four tokens whose logits depend on all tokens before; its state is a row of numbers."""
    read, write = random_logits(seed, VOCAB, 3), random_logits(seed + 1000, 3, VOCAB)

    def step(token: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = torch.tanh(read[token] + 0.7 * state.roll(1, -1))
        return state @ write, state

    return step


def zeros(batch: int) -> Tensor:
    return torch.zeros(batch, 3, dtype=torch.float64)


def every_text(step: Step, max_length: int, length_power: float) -> tuple[list[int], float]:
    """The best text by trying all of them: those that end in time, and those of max_length tokens."""
    best, best_score, best_total = [], -torch.inf, -torch.inf
    for length in range(1, max_length + 1):
        for text in itertools.product(range(VOCAB), repeat=length):
            if END in text[:-1] or (length < max_length and text[-1] != END):
                continue
            total, state, token = 0.0, zeros(1), torch.tensor([START])
            for word in text:
                logits, state = step(token, state)
                total += float(logits.log_softmax(-1)[0, word])
                token = torch.tensor([word])
            if total / length**length_power > best_score:
                best, best_score, best_total = list(text), total / length**length_power, total
    return best, best_total


# The distribution


def test_the_worked_example() -> None:
    logits = torch.tensor([4.0, 2.0, 1.0, 1.0]).log()
    assert torch.allclose(temperature_softmax(logits, temperature=1.0), torch.tensor([4.0, 2.0, 1.0, 1.0]) / 8)
    assert torch.allclose(temperature_softmax(logits, temperature=0.5), torch.tensor([16.0, 4.0, 1.0, 1.0]) / 22)
    assert top_p_filter(logits, p=0.6).isfinite().tolist() == [True, True, False, False]


@given(st.integers(0, 10_000), st.floats(0.1, 5.0))
def test_the_odds_of_two_tokens_are_raised_to_one_over_the_temperature(seed: int, temperature: float) -> None:
    x = random_logits(seed, 6)
    cold = temperature_softmax(x, temperature=temperature).log()
    assert torch.allclose((cold[0] - cold[1]) * temperature, x[0] - x[1], atol=1e-8)


def test_entropy_grows_with_the_temperature() -> None:
    x = random_logits(0, 20, 9)
    entropies = [-(p * p.log()).sum(-1) for p in (temperature_softmax(x, temperature=t) for t in (0.3, 0.7, 1.0, 2.0))]
    assert all((low < high).all() for low, high in itertools.pairwise(entropies))


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_top_k_keeps_the_k_largest_as_they_are(seed: int, k: int) -> None:
    x = random_logits(seed, 2, 3, 7)
    kept = top_k_filter(x, k=k)
    rank = x.argsort(dim=-1, descending=True).argsort(dim=-1)
    assert torch.equal(kept, torch.where(rank < k, x, -torch.inf))


@given(st.integers(0, 10_000), st.floats(0.01, 0.99))
def test_top_p_keeps_the_smallest_set_of_likeliest_tokens_that_reaches_p(seed: int, p: float) -> None:
    x = random_logits(seed, 7)
    probabilities = x.softmax(-1)
    order = probabilities.argsort(descending=True).tolist()
    count = next(n for n in range(1, 8) if probabilities[order[:n]].sum() >= p or n == 7)
    assert torch.equal(top_p_filter(x, p=p).isfinite().nonzero()[:, 0], torch.tensor(sorted(order[:count])))
    assert torch.equal(top_p_filter(x, p=p)[order[:count]], x[order[:count]])


def test_p_of_one_keeps_all_and_a_ruled_out_token_stays_so() -> None:
    x = random_logits(0, 3, 5)
    assert torch.equal(top_p_filter(x, p=1.0), x)
    x[:, 2] = -torch.inf
    assert (top_p_filter(x, p=1.0)[:, 2] == -torch.inf).all()


def test_the_temperature_comes_before_top_p() -> None:
    logits = torch.tensor([4.0, 2.0, 1.0, 1.0]).log()
    assert next_probabilities(logits, temperature=0.5, top_p=0.7).tolist() == [1.0, 0.0, 0.0, 0.0]  # 16 of 22
    assert torch.allclose(next_probabilities(logits, top_k=3, top_p=0.6), torch.tensor([4.0, 2.0, 0.0, 0.0]) / 6)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: temperature_softmax(x, temperature=0.0), "above 0"),
        (lambda x: top_k_filter(x, k=0), "At least one token"),
        (lambda x: top_p_filter(x, p=0.0), "probability above 0"),
        (lambda x: top_p_filter(x, p=1.5), "at most 1"),
    ],
)
def test_settings_that_leave_nothing_are_refused(call: Callable[[Tensor], Tensor], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call(torch.zeros(3))


# Sampling


def test_pairs_of_drawn_tokens_are_as_frequent_as_the_model_says() -> None:
    step, settings = random_step(3), {"temperature": 1.4, "top_k": 3, "top_p": 0.95}
    drawn = sample(step, zeros(20_000), torch.full((20_000,), START), max_length=2, generator=generator(), **settings)
    logits, state = step(torch.tensor([START]), zeros(1))
    first = next_probabilities(logits, **settings)[0]
    logits, _ = step(torch.arange(VOCAB), state.expand(VOCAB, -1))
    expected = (first[:, None] * next_probabilities(logits, **settings)).flatten()
    counts = (drawn[:, 0] * VOCAB + drawn[:, 1]).bincount(minlength=VOCAB**2)
    assert (counts[expected == 0] == 0).all() and (expected == 0).any()
    assert chisquare(counts[expected > 0], 20_000 * expected[expected > 0]).pvalue > 1e-4


def test_one_token_kept_is_greedy() -> None:
    drawn = sample(random_step(5), zeros(3), torch.full((3,), START), max_length=6, generator=generator(), top_k=1)
    greedy = greedy_decode(random_step(5), zeros(3), batch_size=3, max_length=6, start=START, end=-1)
    assert torch.equal(drawn, greedy)


def test_the_generator_is_the_only_chance() -> None:
    def draw(seed: int) -> Tensor:
        torch.rand(3)
        return sample(random_step(1), zeros(8), torch.full((8,), START), max_length=5, generator=generator(seed))

    assert torch.equal(draw(0), draw(0)) and not torch.equal(draw(0), draw(1))


def test_behind_the_end_of_a_row_stands_padding() -> None:
    token = torch.full((50,), START)
    drawn = sample(random_step(2), zeros(50), token, max_length=8, generator=generator(), end=END, pad=3)
    ended = [row for row in drawn.tolist() if END in row[:-1]]
    assert ended and all(set(row[row.index(END) + 1 :]) == {3} for row in ended)


# Beam search


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.6, 1.0]))
def test_a_beam_wide_enough_finds_what_trying_all_texts_finds(seed: int, length_power: float) -> None:
    step = random_step(seed)
    found, total = beam_search(
        step, zeros(64), beam_width=64, max_length=4, start=START, end=END, length_power=length_power
    )
    text, expected = every_text(step, 4, length_power)
    assert found.tolist() == text
    assert total == pytest.approx(expected)


@given(st.integers(0, 10_000))
def test_a_beam_of_one_is_greedy(seed: int) -> None:
    step = random_step(seed)
    found, _ = beam_search(step, zeros(1), beam_width=1, max_length=9, start=START, end=END)
    greedy = greedy_decode(step, zeros(1), batch_size=1, max_length=9, start=START, end=END)[0]
    assert found.tolist() == greedy.tolist()


def test_dividing_by_the_length_prefers_longer_texts() -> None:
    def mean_length(power: float) -> float:
        settings = {"beam_width": 16, "max_length": 6, "start": START, "end": END, "length_power": power}
        return sum(len(beam_search(random_step(seed), zeros(16), **settings)[0]) for seed in range(30)) / 30

    assert mean_length(0.0) < mean_length(1.0)


def test_the_state_of_a_recurrent_network_is_selected_along_its_second_axis() -> None:
    torch.manual_seed(0)
    decoder = DecoderStep(vocab_size=6, d_model=4, hidden_size=5, num_layers=2)

    def begin(batch: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(2, batch, 5), torch.zeros(2, batch, 5)

    with torch.no_grad():
        found, total = beam_search(
            decoder, begin(36), beam_width=36, max_length=3, select=lambda s, rows: select_rows(s, rows, axis=1)
        )
        token, state, again = torch.tensor([1]), begin(1), 0.0
        for word in found.tolist():
            logits, state = decoder(token, state)
            again += float(logits.log_softmax(-1)[0, word])
            token = torch.tensor([word])
    assert total == pytest.approx(again, abs=1e-5)


def test_rows_are_selected_however_the_state_is_nested() -> None:
    x = torch.arange(3)
    rows = torch.tensor([2, 0, 2])
    chosen = select_rows(([x, (x, 7)], None), rows)
    assert chosen[0][0].tolist() == chosen[0][1][0].tolist() == [2, 0, 2]
    assert chosen[0][1][1] == 7 and chosen[1] is None


def test_a_beam_without_width_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        beam_search(random_step(0), zeros(1), beam_width=0, max_length=3)
