"""Assignment 04 · Attention as a layer."""

from __future__ import annotations

from course_lib.grading.spec import Assignment, Written
from course_lib.grading.specs import _attention_layer_cost as cost
from course_lib.grading.specs import _attention_layer_heads as heads
from course_lib.grading.specs import _attention_layer_operator as operator
from course_lib.grading.specs import _attention_layer_positions as positions
from course_lib.grading.specs import _attention_layer_single_head as single_head

STAND_INS = {
    "scaled_dot_product_attention": """
def scaled_dot_product_attention(query, key, value, mask=None):
    scores = torch.einsum("...nd,...md->...nm", query, key) * query.shape[-1] ** -0.5
    if mask is None:
        weights = torch.softmax(scores, -1)
    else:
        scores = torch.where(mask, scores, -torch.inf)
        weights = torch.where(mask, torch.softmax(scores, -1), 0.0)
    return weights @ value, weights
""",
    "apply_rope": """
def apply_rope(x, *, base=10000.0, offset=0):
    length, head_dim = x.shape[-2:]
    frequencies = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angles = torch.outer(torch.arange(offset, offset + length), frequencies)
    turns = torch.polar(torch.ones_like(angles), angles)
    pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)
""",
    "causal_mask": """
def causal_mask(length):
    places = torch.arange(length)
    return places[:, None] >= places
""",
    "MultiHeadAttention": """
class MultiHeadAttention(nn.Module):
    def __init__(self, *, d_model, num_heads):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"{num_heads} heads cannot share {d_model} channels evenly")
        self.num_heads = num_heads
        for role in ("query", "key", "value", "output"):
            setattr(self, f"{role}_projection", nn.Linear(d_model, d_model))

    def forward(self, query, key, value, mask=None):
        def split(x):
            return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

        query, key, value = (
            split(self.query_projection(query)),
            split(self.key_projection(key)),
            split(self.value_projection(value)),
        )
        output, weights = scaled_dot_product_attention(query, key, value, mask)
        return self.output_projection(output.transpose(1, 2).flatten(2)), weights
""",
}

RUNNING_START = "the first tile multiplies it by exp(-∞ - M') = 0"
SAME_LENGTH = "keys and values have as many tiles"
ANY_OFFSET = "the output does not depend on the offset"
EQUIVALENT = {
    "tiled_attention": {
        "running_sum = torch.ones_like(running_max)": RUNNING_START,
        "running_output = torch.ones_like(running_max)": RUNNING_START,
        "for key_tile, value_tile in zip(key.split(tile_size, dim=-2), value.split(tile_size, dim=-2)):": SAME_LENGTH,
        "for key_tile, value_tile in zip(key.split(tile_size, dim=-2), value.split(tile_size, dim=-2), "
        "strict=False):": SAME_LENGTH,
    },
    "RotarySelfAttention": {
        "def forward(self, x: Tensor, *, offset: int=1) -> Tensor:": ANY_OFFSET,
        "def forward(self, x: Tensor, *, offset: int=-1) -> Tensor:": ANY_OFFSET,
    },
}

ASSIGNMENT = Assignment(
    slug="04-attention-layer",
    notebook="attention-layer",
    title="Attention as a layer",
    exercises=[
        operator.contextual_embedding,
        operator.scaled_dot_product_attention,
        single_head.cross_attention,
        single_head.self_attention,
        positions.permutation_error,
        positions.sinusoidal_positions,
        positions.apply_rope,
        positions.causal_mask,
        heads.multi_head_attention,
        cost.tiled_attention,
        cost.attention_cost,
        heads.rotary_self_attention,
    ],
    written=[Written(name="why_divide_by_root_d", points=4)],
    stand_ins=STAND_INS,
    equivalent=EQUIVALENT,
)
