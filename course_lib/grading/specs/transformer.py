"""Assignment 05 · The transformer."""

from __future__ import annotations

from course_lib.grading.spec import Assignment, Written
from course_lib.grading.specs import _transformer_blocks as blocks
from course_lib.grading.specs import _transformer_decoding as decoding
from course_lib.grading.specs import _transformer_layers as layers
from course_lib.grading.specs import _transformer_model as model
from course_lib.grading.specs import _transformer_training as training

# The blocks' own feed-forward network: a stand-in may not lean on what else the student wrote.
INNER = """
        self.feed_forward = nn.Module()
        self.feed_forward.linear1 = nn.Linear(d_model, dim_feedforward)
        self.feed_forward.linear2 = nn.Linear(dim_feedforward, d_model)
"""

STAND_INS = {
    "FeedForward": """
class FeedForward(nn.Module):
    def __init__(self, *, d_model, dim_feedforward):
        super().__init__()
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)

    def forward(self, x):
        return self.linear2(F.relu(self.linear1(x)))
""",
    "EncoderBlock": f"""
class EncoderBlock(nn.Module):
    def __init__(self, *, d_model, num_heads, dim_feedforward):
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads){INNER}
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)

    def forward(self, x, mask=None):
        inner = self.feed_forward
        x = self.norm1(x + self.self_attention(x, x, x, mask)[0])
        return self.norm2(x + inner.linear2(F.relu(inner.linear1(x))))
""",
    "DecoderBlock": f"""
class DecoderBlock(nn.Module):
    def __init__(self, *, d_model, num_heads, dim_feedforward):
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.cross_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads){INNER}
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(d_model), nn.LayerNorm(d_model), nn.LayerNorm(d_model)

    def forward(self, x, memory, *, mask=None, memory_mask=None):
        inner = self.feed_forward
        x = self.norm1(x + self.self_attention(x, x, x, mask)[0])
        x = self.norm2(x + self.cross_attention(x, memory, memory, memory_mask)[0])
        return self.norm3(x + inner.linear2(F.relu(inner.linear1(x))))
""",
}

ASSIGNMENT = Assignment(
    slug="05-transformer",
    notebook="transformer",
    title="The transformer",
    exercises=[
        layers.layer_norm,
        layers.feed_forward,
        blocks.encoder_block,
        blocks.decoder_block,
        training.label_smoothed_cross_entropy,
        training.warmup_schedule,
        decoding.translate,
        model.transformer_encoder_decoder,
    ],
    written=[Written(name="all_at_once_one_by_one", points=4)],
    stand_ins=STAND_INS,
)
