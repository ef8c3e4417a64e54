"""Assignment 04, order and positions: exercises 5 to 8."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.check.values import Code
from course_lib.grading.spec import Constant, Exercise, Line, Misconception, random_tensor
from course_lib.grading.specs._cases import random_cycle
from course_lib.models import attention, positions

# Layers to measure: two in which order counts, of either sign, and two that treat their input as a set.
RUNNING_SUM = Code("def layer(x):\n    return x.cumsum(1)[..., :6]", "layer")
NEGATIVE_RUNNING_SUM = Code("def layer(x):\n    return -x.cumsum(1)[..., :6]", "layer")
PLACED = Code("def layer(x):\n    return x * torch.arange(1, x.shape[1] + 1)[:, None].to(x)", "layer")
POINTWISE = Code("def layer(x):\n    return x.sin() * 2", "layer")
DIFFERENCE_TO_MEAN = Code("def layer(x):\n    return (x - x.mean(1, keepdim=True)) ** 2", "layer")


def _shuffled(*layers: Code) -> Callable[[np.random.Generator], list[Probe]]:
    """Two sequences of 5 vectors of width 7; the same input for each layer."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        x, permutation = random_tensor(rng, 2, 5, 7), random_cycle(rng, 5)
        return [Probe(target="permutation_error", args=(layer, x, permutation)) for layer in layers]

    return cases


permutation_error = Exercise(
    name="permutation_error",
    reference=attention.permutation_error,
    lines=[
        Line(
            name="order_counts",
            text="the error of layers in which the order counts",
            points=1.5,
            cases=_shuffled(RUNNING_SUM, NEGATIVE_RUNNING_SUM, PLACED),
        ),
        Line(
            name="sets",
            text="zero for layers that treat their input as a set",
            points=0.5,
            cases=_shuffled(POINTWISE, DIFFERENCE_TO_MEAN),
        ),
    ],
    misconceptions=[
        Misconception(
            name="output_not_shuffled",
            says="You compare F(σX) with F(X) as it is; the second output must be shuffled too, before the two are "
            "compared.",
            line="sets",
            edits=[("layer(x)[:, permutation]", "layer(x)")],
        ),
        Misconception(
            name="shuffled_twice",
            says="You shuffle the output of the shuffled input once more; that does not undo the shuffle. Compare "
            "F(σX) with σF(X).",
            line="sets",
            edits=[
                ("layer(x[:, permutation])", "layer(x[:, permutation])[:, permutation]"),
                ("layer(x)[:, permutation]", "layer(x)"),
            ],
        ),
        Misconception(
            name="channels_shuffled",
            says="You shuffle the channels; the permutation is one of the positions, which stand on axis 1.",
            line="order_counts",
            edits=[
                ("layer(x[:, permutation])", "layer(x[..., permutation])"),
                ("layer(x)[:, permutation]", "layer(x)[..., permutation]"),
            ],
        ),
        Misconception(
            name="mean_instead_of_largest",
            says="You return the mean of the differences; return the largest.",
            line="order_counts",
            edits=[(".max()", ".mean()")],
        ),
        Misconception(
            name="sign_kept",
            says="You take the largest difference without its absolute value, so that large negative ones are missed.",
            line="order_counts",
            edits=[(".abs()", "")],
        ),
    ],
)


def _sinusoidal(*sizes: tuple[int, int], base: bool = False) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for sizes (length, d_model), in float32, where angles in float32 are as right as in float64."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            Probe(
                target="sinusoidal_positions",
                args=(length + int(rng.integers(3)), d_model),
                kwargs={"base": float(rng.integers(4, 20))} if base else {},
                dtype="float32",
            )
            for length, d_model in sizes
        ]

    return cases


def _row(position: int, start: str) -> Callable[[float], str]:
    """A row of the text's table; its first pair of channels depends on no base."""
    return lambda base: f"{start} {math.sin(position / base**0.5):.3f} | {math.cos(position / base**0.5):.3f} |"


SINES = "torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)"
POSITIONS = "positions = torch.arange(length)[:, None]"

sinusoidal_positions = Exercise(
    name="sinusoidal_positions",
    reference=positions.sinusoidal_positions,
    lines=[
        Line(
            name="values",
            text="sine on even and cosine on odd channels, for several lengths and widths",
            points=1.5,
            cases=_sinusoidal((5, 8), (12, 6), (3, 14), (1, 10)),
        ),
        Line(
            name="base",
            text="another base gives other frequencies",
            points=0.5,
            cases=_sinusoidal((5, 8), (4, 10), base=True),
        ),
    ],
    misconceptions=[
        Misconception(
            name="sine_and_cosine_exchanged",
            says="Sine and cosine are exchanged; the sine stands on the even channels, the cosine on the odd ones.",
            line="values",
            edits=[("[angles.sin(), angles.cos()]", "[angles.cos(), angles.sin()]")],
        ),
        Misconception(
            name="halves",
            says="Your first half holds the sines and your second half the cosines; they alternate, channel by "
            "channel.",
            line="values",
            edits=[(SINES, "torch.cat([angles.sin(), angles.cos()], dim=-1)")],
        ),
        Misconception(
            name="exponent_halved",
            says="Your frequencies fall half as fast as they should; the exponent of pair i is 2i / d_model.",
            line="values",
            edits=[("torch.arange(0, d_model, 2) / d_model", "torch.arange(0, d_model, 2) / (2 * d_model)")],
        ),
        Misconception(
            name="exponent_per_channel",
            says="Each channel has its own frequency; sine and cosine of a pair share one, with the exponent 2i / "
            "d_model for channels 2i and 2i + 1.",
            line="values",
            source="""def sinusoidal_positions(length, d_model, *, base=10000.0):
    channels = torch.arange(d_model)
    angles = torch.arange(length)[:, None] / base ** (channels / d_model)
    return torch.where(channels % 2 == 0, angles.sin(), angles.cos())
""",
        ),
        Misconception(
            name="wrong_base",
            says="Your frequencies are those of base 1000; the usual base is 10000, and it is an argument of the "
            "function.",
            line="values",
            edits=[("positions / base**exponents", "positions / 1000.0**exponents")],
        ),
        Misconception(
            name="multiplied_by_frequency_base",
            says="You multiply the position by the power of the base; divide by it, so that later pairs turn more "
            "slowly.",
            line="base",
            edits=[("positions / base**exponents", "positions * base**exponents")],
        ),
        Misconception(
            name="positions_from_one",
            says="Your positions start at 1; the first row belongs to position 0.",
            line="values",
            edits=[(POSITIONS, POSITIONS + " + 1")],
        ),
        Misconception(
            name="base_ignored",
            says="Your frequencies do not depend on base; use the argument instead of 10000.",
            line="base",
            edits=[("positions / base**exponents", "positions / 10000.0**exponents")],
        ),
    ],
    constants=[
        Constant(
            argument="base",
            plain=10000.0,
            choices=[1000.0 * thousands for thousands in (2, 3, 4, 5, 6, 8, 15, 20, 25, 30)],
            line="values",
            everywhere=True,
            worked=[_row(1, "| 1 | 0.841 | 0.540 |"), _row(2, "| 2 | 0.909 | −0.416 |")],
        )
    ],
)


def _rope(
    *shapes: Sequence[int], base: bool = False, offset: bool = False, gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for shapes (..., length, head_dim), in float32 as those of the sinusoidal positions."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for shape in shapes:
            options: dict[str, float] = {}
            if base:
                options["base"] = float(rng.integers(20, 200))
            if offset:
                options["offset"] = int(rng.integers(3, 12))
            x = random_tensor(rng, *shape).float()
            probes.append(Probe(target="apply_rope", args=(x,), kwargs=options, gradients=gradients, dtype="float32"))
        return probes

    return cases


def _lengths_kept(probes: Sequence[Probe]) -> list[Property]:
    return [Property("norm_preserved", {"norms": [probe.args[0].double().norm(dim=-1) for probe in probes]})]


ROTATED = "rotated = torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)"
ANGLES = "angles = positions / base**exponents"

apply_rope = Exercise(
    name="apply_rope",
    reference=positions.apply_rope,
    lines=[
        Line(
            name="rotation",
            text="each pair of neighbouring channels turns by its angle",
            points=1,
            cases=_rope((2, 5, 8), (3, 7, 4)),
            properties=_lengths_kept,
        ),
        Line(
            name="leading_axes",
            text="the same without a batch, and with heads",
            points=0.5,
            cases=_rope((5, 6), (2, 3, 4, 10)),
            properties=_lengths_kept,
        ),
        Line(
            name="base",
            text="another base gives other frequencies",
            points=0.5,
            cases=_rope((2, 5, 8), base=True),
            properties=_lengths_kept,
        ),
        Line(
            name="offset",
            text="the offset moves all positions",
            points=0.5,
            cases=_rope((2, 5, 8), (3, 4, 6), offset=True),
            properties=_lengths_kept,
        ),
        Line(
            name="gradients",
            text="the gradient by the vectors",
            points=0.5,
            cases=_rope((2, 5, 6), gradients=("0",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="halves",
            says="You rotate channel i with channel i + head_dim / 2; here a pair is two neighbours, channels 2i and "
            "2i + 1.",
            line="rotation",
            edits=[
                ("a, b = x[..., 0::2], x[..., 1::2]", "a, b = x.chunk(2, dim=-1)"),
                (ROTATED, ROTATED.replace("stack", "cat")),
                ("return rotated.flatten(-2)", "return rotated"),
            ],
        ),
        Misconception(
            name="halves_after_rotation",
            says="You rotate the right pairs and lay all new a before all new b; they alternate in the result as "
            "they did in x.",
            line="rotation",
            edits=[
                (ROTATED, ROTATED.replace("stack", "cat")),
                ("return rotated.flatten(-2)", "return rotated"),
            ],
        ),
        Misconception(
            name="turned_backwards",
            says="Your pairs turn the other way round; the new a is a cos θ - b sin θ, the new b is a sin θ + b cos θ.",
            line="rotation",
            edits=[("[a * cos - b * sin, a * sin + b * cos]", "[a * cos + b * sin, b * cos - a * sin]")],
        ),
        Misconception(
            name="no_minus",
            says="Both new channels are sums, so the vectors change their length; the new a is a cos θ minus b sin θ.",
            line="rotation",
            edits=[("a * cos - b * sin", "a * cos + b * sin")],
        ),
        Misconception(
            name="exponent_halved",
            says="Your frequencies fall half as fast as they should; the exponent of pair i is 2i / head_dim.",
            line="rotation",
            edits=[("torch.arange(0, head_dim, 2) / head_dim", "torch.arange(0, head_dim, 2) / (2 * head_dim)")],
        ),
        Misconception(
            name="positions_from_one",
            says="Your positions start at 1; with offset 0 the first vector stays as it is.",
            line="rotation",
            edits=[(POSITIONS + " + offset", POSITIONS + " + offset + 1")],
        ),
        Misconception(
            name="added_instead_of_turned",
            says="You add sines and cosines to the vectors; rotary positions turn each pair of channels instead.",
            line="rotation",
            edits=[(ROTATED, "rotated = torch.stack([a + sin, b + cos], dim=-1)")],
        ),
        Misconception(
            name="position_is_the_first_axis_after_batch",
            says="You take the positions from axis 1, which holds the heads where there are some; they run along the "
            "second last axis.",
            line="leading_axes",
            edits=[
                ("length, head_dim = x.shape[-2:]", "length, head_dim = x.shape[min(1, x.dim() - 2)], x.shape[-1]"),
                (ANGLES, ANGLES + "\n    angles = angles.reshape(length, *[1] * max(x.dim() - 3, 0), -1)"),
            ],
        ),
        Misconception(
            name="base_ignored",
            says="Your frequencies do not depend on base; use the argument instead of 10000.",
            line="base",
            edits=[(ANGLES, "angles = positions / 10000.0**exponents")],
        ),
        Misconception(
            name="offset_ignored",
            says="Your angles do not depend on offset; it is the position of the first vector, so add it to every "
            "position.",
            line="offset",
            edits=[(POSITIONS + " + offset", POSITIONS)],
        ),
        Misconception(
            name="offset_subtracted",
            says="You subtract the offset from the positions; it is the position of the first vector, so add it.",
            line="offset",
            edits=[(POSITIONS + " + offset", POSITIONS + " - offset")],
        ),
    ],
)


def _causal(*lengths: int) -> Callable[[np.random.Generator], list[Probe]]:
    return lambda rng: [Probe(target="causal_mask", args=(length + int(rng.integers(3)),)) for length in lengths]


TRIANGLE = "torch.ones(length, length, dtype=torch.bool).tril()"

causal_mask = Exercise(
    name="causal_mask",
    reference=attention.causal_mask,
    lines=[
        Line(
            name="triangle",
            text="boolean, True where the key is not after the query",
            points=1.5,
            cases=_causal(4, 7),
        ),
        Line(
            name="short",
            text="the same for one and for two positions",
            points=0.5,
            cases=lambda rng: [Probe(target="causal_mask", args=(length,)) for length in (1, 2)],
        ),
    ],
    misconceptions=[
        Misconception(
            name="strict_triangle",
            says="Your positions do not see themselves, so the first sees nothing; the diagonal is True.",
            line="triangle",
            edits=[(".tril()", ".tril(-1)")],
        ),
        Misconception(
            name="future_allowed",
            says="Your positions see themselves and the future; row i is the query, and the keys up to i are allowed.",
            line="triangle",
            edits=[(".tril()", ".triu()")],
        ),
        Misconception(
            name="true_means_blocked",
            says="Your mask is True where the future is, as if True meant blocked; here True means that the query "
            "may attend to the key.",
            line="triangle",
            edits=[(".tril()", ".triu(1)")],
        ),
        Misconception(
            name="numbers_for_booleans",
            says="Your mask holds ones and zeros as numbers; make it boolean, with dtype=torch.bool.",
            line="triangle",
            edits=[(", dtype=torch.bool", "")],
        ),
        Misconception(
            name="scores_for_a_mask",
            says="You return what is added to the scores, 0 and -∞; return the boolean mask itself, True where the "
            "query may attend.",
            line="triangle",
            edits=[(TRIANGLE, "torch.full((length, length), -math.inf).triu(1)")],
        ),
        Misconception(
            name="one_step_ahead",
            says="Your positions see one step into the future; the keys up to the query itself are allowed.",
            line="triangle",
            edits=[(".tril()", ".tril(1)")],
        ),
    ],
)
