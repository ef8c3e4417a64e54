"""Assignment 07 · What changed since 2017."""

from __future__ import annotations

from course_lib.grading.spec import Assignment, Written
from course_lib.grading.specs import _modern_block_experts as experts
from course_lib.grading.specs import _modern_block_layers as layers
from course_lib.grading.specs import _modern_block_mixture as mixture

STAND_INS = {
    "SwiGLU": """
class SwiGLU(nn.Module):
    def __init__(self, *, d_model, dim_feedforward):
        super().__init__()
        self.gate_projection = nn.Linear(d_model, dim_feedforward, bias=False)
        self.value_projection = nn.Linear(d_model, dim_feedforward, bias=False)
        self.output_projection = nn.Linear(dim_feedforward, d_model, bias=False)

    def forward(self, x):
        gate = self.gate_projection(x)
        return self.output_projection(gate * gate.sigmoid() * self.value_projection(x))
""",
    "top_k_routing": """
def top_k_routing(logits, *, num_active):
    values, experts = torch.sort(logits, dim=-1, descending=True)
    return F.softmax(values[..., :num_active], dim=-1), experts[..., :num_active]
""",
}

EQUIVALENT = {
    "top_k_routing": {
        "best, experts = logits.topk(num_active)": "topk takes the last axis by itself.",
    },
}

ASSIGNMENT = Assignment(
    slug="07-modern-block",
    notebook="modern-block",
    title="What changed since 2017",
    exercises=[
        layers.rms_norm,
        layers.swiglu,
        layers.pre_norm_block,
        experts.top_k_routing,
        experts.load_balance_loss,
        experts.parameter_counts,
        mixture.mixture_of_experts,
    ],
    written=[Written(name="large_and_cheap", points=4)],
    stand_ins=STAND_INS,
    equivalent=EQUIVALENT,
)
