"""Assignment 05, on each position alone: exercises 1 and 2."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from course_lib.check.probe import Probe
from course_lib.grading.spec import Constant, Exercise, Line, Misconception, random_state, random_tensor
from course_lib.models import transformer as reference

BANNED = (
    "nn.Transformer",
    "TransformerEncoder",
    "TransformerDecoder",
    "TransformerEncoderLayer",
    "TransformerDecoderLayer",
    "MultiheadAttention",
    "multi_head_attention_forward",
)
LONG = 1e4  # of a norm's inputs: where ε stands is lost in the tolerance, also where the shift leaves little


def _norm(
    *shapes: tuple[int, ...], scale: float = 1.0, eps: float | None = None, gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for shapes (..., d_model); the vectors have a mean and a spread of their own."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for shape in shapes:
            x = scale * (random_tensor(rng, *shape) + random_tensor(rng, *shape[:-1], 1) + 1)
            args = (x, random_tensor(rng, shape[-1]), random_tensor(rng, shape[-1]))
            options = {} if eps is None else {"eps": eps}
            probes.append(Probe(target="layer_norm", args=args, kwargs=options, gradients=gradients))
        return probes

    return cases


MEAN = "x.mean(dim=-1, keepdim=True)"
VARIANCE = "centred.square().mean(dim=-1, keepdim=True)"
ROOT = "(variance + eps).sqrt()"

layer_norm = Exercise(
    name="layer_norm",
    reference=reference.layer_norm,
    banned=("F.layer_norm", "nn.LayerNorm", "native_layer_norm", "F.group_norm", "nn.GroupNorm", "F.instance_norm"),
    lines=[
        Line(
            name="output",
            text="each vector is normalised over its own channels, then scaled and shifted",
            points=1.5,
            cases=_norm((2, 5, 7), (4, 3, 6), scale=LONG),
        ),
        Line(
            name="leading_axes",
            text="the same for a single vector, and with more axes",
            points=0.5,
            cases=_norm((6,), (2, 3, 4, 5), scale=LONG),
        ),
        Line(
            name="eps",
            text="vectors with little variance, where ε counts; another ε",
            points=0.5,
            cases=lambda rng: [*_norm((2, 4, 5), scale=3e-3)(rng), *_norm((3, 2, 6), eps=0.5)(rng)],
        ),
        Line(
            name="gradients",
            text="the gradients by the vectors, the scale and the shift",
            points=0.5,
            cases=_norm((2, 3, 5), scale=LONG, gradients=("0", "1", "2")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="over_the_batch",
            says="Your mean and variance run over the batch, as in batch normalisation; each vector has its own, "
            "over the last axis.",
            line="output",
            edits=[(MEAN, "x.mean(dim=0, keepdim=True)"), (VARIANCE, "centred.square().mean(dim=0, keepdim=True)")],
        ),
        Misconception(
            name="over_the_length",
            says="Your mean and variance run over the positions; each vector has its own, over the last axis.",
            line="output",
            edits=[(MEAN, "x.mean(dim=-2, keepdim=True)"), (VARIANCE, "centred.square().mean(dim=-2, keepdim=True)")],
        ),
        Misconception(
            name="over_the_sentence",
            says="Your mean and variance are those of a whole sentence; each of its vectors has its own.",
            line="output",
            edits=[
                (MEAN, "x.mean(dim=(-2, -1), keepdim=True)"),
                (VARIANCE, "centred.square().mean(dim=(-2, -1), keepdim=True)"),
            ],
        ),
        Misconception(
            name="one_mean_for_everything",
            says="You take one mean and one variance of all numbers; each vector has its own, over the last axis.",
            line="output",
            edits=[(MEAN, "x.mean()"), (VARIANCE, "centred.square().mean()")],
        ),
        Misconception(
            name="unbiased_variance",
            says="Your variance divides by d_model - 1, as `x.var()` and `x.std()` do by themselves; it divides by "
            "d_model.",
            line="output",
            edits=[(VARIANCE, "x.var(dim=-1, keepdim=True)")],
        ),
        Misconception(
            name="divided_by_the_variance",
            says="You divide by the variance; divide by its root.",
            line="output",
            edits=[(ROOT, "(variance + eps)")],
        ),
        Misconception(
            name="mean_left_in",
            says="You divide by the spread and leave the mean where it was; subtract the mean first.",
            line="output",
            edits=[("return centred /", "return x /")],
        ),
        Misconception(
            name="root_mean_square",
            says="You divide by the root of the mean square without subtracting the mean anywhere; that is another "
            "normalisation (RMSNorm).",
            line="output",
            edits=[(MEAN, "0")],
        ),
        Misconception(
            name="shifted_before_scaled",
            says="You add the shift before you multiply by the scale; scale first, then shift.",
            line="output",
            edits=[(f"centred / {ROOT} * weight + bias", f"(centred / {ROOT} + bias) * weight")],
        ),
        Misconception(
            name="scale_and_shift_missing",
            says="Your vectors have mean 0 and variance 1; the learned scale and shift are missing.",
            line="output",
            edits=[(f"{ROOT} * weight + bias", ROOT)],
        ),
        Misconception(
            name="eps_outside_the_root",
            says="You add ε to the root; it is added to the variance, inside the root.",
            line="eps",
            edits=[(ROOT, "(variance.sqrt() + eps)")],
        ),
        Misconception(
            name="eps_ignored",
            says="Your result does not depend on ε; add it to the variance.",
            line="eps",
            edits=[(ROOT, "variance.sqrt()")],
        ),
        Misconception(
            name="eps_fixed",
            says="Your ε is always 1e-5; add the argument `eps`.",
            line="eps",
            edits=[(ROOT, "(variance + 1e-5).sqrt()")],
        ),
        Misconception(
            name="no_gradient_through_the_spread",
            says="Your numbers are right, but no gradient passes through mean and variance; leave out `.detach()` and "
            "`torch.no_grad()`.",
            line="gradients",
            edits=[(ROOT, f"{ROOT}.detach()")],
        ),
    ],
    constants=[Constant(argument="eps", plain=1e-5, choices=[5e-5, 1e-4, 2e-4, 4e-4, 8e-4], line="eps")],
)


def _feed_forward(
    *settings: tuple[tuple[int, ...], int, int], gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (leading axes, d_model, dim_feedforward)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for leading, d_model, dim_feedforward in settings:
            init = {"d_model": d_model, "dim_feedforward": dim_feedforward}
            probes.append(
                Probe(
                    target="FeedForward",
                    init=init,
                    state=random_state(reference.FeedForward(**init), rng),
                    args=(random_tensor(rng, *leading, d_model),),
                    gradients=gradients,
                )
            )
        return probes

    return cases


NETWORK = "self.linear2(self.linear1(x).relu())"

feed_forward = Exercise(
    name="FeedForward",
    reference=reference.FeedForward,
    banned=BANNED,
    lines=[
        Line(
            name="output",
            text="each position passes through linear, ReLU, linear",
            points=1.5,
            cases=_feed_forward(((2, 5), 4, 7), ((3,), 6, 5)),
        ),
        Line(
            name="gradients",
            text="the gradients by the input and both layers",
            points=0.5,
            cases=_feed_forward(((2, 3), 4, 6), gradients=("0", "state")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="no_relu",
            says="Nothing stands between your two layers, so together they are one linear map; put the ReLU there.",
            line="output",
            edits=[(NETWORK, "self.linear2(self.linear1(x))")],
        ),
        Misconception(
            name="relu_at_the_end",
            says="Your ReLU stands after the second layer; it stands between the two.",
            line="output",
            edits=[(NETWORK, "self.linear2(self.linear1(x)).relu()")],
        ),
        Misconception(
            name="relu_twice",
            says="You apply the ReLU after each layer; it stands between the two only.",
            line="output",
            edits=[(NETWORK, f"{NETWORK}.relu()")],
        ),
        Misconception(
            name="relu_first",
            says="Your ReLU stands before the first layer; it stands between the two.",
            line="output",
            edits=[(NETWORK, "self.linear2(self.linear1(x.relu()))")],
        ),
        Misconception(
            name="gelu",
            says="You use GELU, as later models do; here it is the ReLU.",
            line="output",
            edits=[(NETWORK, "self.linear2(F.gelu(self.linear1(x)))")],
        ),
        Misconception(
            name="residual_inside",
            says="You add the input to the output; the residual connection belongs to the block.",
            line="output",
            edits=[(NETWORK, f"x + {NETWORK}")],
        ),
        Misconception(
            name="graph_cut",
            says="Your numbers are right and no gradient reaches the first layer; leave out `.detach()` and `.data`.",
            line="gradients",
            edits=[(NETWORK, "self.linear2(self.linear1(x).relu().detach())")],
        ),
    ],
)
