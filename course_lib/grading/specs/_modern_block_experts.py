"""Assignment 07, the router and what surrounds it: exercises 4 to 6."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from course_lib.check.probe import Probe
from course_lib.grading.spec import Exercise, Line, Misconception
from course_lib.grading.specs._cases import spread_logits
from course_lib.models import modern as reference


def _logits(
    target: str, *settings: tuple[tuple[int, ...], int], gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (shape of the logits, num_active); of the logits about half are negative."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for shape, active in settings:
            logits = spread_logits(rng, *shape)
            logits = (logits - logits.mean()).round(decimals=4)
            probes.append(Probe(target=target, args=(logits,), kwargs={"num_active": active}, gradients=gradients))
        return probes

    return cases


TOP = "best, experts = logits.topk(num_active, dim=-1)  # (..., num_active) each"
SHARED = "return best.softmax(dim=-1), experts"

top_k_routing = Exercise(
    name="top_k_routing",
    reference=reference.top_k_routing,
    returns=("the weights", "the experts"),
    lines=[
        Line(
            name="output",
            text="the largest logits are chosen, and share the weight 1",
            points=2,
            cases=_logits("top_k_routing", ((7, 5), 2), ((2, 4, 6), 3), ((5,), 2)),
        ),
        Line(
            name="ends",
            text="one expert with the weight 1; all experts",
            points=1,
            cases=_logits("top_k_routing", ((3, 5), 1), ((2, 3, 4), 4)),
        ),
        Line(
            name="gradients",
            text="the gradient of the weights by the logits",
            points=1,
            cases=_logits("top_k_routing", ((4, 6), 3), gradients=("0",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="softmax_over_all",
            says="Your weights come from a softmax over all experts and are not renormalised, so those of a row sum to "
            "less than 1; the chosen ones share it.",
            line="output",
            edits=[
                (TOP, "best, experts = logits.softmax(dim=-1).topk(num_active, dim=-1)"),
                (SHARED, "return best, experts"),
            ],
        ),
        Misconception(
            name="softmax_twice",
            says="You take a softmax over all experts and another one over the chosen probabilities, which makes the "
            "weights nearly equal; one softmax, over the chosen logits.",
            line="output",
            edits=[("logits.topk(", "logits.softmax(dim=-1).topk(")],
        ),
        Misconception(
            name="equal_weights",
            says="All your chosen experts have the same weight; the router says how much each of them counts.",
            line="output",
            edits=[(SHARED, "return torch.ones_like(best) / num_active, experts")],
        ),
        Misconception(
            name="logits_returned",
            says="You return the chosen logits; their softmax is asked for.",
            line="output",
            edits=[(SHARED, "return best, experts")],
        ),
        Misconception(
            name="divided_by_their_sum",
            says="You divide the chosen logits by their sum, which may be negative; take their softmax.",
            line="output",
            edits=[(SHARED, "return best / best.sum(dim=-1, keepdim=True), experts")],
        ),
        Misconception(
            name="sigmoid",
            says="Your weights are sigmoids divided by their sum, as in some later models; here it is a softmax.",
            line="output",
            edits=[(SHARED, "best = best.sigmoid()\n    return best / best.sum(dim=-1, keepdim=True), experts")],
        ),
        Misconception(
            name="smallest_chosen",
            says="You choose the experts with the smallest logits; choose the largest.",
            line="output",
            edits=[("num_active, dim=-1)", "num_active, dim=-1, largest=False)")],
        ),
        Misconception(
            name="largest_last",
            says="Your chosen experts are in ascending order; the largest comes first.",
            line="output",
            edits=[(SHARED, "return best.softmax(dim=-1).flip(-1), experts.flip(-1)")],
        ),
        Misconception(
            name="experts_sorted_by_number",
            says="You sort the experts by their numbers and not their weights with them, so weights fall on the wrong "
            "experts.",
            line="output",
            edits=[(SHARED, "return best.softmax(dim=-1), experts.sort(dim=-1).values")],
        ),
        Misconception(
            name="over_the_positions",
            says="Your softmax runs over the first axis; it runs over the chosen experts, the last one.",
            line="output",
            edits=[(SHARED, "return best.softmax(dim=0), experts")],
        ),
        Misconception(
            name="weights_detached",
            says="Your numbers are right, but no gradient reaches the router, which can then learn nothing; leave out "
            "`.detach()` and `torch.no_grad()`.",
            line="gradients",
            edits=[(SHARED, "return best.detach().softmax(dim=-1), experts")],
        ),
    ],
)

CHOSEN = "_, chosen = top_k_routing(logits, num_active=num_active)"
SHARE = "share = F.one_hot(chosen, num_experts).to(logits).reshape(-1, num_experts).mean(dim=0)  # (num_experts,)"
PROBABILITY = "probability = logits.softmax(dim=-1).reshape(-1, num_experts).mean(dim=0)  # (num_experts,)"
BALANCE = "return num_experts * (share * probability).sum()"

load_balance_loss = Exercise(
    name="load_balance_loss",
    reference=reference.load_balance_loss,
    returns=("the loss",),
    uses=("top_k_routing",),
    lines=[
        Line(
            name="output",
            text="shares of the choices times mean probabilities",
            points=2,
            cases=_logits("load_balance_loss", ((7, 5), 2), ((4, 6), 3), ((9, 4), 1)),
        ),
        Line(
            name="axes",
            text="all leading axes count as positions",
            points=1,
            cases=_logits("load_balance_loss", ((2, 5, 4), 2), ((3, 2, 4, 5), 1), ((6,), 2)),
        ),
        Line(
            name="gradients",
            text="the gradient by the logits",
            points=1,
            cases=_logits("load_balance_loss", ((5, 4), 2), ((2, 4, 6), 3), gradients=("0",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="not_times_the_experts",
            says="The factor num_experts is missing: evenly used experts give 1.",
            line="output",
            edits=[(BALANCE, "return (share * probability).sum()")],
        ),
        Misconception(
            name="mean_over_the_experts",
            says="You take the mean over the experts; it is num_experts times the sum.",
            line="output",
            edits=[(BALANCE, "return (share * probability).mean()")],
        ),
        Misconception(
            name="divided_by_the_positions_alone",
            says="Your shares sum to num_active, since you divide the counts by the positions; divide by the number of "
            "all choices.",
            line="output",
            edits=[("share = F.one_hot", "share = num_active * F.one_hot")],
        ),
        Misconception(
            name="only_the_first_choice_counted",
            says="You count only each position's first choice; all its choices count.",
            line="output",
            edits=[("F.one_hot(chosen, num_experts)", "F.one_hot(chosen[..., 0], num_experts)")],
        ),
        Misconception(
            name="probability_of_the_chosen",
            says="Your probabilities are the weights of the chosen experts; take the softmax over all experts.",
            line="output",
            edits=[
                (CHOSEN, "weights, chosen = top_k_routing(logits, num_active=num_active)"),
                ("logits.softmax(dim=-1).reshape", "torch.zeros_like(logits).scatter(-1, chosen, weights).reshape"),
            ],
        ),
        Misconception(
            name="counts_squared",
            says="You multiply the shares by themselves; the second factor is the mean probability, through which the "
            "router learns.",
            line="output",
            edits=[(BALANCE, "return num_experts * (share * share).sum()")],
        ),
        Misconception(
            name="probabilities_squared",
            says="You multiply the mean probabilities by themselves; the first factor is the share of the choices.",
            line="output",
            edits=[(BALANCE, "return num_experts * (probability * probability).sum()")],
        ),
        Misconception(
            name="product_before_the_mean",
            says="You multiply position by position and take the mean afterwards; take both means first.",
            line="output",
            edits=[
                (SHARE, SHARE.replace(".reshape(-1, num_experts).mean(dim=0)", ".mean(dim=-2)")),
                (PROBABILITY, "probability = logits.softmax(dim=-1)"),
                (BALANCE, "return num_experts * (share * probability).sum(dim=-1).mean()"),
            ],
        ),
        Misconception(
            name="logits_as_they_are",
            says="Your second factor is the mean of the logits; take their softmax first.",
            line="output",
            edits=[("logits.softmax(dim=-1).reshape", "logits.reshape")],
        ),
        Misconception(
            name="softmax_over_the_positions",
            says="Your softmax runs over the positions; it runs over the experts, the last axis.",
            line="output",
            edits=[("logits.softmax(dim=-1).reshape", "logits.softmax(dim=0).reshape")],
        ),
        Misconception(
            name="each_place_apart",
            says="You take the means over the first axis only; all leading axes are positions.",
            line="axes",
            edits=[
                (
                    SHARE,
                    "share = F.one_hot(chosen, num_experts).to(logits).mean(dim=-2)\n"
                    "    share = share.mean(dim=0) if share.dim() > 1 else share",
                ),
                (
                    PROBABILITY,
                    "probability = logits.softmax(dim=-1)\n"
                    "    probability = probability.mean(dim=0) if probability.dim() > 1 else probability",
                ),
            ],
        ),
        Misconception(
            name="probability_detached",
            says="Your number is right and has no gradient, so it teaches nothing; leave out `.detach()`.",
            line="gradients",
            edits=[("(share * probability)", "(share * probability.detach())")],
        ),
    ],
)


def _sizes(*settings: tuple[int, int, int, int]) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (d_model, dim_feedforward, num_experts, num_active), each a little larger by chance."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for d_model, dim_feedforward, num_experts, num_active in settings:
            sizes = {
                "d_model": d_model + int(rng.integers(4)),
                "dim_feedforward": dim_feedforward + int(rng.integers(4)),
                "num_experts": num_experts,
                "num_active": num_active,
            }
            probes.append(Probe(target="parameter_counts", kwargs=sizes))
        return probes

    return cases


ALWAYS = "always = 4 * (d_model**2 + d_model) + 2 * d_model + num_experts * d_model"
EXPERT = "expert = 3 * d_model * dim_feedforward"
ACTIVE = '"active": always + num_active * expert'

parameter_counts = Exercise(
    name="parameter_counts",
    reference=reference.parameter_counts,
    returns=("the counts",),
    lines=[
        Line(
            name="total",
            text="both counts where all experts work",
            points=1.5,
            cases=_sizes((5, 11, 3, 3), (64, 170, 8, 8)),
        ),
        Line(
            name="active",
            text="both counts where some experts rest",
            points=1.5,
            cases=_sizes((5, 11, 7, 3), (64, 170, 8, 2), (12, 20, 4, 1)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="all_experts_active",
            says="You count all experts as active; only num_active of them work for a position.",
            line="active",
            edits=[(ACTIVE, '"active": always + num_experts * expert')],
        ),
        Misconception(
            name="one_expert_active",
            says="You count one active expert; num_active of them work for a position.",
            line="active",
            edits=[(ACTIVE, '"active": always + expert')],
        ),
        Misconception(
            name="only_active_experts",
            says="Your active parameters are those of the experts alone; attention, norms and router work as well.",
            line="active",
            edits=[(ACTIVE, '"active": num_active * expert')],
        ),
        Misconception(
            name="active_share_of_all",
            says="You take a share of all parameters; attention, norms and router work for each position, and only the "
            "experts are chosen.",
            line="active",
            edits=[(ACTIVE, '"active": (always + num_experts * expert) * num_active // num_experts')],
        ),
        Misconception(
            name="router_of_the_active_only",
            says="You count the router's rows of the chosen experts only; to choose, it needs all of them.",
            line="active",
            edits=[(ACTIVE, '"active": always - (num_experts - num_active) * d_model + num_active * expert')],
        ),
        Misconception(
            name="router_missing",
            says="The router is missing: one linear layer from d_model to num_experts.",
            line="total",
            edits=[(ALWAYS, "always = 4 * (d_model**2 + d_model) + 2 * d_model")],
        ),
        Misconception(
            name="router_with_bias",
            says="You count a bias of the router; it has none.",
            line="total",
            edits=[(ALWAYS, f"{ALWAYS} + num_experts")],
        ),
        Misconception(
            name="norms_missing",
            says="The norms are missing: each has a scale for each channel.",
            line="total",
            edits=[("+ 2 * d_model + num", "+ num")],
        ),
        Misconception(
            name="norms_with_shifts",
            says="You count four vectors for the norms, as LayerNorm has them; RMSNorm has a scale and no shift.",
            line="total",
            edits=[("+ 2 * d_model + num", "+ 4 * d_model + num")],
        ),
        Misconception(
            name="attention_without_biases",
            says="The biases of the attention are missing: d_model for each of its four projections.",
            line="total",
            edits=[("4 * (d_model**2 + d_model)", "4 * d_model**2")],
        ),
        Misconception(
            name="three_projections",
            says="You count three projections of the attention; the output projection is the fourth.",
            line="total",
            edits=[("4 * (d_model**2 + d_model)", "3 * (d_model**2 + d_model)")],
        ),
        Misconception(
            name="two_matrices",
            says="You count two matrices for each expert; SwiGLU has three, since it widens twice.",
            line="total",
            edits=[(EXPERT, "expert = 2 * d_model * dim_feedforward")],
        ),
        Misconception(
            name="experts_with_biases",
            says="You count biases of the experts; SwiGLU has none.",
            line="total",
            edits=[(EXPERT, f"{EXPERT} + 2 * dim_feedforward + d_model")],
        ),
    ],
)
