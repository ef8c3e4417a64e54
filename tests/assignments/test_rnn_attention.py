"""Assignment 03: what is ruled out there, and mistakes that only this assignment can be made with."""

from __future__ import annotations

import pytest

from course_lib.grading.draw import PUBLIC_SEED, draw
from course_lib.grading.kill_table import judge_source
from course_lib.grading.spec import assignment

SPEC = assignment("03-rnn-attention")


def lost(name: str, source: str) -> dict[str, str]:
    """The rubric lines that an answer loses, each with what the student is told."""
    result = judge_source(SPEC, draw(SPEC, SPEC.exercise(name), seed=PUBLIC_SEED), source)
    return {line.line.name: line.finding.message for line in result.lines if line.finding}


LIBRARY = {
    "alignment_error_rate": "from course_lib.metrics import alignment_error_rate\n",
    "context_vector": "def context_vector(weights, states):\n"
    "    scores = weights.log()[:, None]\n"
    "    one = torch.ones(len(states), 1, 1)\n"
    "    return F.scaled_dot_product_attention(0 * one, 0 * states[..., :1], states, scores, scale=1.0)[:, 0]\n",
    "multiplicative_scores": "def multiplicative_scores(query, keys, weight=None):\n"
    "    weight = torch.eye(keys.shape[-1]) if weight is None else weight\n"
    "    copies = query[:, None].expand(-1, keys.shape[1], -1)\n"
    "    return F.bilinear(copies.contiguous(), keys, weight[None])[..., 0]\n",
}


@pytest.mark.parametrize("name", LIBRARY)
def test_an_answer_that_lets_the_library_do_the_exercise_earns_nothing(name: str) -> None:
    told = lost(name, LIBRARY[name])
    assert set(told) == {line.name for line in SPEC.exercise(name).lines}
    assert all("does the exercise's work" in message for message in told.values())


def test_writing_one_method_of_the_larger_piece_earns_its_line() -> None:
    source = """
class LuongDecoderStep(nn.Module):
    def __init__(self, *, vocab_size, d_model, hidden_size, d_memory, score="general"):
        super().__init__()
        self.score = score
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.rnn = nn.LSTM(d_model, hidden_size, batch_first=True)
        if score == "general":
            self.attention = nn.Linear(d_memory, hidden_size, bias=False)
        self.combine = nn.Linear(d_memory + hidden_size, hidden_size, bias=False)
        self.output = nn.Linear(hidden_size, vocab_size)

    def forward(self, token, state, memory, mask=None):
        output, state = self.rnn(self.embedding(token)[:, None], state)
        weight = self.attention.weight if self.score == "general" else None
        weights = masked_softmax(multiplicative_scores(output[:, 0], memory, weight), mask)
        context = context_vector(weights, memory)
        return self.output(torch.tanh(self.combine(torch.cat([context, output[:, 0]], -1)))), state, weights

    def teacher_forced(self, tokens, state, memory, mask=None):
        raise NotImplementedError("write your answer here")
"""
    told = lost("LuongDecoderStep", source)
    assert set(told) == {"all_steps", "mask", "gradients"}
    assert set(told.values()) == {"not written yet."}


def test_a_score_that_depends_on_the_order_of_the_batch_is_caught() -> None:
    source = "def multiplicative_scores(query, keys, weight=None):\n    return (query @ keys.flatten(0, 1).T)[:, :5]\n"
    assert "dot" in lost("multiplicative_scores", source)
