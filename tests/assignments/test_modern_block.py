"""Assignment 07: what is ruled out there, and mistakes that only this assignment can be made with."""

from __future__ import annotations

import pytest

from course_lib.grading.draw import PUBLIC_SEED, draw
from course_lib.grading.kill_table import judge_source
from course_lib.grading.spec import assignment

SPEC = assignment("07-modern-block")


def lost(name: str, source: str) -> dict[str, str]:
    """The rubric lines that an answer loses, each with what the student is told."""
    result = judge_source(SPEC, draw(SPEC, SPEC.exercise(name), seed=PUBLIC_SEED), source)
    return {line.line.name: line.finding.message for line in result.lines if line.finding}


LIBRARY = {
    "F.rms_norm": """
def rms_norm(x, weight, *, eps=1e-5):
    return F.rms_norm(x, x.shape[-1:], weight, eps)
""",
    "nn.RMSNorm": """
def rms_norm(x, weight, *, eps=1e-5):
    return nn.RMSNorm(x.shape[-1], eps=eps, elementwise_affine=False)(x) * weight
""",
    "F.normalize": """
def rms_norm(x, weight, *, eps=1e-5):
    return F.normalize(x, dim=-1) * math.sqrt(x.shape[-1]) * weight
""",
}


@pytest.mark.parametrize("way", LIBRARY)
def test_a_norm_that_the_library_computes_earns_nothing_and_is_named(way: str) -> None:
    told = lost("rms_norm", LIBRARY[way])
    assert set(told) == {line.name for line in SPEC.exercise("rms_norm").lines}
    assert all(f"it uses {way}" in message for message in told.values())


@pytest.mark.parametrize("root", ["(mean_square.sqrt() + eps)", "mean_square.sqrt()", "(mean_square + 1e-5).sqrt()"])
def test_a_mistake_about_epsilon_costs_its_own_line_only(root: str) -> None:
    source = f"""
def rms_norm(x, weight, *, eps=1e-5):
    mean_square = x.square().mean(dim=-1, keepdim=True)
    return x / {root} * weight
"""
    assert set(lost("rms_norm", source)) == {"eps"}


def test_experts_chosen_by_the_size_of_their_logits_lose_every_line_where_some_rest() -> None:
    source = """
def top_k_routing(logits, *, num_active):
    experts = logits.abs().topk(num_active, dim=-1).indices
    return logits.gather(-1, experts).softmax(dim=-1), experts
"""
    assert set(lost("top_k_routing", source)) >= {"output", "gradients"}


def test_a_block_that_is_pytorchs_own_earns_nothing() -> None:
    source = """
class PreNormBlock(nn.TransformerEncoderLayer):
    def __init__(self, *, d_model, num_heads, dim_feedforward):
        super().__init__(d_model, num_heads, dim_feedforward, batch_first=True, norm_first=True)
"""
    assert set(lost("PreNormBlock", source)) == {line.name for line in SPEC.exercise("PreNormBlock").lines}


MIXTURE = """
class MixtureOfExperts(nn.Module):
    def __init__(self, *, d_model, dim_feedforward, num_experts, num_active):
        super().__init__()
        self.num_active = num_active
        self.router = nn.Linear(d_model, num_experts, bias=False)
        self.experts = nn.ModuleList(
            SwiGLU(d_model=d_model, dim_feedforward=dim_feedforward) for _ in range(num_experts)
        )

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        weights, chosen = top_k_routing(self.router(tokens), num_active=self.num_active)
"""


@pytest.mark.parametrize(
    "rest",
    [
        """
        table = torch.zeros(len(tokens), len(self.experts), dtype=x.dtype).scatter(1, chosen, weights)
        outputs = torch.stack([expert(tokens) for expert in self.experts], dim=1)
        return torch.where(table[..., None] > 0, table[..., None] * outputs, 0).sum(1).reshape(x.shape)
""",
        """
        output = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            everywhere = expert(tokens)
            for place in range(self.num_active):
                mine = chosen[:, place] == number
                output[mine] += weights[mine, place, None] * everywhere[mine]
        return output.reshape(x.shape)
""",
        """
        rows = []
        for position, weight, numbers in zip(tokens, weights, chosen.tolist()):
            outputs = [expert(position) for expert in self.experts]
            rows.append(sum(w * outputs[number] for w, number in zip(weight, numbers)))
        return torch.stack(rows).reshape(x.shape)
""",
        """
        output = torch.zeros_like(tokens)
        for rows in torch.arange(len(tokens)).split(4):
            for number, expert in enumerate(self.experts):
                everywhere = expert(tokens[rows])
                for place in range(self.num_active):
                    mine = chosen[rows, place] == number
                    output[rows[mine]] += weights[rows[mine], place, None] * everywhere[mine]
        return output.reshape(x.shape)
""",
    ],
    ids=["a table of zeros", "rows taken afterwards", "position by position", "piece by piece"],
)
def test_experts_that_compute_all_positions_lose_the_line_about_the_work_and_no_other(rest: str) -> None:
    told = lost("MixtureOfExperts", MIXTURE + rest)
    assert set(told) == {"work"}
    assert "multiplications were made on the way" in told["work"]


def test_a_mixture_that_needs_batch_and_length_loses_other_shapes() -> None:
    source = MIXTURE.replace("tokens = x.reshape", "batch, length, d_model = x.shape\n        tokens = x.reshape")
    source += """
        output = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            token, place = (chosen == number).nonzero(as_tuple=True)
            output = output.index_add(0, token, weights[token, place, None] * expert(tokens[token]))
        return output.reshape(x.shape)
"""
    told = lost("MixtureOfExperts", source)
    assert set(told) == {"axes"}
    assert "not enough values to unpack" in told["axes"]
