"""Assignment 11, the larger piece: a flow is trained, and what it draws is measured.

The probe is the same for every draw. It hands over a function that draws from five Gaussians on a circle that is not
centred on the noise; what is drawn anew are the noise that the samples start from and the data that they are compared
with. The margins stand beside the limits below.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from course_lib.check.measures import Measure
from course_lib.check.probe import Probe
from course_lib.check.values import Code
from course_lib.data.plane import SIGMA, eight_gaussians, gaussian_centres
from course_lib.grading.spec import Exercise, Line, Misconception
from course_lib.models.velocity import VelocityMLP

MODES, CENTRE = 5, (1.0, -0.5)
COUNT, STEPS = 1000, 40
SIZES = {"hidden_size": 64, "num_layers": 3, "time_dim": 12, "max_frequency": 100.0}
DISTANCE = 0.03
SHARE = 0.5
ERROR = 0.1

DRAW_DATA = f"""
from course_lib.data.plane import eight_gaussians

chance = torch.Generator().manual_seed(0)


def draw_data(count):
    return eight_gaussians(count, generator=chance, modes={MODES}) + torch.tensor({CENTRE})
"""


def _training(rng: np.random.Generator) -> list[Probe]:
    return [Probe(target="train_flow", args=(Code(DRAW_DATA, "draw_data"),), dtype="float32", seconds=120.0)]


def _examined(rng: np.random.Generator) -> dict[str, Any]:
    """The network, new noise and new data."""
    chance = torch.Generator().manual_seed(int(rng.integers(2**31)))
    data = eight_gaussians(COUNT, generator=chance, modes=MODES) + torch.tensor(CENTRE)
    return {"sizes": SIZES, "noise": torch.randn(COUNT, 2, generator=chance), "data": data}


SIGNS = (
    ("exchanged", "noise_and_data_exchanged", "it leads from data to noise: noise and data have changed places."),
    ("times reversed", "time_reversed", "it knows the arrow of time t at time 1 - t."),
    ("velocity reversed", "velocity_reversed", "its arrows point from data to noise."),
    ("data", "data_predicted", "it predicts the data, and not the way there."),
    ("noise", "noise_predicted", "it predicts the noise, and not the way to the data."),
)


def _signs(common: dict[str, Any]) -> list[Measure]:
    """What gives a known mistake away."""
    taught = [
        Measure("flow_was_taught", common | {"mistake": taught, "says": says}, mistake)
        for taught, mistake, says in SIGNS
    ]
    return [Measure("flow_is_untrained", common, "never_updated"), *taught]


def direction(rng: np.random.Generator) -> list[Measure]:
    """Whether it learned the velocity from noise to data, and not another."""
    common = _examined(rng)
    return [*_signs(common), Measure("flow_velocity", common | {"at_most": ERROR})]


def distance(rng: np.random.Generator) -> list[Measure]:
    """Whether its samples are distributed as the data is."""
    return [Measure("flow_energy_distance", _examined(rng) | {"steps": STEPS, "at_most": DISTANCE})]


def clusters(rng: np.random.Generator) -> list[Measure]:
    """Whether no cluster is forgotten, and the samples lie close to them."""
    centres = gaussian_centres(modes=MODES) + torch.tensor(CENTRE)
    goal = {"steps": STEPS, "centres": centres, "radius": 4 * SIGMA, "at_least": SHARE}
    return [Measure("flow_clusters", _examined(rng) | goal)]


UPDATE = "        optimizer.step()\n"
SHORT = ("steps, learning_rate = 1000", "steps, learning_rate = 300")
LOSS = "loss = flow_matching_loss(model, x0, x1, t)"

train_flow = Exercise(
    name="train_flow",
    reference=VelocityMLP,
    returns=("the weights",),
    uses=("time_embedding", "flow_matching_loss"),
    no_mutants="a training with another constant ends in other weights that are as good, and quality cannot tell them "
    "apart.",
    lines=[
        Line(
            name="direction",
            text="the velocity leads from noise to data",
            points=2,
            cases=_training,
            measures=direction,
        ),
        Line(
            name="distance",
            text="the energy distance of samples from new data",
            points=2,
            cases=_training,
            measures=distance,
        ),
        Line(
            name="clusters",
            text="every cluster of the data gets its share of the samples",
            points=2,
            cases=_training,
            measures=clusters,
        ),
    ],
    misconceptions=[
        Misconception(
            name="never_updated",
            says="Your weights are as good as those you began with: has each round a `backward()` and a `step()`?",
            line="direction",
            edits=[(UPDATE, ""), ("steps, learning_rate = 1000", "steps, learning_rate = 3")],
        ),
        Misconception(
            name="noise_and_data_exchanged",
            says="You gave the loss the data where the noise belongs: your flow leads from data to noise.",
            line="direction",
            edits=[SHORT, (LOSS, "loss = flow_matching_loss(model, x1, x0, t)")],
        ),
        Misconception(
            name="time_reversed",
            says="You told the network the time 1 - t; it stands at x_t at the time t.",
            line="direction",
            edits=[SHORT, (LOSS, "loss = flow_matching_loss(lambda x, s: model(x, 1 - s), x0, x1, t)")],
        ),
        Misconception(
            name="velocity_reversed",
            says="Your network learned the velocity from data to noise; its target is x1 - x0.",
            line="direction",
            edits=[SHORT, (LOSS, "loss = flow_matching_loss(lambda x, s: -model(x, s), x0, x1, t)")],
        ),
        Misconception(
            name="data_predicted",
            says="Your network predicts the data; its target is the velocity, x1 - x0.",
            line="direction",
            edits=[SHORT, (LOSS, "loss = flow_matching_loss(lambda x, s: model(x, s) - x0, x0, x1, t)")],
        ),
        Misconception(
            name="noise_predicted",
            says="Your network predicts the noise, as diffusion models do; its target is the velocity, x1 - x0.",
            line="direction",
            edits=[
                SHORT,
                (LOSS, "loss = flow_matching_loss(lambda x, s: model(x, s) + x1 - 2 * x0, x0, x1, t)"),
            ],
        ),
    ],
)
