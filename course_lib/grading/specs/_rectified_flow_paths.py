"""Assignment 11, what is learned: exercises 1 to 4 and 10."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.check.values import Code
from course_lib.grading.spec import Constant, Exercise, Line, Misconception, random_tensor
from course_lib.models import flow as reference


def _times(rng: np.random.Generator, count: int) -> torch.Tensor:
    """Times away from 0, 1/2 and 1, and well apart from each other, in random order."""
    places = np.linspace(0.08, 0.95, count) + rng.uniform(-0.04, 0.04, size=count)
    places = np.where(np.abs(places - 0.5) < 0.05, places + 0.1, places)
    return torch.from_numpy(np.round(rng.permutation(places), 4))


def _pairs(rng: np.random.Generator, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    return random_tensor(rng, *shape), random_tensor(rng, *shape)


def _paths(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for `interpolate` of these shapes."""
    return lambda rng: [
        Probe(target="interpolate", args=(*_pairs(rng, *shape), _times(rng, shape[0]))) for shape in shapes
    ]


def _ends(rng: np.random.Generator) -> list[Probe]:
    ends = torch.tensor([0.0, 1.0, 0.5], dtype=torch.float64)
    return [Probe(target="interpolate", args=(*_pairs(rng, 3, 2), ends))]


RESHAPE = "    t = t.reshape(-1, *[1] * (x0.dim() - 1))  # (batch, 1, ..., 1)\n"
PATH = "return (1 - t) * x0 + t * x1"

interpolate = Exercise(
    name="interpolate",
    reference=reference.interpolate,
    returns=("the points",),
    banned=("torch.lerp", "lerp"),
    lines=[
        Line(
            name="own_time",
            text="each row at its own time",
            points=1,
            # The last axis is as long as the batch, so that a time that meets the wrong axis is a number, not an error.
            cases=_paths((3, 2, 3), (4, 4), (5, 2, 1, 5)),
        ),
        Line(
            name="images",
            text="points and images of any shape",
            points=0.5,
            cases=_paths((2, 1, 3, 4), (3, 5), (4, 3, 2, 2, 1)),
        ),
        Line(name="ends", text="noise at t = 0, data at t = 1", points=0.5, cases=_ends),
    ],
    misconceptions=[
        Misconception(
            name="time_reversed",
            says="Your path begins at the data and ends at the noise; here t = 0 is noise and t = 1 is data.",
            line="own_time",
            edits=[(PATH, "return t * x0 + (1 - t) * x1")],
        ),
        Misconception(
            name="one_time_for_the_batch",
            says="All your rows stand at the time of the first one; each has its own.",
            line="own_time",
            edits=[(PATH, "t = t[:1]\n    return (1 - t) * x0 + t * x1")],
        ),
        Misconception(
            name="mean_time_for_the_batch",
            says="All your rows stand at the mean of the times; each has its own.",
            line="own_time",
            edits=[(PATH, "t = t.mean()\n    return (1 - t) * x0 + t * x1")],
        ),
        Misconception(
            name="time_meets_the_last_axis",
            says="Your times meet the last axis, not the rows; give t axes of size 1 behind the first.",
            line="own_time",
            edits=[(RESHAPE, "")],
        ),
        Misconception(
            name="noise_does_not_fade",
            says="Your noise stays as it is while the data comes in; its share is 1 - t.",
            line="own_time",
            edits=[(PATH, "return x0 + t * x1")],
        ),
        Misconception(
            name="data_does_not_come_in",
            says="Your data is there in full from the start; its share is t.",
            line="own_time",
            edits=[(PATH, "return (1 - t) * x0 + x1")],
        ),
        Misconception(
            name="on_a_circle",
            says="Your shares are cosine and sine, the path of some diffusion models; here it is a straight line.",
            line="own_time",
            edits=[(PATH, "return (t * math.pi / 2).cos() * x0 + (t * math.pi / 2).sin() * x1")],
        ),
        Misconception(
            name="root_shares",
            says="Your shares are square roots, which keep the variance; here it is a straight line.",
            line="own_time",
            edits=[(PATH, "return (1 - t).sqrt() * x0 + t.sqrt() * x1")],
        ),
    ],
)


def _targets(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], list[Probe]]:
    return lambda rng: [Probe(target="velocity_target", args=_pairs(rng, *shape)) for shape in shapes]


TARGET = "return x1 - x0"

velocity_target = Exercise(
    name="velocity_target",
    reference=reference.velocity_target,
    returns=("the velocities",),
    lines=[
        Line(name="points", text="the velocities of points", points=0.5, cases=_targets((3, 2), (4, 5))),
        Line(name="images", text="the velocities of images", points=0.5, cases=_targets((2, 1, 3, 4))),
    ],
    misconceptions=[
        Misconception(
            name="sign",
            says="Your velocity points from the data to the noise; you walk from x0 to x1.",
            line="points",
            edits=[(TARGET, "return x0 - x1")],
        ),
        Misconception(
            name="data_only",
            says="You return the data itself, the place of arrival; the velocity is the way there, x1 - x0.",
            line="points",
            edits=[(TARGET, "return x1")],
        ),
        Misconception(
            name="noise_only",
            says="You return the noise, which diffusion models predict; the velocity is the way, x1 - x0.",
            line="points",
            edits=[(TARGET, "return x0")],
        ),
        Misconception(
            name="added",
            says="You add noise and data; the way from one to the other is their difference.",
            line="points",
            edits=[(TARGET, "return x1 + x0")],
        ),
        Misconception(
            name="unit_length",
            says="You return the direction only; longer ways are walked faster, so the length counts.",
            line="points",
            edits=[(TARGET, "return F.normalize(x1 - x0, dim=-1)")],
        ),
    ],
)


def random_field(rng: np.random.Generator) -> Code:
    """A velocity for positions of any shape, with different numbers for each draw."""
    rate, slope, shift = np.round(rng.uniform([1.2, 0.6, 0.2], [1.8, 1.1, 0.5]), 3)
    source = f"""
def velocity(x, t):
    if not torch.is_tensor(t) or t.shape != x.shape[:1]:
        raise RuntimeError(f"the velocity wants a tensor with one time for each row, {{tuple(x.shape[:1])}}")
    s = t.reshape(-1, *[1] * (x.dim() - 1))
    return torch.sin({rate} * x) + {slope} * s * x - {shift} * s
"""
    return Code(source, "velocity")


def _field_of_time(rng: np.random.Generator) -> Code:
    """A velocity that does not depend on the place, so that a gradient by the time passes through the velocity only."""
    rate, slope = np.round(rng.uniform([1.2, 0.6], [1.8, 1.1]), 3)
    source = f"""
def velocity(x, t):
    s = t.reshape(-1, *[1] * (x.dim() - 1))
    return (torch.sin({rate} * s) + {slope} * s).expand_as(x)
"""
    return Code(source, "velocity")


def _losses(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for `flow_matching_loss` of these shapes."""
    return lambda rng: [
        Probe(target="flow_matching_loss", args=(random_field(rng), *_pairs(rng, *shape), _times(rng, shape[0])))
        for shape in shapes
    ]


def _through_the_velocity(rng: np.random.Generator) -> list[Probe]:
    """A case in which only what the velocity answers has a gradient, as in training; target and point may be cut."""
    args = (_field_of_time(rng), *_pairs(rng, 4, 3), _times(rng, 4))
    return [Probe(target="flow_matching_loss", args=args, gradients=("3",))]


POINT = "x = interpolate(x0, x1, t)"
AIM = "target = velocity_target(x0, x1)"
LOSS = "return (velocity(x, t) - target).square().mean()"

flow_matching_loss = Exercise(
    name="flow_matching_loss",
    reference=reference.flow_matching_loss,
    returns=("the loss",),
    uses=("interpolate", "velocity_target"),
    lines=[
        Line(name="points", text="the loss on points", points=1.5, cases=_losses((4, 2), (5, 3), (2, 6))),
        Line(name="images", text="the loss on images", points=1, cases=_losses((3, 1, 2, 4), (2, 3, 4, 5))),
        Line(
            name="gradients",
            text="its gradient through the velocity, by which a network learns",
            points=0.5,
            cases=_through_the_velocity,
        ),
    ],
    misconceptions=[
        Misconception(
            name="target_sign",
            says="Your target points from the data to the noise; it is x1 - x0.",
            line="points",
            edits=[(AIM, "target = velocity_target(x1, x0)")],
        ),
        Misconception(
            name="data_is_the_target",
            says="You compare with the data x1 alone; the target is the velocity, x1 - x0.",
            line="points",
            edits=[(AIM, "target = x1")],
        ),
        Misconception(
            name="noise_is_the_target",
            says="You compare with the noise x0, as diffusion models do; the target is the velocity, x1 - x0.",
            line="points",
            edits=[(AIM, "target = x0")],
        ),
        Misconception(
            name="path_reversed",
            says="Your points are at the data for t = 0; noise is at t = 0.",
            line="points",
            edits=[(POINT, "x = interpolate(x1, x0, t)")],
        ),
        Misconception(
            name="time_reversed",
            says="You tell the velocity the time 1 - t; it is asked at the time t at which x_t stands.",
            line="points",
            edits=[("velocity(x, t) - target", "velocity(x, 1 - t) - target")],
        ),
        Misconception(
            name="one_time_for_the_batch",
            says="You put all rows at the time of the first one; each has its own.",
            line="points",
            edits=[(POINT, "t = t[:1].expand_as(t)\n    x = interpolate(x0, x1, t)")],
        ),
        Misconception(
            name="asked_at_the_data",
            says="You ask for the velocity at the data x1; ask at the point x_t of the path.",
            line="points",
            edits=[("velocity(x, t) - target", "velocity(x1, t) - target")],
        ),
        Misconception(
            name="asked_at_the_noise",
            says="You ask for the velocity at the noise x0; ask at the point x_t of the path.",
            line="points",
            edits=[("velocity(x, t) - target", "velocity(x0, t) - target")],
        ),
        Misconception(
            name="summed",
            says="You add the squares up; take their mean over all numbers of the batch.",
            line="points",
            edits=[(".square().mean()", ".square().sum()")],
        ),
        Misconception(
            name="summed_over_channels",
            says="You add the squares of a row up and take the mean over rows; take the mean over all numbers.",
            line="points",
            edits=[(".square().mean()", ".square().flatten(1).sum(1).mean()")],
        ),
        Misconception(
            name="root",
            says="You take the root of the mean; the mean of the squares itself is the loss.",
            line="points",
            edits=[(".square().mean()", ".square().mean().sqrt()")],
        ),
        Misconception(
            name="absolute",
            says="You take absolute differences, whose best answer is a median; square them, so that it is the mean.",
            line="points",
            edits=[(".square().mean()", ".abs().mean()")],
        ),
        Misconception(
            name="halved",
            says="You halve the mean of the squares; the formula here does not.",
            line="points",
            edits=[(LOSS, f"{LOSS} / 2")],
        ),
        Misconception(
            name="velocity_detached",
            says="You cut the velocity out of the graph, so nothing could learn; let the gradient pass through it.",
            line="gradients",
            edits=[("velocity(x, t) - target", "velocity(x, t).detach() - target")],
        ),
    ],
)


def _embeddings(
    *settings: tuple[int, int, float | None],
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, dim, max_frequency or None to leave it out)."""
    return lambda rng: [
        Probe(
            target="time_embedding",
            args=(_times(rng, batch),),
            kwargs={"dim": dim} | ({} if frequency is None else {"max_frequency": frequency}),
        )
        for batch, dim, frequency in settings
    ]


FREQUENCIES = "max_frequency ** (torch.arange(0, dim, 2, dtype=t.dtype) / dim)"
PAIRED = "return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)"
ODD = """    if dim % 2:
        raise ValueError(f"sines and cosines come in pairs, but dim is {dim}")
"""

time_embedding = Exercise(
    name="time_embedding",
    reference=reference.time_embedding,
    returns=("the embedding",),
    lines=[
        Line(
            name="channels",
            text="sines and cosines of every frequency, in their places",
            points=1,
            cases=_embeddings((3, 8, None), (5, 6, None), (2, 4, None)),
        ),
        Line(
            name="frequency",
            text="other largest frequencies",
            points=0.5,
            cases=_embeddings((4, 6, 30.0), (3, 10, 500.0)),
        ),
        Line(name="odd", text="ValueError for an odd number of channels", points=0.5, cases=_embeddings((3, 7, None))),
    ],
    misconceptions=[
        Misconception(
            name="halves",
            says="You put all sines first and all cosines behind them; each pair stands side by side.",
            line="channels",
            edits=[(PAIRED, "return torch.cat([angles.sin(), angles.cos()], dim=-1)")],
        ),
        Misconception(
            name="sine_and_cosine_exchanged",
            says="Your cosines stand in the even channels; the sine comes first.",
            line="channels",
            edits=[("[angles.sin(), angles.cos()]", "[angles.cos(), angles.sin()]")],
        ),
        Misconception(
            name="frequencies_fall",
            says="Your frequencies fall from 1, as for positions; times are below 1, so here they rise.",
            line="channels",
            edits=[(FREQUENCIES, "max_frequency ** (-torch.arange(0, dim, 2, dtype=t.dtype) / dim)")],
        ),
        Misconception(
            name="exponent_without_two",
            says="Your exponent is i / dim; it is 2i / dim.",
            line="channels",
            edits=[(FREQUENCIES, "max_frequency ** (torch.arange(dim // 2, dtype=t.dtype) / dim)")],
        ),
        Misconception(
            name="counted_from_one",
            says="Your pairs are counted from 1; the first has i = 0, so its frequency is 1.",
            line="channels",
            edits=[("torch.arange(0, dim, 2, dtype=t.dtype)", "torch.arange(2, dim + 1, 2, dtype=t.dtype)")],
        ),
        Misconception(
            name="reaches_the_largest",
            says="Your last frequency is max_frequency itself; the exponent is divided by dim, so it stays below.",
            line="channels",
            edits=[("dtype=t.dtype) / dim)", "dtype=t.dtype) / (dim - 2))")],
        ),
        Misconception(
            name="whole_turns",
            says="You multiply by 2π; the frequencies are in radians.",
            line="channels",
            edits=[("t[:, None] * frequencies", "2 * math.pi * t[:, None] * frequencies")],
        ),
        Misconception(
            name="only_sines",
            says="Your pairs hold the sine twice; the second is the cosine.",
            line="channels",
            edits=[("angles.cos()]", "angles.sin()]")],
        ),
        Misconception(
            name="frequency_ignored",
            says="You always use 100; max_frequency is an argument.",
            line="frequency",
            edits=[(FREQUENCIES, FREQUENCIES.replace("max_frequency", "100.0"))],
        ),
        Misconception(
            name="odd_accepted",
            says="You accept an odd number of channels and return another number; raise ValueError.",
            line="odd",
            edits=[(ODD, "")],
        ),
    ],
)


def _gaussians(*settings: tuple[int, int]) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, channels)."""
    return lambda rng: [_gaussian(rng, batch, channels, _times(rng, batch)) for batch, channels in settings]


def _gaussian(rng: np.random.Generator, batch: int, channels: int, t: torch.Tensor) -> Probe:
    std = torch.from_numpy(np.round(rng.permutation(np.linspace(0.4, 2.2, channels)) + rng.uniform(0, 0.2), 4))
    return Probe(
        target="gaussian_velocity",
        args=(random_tensor(rng, batch, channels, scale=1.5), t),
        kwargs={"mean": random_tensor(rng, channels, scale=2.0), "std": std},
    )


def _first_and_last(rng: np.random.Generator) -> list[Probe]:
    return [_gaussian(rng, 4, 3, torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.float64))]


COVARIANCE = "covariance = t * std**2 - (1 - t)"
VARIANCE = "variance = t**2 * std**2 + (1 - t) ** 2"
VELOCITY = "return mean + covariance / variance * (x - t * mean)"


def _velocity_from_noise(std_of_noise: float) -> Callable[..., torch.Tensor]:
    """The velocity from noise of another width: in units of that width the noise is the usual one."""

    def velocity(x: torch.Tensor, t: torch.Tensor, *, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
        unit = std_of_noise
        return unit * reference.gaussian_velocity(x / unit, t, mean=mean / unit, std=std / unit)

    return velocity


gaussian_velocity = Exercise(
    name="gaussian_velocity",
    reference=reference.gaussian_velocity,
    returns=("the velocities",),
    lines=[
        Line(
            name="velocities",
            text="velocities at times between 0 and 1",
            points=2,
            cases=_gaussians((4, 2), (5, 3), (3, 6)),
        ),
        Line(name="ends", text="velocities at t = 0 and t = 1", points=1, cases=_first_and_last),
    ],
    misconceptions=[
        Misconception(
            name="covariance_sign",
            says="Your covariance adds the noise's part; x_1 - x_0 holds the noise with a minus, so it is subtracted.",
            line="velocities",
            edits=[(COVARIANCE, "covariance = t * std**2 + (1 - t)")],
        ),
        Misconception(
            name="noise_forgotten",
            says="Your covariance leaves out the noise, as if the target were x_1 alone: subtract 1 - t.",
            line="velocities",
            edits=[(COVARIANCE, "covariance = t * std**2")],
        ),
        Misconception(
            name="std_for_variance",
            says="You use σ where σ² belongs.",
            line="velocities",
            edits=[
                (COVARIANCE, "covariance = t * std - (1 - t)"),
                (VARIANCE, "variance = t**2 * std + (1 - t) ** 2"),
            ],
        ),
        Misconception(
            name="std_in_the_variance",
            says="The variance of t x_1 is t² σ²: below the line you use σ where σ² belongs.",
            line="velocities",
            edits=[(VARIANCE, "variance = t**2 * std + (1 - t) ** 2")],
        ),
        Misconception(
            name="shares_not_squared",
            says="The variance of t x_1 is t² σ², and that of (1 - t) x_0 is (1 - t)²: square the shares.",
            line="velocities",
            edits=[(VARIANCE, "variance = t * std**2 + (1 - t)")],
        ),
        Misconception(
            name="root_of_the_variance",
            says="You divide by the standard deviation of x_t; the formula divides by its variance.",
            line="velocities",
            edits=[("covariance / variance *", "covariance / variance.sqrt() *")],
        ),
        Misconception(
            name="mean_not_added",
            says="The mean of x_1 - x_0, which is μ, is missing in front.",
            line="velocities",
            edits=[("return mean + covariance", "return covariance")],
        ),
        Misconception(
            name="not_centred",
            says="You multiply x itself; subtract the mean of x_t first, which is t μ.",
            line="velocities",
            edits=[("(x - t * mean)", "x")],
        ),
        Misconception(
            name="centred_on_the_data",
            says="You subtract μ; the mean of x_t is t μ, since the noise has mean 0.",
            line="velocities",
            edits=[("(x - t * mean)", "(x - mean)")],
        ),
        Misconception(
            name="time_reversed",
            says="You have t and 1 - t exchanged: at t = 0 all is noise.",
            line="velocities",
            edits=[("t = t[:, None]", "t = 1 - t[:, None]")],
        ),
        Misconception(
            name="sign",
            says="Your velocity points to the noise: it is the mean of x_1 - x_0.",
            line="velocities",
            edits=[(VELOCITY, "return -(mean + covariance / variance * (x - t * mean))")],
        ),
    ],
    constants=[
        Constant(
            argument="standard_deviation_of_the_noise",
            plain=1,
            choices=[0.5, 1.5, 2, 2.5, 3, 4],
            line="velocities",
            reference=_velocity_from_noise,
            code=[
                ("- (1 - t)", lambda s: f"- {s**2:g} * (1 - t)"),
                ("+ (1 - t)", lambda s: f"+ {s**2:g} * (1 - t)"),
            ],
            wording=[
                (
                    "noise has mean 0 and standard deviation 1",
                    lambda s: f"noise has mean 0 and standard deviation {s:g}",
                ),
                ("= (1 - t)² +", lambda s: f"= {s**2:g} (1 - t)² +"),
                ("tend to -1", lambda s: f"tend to {-(s**2):g}"),
                ("noise N(0, 1)", lambda s: f"noise N(0, {s:g}²)"),
                ("subtract 1 - t.", lambda s: f"subtract {s**2:g} (1 - t)."),
                ("(1 - t) x_0 is (1 - t)²", lambda s: f"(1 - t) x_0 is {s**2:g} (1 - t)²"),
            ],
        )
    ],
)
