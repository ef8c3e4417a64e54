"""Assignment 07, the larger piece: the mixture of experts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.grading.spec import Exercise, Line, Misconception, random_state, random_tensor
from course_lib.grading.specs._cases import spread_logits
from course_lib.models import modern as reference

SENTENCES, LENGTH = 8, 12  # where the work is measured: a third of the positions for each of six experts
WIDTH, WIDE = 7, 40  # of the inputs and of the experts there
NEEDED = SENTENCES * LENGTH * 2 * 3 * WIDTH * WIDE  # multiplications in two experts for each position


def _probe(
    rng: np.random.Generator,
    logits: torch.Tensor,
    *,
    d_model: int,
    dim_feedforward: int = 5,
    num_active: int,
    broken: int | None = None,
    **options: Any,
) -> Probe:
    """A call in which the router gives these logits (..., num_experts); d_model >= num_experts.

    The router's rows are orthonormal, so an input is the logits times the router, plus what the router does not see.

    Args:
        broken: an expert whose weights are not numbers; nobody may choose it.
    """
    num_experts = logits.shape[-1]
    init = {
        "d_model": d_model,
        "dim_feedforward": dim_feedforward,
        "num_experts": num_experts,
        "num_active": num_active,
    }
    axes, _ = torch.linalg.qr(random_tensor(rng, d_model, d_model))  # (d_model, d_model), orthonormal columns
    router, rest = axes[:, :num_experts].T, axes[:, num_experts:].T
    unseen = random_tensor(rng, *logits.shape[:-1], d_model - num_experts)
    state = random_state(reference.MixtureOfExperts(**init), rng) | {"router.weight": router.round(decimals=4)}
    if broken is not None:
        lost = {name: torch.full_like(value, torch.nan) for name, value in state.items() if f"s.{broken}." in name}
        state |= lost
    return Probe(
        target="MixtureOfExperts",
        init=init,
        state=state,
        args=((logits @ router + unseen @ rest).round(decimals=4),),
        **options,
    )


def _mixture(
    *settings: tuple[tuple[int, ...], int, int], gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (shape of the logits, num_active, d_model); for gradients every expert is chosen."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for shape, num_active, d_model in settings:
            logits = _in_turn(rng, shape, num_active) if gradients else spread_logits(rng, *shape)
            probes.append(_probe(rng, logits, d_model=d_model, num_active=num_active, gradients=gradients))
        return probes

    return cases


def _in_turn(rng: np.random.Generator, shape: tuple[int, ...], num_active: int) -> torch.Tensor:
    """Logits by which the experts are chosen in turn, so that all are used alike."""
    num_experts = shape[-1]
    positions = torch.arange(int(np.prod(shape[:-1])))
    logits = torch.from_numpy(np.round(rng.uniform(-1, 0, size=(len(positions), num_experts)), 4))
    for choice in range(num_active):
        gains = torch.from_numpy(np.round(rng.uniform(0, 0.2, size=len(positions)), 4))
        logits[positions, (positions + choice) % num_experts] = 2 - 0.5 * choice + gains
    return logits.reshape(shape)


def _work(rng: np.random.Generator) -> list[Probe]:
    """Many positions, evenly routed, whose multiplications are counted; and an expert that is broken and not needed."""
    turns = _in_turn(rng, (SENTENCES, LENGTH, 6), 2)
    unwanted = spread_logits(rng, 2, 4, 5)
    broken = int(rng.integers(5))
    unwanted[..., broken] = unwanted.amin() - 1
    return [
        _probe(rng, unwanted, d_model=6, num_active=2, broken=broken),
        _probe(rng, turns, d_model=WIDTH, dim_feedforward=WIDE, num_active=2, watch=True),
    ]


ROUTE = "weights, chosen = top_k_routing(self.router(tokens), num_active=self.num_active)  # (positions, num_active)"
WHO = "token, place = (chosen == number).nonzero(as_tuple=True)"
ADD = "output = output.index_add(0, token, weights[token, place, None] * expert(tokens[token]))"
BACK = "return output.reshape(x.shape)"

mixture_of_experts = Exercise(
    name="MixtureOfExperts",
    reference=reference.MixtureOfExperts,
    uses=("SwiGLU", "top_k_routing"),
    lines=[
        Line(
            name="output",
            text="each position gets the weighted sum of its chosen experts",
            points=2,
            cases=_mixture(((2, 5, 4), 2, 6), ((3, 2, 5), 3, 7), ((2, 4, 3), 1, 5)),
        ),
        Line(
            name="all_active",
            text="with all experts at work: the weighted sum of all",
            points=1,
            cases=_mixture(((2, 4, 3), 3, 5), ((3, 2, 4), 4, 6)),
        ),
        Line(
            name="axes",
            text="the same for a single vector, and with more axes",
            points=1,
            cases=_mixture(((4,), 2, 6), ((7, 3), 2, 5), ((2, 3, 2, 4), 2, 5)),
        ),
        Line(
            name="work",
            text="an expert computes only the positions that chose it",
            points=1,
            cases=_work,
            properties=[Property("few_multiplications", {"limit": 2 * NEEDED})],
        ),
        Line(
            name="gradients",
            text="the gradients by the input, the router and all experts",
            points=1,
            cases=_mixture(((2, 3, 3), 2, 5), gradients=("0", "state")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="every_expert_sees_every_position",
            says="Each of your experts computes all positions, and most of it is multiplied by zero; hand it only "
            "those that chose it.",
            line="work",
            edits=[
                (WHO, "weight = (weights * (chosen == number)).sum(dim=-1, keepdim=True)"),
                (ADD, "output = output + weight * expert(tokens)"),
            ],
        ),
        Misconception(
            name="outputs_not_weighted",
            says="You add the chosen experts' outputs as they are; weigh each by what the router says.",
            line="output",
            edits=[("weights[token, place, None] * expert", "expert")],
        ),
        Misconception(
            name="mean_of_the_chosen",
            says="You take the mean of the chosen experts; weigh each by what the router says.",
            line="output",
            edits=[("weights[token, place, None] * expert", "1 / self.num_active * expert")],
        ),
        Misconception(
            name="only_the_first_choice",
            says="Only each position's first choice works; all num_active of them are added.",
            line="output",
            edits=[(WHO, "token = (chosen[:, 0] == number).nonzero()[:, 0]\n            place = token * 0")],
        ),
        Misconception(
            name="written_over",
            says="A later expert writes over what an earlier one gave; add the contributions.",
            line="output",
            edits=[("output.index_add(0,", "output.index_copy(0,")],
        ),
        Misconception(
            name="weights_in_another_order",
            says="You take the first choice's weight for every expert; each choice has its own.",
            line="output",
            edits=[("weights[token, place, None]", "weights[token, 0, None]")],
        ),
        Misconception(
            name="weighted_before_the_expert",
            says="You weigh what the expert reads; weigh what it gives.",
            line="output",
            edits=[
                (
                    "weights[token, place, None] * expert(tokens[token])",
                    "expert(weights[token, place, None] * tokens[token])",
                )
            ],
        ),
        Misconception(
            name="softmax_over_all",
            says="Your weights come from a softmax over all experts, so those of a position sum to less than 1; the "
            "chosen ones share it.",
            line="output",
            edits=[
                (
                    ROUTE,
                    "weights, chosen = self.router(tokens).softmax(dim=-1).topk(self.num_active, dim=-1)",
                )
            ],
        ),
        Misconception(
            name="softmax_twice",
            says="You route by probabilities instead of logits, so that a second softmax makes the weights nearly "
            "equal; hand the router's logits to top_k_routing.",
            line="output",
            edits=[("self.router(tokens)", "self.router(tokens).softmax(dim=-1)")],
        ),
        Misconception(
            name="all_experts_mixed",
            says="All your experts work for every position; only the num_active chosen ones do.",
            line="output",
            edits=[("num_active=self.num_active)", "num_active=len(self.experts))")],
        ),
        Misconception(
            name="two_always",
            says="You always choose two experts; `self.num_active` says how many.",
            line="output",
            edits=[("num_active=self.num_active)", "num_active=2)")],
        ),
        Misconception(
            name="residual_inside",
            says="You add the input to the output; the residual connection belongs to the block.",
            line="output",
            edits=[(BACK, "return x + output.reshape(x.shape)")],
        ),
        Misconception(
            name="router_detached",
            says="Your numbers are right, but no gradient reaches the router; leave out `.detach()`.",
            line="gradients",
            edits=[("weights[token, place, None] *", "weights[token, place, None].detach() *")],
        ),
    ],
)
