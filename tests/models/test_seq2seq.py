"""Encoder and decoder: the worked corpus, PyTorch's loss and packing as oracles, two paths to the same numbers."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from course_lib.data.translation import END, PAD, START, TranslationData, Vocabulary, translation_data
from course_lib.metrics import exact_match
from course_lib.models.recurrent import LSTM
from course_lib.models.seq2seq import (
    DecoderStep,
    Encoder,
    OneHot,
    build_vocabulary,
    free_running_logits,
    greedy_decode,
    masked_cross_entropy,
    pad_batch,
    reverse_source,
    shift_right,
)
from course_lib.models.translator import FixedContextTranslator, translations
from course_lib.training import initialised, train


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


# From words to a batch


def test_the_vocabulary_of_the_two_sentences_is_numbered_by_first_appearance() -> None:
    sentences = [["think", "about", "it"], ["come", "in"]]
    expected = {"<pad>": 0, "<start>": 1, "<end>": 2, "<unk>": 3, "think": 4, "about": 5, "it": 6, "come": 7, "in": 8}
    assert build_vocabulary(sentences) == expected
    assert build_vocabulary([*sentences, ["it", "come"]]) == Vocabulary(sentences).index


def test_a_batch_is_padded_at_the_end() -> None:
    ids, lengths = pad_batch([[4, 5, 6], [7, 8], []])
    assert ids.tolist() == [[4, 5, 6], [7, 8, PAD], [PAD] * 3] and lengths.tolist() == [3, 2, 0]
    assert pad_batch([[1], [1, 2]], pad=9)[0].tolist() == [[1, 9], [1, 2]]


def test_the_source_is_reversed_within_its_length() -> None:
    ids, lengths = pad_batch([[4, 5, 6, 7], [8, 9]])
    assert reverse_source(ids, lengths).tolist() == [[7, 6, 5, 4], [9, 8, PAD, PAD]]


def test_the_decoder_reads_the_target_one_place_later() -> None:
    target = torch.tensor([[4, 5, END], [6, END, PAD]])
    assert shift_right(target).tolist() == [[START, 4, 5], [START, 6, END]]


# Loss


def test_the_loss_of_two_steps_is_worked_by_hand() -> None:
    probability = torch.tensor([[[0.1, 0.2, 0.7], [0.25, 0.5, 0.25]], [[0.2, 0.4, 0.4], [0.9, 0.05, 0.05]]])
    target = torch.tensor([[2, 1], [1, PAD]])
    expected = -(math.log(0.7) + math.log(0.5) + math.log(0.4)) / 3
    assert masked_cross_entropy(probability.log(), target).item() == pytest.approx(expected)


def test_the_loss_equals_pytorchs_in_value_and_gradient() -> None:
    logits = randn(3, 5, 7).requires_grad_()
    target = random_ids(3, 5, below=7)
    target[1, 3:], target[2, 1:] = PAD, PAD
    found = masked_cross_entropy(logits, target)
    expected = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_a_target_of_padding_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing but padding"):
        masked_cross_entropy(randn(1, 2, 5), torch.zeros(1, 2, dtype=torch.long))


# Networks


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(("num_layers", "bidirectional"), [(1, False), (2, True)])
def test_padding_changes_nothing_that_the_encoder_finds(cell: Any, num_layers: int, bidirectional: bool) -> None:
    encoder = Encoder(
        vocab_size=9, d_model=5, hidden_size=3, num_layers=num_layers, bidirectional=bidirectional, cell=cell
    )
    source, lengths = random_ids(3, 6, below=9), torch.tensor([6, 2, 4])
    states, last = encoder(source, lengths)
    width = 3 * (1 + bidirectional)
    assert states.shape == (3, 6, width) and tree_leaves(last)[0].shape == (num_layers, 3, width)
    for row, length in enumerate(lengths.tolist()):
        alone_states, alone_last = encoder(source[row : row + 1, :length])
        torch.testing.assert_close(states[row, :length], alone_states[0])
        assert (states[row, length:] == 0).all()
        for part, alone in zip(tree_leaves(last), tree_leaves(alone_last), strict=True):
            torch.testing.assert_close(part[:, row], alone[:, 0])


def test_the_encoder_is_embedding_and_the_lstm_written_out() -> None:
    encoder = Encoder(vocab_size=9, d_model=5, hidden_size=3, bidirectional=True)
    written_out = LSTM(input_size=5, hidden_size=3, bidirectional=True)
    written_out.load_state_dict(encoder.rnn.state_dict())
    source = random_ids(2, 6, below=9)
    states, (h, c) = encoder(source)
    expected, (forward_backward_h, forward_backward_c) = written_out(encoder.embedding(source))
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(h[0], torch.cat(list(forward_backward_h), dim=-1))
    torch.testing.assert_close(c[0], torch.cat(list(forward_backward_c), dim=-1))


def test_one_hot_words_are_an_embedding_with_the_identity() -> None:
    encoder = Encoder(vocab_size=9, d_model=None, hidden_size=3)
    learned = Encoder(vocab_size=9, d_model=9, hidden_size=3)
    learned.rnn.load_state_dict(encoder.rnn.state_dict())
    with torch.no_grad():
        learned.embedding.weight.copy_(torch.eye(9))
    source = random_ids(2, 4, below=9)
    torch.testing.assert_close(encoder(source)[0], learned(source)[0])
    assert isinstance(encoder.embedding, OneHot) and not list(encoder.embedding.parameters())


def state_for(cell: str, num_layers: int, batch: int, size: int) -> Any:
    h, c = (randn(num_layers, batch, size, seed=seed) for seed in (5, 6))
    return (h, c) if cell == "lstm" else h


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(("num_layers", "d_context", "d_model"), [(1, 4, 5), (2, 4, None), (1, 0, 5)])
def test_teacher_forcing_in_one_call_equals_step_by_step(
    cell: Any, num_layers: int, d_context: int, d_model: int | None
) -> None:
    decoder = DecoderStep(
        vocab_size=9, d_model=d_model, hidden_size=3, d_context=d_context, num_layers=num_layers, cell=cell
    )
    tokens, context, state = random_ids(2, 6, below=9), randn(2, 4), state_for(cell, num_layers, 2, 3)
    rows, now = [], state
    for i in range(6):
        logits, now = decoder(tokens[:, i], now, context)
        rows.append(logits)
    torch.testing.assert_close(decoder.teacher_forced(tokens, state, context), torch.stack(rows, dim=1))


def test_a_fed_context_matters_at_every_step_and_an_unfed_one_never() -> None:
    tokens, state = random_ids(2, 4, below=9), state_for("lstm", 1, 2, 3)
    for d_context in (4, 0):
        decoder = DecoderStep(vocab_size=9, d_model=5, hidden_size=3, d_context=d_context)
        first, second = (decoder.teacher_forced(tokens, state, randn(2, 4, seed=seed)) for seed in (1, 2))
        change = (first - second).abs().amax(dim=(0, 2))  # (length,)
        assert (change > 1e-6).all() if d_context else (change == 0).all()


@pytest.mark.parametrize("context", [None, torch.zeros(2, 5)])
def test_a_context_of_the_wrong_width_is_refused(context: Tensor | None) -> None:
    decoder = DecoderStep(vocab_size=9, d_model=5, hidden_size=3, d_context=4)
    with pytest.raises(ValueError, match="fed a context of width 4, but got"):
        decoder(torch.tensor([4, 5]), state_for("lstm", 1, 2, 3), context)


# Decoding


def scripted(*sentences: list[int]) -> Any:
    """A step that writes these sentences whatever it reads, and notes what it read."""
    table = torch.tensor(sentences)
    read = []

    def step(token: Tensor, state: int) -> tuple[Tensor, int]:
        read.append(token.tolist())
        return F.one_hot(table[:, state], 12).double(), state + 1

    return step, read


def test_greedy_decoding_stops_at_end_and_pads_behind_it() -> None:
    step, read = scripted([5, END, 7, 8, 9, 9], [6, 7, 8, END, 9, 9])
    found = greedy_decode(step, 0, batch_size=2, max_length=6)
    assert found.tolist() == [[5, END, PAD, PAD], [6, 7, 8, END]]
    assert read == [[START, START], [5, 6], [END, 7], [PAD, 8]]


def test_greedy_decoding_never_writes_more_than_it_may() -> None:
    step, _ = scripted([5, 6, 7, 8], [6, END, 8, 9])
    assert greedy_decode(step, 0, batch_size=2, max_length=3).tolist() == [[5, 6, 7], [6, END, PAD]]
    assert greedy_decode(step, 0, batch_size=2, max_length=0).shape == (2, 0)


def test_free_running_reads_its_own_words_and_keeps_its_logits() -> None:
    step, read = scripted([5, END, 7], [6, 7, 8])
    logits = free_running_logits(step, 0, batch_size=2, num_steps=3)
    assert logits.argmax(dim=-1).tolist() == [[5, END, 7], [6, 7, 8]]
    assert read == [[START, START], [5, 6], [END, 7]]


# Translators

OPTIONS: list[dict[str, Any]] = [
    {},
    {"feed_context": False},
    {"feed_context": False, "reverse": True},
    {"num_layers": 2, "cell": "gru", "bidirectional": True},
    {"cell": "rnn", "d_model": None},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_translator_writes_the_same_alone_and_in_a_padded_batch(options: dict[str, Any]) -> None:
    model = FixedContextTranslator(source_size=9, target_size=11, **{"d_model": 6, "hidden_size": 8, **options})
    for parameter in model.parameters():
        parameter.data *= 3  # far from the nearly equal logits of the first weights
    source, lengths = pad_batch([[4, 5, 6, 7, 8], [8, 4], [5, 5, 5]])
    ids = model.translate(source, lengths, max_length=7)
    tokens = random_ids(3, 4, below=11)
    logits = model(source, tokens, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = model.translate(source[row : row + 1, :length], max_length=7)[0]
        assert torch.equal(ids[row, : len(alone)], alone) and (ids[row, len(alone) :] == PAD).all()
        torch.testing.assert_close(logits[row], model(source[row : row + 1, :length], tokens[row : row + 1])[0])


@pytest.mark.parametrize("options", OPTIONS)
def test_translating_follows_the_teacher_forced_logits_of_its_own_words(options: dict[str, Any]) -> None:
    model = FixedContextTranslator(source_size=9, target_size=11, **{"d_model": 6, "hidden_size": 8, **options})
    source = random_ids(4, 5, below=9)
    ids = model.translate(source, max_length=6)
    likeliest = model(source, shift_right(ids)).argmax(dim=-1)
    assert ((likeliest == ids) | (ids == PAD)).all()


def test_two_directions_need_an_even_width() -> None:
    with pytest.raises(ValueError, match="hidden_size = 7: choose an even number"):
        FixedContextTranslator(source_size=9, target_size=9, hidden_size=7, bidirectional=True)


def test_reversing_reads_the_source_backwards() -> None:
    sizes = {"source_size": 9, "target_size": 11, "d_model": 6, "hidden_size": 8}
    forward, backward = FixedContextTranslator(**sizes), FixedContextTranslator(**sizes, reverse=True)
    backward.load_state_dict(forward.state_dict())
    source, tokens = random_ids(2, 5, below=9), random_ids(2, 3, below=11)
    torch.testing.assert_close(backward(source, tokens), forward(source.flip(1), tokens))


@pytest.fixture(scope="module")
def task() -> TranslationData:
    return translation_data(np.random.default_rng(0), lengths=[4, 5], train_per_length=8, test_per_length=4)


def test_free_running_loss_differs_from_teacher_forcing_and_trains_the_same_weights(task: TranslationData) -> None:
    sizes = {"source_size": len(task.source_vocabulary), "target_size": len(task.target_vocabulary)}
    model = FixedContextTranslator(**sizes, d_model=6, hidden_size=8)
    batch = task.collate(task.train[:4])
    losses = [model.loss(batch, free_running=free) for free in (False, True)]
    assert losses[0] != losses[1]
    step, state = model.begin(batch.source)
    logits = free_running_logits(step, state, batch_size=4, num_steps=batch.target.shape[1])
    torch.testing.assert_close(losses[1], masked_cross_entropy(logits, batch.target))
    losses[1].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_small_translator_learns_its_training_sentences(task: TranslationData) -> None:
    torch.set_default_dtype(torch.float32)
    sizes = {"source_size": len(task.source_vocabulary), "target_size": len(task.target_vocabulary)}
    generator = torch.Generator().manual_seed(0)
    model = initialised(lambda: FixedContextTranslator(**sizes, d_model=16, hidden_size=32), generator=generator)
    batches = task.draw_batches(np.random.default_rng(0), batch_size=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    history = train(model, batches, model.loss, optimizer=optimizer, steps=80, progress=False)
    assert history.losses[-1] < 0.1 * history.losses[0]
    again = [task.collate(task.train)]
    results = translations(model, again, task.target_vocabulary)
    assert [pair for pair, _ in results] == list(task.train)
    assert exact_match([words for _, words in results], [pair.target for pair, _ in results]) > 0.9


def test_state_weights_copy_between_translators(task: TranslationData) -> None:
    sizes = {"source_size": 9, "target_size": 11, "d_model": 6, "hidden_size": 8}
    model, other = FixedContextTranslator(**sizes), FixedContextTranslator(**sizes)
    other.load_state_dict(tree_map(torch.clone, model.state_dict()))
    source, tokens = random_ids(2, 5, below=9), random_ids(2, 3, below=11)
    assert torch.equal(model(source, tokens), other(source, tokens))
