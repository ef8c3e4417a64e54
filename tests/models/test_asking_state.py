"""The decoder whose previous state asks differs from Luong's in that alone."""

from typing import Any

import pytest
import torch

from course_lib.models.asking_state import PreviousStateDecoderStep, PreviousStateTranslator
from course_lib.models.recurrent_attention import AttentionTranslator, LuongDecoderStep
from course_lib.training import initialised

SIZES: dict[str, Any] = {"vocab_size": 9, "d_model": 3, "hidden_size": 4, "d_memory": 6}


def pair_of_decoders() -> tuple[LuongDecoderStep, PreviousStateDecoderStep]:
    torch.manual_seed(0)
    luong, changed = LuongDecoderStep(**SIZES), PreviousStateDecoderStep(**SIZES)
    changed.load_state_dict(luong.state_dict())
    return luong, changed


def inputs(batch: int = 2, n: int = 5, m: int = 7) -> tuple[Any, ...]:
    chance = torch.Generator().manual_seed(1)
    state = (torch.randn(1, batch, 4, generator=chance), torch.randn(1, batch, 4, generator=chance))
    memory = torch.randn(batch, m, 6, generator=chance)
    mask = torch.arange(m) < torch.tensor([[m], [3]])
    return torch.randint(9, (batch, n), generator=chance), state, memory, mask


def test_each_row_of_weights_is_the_one_that_luongs_decoder_has_a_step_earlier() -> None:
    luong, changed = pair_of_decoders()
    tokens, state, memory, mask = inputs()
    _, there = luong.teacher_forced(tokens, state, memory, mask)
    _, here = changed.teacher_forced(tokens, state, memory, mask)
    torch.testing.assert_close(here[:, 1:], there[:, :-1])


def test_the_first_row_asks_with_the_state_that_the_encoder_left() -> None:
    _, changed = pair_of_decoders()
    tokens, state, memory, mask = inputs()
    _, rows = changed.teacher_forced(tokens, state, memory, mask)
    _, other = changed.teacher_forced((tokens + 1) % 9, state, memory, mask)
    torch.testing.assert_close(rows[:, 0], other[:, 0])  # the word that is read plays no part


def test_all_steps_at_once_equal_one_after_the_other() -> None:
    _, changed = pair_of_decoders()
    tokens, state, memory, mask = inputs()
    logits, weights = changed.teacher_forced(tokens, state, memory, mask)
    for i in range(tokens.shape[1]):
        found, state, row = changed(tokens[:, i], state, memory, mask)
        torch.testing.assert_close(found, logits[:, i])
        torch.testing.assert_close(row, weights[:, i])


@pytest.mark.parametrize("attention", ["dot", "general", "concat"])
def test_the_translator_has_as_many_weights_as_luongs_and_the_same_memory_bias(attention: Any) -> None:
    sizes: dict[str, Any] = {"source_size": 8, "target_size": 9, "attention": attention, "d_model": 3, "hidden_size": 4}
    luong, changed = (
        initialised(lambda kind=kind: kind(**sizes), generator=torch.Generator().manual_seed(0))
        for kind in (AttentionTranslator, PreviousStateTranslator)
    )
    assert {n: w.shape for n, w in luong.named_parameters()} == {n: w.shape for n, w in changed.named_parameters()}
    for rnn in (changed.encoder.rnn, changed.decoder.rnn):
        size = rnn.hidden_size
        assert rnn.bias_hh_l0[size : 2 * size].mean() > 0.5 > rnn.bias_hh_l0[:size].abs().mean()
