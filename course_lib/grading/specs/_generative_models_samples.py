"""Assignment 10, drawing value by value, and the losses of a GAN: exercises 5 and 6."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.check.values import Code, Seed
from course_lib.grading.spec import Exercise, Line, Misconception, random_tensor
from course_lib.models import generative as reference

Model = Callable[[torch.Tensor], torch.Tensor]
ROWS = 500


def _model(rng: np.random.Generator, length: int, levels: int) -> Code:
    """Logits at each place from a drawn function of the values before it; those after it are not looked at."""
    phases = np.round(rng.uniform(0, 6.28, size=(length, levels)), 3).tolist()
    weights = np.round(rng.uniform(1.0, 2.5, size=length), 3).tolist()
    return Code(
        "def model(ids):\n"
        f"    if ids.dim() != 2 or ids.shape[1] != {length}:\n"
        f"        raise ValueError(f'The model takes rows of {length} values; these ids are {{tuple(ids.shape)}}.')\n"
        f"    phases = torch.tensor({phases})\n"
        f"    seen = (ids + 1) * torch.tensor({weights})\n"
        "    before = seen.cumsum(dim=1) - seen\n"
        "    return 2.2 * torch.sin(phases + before[..., None])\n",
        "model",
    )


def _run(model: Code) -> Model:
    """The model as a function of ours, in float64."""
    scope = {"torch": torch}
    exec(compile(model.source, "<model>", "exec"), scope)
    function: Model = scope[model.name]  # type: ignore[assignment]

    def in_float64(ids: torch.Tensor) -> torch.Tensor:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            return function(ids)
        finally:
            torch.set_default_dtype(before)

    return in_float64


def _probe(rng: np.random.Generator, length: int, levels: int) -> Probe:
    return Probe(
        target="autoregressive_sample",
        args=(_model(rng, length, levels),),
        kwargs={"count": ROWS, "length": length, "generator": Seed(int(rng.integers(2**31)))},
    )


def _rows(probe: Probe) -> torch.Tensor:
    """Every row that a probe can draw."""
    length = probe.kwargs["length"]
    levels = _run(probe.args[0])(torch.zeros(1, length, dtype=torch.long)).shape[-1]
    return torch.tensor(list(product(range(levels), repeat=length)))


def _joint(logits: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The probability of each row from the logits at its places."""
    return logits.softmax(dim=-1).gather(-1, rows[..., None]).squeeze(-1).prod(dim=1)


def _due(probe: Probe) -> tuple[torch.Tensor, torch.Tensor]:
    rows = _rows(probe)
    return rows, _joint(_run(probe.args[0])(rows), rows)


def _from_place(model: Model, rows: torch.Tensor, read: Callable[[int], int]) -> torch.Tensor:
    """The probability of each row if the value at a place is drawn from the logits at ``read`` of that place."""
    ids, probability = torch.zeros_like(rows), torch.ones(len(rows), dtype=torch.float64)
    for place in range(rows.shape[1]):
        chances = model(ids)[:, read(place)].softmax(dim=-1)
        ids[:, place] = rows[:, place]
        probability = probability * chances.gather(-1, rows[:, place, None]).squeeze(-1)
    return probability


def _one_number_for_all_places(model: Model, rows: torch.Tensor) -> torch.Tensor:
    """The probability of each row if one evenly drawn number chooses the value at every place."""
    edges = model(rows).softmax(dim=-1).cumsum(dim=-1).gather(-1, rows[..., None]).squeeze(-1)
    chances = model(rows).softmax(dim=-1).gather(-1, rows[..., None]).squeeze(-1)
    return (edges.amin(dim=1) - (edges - chances).amax(dim=1)).clamp_min(0)


def _only_the_value_before(model: Model, rows: torch.Tensor) -> torch.Tensor:
    """The probability of each row if every value but the one before is hidden from the model."""
    probability = torch.ones(len(rows), dtype=torch.float64)
    for place in range(rows.shape[1]):
        ids = torch.zeros_like(rows)
        ids[:, place - 1 : place] = rows[:, place - 1 : place]
        chances = model(ids)[:, place].softmax(dim=-1)
        probability = probability * chances.gather(-1, rows[:, place, None]).squeeze(-1)
    return probability


def _wrong(probe: Probe) -> list[torch.Tensor]:
    """The probabilities of the rows under what students draw instead."""
    model, rows = _run(probe.args[0]), _rows(probe)
    logits = model(rows)
    return [
        _joint(model(torch.zeros_like(rows)), rows),  # nothing is fed back
        *(_joint(model(first.expand_as(rows)), rows) for first in rows),  # the past of the first row for all
        _from_place(model, rows, lambda place: place - 1),
        _from_place(model, rows, lambda place: -1),
        _joint(logits.sigmoid().log(), rows),
        torch.full((len(rows),), 1 / len(rows), dtype=torch.float64),
        _joint(2 * logits, rows),
        _one_number_for_all_places(model, rows),
        *([_only_the_value_before(model, rows)] if rows.shape[1] > 2 else []),
    ]


def _shows_in_the_draws(probe: Probe) -> bool:
    """Whether each wrong distribution is far beyond the limit of `follows_distribution`."""
    _, due = _due(probe)
    limit = math.log(2 * 3 * len(due) / 1e-7)

    def apart(share: torch.Tensor) -> bool:
        distance = torch.xlogy(share, share / due) + torch.xlogy(1 - share, (1 - share) / (1 - due))
        return bool(ROWS * distance.max() > 2 * limit)

    return all(map(apart, _wrong(probe)))


def _drawn(*settings: tuple[int, int]) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (length, levels), drawn again until every mistake shows; about one in four does."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for setting in settings:
            probe = _probe(rng, *setting)
            while not _shows_in_the_draws(probe):
                probe = _probe(rng, *setting)
            probes.append(probe)
        return probes

    return cases


def _as_the_model_says(probes: Sequence[Probe]) -> list[Property]:
    outcomes, probabilities = zip(*map(_due, probes), strict=True)
    return [Property("follows_distribution", {"outcomes": list(outcomes), "probabilities": list(probabilities)})]


def _same_seed(rng: np.random.Generator) -> list[Probe]:
    """The same call twice, with PyTorch's own generator in another state."""
    (first,) = _drawn((2, 3))(rng)
    again = Probe(target=first.target, args=first.args, kwargs=first.kwargs, seed=1 + int(rng.integers(1000)))
    return [first, again]


EMPTY = "ids = torch.zeros(count, length, dtype=torch.long)"
LOOP = "for place in range(length):"
LOGITS = "logits = model(ids)[:, place]"
DRAW = "drawn = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)"
WRITE = "ids[:, place] = drawn.squeeze(-1)"

autoregressive_sample = Exercise(
    name="autoregressive_sample",
    reference=reference.autoregressive_sample,
    returns=("the ids",),
    lines=[
        Line(
            name="draws",
            text="rows are drawn as often as the model says",
            points=3,
            cases=_drawn((2, 3), (3, 2)),
            properties=_as_the_model_says,
        ),
        Line(
            name="generator",
            text="the same generator gives the same rows",
            points=1,
            cases=_same_seed,
            properties=lambda probes: [
                Property("same_output", {"what": "the state of PyTorch's own generator"}),
                *_as_the_model_says(probes),
            ],
        ),
    ],
    misconceptions=[
        Misconception(
            name="nothing_fed_back",
            says="You draw all places from one call of the model, so no value knows of those before it; call it again "
            "after each draw.",
            line="draws",
            edits=[
                (LOOP, "known = model(ids)\n    for place in range(length):"),
                (LOGITS, "logits = known[:, place]"),
            ],
        ),
        Misconception(
            name="always_the_likeliest",
            says="You take the likeliest value each time; draw from the distribution.",
            line="draws",
            edits=[(DRAW, "drawn = logits.argmax(dim=-1, keepdim=True)")],
        ),
        Misconception(
            name="distribution_of_the_first_row",
            says="You draw for all rows from the distribution of the first one; each row has its own past.",
            line="draws",
            edits=[
                (
                    DRAW,
                    "drawn = torch.multinomial(\n"
                    "            logits[0].softmax(dim=-1), count, replacement=True, generator=generator\n"
                    "        )[:, None]",
                )
            ],
        ),
        Misconception(
            name="place_before",
            says="You read the logits of the place before; here the logits at a place are those of its own value.",
            line="draws",
            edits=[(LOGITS, "logits = model(ids)[:, place - 1]")],
        ),
        Misconception(
            name="last_place",
            says="You always read the logits of the last place, as for a language model that grows; read those of the "
            "place that is drawn.",
            line="draws",
            edits=[(LOGITS, "logits = model(ids)[:, -1]")],
        ),
        Misconception(
            name="only_the_value_before",
            says="You show the model only the value before; it needs all values that are drawn so far.",
            line="draws",
            edits=[
                (
                    LOGITS,
                    "recent = torch.zeros_like(ids)\n"
                    "        recent[:, place - 1 : place] = ids[:, place - 1 : place]\n"
                    "        logits = model(recent)[:, place]",
                )
            ],
        ),
        Misconception(
            name="one_number_for_all_places",
            says="You choose the values at all places of a row by one random number; draw a new one for each place.",
            line="draws",
            edits=[
                (EMPTY, EMPTY + "\n    number = torch.rand(count, 1, generator=generator)"),
                (
                    DRAW,
                    "edges = logits.softmax(dim=-1).cumsum(dim=-1)\n"
                    "        drawn = (number > edges[:, :-1]).sum(dim=-1, keepdim=True)",
                ),
            ],
        ),
        Misconception(
            name="from_the_end",
            says="You draw the last value first; each value depends on those before it.",
            line="draws",
            edits=[(LOOP, "for place in reversed(range(length)):")],
        ),
        Misconception(
            name="sigmoid_for_softmax",
            says="You turn logits into weights by a sigmoid; probabilities come from a softmax over the levels.",
            line="draws",
            edits=[("logits.softmax(dim=-1)", "logits.sigmoid()")],
        ),
        Misconception(
            name="all_levels_alike",
            says="You draw every level alike; draw with the model's probabilities.",
            line="draws",
            edits=[("logits.softmax(dim=-1)", "torch.ones_like(logits)")],
        ),
        Misconception(
            name="squared_probabilities",
            says="Your draws are too sure: exp is applied to twice the logits.",
            line="draws",
            edits=[("logits.softmax(dim=-1)", "logits.softmax(dim=-1) ** 2")],
        ),
        Misconception(
            name="first_value_left_out",
            says="Your first value is never drawn; it has a distribution of its own.",
            line="draws",
            edits=[(LOOP, "for place in range(1, length):")],
        ),
        Misconception(
            name="places_by_rows",
            says="Your result has a row for each place; it has a row for each draw.",
            line="draws",
            edits=[("return ids", "return ids.T")],
        ),
        Misconception(
            name="generator_not_used",
            says="Your draws come from PyTorch's own generator; pass the one that is given, or nothing can be "
            "repeated.",
            line="generator",
            edits=[(", generator=generator", "")],
        ),
    ],
)


def _logits(
    *counts: tuple[int, int], saturating: bool | None = None, scale: float = 2.0, gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for numbers of real and of fake points; saturating None leaves the keyword out."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            Probe(
                target="gan_losses",
                args=(0.5 + random_tensor(rng, real, 1, scale=scale), random_tensor(rng, fake, 1, scale=scale) - 0.7),
                kwargs={} if saturating is None else {"saturating": saturating},
                gradients=gradients,
            )
            for real, fake in counts
        ]

    return cases


def _certain(rng: np.random.Generator) -> list[Probe]:
    """Logits of a discriminator that is certain, and wrong as often as right."""
    signs = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]], dtype=torch.float64)
    real, fake = (signs[:count] * (900 + random_tensor(rng, count, 1, scale=20.0)) for count in (4, 3))
    return [Probe(target="gan_losses", args=(real, fake)), Probe(target="gan_losses", args=(-real, -fake))]


ON_REAL = "on_real = F.softplus(-real_logits).mean()"
ON_FAKE = "on_fake = F.softplus(fake_logits).mean()"
SUM = "discriminator = on_real + on_fake"
SATURATING = "generator = -on_fake"
NON_SATURATING = "generator = F.softplus(-fake_logits).mean()"
RETURN = "return discriminator, generator"

gan_losses = Exercise(
    name="gan_losses",
    reference=reference.gan_losses,
    returns=("the discriminator's loss", "the generator's loss"),
    lines=[
        Line(
            name="losses",
            text="both losses, the generator's non-saturating",
            points=2,
            cases=lambda rng: [*_logits((5, 3), (4, 7))(rng), *_logits((3, 6), saturating=False)(rng)],
        ),
        Line(
            name="saturating",
            text="both losses, the generator's saturating",
            points=1,
            cases=_logits((5, 3), (4, 7), saturating=True),
        ),
        Line(name="certain", text="finite for large logits", points=0.5, cases=_certain),
        Line(
            name="gradients",
            text="the gradients by all logits",
            points=0.5,
            cases=lambda rng: [
                *_logits((5, 3), gradients=("0", "1"))(rng),
                *_logits((3, 4), saturating=True, gradients=("0", "1"))(rng),
            ],
        ),
    ],
    misconceptions=[
        Misconception(
            name="real_and_fake_exchanged",
            says="Your discriminator is rewarded for taking fake for real; it wants large D on real data.",
            line="losses",
            edits=[
                (ON_REAL, "on_real = F.softplus(real_logits).mean()"),
                (SUM, "discriminator = on_real + F.softplus(-fake_logits).mean()"),
            ],
        ),
        Misconception(
            name="saturating_by_default",
            says="Your generator has the saturating loss where the other one is asked for, and the other way round.",
            line="losses",
            edits=[("if saturating:", "if not saturating:")],
        ),
        Misconception(
            name="always_non_saturating",
            says="Your generator always has the non-saturating loss; `saturating=True` asks for mean ln(1 - D(fake)).",
            line="saturating",
            edits=[(SATURATING, "generator = F.softplus(-fake_logits).mean()")],
        ),
        Misconception(
            name="saturating_loss_with_the_wrong_sign",
            says="Your saturating loss is -mean ln(1 - D(fake)): making it small drives D(fake) down.",
            line="saturating",
            edits=[(SATURATING, "generator = on_fake")],
        ),
        Misconception(
            name="generator_helps_the_discriminator",
            says="Your generator makes the discriminator's loss small, in one of its terms; it wants D(fake) large.",
            line="losses",
            edits=[(NON_SATURATING, "generator = on_fake")],
        ),
        Misconception(
            name="minus_the_discriminators_loss",
            says="Your generator's loss is minus the discriminator's; the real data do not depend on the generator.",
            line="losses",
            edits=[(NON_SATURATING, "generator = -discriminator"), (SATURATING, "generator = -discriminator")],
        ),
        Misconception(
            name="sums_for_means",
            says="You add up the points; take means.",
            line="losses",
            edits=[
                (ON_REAL, "on_real = F.softplus(-real_logits).sum()"),
                (ON_FAKE, "on_fake = F.softplus(fake_logits).sum()"),
                (NON_SATURATING, "generator = F.softplus(-fake_logits).sum()"),
            ],
        ),
        Misconception(
            name="one_mean_of_all_points",
            says="You take one mean over real and fake points together; take two and add them.",
            line="losses",
            edits=[
                (
                    SUM,
                    "discriminator = torch.cat([F.softplus(-real_logits), F.softplus(fake_logits)]).mean()",
                )
            ],
        ),
        Misconception(
            name="halved",
            says="Your discriminator's loss is half of what is asked for: a sum of two means.",
            line="losses",
            edits=[(SUM, "discriminator = (on_real + on_fake) / 2")],
        ),
        Misconception(
            name="only_the_fake",
            says="Your discriminator sees only fake data, and would call everything fake.",
            line="losses",
            edits=[(SUM, "discriminator = on_fake")],
        ),
        Misconception(
            name="only_the_real",
            says="Your discriminator sees only real data, and would call everything real.",
            line="losses",
            edits=[(SUM, "discriminator = on_real")],
        ),
        Misconception(
            name="sigmoid_twice",
            says="You take the sigmoid twice; softplus and the cross-entropies with logits have it inside.",
            line="losses",
            edits=[
                (ON_REAL, "real_logits, fake_logits = real_logits.sigmoid(), fake_logits.sigmoid()\n    " + ON_REAL),
            ],
        ),
        Misconception(
            name="logarithm_missing",
            says="You average probabilities; the losses are logarithms of them.",
            line="losses",
            edits=[
                (ON_REAL, "on_real = -real_logits.sigmoid().mean()"),
                (ON_FAKE, "on_fake = -(1 - fake_logits.sigmoid()).mean()"),
                (NON_SATURATING, "generator = -fake_logits.sigmoid().mean()"),
            ],
        ),
        Misconception(
            name="order_of_the_losses",
            says="You return the generator's loss first; the discriminator's comes first.",
            line="losses",
            edits=[(RETURN, "return generator, discriminator")],
        ),
        Misconception(
            name="logarithm_of_a_sigmoid",
            says="Your sigmoid becomes exactly 0 or 1, and its logarithm infinite; use softplus or logsigmoid.",
            line="certain",
            edits=[
                (ON_REAL, "on_real = -real_logits.sigmoid().log().mean()"),
                (ON_FAKE, "on_fake = -(1 - fake_logits.sigmoid()).log().mean()"),
                (NON_SATURATING, "generator = -fake_logits.sigmoid().log().mean()"),
            ],
        ),
        Misconception(
            name="logarithm_cut_off",
            says="Your logarithm of a probability is cut off, so a certain discriminator has no slope; use softplus, "
            "logsigmoid or the cross-entropy with logits.",
            line="certain",
            edits=[
                (ON_REAL, "on_real = -real_logits.sigmoid().log().clamp_min(-100).mean()"),
                (ON_FAKE, "on_fake = -(1 - fake_logits.sigmoid()).log().clamp_min(-100).mean()"),
                (NON_SATURATING, "generator = -fake_logits.sigmoid().log().clamp_min(-100).mean()"),
            ],
        ),
        Misconception(
            name="generators_loss_detached",
            says="Your generator's loss is detached, so the generator learns nothing.",
            line="gradients",
            edits=[
                (SATURATING, "generator = -on_fake.detach()"),
                (NON_SATURATING, NON_SATURATING + ".detach()"),
            ],
        ),
        Misconception(
            name="saturating_loss_detached",
            says="Your saturating loss is detached, so the generator learns nothing.",
            line="gradients",
            edits=[(SATURATING, "generator = -on_fake.detach()")],
        ),
        Misconception(
            name="fake_detached",
            says="You detach the fake logits inside the discriminator's loss; who calls it decides what to detach.",
            line="gradients",
            edits=[(ON_FAKE, "on_fake = F.softplus(fake_logits.detach()).mean()")],
        ),
    ],
)
