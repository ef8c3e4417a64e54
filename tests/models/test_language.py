"""Tokens round trip, windows are windows, cached equals full, and perplexity counts the tokens it hesitates among."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from course_lib.models.attention import causal_mask
from course_lib.models.decoding import beam_search, sample
from course_lib.models.language import CachedAttention, CharTokenizer, TransformerLM, get_batch, perplexity
from course_lib.models.seq2seq import greedy_decode

SIZES = {"vocab_size": 11, "d_model": 12, "num_heads": 3, "num_layers": 2, "dim_feedforward": 20, "max_length": 9}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def model() -> TransformerLM:
    torch.manual_seed(0)
    return TransformerLM(**SIZES).double().eval()


def random_ids(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(11, shape, generator=generator(seed))


@given(st.text(min_size=1))
def test_a_text_comes_back_from_its_ids(text: str) -> None:
    tokenizer = CharTokenizer(text)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert sorted(set(ids.tolist())) == list(range(len(tokenizer)))


def test_ids_are_places_in_the_alphabet_of_the_text() -> None:
    tokenizer = CharTokenizer("banana")
    assert tokenizer.characters == ["a", "b", "n"]
    assert tokenizer.encode("nab").tolist() == [2, 0, 1]
    assert tokenizer.encode("").shape == (0,)


def test_an_unknown_character_is_refused() -> None:
    with pytest.raises(ValueError, match="not in the vocabulary"):
        CharTokenizer("abc").encode("abd")


@given(st.integers(0, 1000), st.integers(1, 9))
def test_each_row_is_a_window_and_its_target_begins_one_token_later(seed: int, length: int) -> None:
    text = torch.randperm(10, generator=generator(seed)) + 100
    inputs, targets = get_batch(text, batch_size=5, length=length, generator=generator(seed))
    for window, target in zip(inputs, targets, strict=True):
        start = int((text == window[0]).nonzero())
        assert torch.equal(window, text[start : start + length])
        assert torch.equal(target, text[start + 1 : start + length + 1])


def test_windows_start_at_all_places_equally_often() -> None:
    inputs, _ = get_batch(torch.arange(10), batch_size=14_000, length=3, generator=generator())
    assert ((inputs[:, 0].bincount(minlength=7) / 14_000 - 1 / 7).abs() < 0.015).all()


def test_a_text_shorter_than_a_window_and_its_target_is_refused() -> None:
    with pytest.raises(ValueError, match="need 6 tokens"):
        get_batch(torch.arange(5), batch_size=2, length=5, generator=generator())


def test_the_model_equals_one_built_from_pytorchs_layers(model: TransformerLM) -> None:
    ids = random_ids(2, 7)
    x = model.token_embedding(ids) + model.position_embedding(torch.arange(7))
    for block in model.blocks:
        layer = nn.TransformerEncoderLayer(12, 3, 20, dropout=0.0, batch_first=True).double().eval()
        own, attention = layer.state_dict(), block.self_attention
        parts = [attention.query_projection, attention.key_projection, attention.value_projection]
        own["self_attn.in_proj_weight"] = torch.cat([part.weight for part in parts])
        own["self_attn.in_proj_bias"] = torch.cat([part.bias for part in parts])
        own["self_attn.out_proj.weight"] = attention.output_projection.weight
        own["self_attn.out_proj.bias"] = attention.output_projection.bias
        for name in ("linear1", "linear2"):
            own |= {f"{name}.{k}": v for k, v in getattr(block.feed_forward, name).state_dict().items()}
        for name in ("norm1", "norm2"):
            own |= {f"{name}.{k}": v for k, v in getattr(block, name).state_dict().items()}
        layer.load_state_dict(own)
        x = layer(x, src_mask=~causal_mask(7))  # PyTorch's mask here is True where blocked
    assert torch.allclose(model(ids), model.output(x))


def test_the_future_does_not_reach_the_past(model: TransformerLM) -> None:
    first, second = random_ids(2, 8), random_ids(2, 8)
    second[:, 5:] = (second[:, 5:] + 1) % 11
    assert torch.equal(model(first)[:, :5], model(second)[:, :5])
    assert not torch.equal(model(first)[:, 5:], model(second)[:, 5:])


@pytest.mark.parametrize("read", [1, 2, 5, 9])
def test_token_by_token_from_the_cache_equals_all_at_once(model: TransformerLM, read: int) -> None:
    ids = random_ids(3, 9)
    expected = model(ids)
    step, state = model.begin(ids[:, :read])
    for position in range(read - 1, 9):
        logits, state = step(ids[:, position], state)
        assert torch.allclose(logits, expected[:, position])


@given(st.integers(1, 6), st.integers(1, 4))
def test_cached_attention_equals_causal_attention_on_everything(past: int, n: int) -> None:
    torch.manual_seed(0)
    layer = CachedAttention(d_model=12, num_heads=3).double()
    x = torch.randn(2, past + n, 12, dtype=torch.float64, generator=generator(past))
    with torch.no_grad():
        expected, _ = layer(x, x, x, causal_mask(past + n))
        cache = (torch.full((2, 3, 12, 4), torch.nan).double(), torch.full((2, 3, 12, 4), torch.nan).double())
        first, cache = layer.step(x[:, :past], cache, 0)
        second, _ = layer.step(x[:, past:], cache, past)
    assert torch.allclose(torch.cat([first, second], dim=1), expected)


def test_a_cache_without_room_is_refused() -> None:
    layer = CachedAttention(d_model=4, num_heads=2)
    with pytest.raises(ValueError, match="room for 3 positions"):
        layer.step(torch.zeros(1, 1, 4), (torch.zeros(1, 2, 3, 2), torch.zeros(1, 2, 3, 2)), 3)


def test_a_text_longer_than_the_positions_is_refused(model: TransformerLM) -> None:
    with pytest.raises(ValueError, match="knows 9 positions"):
        model(random_ids(1, 10))
    step, state = model.begin(random_ids(1, 9))
    _, state = step(torch.tensor([0]), state)
    with pytest.raises(ValueError, match="knows 9 positions"):
        step(torch.tensor([0]), state)


def test_the_step_serves_every_way_of_decoding(model: TransformerLM) -> None:
    prompt = random_ids(1, 2)
    greedy = greedy_decode(*model.begin(prompt), batch_size=1, max_length=6, start=int(prompt[0, -1]), end=-1)
    drawn = sample(*model.begin(prompt), prompt[:, -1], max_length=6, generator=generator(), top_k=1)
    narrow, _ = beam_search(*model.begin(prompt), beam_width=1, max_length=6, start=int(prompt[0, -1]), end=-1)
    wide, total = beam_search(
        *model.begin(prompt.expand(8, -1)), beam_width=8, max_length=6, start=int(prompt[0, -1]), end=-1
    )
    assert greedy.tolist() == drawn.tolist() == [narrow.tolist()]
    logits = model(torch.cat([prompt, wide[None, :-1]], dim=1))[0, 1:].detach().log_softmax(-1)
    assert total == pytest.approx(float(logits.gather(-1, wide[:, None]).sum()), abs=1e-5)


def test_perplexity_is_the_number_of_equally_likely_tokens() -> None:
    targets = random_ids(3, 4)
    assert perplexity(torch.zeros(3, 4, 11), targets) == pytest.approx(11)
    sure = 100 * nn.functional.one_hot(targets, 11).double()
    assert perplexity(sure, targets) == pytest.approx(1)
    halves = torch.tensor([[0.5, 0.5], [0.125, 0.875]]).log()
    assert perplexity(halves, torch.tensor([0, 0])) == pytest.approx(4)  # the root of 2 · 8
