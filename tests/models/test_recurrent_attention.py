"""Attention in a recurrent decoder: hand-worked steps, formulas written out, fast paths against single steps."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.data.translation import PAD, alignment_matrices, translation_data
from course_lib.metrics import strongest_links
from course_lib.models.recurrent_attention import (
    AttentionTranslator,
    BahdanauDecoderStep,
    LuongDecoderStep,
    additive_scores,
    context_vector,
    masked_softmax,
    multiplicative_scores,
    source_mask,
)
from course_lib.models.seq2seq import pad_batch, shift_right
from course_lib.training import initialised, train

KINDS: list[Any] = ["bahdanau", "dot", "general", "concat"]


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_ids(*shape: int, below: int, seed: int = 0) -> Tensor:
    return torch.randint(4, below, shape, generator=torch.Generator().manual_seed(seed))


# The steps, one at a time


def test_additive_scores_are_the_network_on_each_pair_side_by_side() -> None:
    query, keys = randn(2, 3), randn(2, 5, 4, seed=1)
    weight, bias, v = randn(6, 7, seed=2), randn(6, seed=3), randn(6, seed=4)
    found = additive_scores(query, keys, weight, bias, v)
    assert found.shape == (2, 5)
    for row in range(2):
        for j in range(5):
            pair = torch.cat([query[row], keys[row, j]])
            torch.testing.assert_close(found[row, j], v @ torch.tanh(weight @ pair + bias))
    torch.testing.assert_close(
        additive_scores(query, keys, weight, None, v), additive_scores(query, keys, weight, 0 * bias, v)
    )


def test_multiplicative_scores_are_dot_products_with_or_without_a_matrix() -> None:
    query, keys, weight = randn(2, 3), randn(2, 5, 4, seed=1), randn(3, 4, seed=2)
    found = multiplicative_scores(query, keys, weight)
    for row in range(2):
        for j in range(5):
            torch.testing.assert_close(found[row, j], query[row] @ weight @ keys[row, j])
    equal = randn(2, 4, seed=3)
    torch.testing.assert_close(multiplicative_scores(equal, keys), multiplicative_scores(equal, keys, torch.eye(4)))


def test_states_of_different_width_have_no_dot_product() -> None:
    with pytest.raises(ValueError, match=r"width 3 has no dot product with encoder states of width 4"):
        multiplicative_scores(randn(2, 3), randn(2, 5, 4))


@pytest.mark.parametrize(
    "score",
    [
        lambda q, k: additive_scores(q, k, randn(6, 8, seed=2), randn(6, seed=3), randn(6, seed=4)),
        lambda q, k: multiplicative_scores(q, k, randn(4, 4, seed=2)),
        multiplicative_scores,
    ],
)
def test_many_queries_at_once_are_scored_like_one(score: Callable[[Tensor, Tensor], Tensor]) -> None:
    query, keys = randn(2, 3, 4), randn(2, 5, 4, seed=1)
    found = score(query, keys[:, None])
    assert found.shape == (2, 3, 5)
    for i in range(3):
        torch.testing.assert_close(found[:, i], score(query[:, i], keys))


def test_softmax_over_the_words_is_worked_by_hand() -> None:
    scores = torch.tensor([[0.0, math.log(3), 5.0], [math.log(2), 0.0, math.log(5)]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    expected = torch.tensor([[0.25, 0.75, 0.0], [0.25, 0.125, 0.625]])
    torch.testing.assert_close(masked_softmax(scores, mask), expected)
    torch.testing.assert_close(masked_softmax(scores), scores.softmax(dim=-1))


def test_a_row_without_any_word_gets_zeros_and_no_gradient() -> None:
    scores = randn(2, 3).requires_grad_()
    mask = torch.tensor([[False, False, False], [True, False, True]])
    weights = masked_softmax(scores, mask)
    (gradient,) = torch.autograd.grad(weights, scores, randn(2, 3, seed=1))
    assert (weights[0] == 0).all() and weights[1].sum().item() == pytest.approx(1)
    assert gradient.isfinite().all() and (gradient[0] == 0).all() and gradient[1, 1] == 0


def test_the_context_is_the_weighted_sum_of_the_states() -> None:
    states = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [4.0, 4.0]]])
    weights = torch.tensor([[0.5, 0.25, 0.25]])
    torch.testing.assert_close(context_vector(weights, states), torch.tensor([[1.5, 1.5]]))


def test_dot_attention_is_unscaled_scaled_dot_product_attention() -> None:
    query, memory = randn(2, 3, 4), randn(2, 5, 4, seed=1)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    weights = masked_softmax(multiplicative_scores(query, memory[:, None]), mask[:, None])
    expected = F.scaled_dot_product_attention(query, memory, memory, mask[:, None], scale=1.0)
    torch.testing.assert_close(context_vector(weights, memory[:, None]), expected)


# Decoder steps


def decoder_of(kind: Any, *, num_layers: int = 1) -> BahdanauDecoderStep | LuongDecoderStep:
    sizes = {"vocab_size": 9, "d_model": 5, "hidden_size": 4, "d_memory": 4}
    if kind == "bahdanau":
        return BahdanauDecoderStep(**sizes, d_attention=3)
    return LuongDecoderStep(**sizes, score=kind, num_layers=num_layers)


def inputs(num_layers: int = 1) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor, Tensor]:
    """Tokens, state, memory and mask for a batch of two."""
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    state = (randn(num_layers, 2, 4, seed=1), randn(num_layers, 2, 4, seed=2))
    return random_ids(2, 7, below=9), state, randn(2, 6, 4, seed=3), mask


def test_bahdanaus_step_is_its_equations() -> None:
    decoder = decoder_of("bahdanau")
    assert isinstance(decoder, BahdanauDecoderStep)
    tokens, (h, c), memory, mask = inputs()
    logits, (new_h, new_c), weights = decoder(tokens[:, 0], (h, c), memory, mask)
    for row, length in enumerate((6, 4)):
        s, words = h[0, row], memory[row, :length]
        energies = torch.stack(
            [decoder.v.weight[0] @ torch.tanh(decoder.attention(torch.cat([s, word]))) for word in words]
        )
        alpha = energies.softmax(dim=0)
        torch.testing.assert_close(weights[row], F.pad(alpha, (0, 6 - length)))
        context = alpha @ words
        x = torch.cat([decoder.embedding.weight[tokens[row, 0]], context])
        expected_h, expected_c = torch.lstm_cell(
            x[None], (h[0, row : row + 1], c[0, row : row + 1]), *decoder.rnn.all_weights[0]
        )
        torch.testing.assert_close(new_h[0, row], expected_h[0])
        torch.testing.assert_close(new_c[0, row], expected_c[0])
        torch.testing.assert_close(logits[row], decoder.output(torch.cat([expected_h[0], context])))


@pytest.mark.parametrize("score", ["dot", "general", "concat"])
def test_luongs_step_is_its_equations(score: Any) -> None:
    decoder = decoder_of(score)
    tokens, (h, c), memory, mask = inputs()
    logits, (new_h, _), weights = decoder(tokens[:, 0], (h, c), memory, mask)
    for row, length in enumerate((6, 4)):
        x = decoder.embedding.weight[tokens[row, 0]]
        old = (h[0, row : row + 1], c[0, row : row + 1])
        s = torch.lstm_cell(x[None], old, *decoder.rnn.all_weights[0])[0][0]
        torch.testing.assert_close(new_h[0, row], s)
        energy: dict[str, Callable[[Tensor], Tensor]] = {
            "dot": lambda word, s=s: s @ word,
            "general": lambda word, s=s: s @ decoder.attention(word),
            "concat": lambda word, s=s: decoder.v(torch.tanh(decoder.attention(torch.cat([s, word]))))[0],
        }
        alpha = torch.stack([energy[score](word) for word in memory[row, :length]]).softmax(dim=0)
        torch.testing.assert_close(weights[row], F.pad(alpha, (0, 6 - length)))
        context = alpha @ memory[row, :length]
        attentional = torch.tanh(decoder.combine.weight @ torch.cat([context, s]))
        torch.testing.assert_close(logits[row], decoder.output(attentional))


def test_bahdanau_asks_with_the_previous_state_and_luong_with_the_current_one() -> None:
    tokens, state, memory, mask = inputs()
    for kind in KINDS:
        decoder = decoder_of(kind)
        first, second = (decoder(token, state, memory, mask)[2] for token in (tokens[:, 0], tokens[:, 0] - 1))
        assert (first - second).abs().max() > 1e-6 if kind != "bahdanau" else torch.equal(first, second)


@pytest.mark.parametrize(("kind", "num_layers"), [*((kind, 1) for kind in KINDS), ("general", 2)])
def test_all_steps_at_once_equal_one_at_a_time_in_values_and_gradients(kind: Any, num_layers: int) -> None:
    decoder = decoder_of(kind, num_layers=num_layers)
    tokens, state, memory, mask = inputs(num_layers)
    memory.requires_grad_()
    logits, rows, now = [], [], state
    for i in range(tokens.shape[1]):
        step_logits, now, step_weights = decoder(tokens[:, i], now, memory, mask)
        logits.append(step_logits)
        rows.append(step_weights)
    found = decoder.teacher_forced(tokens, state, memory, mask)
    expected = (torch.stack(logits, dim=1), torch.stack(rows, dim=1))
    parameters = [memory, *decoder.parameters()]
    gradients = []
    for result in (found, expected):
        total = sum((part * randn(*part.shape, seed=9)).sum() for part in result)
        gradients.append(torch.autograd.grad(total, parameters))
    for ours, theirs in (*zip(found, expected, strict=True), *zip(*gradients, strict=True)):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_never_attended_to_whatever_it_holds(kind: Any) -> None:
    decoder = decoder_of(kind)
    tokens, state, memory, mask = inputs()
    other = memory.clone()
    other[1, 4:] = 100.0
    for found, expected in zip(
        decoder.teacher_forced(tokens, state, other, mask),
        decoder.teacher_forced(tokens, state, memory, mask),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)
    _, weights = decoder.teacher_forced(tokens, state, memory, mask)
    assert (weights[1, :, 4:] == 0).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 7))


def test_luongs_scores_need_fewer_parameters_the_simpler_they_are() -> None:
    counts = [sum(p.numel() for p in decoder_of(kind).parameters()) for kind in ("dot", "general", "concat")]
    assert counts == sorted(set(counts))


def test_impossible_decoders_are_refused() -> None:
    sizes = {"vocab_size": 9, "d_model": 5, "hidden_size": 4}
    with pytest.raises(ValueError, match="needs states of the same width, not 4 and 6"):
        LuongDecoderStep(**sizes, d_memory=6, score="dot")
    with pytest.raises(ValueError, match="The score is 'cosine': choose"):
        LuongDecoderStep(**sizes, d_memory=4, score="cosine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has one layer, not 2"):
        AttentionTranslator(source_size=9, target_size=9, attention="bahdanau", num_layers=2)
    with pytest.raises(ValueError, match="hidden_size = 7: choose an even number"):
        AttentionTranslator(source_size=9, target_size=9, attention="dot", hidden_size=7)


# Translators


def translator(kind: Any, **options: Any) -> AttentionTranslator:
    sizes: dict[str, Any] = {"source_size": 9, "target_size": 11, "d_model": 6, "hidden_size": 8, "d_attention": 5}
    model = AttentionTranslator(attention=kind, **{**sizes, **options})
    for parameter in model.parameters():
        parameter.data *= 3  # far from the nearly equal logits of the first weights
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_a_translator_writes_the_same_alone_and_in_a_padded_batch(kind: Any) -> None:
    model = translator(kind)
    source, lengths = pad_batch([[4, 5, 6, 7, 8], [8, 4], [5, 5, 5]])
    ids = model.translate(source, lengths, max_length=7)
    tokens = random_ids(3, 4, below=11)
    logits, weights = model.attend(source, tokens, lengths)
    assert weights.shape == (3, 4, 5)
    for row, length in enumerate(lengths.tolist()):
        own = source[row : row + 1, :length]
        alone = model.translate(own, max_length=7)[0]
        assert torch.equal(ids[row, : len(alone)], alone) and (ids[row, len(alone) :] == PAD).all()
        alone_logits, alone_weights = model.attend(own, tokens[row : row + 1])
        torch.testing.assert_close(logits[row], alone_logits[0])
        torch.testing.assert_close(weights[row, :, :length], alone_weights[0])


@pytest.mark.parametrize("kind", KINDS)
def test_translating_follows_the_teacher_forced_logits_of_its_own_words(kind: Any) -> None:
    model = translator(kind, num_layers=1 if kind == "bahdanau" else 2)
    source = random_ids(4, 5, below=9)
    ids = model.translate(source, max_length=6)
    likeliest = model(source, shift_right(ids)).argmax(dim=-1)
    assert ((likeliest == ids) | (ids == PAD)).all()


def test_a_mask_is_made_only_where_there_is_padding() -> None:
    source = random_ids(2, 3, below=9)
    assert source_mask(source, None) is None and source_mask(source, torch.tensor([3, 3])) is None
    mask = source_mask(source, torch.tensor([3, 1]))
    assert mask is not None and mask.tolist() == [[True, True, True], [True, False, False]]


def test_a_small_luong_translator_learns_where_to_look() -> None:
    torch.set_default_dtype(torch.float32)
    data = translation_data(np.random.default_rng(0), lengths=range(4, 8), train_per_length=100, test_per_length=10)
    sizes = {"source_size": len(data.source_vocabulary), "target_size": len(data.target_vocabulary)}
    generator = torch.Generator().manual_seed(0)
    model = initialised(
        lambda: AttentionTranslator(**sizes, attention="general", d_model=32, hidden_size=64), generator=generator
    )
    batches = data.draw_batches(np.random.default_rng(0), batch_size=32)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    train(model, batches, model.loss, optimizer=optimizer, steps=150, progress=False)
    right = links = 0
    for batch in data.test_batches():
        with torch.no_grad():
            _, weights = model.attend(batch.source, shift_right(batch.target), batch.source_lengths)
        _, possible = alignment_matrices(batch.pairs)
        words = possible.any(dim=-1)  # <end> and padding have no row
        found = strongest_links(weights[:, : words.shape[1]], words)
        right += int((found & possible).sum())
        links += int(found.sum())
    assert right / links > 0.8
