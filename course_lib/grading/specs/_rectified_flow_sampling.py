"""Assignment 11, following a velocity: exercises 5 to 9."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.check.values import Code
from course_lib.grading.spec import Exercise, Line, Misconception, random_tensor
from course_lib.grading.specs._rectified_flow_paths import random_field
from course_lib.models import flow as reference


def _samples(target: str, *settings: tuple[tuple[int, ...], int]) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (shape of the noise, steps)."""
    return lambda rng: [
        Probe(target=target, args=(random_field(rng), random_tensor(rng, *shape)), kwargs={"steps": steps})
        for shape, steps in settings
    ]


def _solver_lines(target: str) -> list[Line]:
    return [
        Line(
            name="path",
            text="the whole path, from points and from images",
            points=2,
            cases=_samples(target, ((3, 2), 4), ((2, 5), 3), ((4, 1, 2, 3), 5)),
        ),
        Line(name="one_step", text="a single step", points=0.5, cases=_samples(target, ((3, 2), 1), ((2, 1, 2, 4), 1))),
        Line(
            name="refused",
            text="ValueError for less than one step",
            points=0.5,
            cases=_samples(target, ((3, 2), 0), ((2, 4), -2)),
        ),
    ]


FEW_STEPS = """    if steps < 1:
        raise ValueError(f"a path has at least one step, not {steps}")
"""
TIME = "t = torch.full((len(x),), number / steps, dtype=x.dtype)"
EULER = "x = x + velocity(x, t) / steps"
END = "return torch.stack(path)"

euler_sample = Exercise(
    name="euler_sample",
    reference=reference.euler_sample,
    returns=("the path",),
    lines=_solver_lines("euler_sample"),
    misconceptions=[
        Misconception(
            name="asked_one_step_late",
            says="You ask for the arrow at the end of each step's time; Euler asks at its start: 0, h, … 1 - h.",
            line="path",
            edits=[("number / steps, dtype", "(number + 1) / steps, dtype")],
        ),
        Misconception(
            name="times_up_to_one",
            says="Your times reach 1 in the last step; the last arrow is asked for at 1 - h.",
            line="path",
            edits=[("number / steps, dtype", "number / max(steps - 1, 1), dtype")],
        ),
        Misconception(
            name="one_step_too_few",
            says="You take one step less than asked for.",
            line="path",
            edits=[("for number in range(steps):", "for number in range(steps - 1):")],
        ),
        Misconception(
            name="one_step_too_many",
            says="You take one step more than asked for, and go beyond t = 1.",
            line="path",
            edits=[("for number in range(steps):", "for number in range(steps + 1):")],
        ),
        Misconception(
            name="steps_not_scaled",
            says="You go the whole arrow in each step; a step lasts 1 / steps only.",
            line="path",
            edits=[(EULER, "x = x + velocity(x, t)")],
        ),
        Misconception(
            name="time_backwards",
            says="Your time runs from 1 to 0; noise is at t = 0, and you start there.",
            line="path",
            edits=[("number / steps, dtype", "1 - number / steps, dtype")],
        ),
        Misconception(
            name="against_the_arrow",
            says="You walk against the arrows; they point from noise to data.",
            line="path",
            edits=[(EULER, "x = x - velocity(x, t) / steps")],
        ),
        Misconception(
            name="time_stands_still",
            says="You ask at t = 0 in every step; the velocity changes with time.",
            line="path",
            edits=[(TIME, "t = torch.zeros(len(x), dtype=x.dtype)")],
        ),
        Misconception(
            name="arrow_of_the_start",
            says="You ask at the place where the path began in every step; ask where you stand.",
            line="path",
            edits=[(EULER, "x = x + velocity(x0, t) / steps")],
        ),
        Misconception(
            name="start_missing",
            says="Your path lacks its start: steps + 1 points, x0 the first.",
            line="path",
            edits=[("x, path = x0, [x0]", "x, path = x0, []")],
        ),
        Misconception(
            name="only_the_end",
            says="You return the sample alone; return the whole path, with the sample at its end.",
            line="path",
            edits=[(END, "return x")],
        ),
        Misconception(
            name="changed_in_place",
            says="All points of your path are the same tensor, which `+=` changes; make a new one in each step.",
            line="path",
            edits=[(EULER, "x += velocity(x, t) / steps")],
        ),
        Misconception(
            name="no_step_accepted",
            says="You return a path without a step; raise ValueError.",
            line="refused",
            edits=[(FEW_STEPS, "")],
        ),
    ],
)

SECOND = "k2 = velocity(x + h * k1, t + h)"
HEUN = "x = x + h * (k1 + k2) / 2"

heun_sample = Exercise(
    name="heun_sample",
    reference=reference.heun_sample,
    returns=("the path",),
    lines=_solver_lines("heun_sample"),
    misconceptions=[
        Misconception(
            name="one_slope",
            says="You use the first arrow only, which is Euler's method; take the mean of both.",
            line="path",
            edits=[(HEUN, "x = x + h * k1")],
        ),
        Misconception(
            name="second_slope_only",
            says="You use the second arrow only; take the mean of both.",
            line="path",
            edits=[(HEUN, "x = x + h * k2")],
        ),
        Misconception(
            name="sum_of_the_slopes",
            says="You add both arrows and go twice as far; take their mean.",
            line="path",
            edits=[(HEUN, "x = x + h * (k1 + k2)")],
        ),
        Misconception(
            name="second_at_the_same_time",
            says="You ask for the second arrow at the time of the first; it is that of the step's end, t + h.",
            line="path",
            edits=[(SECOND, "k2 = velocity(x + h * k1, t)")],
        ),
        Misconception(
            name="second_at_the_same_place",
            says="You ask for the second arrow at the place of the first; it is where the first one leads, x + h k1.",
            line="path",
            edits=[(SECOND, "k2 = velocity(x, t + h)")],
        ),
        Misconception(
            name="whole_arrow_ahead",
            says="You look a whole arrow ahead; the step's end is h times the arrow away.",
            line="path",
            edits=[(SECOND, "k2 = velocity(x + k1, t + h)")],
        ),
        Misconception(
            name="midpoint",
            says="You take the arrow in the middle of the step, which is the midpoint method, as good; Heun takes the "
            "mean of those at both ends.",
            line="path",
            edits=[(SECOND, "k2 = velocity(x + h * k1 / 2, t + h / 2)"), (HEUN, "x = x + h * k2")],
        ),
        Misconception(
            name="one_step_too_few",
            says="You take one step less than asked for.",
            line="path",
            edits=[("for number in range(steps):", "for number in range(steps - 1):")],
        ),
        Misconception(
            name="one_step_too_many",
            says="You take one step more than asked for, and go beyond t = 1.",
            line="path",
            edits=[("for number in range(steps):", "for number in range(steps + 1):")],
        ),
        Misconception(
            name="time_backwards",
            says="Your time runs from 1 to 0; noise is at t = 0, and you start there.",
            line="path",
            edits=[("number / steps, dtype", "1 - number / steps, dtype"), ("t + h)", "t - h)")],
        ),
        Misconception(
            name="only_the_end",
            says="You return the sample alone; return the whole path, with the sample at its end.",
            line="path",
            edits=[(END, "return x")],
        ),
        Misconception(
            name="error_of_a_division",
            says="No step ends in Python's own ZeroDivisionError; look first, and raise ValueError.",
            line="refused",
            edits=[(FEW_STEPS, "")],
        ),
    ],
)


def _conditional_field(rng: np.random.Generator) -> Code:
    """A velocity for positions of any shape that depends on the class, with different numbers for each draw."""
    rate, slope = np.round(rng.uniform([0.7, 0.4], [1.3, 0.9]), 3)
    source = f"""
def velocity(x, t, label):
    for name, part in (("time", t), ("class", label)):
        if not torch.is_tensor(part) or part.shape != x.shape[:1]:
            raise RuntimeError(f"the velocity wants a tensor with one {{name}} for each row, {{tuple(x.shape[:1])}}")
    s, c = (part.reshape(-1, *[1] * (x.dim() - 1)) for part in (t, label))
    return torch.sin({rate} * x + c) + {slope} * s * c - 0.3 * x
"""
    return Code(source, "velocity")


NO_CLASS = 5


def _guided(
    *settings: tuple[tuple[int, ...], float],
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (shape, weight)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            Probe(
                target="guided_velocity",
                args=(
                    _conditional_field(rng),
                    random_tensor(rng, *shape),
                    torch.from_numpy(np.round(rng.uniform(0.1, 0.9, size=shape[0]), 4)),
                    torch.from_numpy(rng.permutation(np.arange(1, NO_CLASS))[: shape[0]]),
                ),
                kwargs={"weight": weight, "no_class": NO_CLASS},
            )
            for shape, weight in settings
        ]

    return cases


CLASS = "with_class = velocity(x, t, label)"
WITHOUT = "without = velocity(x, t, torch.full_like(label, no_class))"
GUIDED = "return without + weight * (with_class - without)"

guided_velocity = Exercise(
    name="guided_velocity",
    reference=reference.guided_velocity,
    returns=("the velocities",),
    lines=[
        Line(
            name="weights",
            text="weights below and above 1, for points and images",
            points=1.5,
            cases=_guided(((3, 2), 2.5), ((2, 5), 0.4), ((4, 1, 2, 3), 4.0)),
        ),
        Line(
            name="zero_and_one",
            text="w = 1 is the class's own velocity, w = 0 that of no class",
            points=0.5,
            cases=_guided(((3, 2), 1.0), ((2, 4), 0.0)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="other_convention",
            says="Your weight counts what is added to the class's velocity, so that 0 means no guidance; here 1 does.",
            line="weights",
            edits=[(GUIDED, "return with_class + weight * (with_class - without)")],
        ),
        Misconception(
            name="exchanged",
            says="You lead away from the class: the difference is with class minus without, from without.",
            line="weights",
            edits=[(GUIDED, "return with_class + weight * (without - with_class)")],
        ),
        Misconception(
            name="pushed_away",
            says="Your difference has the wrong sign; it is with class minus without.",
            line="weights",
            edits=[(GUIDED, "return without + weight * (without - with_class)")],
        ),
        Misconception(
            name="only_the_difference",
            says="You return the scaled difference alone; it is added to the velocity without a class.",
            line="weights",
            edits=[(GUIDED, "return weight * (with_class - without)")],
        ),
        Misconception(
            name="class_scaled",
            says="You scale the class's own velocity; scale the difference between both.",
            line="weights",
            edits=[(GUIDED, "return without + weight * with_class")],
        ),
        Misconception(
            name="weight_ignored",
            says="You return the class's own velocity, whatever the weight.",
            line="weights",
            edits=[(GUIDED, "return with_class")],
        ),
        Misconception(
            name="class_zero_for_none",
            says="You ask for class 0 where no class is meant; the label for that is no_class.",
            line="weights",
            edits=[(WITHOUT, "without = velocity(x, t, torch.zeros_like(label))")],
        ),
        Misconception(
            name="never_with_class",
            says="You never ask with the class, so there is no difference to follow.",
            line="weights",
            edits=[(CLASS, "label = torch.full_like(label, no_class)\n    with_class = velocity(x, t, label)")],
        ),
    ],
)

FOLLOW = "x1 = euler_sample(velocity, x0, steps=steps)[-1]"
PAIR = "return x0, x1"

reflow_pairs = Exercise(
    name="reflow_pairs",
    reference=reference.reflow_pairs,
    returns=("the noise", "the samples"),
    uses=("euler_sample",),
    lines=[
        Line(
            name="pairs",
            text="the noise, and where the flow takes it",
            points=1.5,
            cases=_samples("reflow_pairs", ((3, 2), 4), ((4, 5), 3)),
        ),
        Line(
            name="images",
            text="the same for images",
            points=0.5,
            cases=_samples("reflow_pairs", ((2, 1, 3, 4), 2)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="fresh_noise_returned",
            says="You pair the samples with fresh noise that they did not come from; return the x0 that you started "
            "from.",
            line="pairs",
            edits=[(PAIR, "return torch.randn_like(x0), x1")],
        ),
        Misconception(
            name="fresh_noise_followed",
            says="Your samples come from fresh noise; follow the flow from the x0 that you return.",
            line="pairs",
            edits=[(FOLLOW, "x1 = euler_sample(velocity, torch.randn_like(x0), steps=steps)[-1]")],
        ),
        Misconception(
            name="exchanged",
            says="Your pair is (sample, noise); noise comes first.",
            line="pairs",
            edits=[(PAIR, "return x1, x0")],
        ),
        Misconception(
            name="whole_path",
            says="You return the whole path; the sample is its last point.",
            line="pairs",
            edits=[("steps=steps)[-1]", "steps=steps)")],
        ),
        Misconception(
            name="one_step_early",
            says="You return the point before the last; the sample is the end of the path.",
            line="pairs",
            edits=[("steps=steps)[-1]", "steps=steps)[-2]")],
        ),
        Misconception(
            name="single_step",
            says="You follow the flow in a single step; take as many as asked for.",
            line="pairs",
            edits=[("steps=steps", "steps=1")],
        ),
        Misconception(
            name="shuffled",
            says="Your samples are in another order than their noise, so the pairs are random again.",
            line="pairs",
            edits=[(PAIR, "return x0, x1.flip(0)")],
        ),
    ],
)


def _random_paths(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for paths (steps + 1, batch, ...)."""
    return lambda rng: [Probe(target="straightness", args=(random_tensor(rng, *shape),)) for shape in shapes]


def _straight(rng: np.random.Generator) -> list[Probe]:
    """A straight path at constant speed."""
    start, way = random_tensor(rng, 1, 3, 2), random_tensor(rng, 1, 3, 2)
    return [Probe(target="straightness", args=(start + torch.arange(5).reshape(-1, 1, 1) / 4 * way,))]


STEPS = "steps = len(path) - 1"
VELOCITIES = "velocities = (path[1:] - path[:-1]) * steps"
WHOLE = "whole = path[-1] - path[0]"
RATIO = "return (velocities - whole).square().mean() / whole.square().mean()"

straightness = Exercise(
    name="straightness",
    reference=reference.straightness,
    returns=("the straightness",),
    lines=[
        Line(
            name="bent",
            text="paths of points and images that bend",
            points=1.5,
            cases=_random_paths((5, 3, 2), (4, 2, 1, 2, 3), (3, 4, 5)),
        ),
        Line(name="straight", text="0 for a straight path at constant speed", points=0.5, cases=_straight),
    ],
    misconceptions=[
        Misconception(
            name="time_forgotten",
            says="You compare the way of one step with the whole way; divide it by the step's time, 1 / steps.",
            line="bent",
            edits=[(VELOCITIES, "velocities = path[1:] - path[:-1]")],
        ),
        Misconception(
            name="points_for_steps",
            says="You count the points of the path; it has one step less.",
            line="bent",
            edits=[(STEPS, "steps = len(path)")],
        ),
        Misconception(
            name="not_divided",
            says="You leave out the division by the mean squared way, so your number changes with the scale.",
            line="bent",
            edits=[(" / whole.square().mean()", "")],
        ),
        Misconception(
            name="divided_by_the_length",
            says="You divide by the root of the mean squared way; divide by the mean square itself.",
            line="bent",
            edits=[(" / whole.square().mean()", " / whole.square().mean().sqrt()")],
        ),
        Misconception(
            name="root",
            says="You take the root of the ratio.",
            line="bent",
            edits=[(RATIO, "return ((velocities - whole).square().mean() / whole.square().mean()).sqrt()")],
        ),
        Misconception(
            name="absolute",
            says="You take absolute differences; square them.",
            line="bent",
            edits=[(RATIO, "return (velocities - whole).abs().mean() / whole.abs().mean()")],
        ),
        Misconception(
            name="squared_mean",
            says="You square the mean of the differences, in which left and right cancel; square first.",
            line="bent",
            edits=[("(velocities - whole).square().mean()", "(velocities - whole).mean().square()")],
        ),
        Misconception(
            name="ratio_of_each_row",
            says="You take the mean of ratios, one for each row; take the ratio of the means.",
            line="bent",
            edits=[
                (
                    RATIO,
                    "rows = (velocities - whole).square().transpose(0, 1).flatten(1).mean(1)\n"
                    "    return (rows / whole.square().flatten(1).mean(1)).mean()",
                )
            ],
        ),
        Misconception(
            name="first_velocity",
            says="You compare with the velocity of the first step; compare with the whole way.",
            line="bent",
            edits=[(RATIO, "return (velocities - velocities[0]).square().mean() / whole.square().mean()")],
        ),
        Misconception(
            name="sign_of_the_way",
            says="Your whole way points from the end to the start; it is the last point minus the first.",
            line="bent",
            edits=[(WHOLE, "whole = path[0] - path[-1]")],
        ),
    ],
)
