"""Assignment 03 · Attention in a recurrent decoder."""

from __future__ import annotations

from course_lib.grading.spec import Assignment, Written
from course_lib.grading.specs import _rnn_attention_decoders as decoders
from course_lib.grading.specs import _rnn_attention_steps as steps

STAND_INS = {
    "additive_scores": """
def additive_scores(query, keys, weight, bias, v):
    width = query.shape[-1]
    hidden = F.linear(query, weight[:, :width], bias).unsqueeze(-2) + F.linear(keys, weight[:, width:])
    return torch.tanh(hidden) @ v
""",
    "multiplicative_scores": """
def multiplicative_scores(query, keys, weight=None):
    if weight is not None:
        query = query @ weight
    if query.shape[-1] != keys.shape[-1]:
        raise ValueError("the widths differ")
    return (query.unsqueeze(-2) * keys).sum(-1)
""",
    "masked_softmax": """
def masked_softmax(scores, mask=None):
    if mask is None:
        return torch.softmax(scores, -1)
    blocked = torch.where(mask, scores, -torch.inf)
    return torch.where(mask, torch.softmax(blocked, -1), 0.0)
""",
    "context_vector": """
def context_vector(weights, states):
    return (weights.unsqueeze(-2) @ states).squeeze(-2)
""",
}

ONE_LAYER = "The LSTM has one layer, so its first state is its last."
ONE_ROW = "The weight of v has one row."
ONE_STEP = "The sequence has one step, so its first output is its last."

EQUIVALENT = {
    "BahdanauDecoderStep": {
        "query = state[0][0]": ONE_LAYER,
        "query = state[0][-0]": ONE_LAYER,
        decoders.ASK.replace("weight[0]", "weight[-1]"): ONE_ROW,
        "logits = self.output(torch.cat([output[:, -1], context], dim=-1))": ONE_STEP,
    },
    "alignment_error_rate": {
        "return 1 - agreed / links": "A tensor of no dimension is as good a number as a float.",
    },
    "LuongDecoderStep": {
        "query = output[:, -1]": ONE_STEP,
    },
}

ASSIGNMENT = Assignment(
    slug="03-rnn-attention",
    notebook="rnn-attention",
    title="Attention in a recurrent decoder",
    exercises=[
        steps.additive_scores,
        steps.multiplicative_scores,
        steps.masked_softmax,
        steps.context_vector,
        decoders.bahdanau_decoder_step,
        decoders.alignment_error_rate,
        decoders.luong_decoder_step,
    ],
    written=[Written(name="why_look_back", points=3)],
    stand_ins=STAND_INS,
    equivalent=EQUIVALENT,
)
