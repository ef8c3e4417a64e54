"""Assignment 04: what is ruled out there, and mistakes that only this assignment can be made with."""

from __future__ import annotations

from functools import cache

import pytest

from course_lib.check.judge import ExerciseCases, find_banned
from course_lib.grading.draw import PUBLIC_SEED, draw
from course_lib.grading.kill_table import judge_source
from course_lib.grading.spec import assignment

SPEC = assignment("04-attention-layer")


@cache
def cases(name: str, seed: bytes) -> ExerciseCases:
    return draw(SPEC, SPEC.exercise(name), seed=seed)


def test_dense_attention_loses_the_memory_line_only() -> None:
    source = """
def tiled_attention(query, key, value, *, tile_size):
    weights = (query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])).softmax(-1)
    return weights @ value
"""
    result = judge_source(SPEC, cases("tiled_attention", PUBLIC_SEED), source)
    assert [line.line.name for line in result.lines if not line.earned] == ["memory"]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (
            "scaled_dot_product_attention",
            """
def scaled_dot_product_attention(query, key, value, mask=None):
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    weights = F.scaled_dot_product_attention(query, key, torch.eye(key.shape[-2]).to(query), attn_mask=mask)
    return output, weights
""",
        ),
        (
            "scaled_dot_product_attention",
            """
from torch.nn.functional import scaled_dot_product_attention as fused

def scaled_dot_product_attention(query, key, value, mask=None):
    eye = torch.eye(key.shape[-2]).to(query)
    return fused(query, key, value, attn_mask=mask), fused(query, key, eye, attn_mask=mask)
""",
        ),
        (
            "tiled_attention",
            """
def tiled_attention(query, key, value, *, tile_size):
    return F.scaled_dot_product_attention(query, key, value)
""",
        ),
        (
            "tiled_attention",
            """
def tiled_attention(query, key, value, *, tile_size):
    return scaled_dot_product_attention(query, key, value)[0]
""",
        ),
        (
            "MultiHeadAttention",
            """
class MultiHeadAttention(nn.Module):
    def __init__(self, *, d_model, num_heads):
        super().__init__()
        self.inner = nn.MultiheadAttention(d_model, num_heads, batch_first=True)

    def forward(self, query, key, value, mask=None):
        return self.inner(query, key, value, average_attn_weights=False)
""",
        ),
    ],
)
def test_an_answer_that_lets_the_library_do_the_exercise_earns_nothing(name: str, source: str) -> None:
    assert judge_source(SPEC, cases(name, PUBLIC_SEED), source).earned == 0


@pytest.mark.parametrize("name", ["scaled_dot_product_attention", "tiled_attention"])
def test_a_hidden_fused_call_is_seen_by_its_operations(name: str) -> None:
    hidden = 'getattr(F, "scaled_dot" + "_product_attention")'
    source = {
        "scaled_dot_product_attention": f"""
def scaled_dot_product_attention(query, key, value, mask=None):
    eye = torch.eye(key.shape[-2]).to(query)
    return {hidden}(query, key, value, attn_mask=mask), {hidden}(query, key, eye, attn_mask=mask)
""",
        "tiled_attention": f"""
def tiled_attention(query, key, value, *, tile_size):
    return {hidden}(query, key, value)
""",
    }[name]
    assert find_banned(source, SPEC.exercise(name).banned) is None
    result = judge_source(SPEC, cases(name, PUBLIC_SEED), source)
    assert result.earned == 0
    assert {line.finding.kind for line in result.lines if line.finding} == {"banned"}
