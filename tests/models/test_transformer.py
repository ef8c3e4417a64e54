"""The transformer against PyTorch's own layers with copied weights, hand-worked numbers, and what it promises."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmarks.models.twins import TranslatorTwin, layer_twin
from course_lib.data.translation import END, PAD, START, by_source_length, translation_data
from course_lib.metrics import exact_match
from course_lib.models.attention import causal_mask
from course_lib.models.seq2seq import masked_cross_entropy, pad_batch, shift_right
from course_lib.models.transformer import (
    DecoderBlock,
    EncoderBlock,
    FeedForward,
    TransformerEncoderDecoder,
    TransformerTranslator,
    decoding_step,
    label_smoothed_cross_entropy,
    layer_norm,
    translate,
    warmup_schedule,
)
from course_lib.models.translator import translations
from course_lib.training import initialised, train


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_ids(*shape: int, below: int, seed: int = 0) -> Tensor:
    return torch.randint(4, below, shape, generator=torch.Generator().manual_seed(seed))


def spread_out(module: nn.Module) -> Any:
    """The module with weights that leave nothing at its first value, norms included."""
    for seed, parameter in enumerate(module.parameters()):
        parameter.data = 0.4 * randn(*parameter.shape, seed=seed)
    return module.eval()


def assert_same_gradients(found: Tensor, expected: Tensor, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    """The two outputs agree, and so do the gradients of one random weighted sum of them by each pair of inputs."""
    torch.testing.assert_close(found, expected)
    upstream = randn(*expected.shape, seed=99)
    for gradient, wanted in zip(
        torch.autograd.grad(found, ours, upstream), torch.autograd.grad(expected, theirs, upstream), strict=True
    ):
        torch.testing.assert_close(gradient, wanted)


SIZES: dict[str, int] = {"d_model": 12, "num_heads": 3, "dim_feedforward": 20}


# Normalisation and feed-forward


def test_layer_norm_of_four_numbers_is_worked_by_hand() -> None:
    x = torch.tensor([1.0, 3.0, 5.0, 7.0])  # mean 4, variance (9 + 1 + 1 + 9) / 4 = 5
    expected = torch.tensor([-3.0, -1.0, 1.0, 3.0]) / math.sqrt(5)
    torch.testing.assert_close(layer_norm(x, torch.ones(4), torch.zeros(4), eps=0.0), expected)
    shifted = layer_norm(x, torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.full((4,), 10.0), eps=0.0)
    torch.testing.assert_close(shifted, expected * torch.tensor([1.0, 2.0, 3.0, 4.0]) + 10)


@settings(deadline=None, max_examples=30)
@given(
    leading=st.lists(st.integers(1, 3), max_size=3),
    width=st.integers(1, 8),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    eps=st.sampled_from([1e-5, 1e-2]),
    seed=st.integers(0, 1000),
)
def test_layer_norm_equals_pytorch_in_values_and_gradients(
    leading: list[int], width: int, scale: float, eps: float, seed: int
) -> None:
    inputs = [
        tensor.requires_grad_()
        for tensor in (scale * randn(*leading, width, seed=seed), randn(width, seed=1), randn(width, seed=2))
    ]
    expected = F.layer_norm(inputs[0], (width,), inputs[1], inputs[2], eps)
    assert_same_gradients(layer_norm(*inputs, eps=eps), expected, inputs, inputs)


def test_layer_norm_treats_each_position_alone() -> None:
    x = randn(2, 3, 5)
    other = x.clone()
    other[1] = 100.0
    other[0, 2] = -7.0
    normed = [layer_norm(tensor, torch.ones(5), torch.zeros(5)) for tensor in (x, other)]
    assert torch.equal(normed[0][0, :2], normed[1][0, :2])


def test_feed_forward_is_its_equation_for_each_position_alone() -> None:
    layer: FeedForward = spread_out(FeedForward(d_model=3, dim_feedforward=5))
    x = randn(2, 4, 3)
    found = layer(x)
    for row in range(2):
        for position in range(4):
            inner = (layer.linear1.weight @ x[row, position] + layer.linear1.bias).clamp(min=0)
            torch.testing.assert_close(found[row, position], layer.linear2.weight @ inner + layer.linear2.bias)
    with pytest.raises(ValueError, match="expects x of width 3"):
        layer(randn(2, 4, 5))


# Blocks


@pytest.mark.parametrize("masked", [False, True])
def test_an_encoder_block_equals_pytorchs_in_values_and_gradients(masked: bool) -> None:
    block: EncoderBlock = spread_out(EncoderBlock(**SIZES))
    theirs = layer_twin(block)
    x = randn(2, 5, 12, seed=50).requires_grad_()
    lengths = torch.tensor([5, 3])
    padding = torch.arange(5) >= lengths[:, None]
    found = block(x, ~padding[:, None, None] if masked else None)
    expected = theirs(x, src_key_padding_mask=padding if masked else None)
    ours = [x, block.norm1.weight, block.feed_forward.linear1.weight, block.self_attention.output_projection.weight]
    pytorchs = [x, theirs.norm1.weight, theirs.linear1.weight, theirs.self_attn.out_proj.weight]
    assert_same_gradients(found, expected, ours, pytorchs)


@pytest.mark.parametrize("padded", [False, True])
def test_a_decoder_block_equals_pytorchs_in_values_and_gradients(padded: bool) -> None:
    block: DecoderBlock = spread_out(DecoderBlock(**SIZES))
    theirs = layer_twin(block)
    x, memory = randn(2, 4, 12, seed=50).requires_grad_(), randn(2, 6, 12, seed=51).requires_grad_()
    padding = torch.arange(6) >= torch.tensor([6, 2])[:, None]
    mask = causal_mask(4)
    found = block(x, memory, mask=mask, memory_mask=~padding[:, None, None] if padded else None)
    expected = theirs(x, memory, tgt_mask=~mask, memory_key_padding_mask=padding if padded else None)
    ours = [x, memory, block.norm3.bias, block.cross_attention.output_projection.weight, block.norm2.weight]
    pytorchs = [x, memory, theirs.norm3.bias, theirs.multihead_attn.out_proj.weight, theirs.norm2.weight]
    assert_same_gradients(found, expected, ours, pytorchs)


def test_only_attention_lets_positions_meet() -> None:
    block: EncoderBlock = spread_out(EncoderBlock(**SIZES))
    x = randn(1, 5, 12, seed=50)
    itself_only = torch.eye(5, dtype=torch.bool)
    alone = torch.cat([block(x[:, i : i + 1]) for i in range(5)], dim=1)
    torch.testing.assert_close(block(x, itself_only), alone)
    assert (block(x) - alone).abs().max() > 1e-3


@pytest.mark.parametrize("position", range(1, 5))
def test_with_a_causal_mask_no_block_sees_the_future(position: int) -> None:
    x, memory = randn(2, 5, 12, seed=50), randn(2, 3, 12, seed=51)
    other = x.clone()
    other[:, position:] += 1.0
    encoder: EncoderBlock = spread_out(EncoderBlock(**SIZES))
    decoder: DecoderBlock = spread_out(DecoderBlock(**SIZES))
    for run in (partial(encoder, mask=causal_mask(5)), lambda x: decoder(x, memory, mask=causal_mask(5))):
        first, second = run(x), run(other)
        torch.testing.assert_close(first[:, :position], second[:, :position])
        assert ((first - second)[:, position:].abs().amax(dim=-1) > 1e-6).all()


def test_dropout_acts_in_training_only() -> None:
    for block, inputs in (
        (EncoderBlock(**SIZES, dropout=0.5), (randn(2, 5, 12),)),
        (DecoderBlock(**SIZES, dropout=0.5), (randn(2, 5, 12), randn(2, 3, 12, seed=1))),
    ):
        assert not torch.equal(block(*inputs), block(*inputs))
        block.eval()
        assert torch.equal(block(*inputs), block(*inputs))


# The model


def small_model(**options: Any) -> TransformerEncoderDecoder:
    sizes: dict[str, Any] = {"source_size": 9, "target_size": 11, **SIZES, "num_layers": 2}
    model: TransformerEncoderDecoder = spread_out(TransformerEncoderDecoder(**{**sizes, **options}))
    return model


def test_the_model_is_pytorchs_layers_between_embeddings_and_a_linear_layer() -> None:
    model = small_model()
    theirs = TranslatorTwin(model)
    source, target = random_ids(2, 6, below=9), random_ids(2, 4, below=11, seed=1)
    lengths = torch.tensor([6, 3])
    ours = [model.source_embedding.weight, model.target_embedding.weight, model.output.weight]
    pytorchs = [theirs.source_embedding.weight, theirs.target_embedding.weight, theirs.output.weight]
    assert_same_gradients(model(source, target, lengths), theirs(source, target, lengths), ours, pytorchs)


def test_all_positions_at_once_equal_one_at_a_time_in_values_and_gradients() -> None:
    model = small_model()
    source, target = random_ids(3, 5, below=9), random_ids(3, 4, below=11, seed=1)
    lengths = torch.tensor([5, 2, 4])
    step, state = decoding_step(model.encode, model.decode, source, lengths)
    rows = []
    for token in shift_right(target).unbind(dim=1):
        logits, state = step(token, state)
        rows.append(logits)
    parameters = list(model.parameters())
    assert_same_gradients(model(source, target, lengths), torch.stack(rows, dim=1), parameters, parameters)


def test_a_word_is_predicted_from_the_words_before_it_only() -> None:
    model = small_model()
    source, target = random_ids(1, 5, below=9), random_ids(1, 6, below=11, seed=1)
    for position in range(6):
        other = target.clone()
        other[:, position] = START
        changed = (model(source, target) - model(source, other)).abs().amax(dim=(0, 2)) > 1e-9
        assert changed.tolist() == [i > position for i in range(6)]


def test_padding_changes_nothing_whatever_it_holds() -> None:
    model = small_model()
    source, lengths = pad_batch([[4, 5, 6, 7, 8], [8, 4], [5, 5, 5]])
    target = random_ids(3, 4, below=11)
    logits = model(source, target, lengths)
    other = torch.where(torch.arange(5) < lengths[:, None], source, 6)
    torch.testing.assert_close(model(other, target, lengths), logits)
    for row, length in enumerate(lengths.tolist()):
        alone = model(source[row : row + 1, :length], target[row : row + 1])
        torch.testing.assert_close(logits[row], alone[0])


def test_words_at_other_positions_are_other_inputs() -> None:
    model = small_model()
    source, target = torch.tensor([[4, 5, 6]]), torch.tensor([[4, 5, 6]])
    assert (model(source, target) - model(source.flip(1), target)).abs().max() > 1e-6


# Loss and learning rate


def test_label_smoothing_of_two_words_is_worked_by_hand() -> None:
    logits = torch.tensor([[[math.log(3), 0.0]]])  # probabilities 3/4 and 1/4
    expected = -(0.9 + 0.05) * math.log(3 / 4) - 0.05 * math.log(1 / 4)
    found = label_smoothed_cross_entropy(logits, torch.tensor([[0]]), smoothing=0.1, pad=-1)
    assert found.item() == pytest.approx(expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7, 1.0])
def test_label_smoothing_equals_pytorch_in_values_and_gradients(smoothing: float) -> None:
    logits = randn(3, 4, 7).requires_grad_()
    target = random_ids(3, 4, below=7, seed=1)
    target[1, 2:] = PAD
    expected = F.cross_entropy(
        logits.flatten(0, 1), target.flatten(), ignore_index=PAD, label_smoothing=smoothing, reduction="mean"
    )
    found = label_smoothed_cross_entropy(logits, target, smoothing=smoothing)
    assert_same_gradients(found, expected, [logits], [logits])
    if smoothing == 0:
        torch.testing.assert_close(found, masked_cross_entropy(logits, target))


def test_label_smoothing_needs_a_word() -> None:
    with pytest.raises(ValueError, match="nothing but padding"):
        label_smoothed_cross_entropy(randn(2, 3, 5), torch.full((2, 3), PAD))


def test_the_learning_rate_rises_in_a_line_and_falls_with_the_root() -> None:
    rates = [warmup_schedule(step, d_model=64, warmup_steps=25) for step in range(100)]
    assert rates.index(max(rates)) == 24
    assert max(rates) == pytest.approx(1 / (8 * 5))
    for step in range(25):
        assert rates[step] == pytest.approx((step + 1) / 25 * rates[24])
    assert rates[99] == pytest.approx(rates[24] / 2)
    assert rates[99] == pytest.approx(2 * warmup_schedule(99, d_model=256, warmup_steps=25))


# Translating


def test_translating_follows_the_teacher_forced_logits_of_its_own_words() -> None:
    model = small_model()
    source = random_ids(4, 5, below=9)
    ids = translate(model.encode, model.decode, source, max_length=6)
    likeliest = model(source, ids).argmax(dim=-1)
    assert ((likeliest == ids) | (ids == PAD)).all()


def test_translating_stops_at_the_end_and_at_the_limit() -> None:
    model = small_model()
    source = random_ids(3, 5, below=9)
    torch.nn.init.zeros_(model.output.weight)
    model.output.bias.data = F.one_hot(torch.tensor(END), 11).double()
    assert translate(model.encode, model.decode, source, max_length=6).tolist() == [[END]] * 3
    model.output.bias.data = F.one_hot(torch.tensor(7), 11).double()
    assert translate(model.encode, model.decode, source, max_length=6).tolist() == [[7] * 6] * 3


def translator() -> TransformerTranslator:
    model: TransformerTranslator = spread_out(TransformerTranslator(source_size=9, target_size=11, **SIZES))
    return model


def test_a_translator_writes_the_same_alone_and_in_a_padded_batch() -> None:
    model = translator()
    source, lengths = pad_batch([[4, 5, 6, 7, 8], [8, 4], [5, 5, 5]])
    ids = model.translate(source, lengths, max_length=7)
    assert torch.equal(ids, translate(model.model.encode, model.model.decode, source, lengths, max_length=7))
    for row, length in enumerate(lengths.tolist()):
        alone = model.translate(source[row : row + 1, :length], max_length=7)[0]
        assert torch.equal(ids[row, : len(alone)], alone) and (ids[row, len(alone) :] == PAD).all()


def test_cross_attention_weights_have_a_row_for_each_word_and_none_for_padding() -> None:
    model = translator()
    source, lengths = pad_batch([[4, 5, 6, 7, 8], [8, 4]])
    tokens = random_ids(2, 3, below=11)
    logits, weights = model.attend(source, tokens, lengths)
    torch.testing.assert_close(logits, model(source, tokens, lengths))
    assert weights.shape == (2, 2, 3, 3, 5)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 2, 3, 3))
    assert (weights[1, ..., 2:] == 0).all() and (weights[1, ..., :2] > 0).all()
    first = model.model.decoder[0]
    assert isinstance(first, DecoderBlock) and not first.cross_attention._forward_hooks


def test_a_small_transformer_learns_the_sentences_it_is_taught() -> None:
    torch.set_default_dtype(torch.float32)
    data = translation_data(np.random.default_rng(0), lengths=range(4, 6), train_per_length=40, test_per_length=2)
    sizes = {"source_size": len(data.source_vocabulary), "target_size": len(data.target_vocabulary)}
    model = initialised(
        lambda: TransformerTranslator(**sizes, dim_feedforward=128, num_layers=1),
        generator=torch.Generator().manual_seed(0),
    )
    batches = data.draw_batches(np.random.default_rng(0), batch_size=32)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.3)
    schedule = partial(warmup_schedule, d_model=64, warmup_steps=30)
    train(model, batches, model.loss, optimizer=optimizer, steps=100, schedule=schedule, progress=False)
    taught = [data.collate(group) for group in by_source_length(data.train).values()]
    results = translations(model, taught, data.target_vocabulary)
    written, right = [words for _, words in results], [list(pair.target) for pair, _ in results]
    assert exact_match(written, right) > 0.9
