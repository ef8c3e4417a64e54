"""Assignment 05: what is ruled out there, and mistakes that only this assignment can be made with."""

from __future__ import annotations

import pytest

from course_lib.grading.draw import PUBLIC_SEED, draw
from course_lib.grading.kill_table import judge_source
from course_lib.grading.spec import assignment

SPEC = assignment("05-transformer")


def lost(name: str, source: str) -> dict[str, str]:
    """The rubric lines that an answer loses, each with what the student is told."""
    result = judge_source(SPEC, draw(SPEC, SPEC.exercise(name), seed=PUBLIC_SEED), source)
    return {line.line.name: line.finding.message for line in result.lines if line.finding}


LIBRARY = {
    "layer_norm": """
def layer_norm(x, weight, bias, *, eps=1e-5):
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)
""",
    "label_smoothed_cross_entropy": """
def label_smoothed_cross_entropy(logits, target, *, smoothing=0.1, pad=PAD):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=pad, label_smoothing=smoothing)
""",
    "EncoderBlock": """
class EncoderBlock(nn.TransformerEncoderLayer):
    def __init__(self, *, d_model, num_heads, dim_feedforward):
        super().__init__(d_model, num_heads, dim_feedforward, batch_first=True)
""",
    "DecoderBlock": """
class DecoderBlock(nn.TransformerDecoderLayer):
    def __init__(self, *, d_model, num_heads, dim_feedforward):
        super().__init__(d_model, num_heads, dim_feedforward, batch_first=True)
""",
    "TransformerEncoderDecoder": """
class TransformerEncoderDecoder(nn.Transformer):
    pass
""",
}


@pytest.mark.parametrize("name", LIBRARY)
def test_an_answer_that_lets_the_library_do_the_exercise_earns_nothing(name: str) -> None:
    told = lost(name, LIBRARY[name])
    assert set(told) == {line.name for line in SPEC.exercise(name).lines}


@pytest.mark.parametrize("name", ["layer_norm", "label_smoothed_cross_entropy"])
def test_a_library_function_with_the_right_numbers_is_named(name: str) -> None:
    assert all("does the exercise's work" in message for message in lost(name, LIBRARY[name]).values())


@pytest.mark.parametrize("root", ["(variance.sqrt() + eps)", "variance.sqrt()", "(variance + 1e-5).sqrt()"])
def test_a_mistake_about_epsilon_costs_its_own_line_only(root: str) -> None:
    source = f"""
def layer_norm(x, weight, bias, *, eps=1e-5):
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1, keepdim=True)
    return centred / {root} * weight + bias
"""
    assert set(lost("layer_norm", source)) == {"eps"}


def test_a_decoder_whose_memory_asks_fails_where_the_lengths_differ() -> None:
    source = """
class DecoderBlock(nn.Module):
    def __init__(self, *, d_model, num_heads, dim_feedforward):
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.cross_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.feed_forward = FeedForward(d_model=d_model, dim_feedforward=dim_feedforward)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(d_model), nn.LayerNorm(d_model), nn.LayerNorm(d_model)

    def forward(self, x, memory, *, mask=None, memory_mask=None):
        x = self.norm1(x + self.self_attention(x, x, x, mask)[0])
        x = self.norm2(x + self.cross_attention(memory, x, x)[0])
        return self.norm3(x + self.feed_forward(x))
"""
    told = lost("DecoderBlock", source)
    assert set(told) == {"output", "masks", "gradients"}
    assert "must match the size" in told["output"]


def test_a_model_without_any_mask_is_told_of_the_leak() -> None:
    source = """
class TransformerEncoderDecoder(nn.Module):
    def __init__(self, *, source_size, target_size, d_model, num_heads, num_layers, dim_feedforward):
        super().__init__()
        sizes = {"d_model": d_model, "num_heads": num_heads, "dim_feedforward": dim_feedforward}
        self.d_model = d_model
        self.source_embedding = nn.Embedding(source_size, d_model)
        self.target_embedding = nn.Embedding(target_size, d_model)
        self.encoder = nn.ModuleList(EncoderBlock(**sizes) for _ in range(num_layers))
        self.decoder = nn.ModuleList(DecoderBlock(**sizes) for _ in range(num_layers))
        self.output = nn.Linear(d_model, target_size)

    def encode(self, source, lengths=None):
        x = self.source_embedding(source) + sinusoidal_positions(source.shape[1], self.d_model)
        for block in self.encoder:
            x = block(x)
        return x * 2

    def decode(self, tokens, memory, lengths=None):
        x = self.target_embedding(tokens) + sinusoidal_positions(tokens.shape[1], self.d_model)
        for block in self.decoder:
            x = block(x, memory * 1.5)
        return self.output(x)

    def forward(self, source, target, lengths=None):
        return self.decode(target, self.encode(source, lengths), lengths)
"""
    assert "the future leaks" in lost("TransformerEncoderDecoder", source)["future"]
