"""Assignment 06, from logits to a distribution: exercises 5 to 7."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.grading.spec import Constant, Exercise, Line, Misconception
from course_lib.grading.specs._cases import spread_logits
from course_lib.models import decoding as reference


def _logits(
    target: str, name: str, *settings: tuple[tuple[int, ...], float | None], ruled_out: bool = False, scale: float = 1.0
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (shape, value of the keyword ``name``, or None to leave it out).

    ``ruled_out`` puts minus infinity into one place of each row.
    """

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for shape, value in settings:
            logits = scale * spread_logits(rng, *shape)
            if ruled_out:
                place = torch.from_numpy(rng.integers(shape[-1], size=(*shape[:-1], 1)))
                logits = logits.scatter(-1, place, -torch.inf)
            probes.append(Probe(target=target, args=(logits,), kwargs={} if value is None else {name: value}))
        return probes

    return cases


def _overflowing(rng: np.random.Generator) -> list[Probe]:
    """Logits whose exponentials are no numbers any more."""
    draw = _logits("temperature_softmax", "temperature", ((2, 4), 0.4), scale=1000.0)
    while (probes := draw(rng))[0].args[0].max() < 400:
        pass
    return probes


REFUSE_TEMPERATURE = """    if temperature <= 0:
        raise ValueError(f"a temperature is above 0, not {temperature}")
"""
SOFTMAX = "return (logits / temperature).softmax(dim=-1)"

temperature_softmax = Exercise(
    name="temperature_softmax",
    reference=reference.temperature_softmax,
    returns=("the probabilities",),
    lines=[
        Line(
            name="output",
            text="temperatures below and above 1, logits of any shape",
            points=1,
            cases=_logits(
                "temperature_softmax", "temperature", ((3, 5), 0.5), ((2, 3, 4), 2.5), ((6,), None), ((2, 7), 0.7)
            ),
        ),
        Line(
            name="infinite",
            text="large logits, and minus infinity for tokens that are ruled out",
            points=0.5,
            cases=lambda rng: [
                *_logits("temperature_softmax", "temperature", ((3, 5), 1.6), ruled_out=True)(rng),
                *_overflowing(rng),
            ],
        ),
        Line(
            name="refused",
            text="ValueError for a temperature that is not above 0",
            points=0.5,
            cases=_logits("temperature_softmax", "temperature", ((2, 4), 0.0), ((3, 5), -0.8)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="multiplied",
            says="You multiply by T, so your low temperatures flatten and your high ones sharpen; divide the logits.",
            line="output",
            edits=[(SOFTMAX, "return (logits * temperature).softmax(dim=-1)")],
        ),
        Misconception(
            name="temperature_ignored",
            says="Your probabilities do not depend on T; divide the logits by it.",
            line="output",
            edits=[(SOFTMAX, "return logits.softmax(dim=-1)")],
        ),
        Misconception(
            name="after_the_softmax",
            says="You divide the probabilities by T, and they no longer sum to one; divide the logits, before the "
            "softmax.",
            line="output",
            edits=[(SOFTMAX, "return logits.softmax(dim=-1) / temperature")],
        ),
        Misconception(
            name="root_without_normalising",
            says="You raise the probabilities to 1/T and leave them so; they must be divided by their sum again.",
            line="output",
            edits=[(SOFTMAX, "return logits.softmax(dim=-1) ** (1 / temperature)")],
        ),
        Misconception(
            name="power_of_the_temperature",
            says="You raise the probabilities to T instead of 1/T, and divide by the sum.",
            line="output",
            edits=[(SOFTMAX, "return F.normalize(logits.softmax(dim=-1) ** (temperature**2), p=1, dim=-1)")],
        ),
        Misconception(
            name="not_normalised",
            says="You return exponentials; divide them by their sum.",
            line="output",
            edits=[(SOFTMAX, "return (logits / temperature).exp()")],
        ),
        Misconception(
            name="logarithms_returned",
            says="You return log-probabilities; probabilities are asked for.",
            line="output",
            edits=[("softmax(dim=-1)", "log_softmax(dim=-1)")],
        ),
        Misconception(
            name="first_axis",
            says="Your softmax runs over the first axis; it runs over the vocabulary, the last one.",
            line="output",
            edits=[("softmax(dim=-1)", "softmax(dim=0)")],
        ),
        Misconception(
            name="overflow",
            says="Your exponentials become infinite for large logits; `softmax` subtracts the largest one first.",
            line="infinite",
            edits=[
                (SOFTMAX, "weights = (logits / temperature).exp()\n    return weights / weights.sum(-1, keepdim=True)")
            ],
        ),
        Misconception(
            name="zero_accepted",
            says="You compute with a temperature of 0 or below; raise ValueError.",
            line="refused",
            edits=[(REFUSE_TEMPERATURE, "")],
        ),
        Misconception(
            name="only_negative_refused",
            says="You refuse negative temperatures and divide by 0; raise ValueError for 0 too.",
            line="refused",
            edits=[("temperature <= 0", "temperature < 0")],
        ),
    ],
    constants=[
        Constant(argument="temperature", plain=1.0, choices=[0.4, 0.6, 0.8, 1.2, 1.5, 1.8, 2.0, 3.0], line="output")
    ],
)

REFUSE_K = """    if k < 1:
        raise ValueError(f"at least one token must stay, but k is {k}")
"""
BORDER = "border = logits.topk(k, dim=-1).values[..., -1:]"
KEEP = "return logits.masked_fill(logits < border, -torch.inf)"

top_k_filter = Exercise(
    name="top_k_filter",
    reference=reference.top_k_filter,
    returns=("the logits",),
    lines=[
        Line(
            name="output",
            text="the k largest of each row stay as they are, in their places",
            points=1,
            cases=_logits("top_k_filter", "k", ((3, 7), 3), ((2, 4, 6), 2), ((8,), 5), ((4, 5), 1)),
        ),
        Line(
            name="all_stay",
            text="k at least as large as the vocabulary",
            points=0.5,
            cases=_logits("top_k_filter", "k", ((3, 5), 5), ((2, 4), 9)),
        ),
        Line(
            name="refused",
            text="ValueError for k below 1",
            points=0.5,
            cases=_logits("top_k_filter", "k", ((3, 5), 0), ((2, 4), -2)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="zeros",
            says="You put 0 in place of the others, and e⁰ is no small weight; put minus infinity.",
            line="output",
            edits=[(KEEP, "return logits.masked_fill(logits < border, 0.0)")],
        ),
        Misconception(
            name="after_the_softmax",
            says="You filter probabilities, and what is left does not sum to one; filter the logits, the softmax comes "
            "later.",
            line="output",
            edits=[(KEEP, "return logits.softmax(dim=-1).masked_fill(logits < border, 0.0)")],
        ),
        Misconception(
            name="probabilities_returned",
            says="You return the probabilities of what stays; return its logits.",
            line="output",
            edits=[(KEEP, "return logits.masked_fill(logits < border, -torch.inf).softmax(dim=-1)")],
        ),
        Misconception(
            name="only_the_largest_returned",
            says="You return k numbers for each row; the others stay in their places, as minus infinity.",
            line="output",
            edits=[(KEEP, "return logits.topk(k, dim=-1).values")],
        ),
        Misconception(
            name="smallest_kept",
            says="You keep the k smallest; keep the largest.",
            line="output",
            edits=[
                (BORDER, "border = logits.topk(k, dim=-1, largest=False).values[..., -1:]"),
                ("logits < border", "logits > border"),
            ],
        ),
        Misconception(
            name="one_too_few",
            says="You drop the k-th largest as well; it is one of the k.",
            line="output",
            edits=[("logits < border", "logits <= border")],
        ),
        Misconception(
            name="one_too_many",
            says="You keep k + 1 tokens; the k-th largest is the border.",
            line="output",
            edits=[("k = min(k, logits.shape[-1])", "k = min(k + 1, logits.shape[-1])")],
        ),
        Misconception(
            name="one_border_for_the_batch",
            says="You keep the k largest of the whole batch; each row has its own border.",
            line="output",
            edits=[(BORDER, "border = logits.flatten().topk(k).values[-1]")],
        ),
        Misconception(
            name="nothing_left_accepted",
            says="With k below 1 no token stays, and you go on; raise ValueError.",
            line="refused",
            edits=[(REFUSE_K, ""), ("k = min(k, logits.shape[-1])", "k = max(1, min(k, logits.shape[-1]))")],
        ),
        Misconception(
            name="error_of_topk",
            says="k below 1 ends in PyTorch's own error; look first, and raise ValueError.",
            line="refused",
            edits=[(REFUSE_K, "")],
        ),
    ],
)

REFUSE_P = """    if p <= 0 or p > 1:
        raise ValueError(f"p is a probability above 0 and at most 1, not {p}")
"""
SORT = "ordered, places = logits.sort(dim=-1, descending=True)"
PROBABILITIES = "probabilities = ordered.softmax(dim=-1)"
BEFORE = "before = probabilities.cumsum(dim=-1) - probabilities"
CUT = "kept = ordered.masked_fill(before >= p, -torch.inf)"
BACK = "return torch.empty_like(logits).scatter(-1, places, kept)"

top_p_filter = Exercise(
    name="top_p_filter",
    reference=reference.top_p_filter,
    returns=("the logits",),
    lines=[
        Line(
            name="output",
            text="the smallest set of likeliest tokens that reaches p, in each row",
            points=1.5,
            cases=_logits("top_p_filter", "p", ((3, 7), 0.7), ((2, 4, 6), 0.5), ((8,), 0.85), ((4, 5), 0.15)),
        ),
        Line(
            name="small",
            text="the likeliest token stays, however small p is",
            points=0.5,
            cases=lambda rng: [  # far below zero, so that a sum of logits never reaches p
                replace(probe, args=(probe.args[0] - 20.0,))
                for probe in _logits("top_p_filter", "p", ((3, 6), 0.02), ((2, 5), 0.1))(rng)
            ],
        ),
        Line(
            name="one",
            text="p = 1 keeps all, and what was ruled out before stays so",
            points=0.5,
            cases=lambda rng: [
                *_logits("top_p_filter", "p", ((3, 5), 1.0))(rng),
                *_logits("top_p_filter", "p", ((5, 7), 0.8), ruled_out=True)(rng),
            ],
        ),
        Line(
            name="refused",
            text="ValueError for a p that is not above 0, or above 1",
            points=0.5,
            cases=_logits("top_p_filter", "p", ((3, 5), 0.0), ((2, 4), -0.3), ((2, 4), 1.2)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="crossing_token_dropped",
            says="You drop the token that crosses p, so what stays holds less than p; a token stays if those before it "
            "hold less than p.",
            line="output",
            edits=[(BEFORE, "before = probabilities.cumsum(dim=-1)")],
        ),
        Misconception(
            name="crossing_dropped_but_for_the_first",
            says="You drop the token that crosses p and save only the likeliest; the crossing token stays too.",
            line="output",
            edits=[(BEFORE, "before = probabilities.cumsum(dim=-1)\n    before[..., 0] = 0.0")],
        ),
        Misconception(
            name="one_too_many",
            says="You keep one token behind the one that crosses p; the crossing one is the last.",
            line="output",
            edits=[
                (
                    BEFORE,
                    "before = (probabilities.cumsum(dim=-1) - probabilities).roll(1, -1)\n    before[..., 0] = 0.0",
                )
            ],
        ),
        Misconception(
            name="each_token_against_p",
            says="You compare each token's own probability with 1 - p; what counts is what the likelier ones hold "
            "together.",
            line="output",
            edits=[(CUT, "kept = ordered.masked_fill(probabilities < 1 - p, -torch.inf)")],
        ),
        Misconception(
            name="from_the_unlikeliest",
            says="You add up from the unlikeliest token on; start with the likeliest.",
            line="output",
            edits=[("descending=True", "descending=False")],
        ),
        Misconception(
            name="added_up_over_the_first_axis",
            says="You add up over the first axis, so one row decides about the next; `cumsum` needs the last axis.",
            line="output",
            edits=[(BEFORE, "before = probabilities.cumsum(dim=0) - probabilities")],
        ),
        Misconception(
            name="not_sorted",
            says="You add up in the order of the vocabulary; sort by probability first.",
            line="output",
            edits=[(SORT, "ordered, places = logits, torch.arange(logits.shape[-1]).expand_as(logits)")],
        ),
        Misconception(
            name="places_lost",
            says="Your logits are sorted; bring each back to the place of its token.",
            line="output",
            edits=[(BACK, "return kept")],
        ),
        Misconception(
            name="gathered_back",
            says="You use the places the wrong way round: gather fetches from a place, scatter writes to it.",
            line="output",
            edits=[(BACK, "return kept.gather(-1, places)")],
        ),
        Misconception(
            name="zeros",
            says="You put 0 in place of the others, and e⁰ is no small weight; put minus infinity.",
            line="output",
            edits=[("before >= p, -torch.inf", "before >= p, 0.0")],
        ),
        Misconception(
            name="after_the_softmax",
            says="You return probabilities that no longer sum to one; return the logits, the softmax comes later.",
            line="output",
            edits=[(CUT, "kept = probabilities.masked_fill(before >= p, 0.0)")],
        ),
        Misconception(
            name="probabilities_returned",
            says="You return the probabilities of what stays; return its logits.",
            line="output",
            edits=[(BACK, f"{BACK}.softmax(dim=-1)")],
        ),
        Misconception(
            name="logits_added_up",
            says="You add up logits; p is a probability, so take the softmax first.",
            line="output",
            edits=[(PROBABILITIES, "probabilities = ordered")],
        ),
        Misconception(
            name="one_distribution_for_the_batch",
            says="Your softmax runs over the first axis; each row is a distribution of its own.",
            line="output",
            edits=[(PROBABILITIES, "probabilities = ordered.softmax(dim=0)")],
        ),
        Misconception(
            name="any_p_accepted",
            says="You accept a p that is no probability above 0; raise ValueError.",
            line="refused",
            edits=[(REFUSE_P, "")],
        ),
        Misconception(
            name="zero_accepted",
            says="With p = 0 no token would be left; raise ValueError for 0 as well.",
            line="refused",
            edits=[("p <= 0 or p > 1", "p < 0 or p > 1")],
        ),
    ],
)
