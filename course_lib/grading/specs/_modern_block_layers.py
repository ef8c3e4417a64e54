"""Assignment 07, norm, gated network and block: exercises 1 to 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.check.probe import Probe
from course_lib.grading.spec import Constant, Exercise, Line, Misconception, random_state, random_tensor
from course_lib.grading.specs._cases import LIBRARY_HEADS, random_mask
from course_lib.models import modern as reference

SCALE = 0.4  # of a block's weights: the softmax keeps some spread
LONG = 100.0  # of a norm's inputs: where ε stands is lost in the tolerance, and costs its own line only


def _norm(
    *shapes: tuple[int, ...], scale: float = 1.0, eps: float | None = None, gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for shapes (..., d_model); the vectors have a mean of their own."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for shape in shapes:
            x = scale * (random_tensor(rng, *shape) + random_tensor(rng, *shape[:-1], 1) + 1)
            options = {} if eps is None else {"eps": eps}
            args = (x, random_tensor(rng, shape[-1]))
            probes.append(Probe(target="rms_norm", args=args, kwargs=options, gradients=gradients))
        return probes

    return cases


MEAN_SQUARE = "mean_square = x.square().mean(dim=-1, keepdim=True)  # (..., 1)"
ROOT = "(mean_square + eps).sqrt()"
NORMED = f"return x / {ROOT} * weight"

rms_norm = Exercise(
    name="rms_norm",
    reference=reference.rms_norm,
    banned=("F.rms_norm", "nn.RMSNorm", "F.normalize"),
    lines=[
        Line(
            name="output",
            text="each vector is divided by the root of its mean square, then scaled",
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
            text="short vectors, where ε counts; another ε",
            points=0.5,
            cases=lambda rng: [*_norm((2, 4, 5), scale=3e-3)(rng), *_norm((3, 2, 6), eps=0.5)(rng)],
        ),
        Line(
            name="gradients",
            text="the gradients by the vectors and the scale",
            points=0.5,
            cases=_norm((2, 3, 5), scale=LONG, gradients=("0", "1")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="mean_subtracted",
            says="You subtract the mean, as LayerNorm does; RMSNorm leaves it where it is.",
            line="output",
            edits=[(MEAN_SQUARE, f"x = x - x.mean(dim=-1, keepdim=True)\n    {MEAN_SQUARE}")],
        ),
        Misconception(
            name="divided_by_the_spread",
            says="You divide by the spread around the mean; divide by the root of the mean square, with no mean "
            "subtracted.",
            line="output",
            edits=[(MEAN_SQUARE, "mean_square = x.var(dim=-1, keepdim=True, correction=0)")],
        ),
        Misconception(
            name="divided_by_the_estimated_spread",
            says="You divide by `x.std()`, the spread around the mean; divide by the root of the mean square, with no "
            "mean subtracted.",
            line="output",
            edits=[(ROOT, "(x.std(dim=-1, keepdim=True) + eps)")],
        ),
        Misconception(
            name="sum_of_squares",
            says="You divide by the length of the vector; take the mean of the squares, not their sum.",
            line="output",
            edits=[(MEAN_SQUARE, MEAN_SQUARE.replace("mean(dim", "sum(dim"))],
        ),
        Misconception(
            name="divided_by_the_mean_square",
            says="You divide by the mean square; divide by its root.",
            line="output",
            edits=[(ROOT, "(mean_square + eps)")],
        ),
        Misconception(
            name="square_of_the_mean",
            says="You take the square of the mean; take the mean of the squares.",
            line="output",
            edits=[("x.square().mean(dim=-1, keepdim=True)", "x.mean(dim=-1, keepdim=True).square()")],
        ),
        Misconception(
            name="mean_of_absolute_values",
            says="You divide by the mean of the absolute values; it is the root of the mean of the squares.",
            line="output",
            edits=[(MEAN_SQUARE, "mean_square = x.abs().mean(dim=-1, keepdim=True) ** 2")],
        ),
        Misconception(
            name="over_the_batch",
            says="Your mean runs over the batch; each vector has its own, over the last axis.",
            line="output",
            edits=[("mean(dim=-1, keepdim=True)", "mean(dim=0, keepdim=True)")],
        ),
        Misconception(
            name="over_the_length",
            says="Your mean runs over the positions; each vector has its own, over the last axis.",
            line="output",
            edits=[("mean(dim=-1, keepdim=True)", "mean(dim=-2, keepdim=True)")],
        ),
        Misconception(
            name="one_mean_for_everything",
            says="You take one mean of all numbers; each vector has its own, over the last axis.",
            line="output",
            edits=[("mean(dim=-1, keepdim=True)", "mean()")],
        ),
        Misconception(
            name="scale_missing",
            says="Your vectors have the mean square 1; the learned scale is missing.",
            line="output",
            edits=[(f"{ROOT} * weight", ROOT)],
        ),
        Misconception(
            name="scale_counted_from_zero",
            says="You multiply by 1 + weight, as some models do; here the scale is the weight itself.",
            line="output",
            edits=[(f"{ROOT} * weight", f"{ROOT} * (1 + weight)")],
        ),
        Misconception(
            name="eps_outside_the_root",
            says="You add ε to the root; it is added to the mean square, inside the root.",
            line="eps",
            edits=[(ROOT, "(mean_square.sqrt() + eps)")],
        ),
        Misconception(
            name="eps_ignored",
            says="Your result does not depend on ε; add it to the mean square.",
            line="eps",
            edits=[(ROOT, "mean_square.sqrt()")],
        ),
        Misconception(
            name="eps_fixed",
            says="Your ε is always 1e-5; add the argument `eps`.",
            line="eps",
            edits=[(ROOT, "(mean_square + 1e-5).sqrt()")],
        ),
        Misconception(
            name="no_gradient_through_the_root",
            says="Your numbers are right, but no gradient passes through the mean square; leave out `.detach()` and "
            "`torch.no_grad()`.",
            line="gradients",
            edits=[(ROOT, f"{ROOT}.detach()")],
        ),
    ],
    constants=[Constant(argument="eps", plain=1e-5, choices=[5e-5, 1e-4, 2e-4, 4e-4, 8e-4], line="eps")],
)


def _network(
    *settings: tuple[tuple[int, ...], int, int], gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (leading axes, d_model, dim_feedforward)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for leading, d_model, dim_feedforward in settings:
            init = {"d_model": d_model, "dim_feedforward": dim_feedforward}
            probes.append(
                Probe(
                    target="SwiGLU",
                    init=init,
                    state=random_state(reference.SwiGLU(**init), rng),
                    args=(random_tensor(rng, *leading, d_model),),
                    gradients=gradients,
                )
            )
        return probes

    return cases


GATE = "gate = F.silu(self.gate_projection(x))  # (..., dim_feedforward)"
GATED = "return self.output_projection(gate * self.value_projection(x))"

swiglu = Exercise(
    name="SwiGLU",
    reference=reference.SwiGLU,
    lines=[
        Line(
            name="output",
            text="gate and value, multiplied, and back",
            points=2,
            cases=_network(((2, 5), 4, 7), ((3,), 6, 5), ((), 5, 8)),
        ),
        Line(
            name="gradients",
            text="the gradients by the input and all three layers",
            points=1,
            cases=_network(((2, 3), 4, 6), gradients=("0", "state")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="gate_and_value_swapped",
            says="Gate and value have changed places: SiLU belongs to what gate_projection gives.",
            line="output",
            edits=[("self.gate_projection(x)", "self.value_projection(x)"), (GATED, GATED.replace("value_", "gate_"))],
        ),
        Misconception(
            name="sigmoid",
            says="Your gate is σ(z), which is the first gated unit of this kind (GLU); here it is SiLU, z · σ(z).",
            line="output",
            edits=[("F.silu(self.gate_projection(x))", "self.gate_projection(x).sigmoid()")],
        ),
        Misconception(
            name="gelu",
            says="Your gate passes through GELU, which makes it GEGLU; here it is SiLU.",
            line="output",
            edits=[("F.silu(", "F.gelu(")],
        ),
        Misconception(
            name="relu",
            says="Your gate passes through the ReLU, which makes it ReGLU; here it is SiLU.",
            line="output",
            edits=[("F.silu(", "F.relu(")],
        ),
        Misconception(
            name="no_activation",
            says="Your gate passes through nothing; SiLU stands behind gate_projection.",
            line="output",
            edits=[("F.silu(self.gate_projection(x))", "self.gate_projection(x)")],
        ),
        Misconception(
            name="both_activated",
            says="You apply SiLU to gate and value; the value stays as it is.",
            line="output",
            edits=[(GATED, GATED.replace("self.value_projection(x)", "F.silu(self.value_projection(x))"))],
        ),
        Misconception(
            name="activated_after_the_product",
            says="You multiply first and apply SiLU to the product; SiLU belongs to the gate alone.",
            line="output",
            edits=[
                ("F.silu(self.gate_projection(x))", "self.gate_projection(x)"),
                (GATED, "return self.output_projection(F.silu(gate * self.value_projection(x)))"),
            ],
        ),
        Misconception(
            name="added",
            says="You add gate and value; multiply them entry by entry.",
            line="output",
            edits=[("gate * self.value", "gate + self.value")],
        ),
        Misconception(
            name="value_missing",
            says="Only the gate passes on, and nothing is gated; multiply it by the value.",
            line="output",
            edits=[(GATED, "return self.output_projection(gate)")],
        ),
        Misconception(
            name="residual_inside",
            says="You add the input to the output; the residual connection belongs to the block.",
            line="output",
            edits=[(GATED, GATED.replace("return ", "return x + "))],
        ),
        Misconception(
            name="gate_detached",
            says="Your numbers are right and no gradient reaches the gate; leave out `.detach()` and `.data`.",
            line="gradients",
            edits=[("gate * self.value", "gate.detach() * self.value")],
        ),
    ],
)


def _block(
    *settings: tuple[int, int, int, int, int], masked: bool = False, gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, length, d_model, num_heads, dim_feedforward)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for number, (batch, length, d_model, num_heads, dim_feedforward) in enumerate(settings):
            init: dict[str, Any] = {"d_model": d_model, "num_heads": num_heads, "dim_feedforward": dim_feedforward}
            state = random_state(reference.PreNormBlock(**init), rng, scale=SCALE)
            state |= {name: value + 1 for name, value in state.items() if name.startswith("norm")}
            shapes = ((length, length), (batch, 1, 1, length), (batch, num_heads, length, length))
            probes.append(
                Probe(
                    target="PreNormBlock",
                    init=init,
                    state=state,
                    args=(2 * random_tensor(rng, batch, length, d_model) + 0.5,),
                    kwargs={"mask": random_mask(rng, *shapes[number % 3])} if masked else {},
                    gradients=gradients,
                )
            )
        return probes

    return cases


NORM1 = "normed = self.norm1(x)"
ATTEND = "attended, _ = self.self_attention(normed, normed, normed, mask)"
FIRST = "x = x + attended"
SECOND = "return x + self.feed_forward(self.norm2(x))"
AS_GIVEN = ("self.self_attention(normed, normed, normed, mask)", "self.self_attention(x, x, x, mask)")

pre_norm_block = Exercise(
    name="PreNormBlock",
    reference=reference.PreNormBlock,
    banned=LIBRARY_HEADS,
    uses=("SwiGLU",),
    lines=[
        Line(
            name="output",
            text="norm, attention, add; norm, feed-forward, add",
            points=2,
            cases=_block((2, 5, 6, 3, 7), (3, 2, 8, 2, 5)),
        ),
        Line(
            name="mask",
            text="the mask reaches the attention, in each of its shapes",
            points=1,
            cases=_block((2, 5, 6, 3, 7), (3, 4, 8, 2, 5), (2, 3, 4, 2, 5), masked=True),
        ),
        Line(
            name="gradients",
            text="the gradients by the input and all weights",
            points=1,
            cases=_block((2, 3, 6, 2, 5), gradients=("0", "state")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="norm_after_the_residual",
            says="You normalise after the addition, as in 2017; the norm stands before the sub-layer, inside the "
            "residual connection.",
            line="output",
            edits=[
                AS_GIVEN,
                (FIRST, "x = self.norm1(x + attended)"),
                (SECOND, "return self.norm2(x + self.feed_forward(x))"),
            ],
        ),
        Misconception(
            name="residual_from_the_normalised_input",
            says="You add the sub-layer's output to the normalised input; add it to the input as it was.",
            line="output",
            edits=[
                (FIRST, "x = normed + attended"),
                (SECOND, "normed = self.norm2(x)\n        return normed + self.feed_forward(normed)"),
            ],
        ),
        Misconception(
            name="first_residual_from_the_normalised_input",
            says="Your first sum begins with the normalised input; it begins with x itself.",
            line="output",
            edits=[(FIRST, "x = normed + attended")],
        ),
        Misconception(
            name="output_normalised_then_added",
            says="You normalise what the sub-layer gives; normalise what it reads.",
            line="output",
            edits=[
                AS_GIVEN,
                (FIRST, "x = x + self.norm1(attended)"),
                (SECOND, "return x + self.norm2(self.feed_forward(x))"),
            ],
        ),
        Misconception(
            name="only_the_query_normalised",
            says="Only your query is normalised; key and value are the same normalised input.",
            line="output",
            edits=[("(normed, normed, normed, mask)", "(normed, x, x, mask)")],
        ),
        Misconception(
            name="value_not_normalised",
            says="Your value is not normalised; query, key and value are the same normalised input.",
            line="output",
            edits=[("(normed, normed, normed, mask)", "(normed, normed, x, mask)")],
        ),
        Misconception(
            name="first_norm_missing",
            says="Your attention reads x as it is; it reads what norm1 makes of x.",
            line="output",
            edits=[AS_GIVEN],
        ),
        Misconception(
            name="second_norm_missing",
            says="Your feed-forward network reads the sum as it is; it reads what norm2 makes of it.",
            line="output",
            edits=[("self.feed_forward(self.norm2(x))", "self.feed_forward(x)")],
        ),
        Misconception(
            name="no_residual",
            says="Nothing is added: the sub-layers' outputs replace x; add them to it.",
            line="output",
            edits=[(FIRST, "x = attended"), (SECOND, "return self.feed_forward(self.norm2(x))")],
        ),
        Misconception(
            name="first_residual_missing",
            says="What the attention gives replaces x; add it to x.",
            line="output",
            edits=[(FIRST, "x = attended")],
        ),
        Misconception(
            name="second_residual_missing",
            says="The second sum is missing: add what the feed-forward network gives to x.",
            line="output",
            edits=[(SECOND, "return self.feed_forward(self.norm2(x))")],
        ),
        Misconception(
            name="side_by_side",
            says="Both your sub-layers read the block's input; the feed-forward network reads the sum after the "
            "attention.",
            line="output",
            edits=[
                (NORM1, f"start = x\n        {NORM1}"),
                ("self.norm2(x)", "self.norm2(start)"),
            ],
        ),
        Misconception(
            name="normalised_at_the_end",
            says="You normalise the block's output; it stays a sum, the norm comes after the last block of all.",
            line="output",
            edits=[(SECOND, "x = x + self.feed_forward(self.norm2(x))\n        return self.norm1(x)")],
        ),
        Misconception(
            name="one_norm_for_both",
            says="You use norm1 twice; the second one has a scale of its own.",
            line="output",
            edits=[("self.norm2(x)", "self.norm1(x)")],
        ),
        Misconception(
            name="norms_exchanged",
            says="Your norms are exchanged; norm1 stands before the attention.",
            line="output",
            edits=[(NORM1, "normed = self.norm2(x)"), ("feed_forward(self.norm2(x))", "feed_forward(self.norm1(x))")],
        ),
        Misconception(
            name="mask_dropped",
            says="Your block ignores the mask; hand it to the attention.",
            line="mask",
            edits=[("(normed, normed, normed, mask)", "(normed, normed, normed)")],
        ),
        Misconception(
            name="mask_inverted",
            says="Your mask works the wrong way round: True means that a position may be attended to.",
            line="mask",
            edits=[
                ("(normed, normed, normed, mask)", "(normed, normed, normed, None if mask is None else ~mask)"),
            ],
        ),
        Misconception(
            name="residual_detached",
            says="Your numbers are right and no gradient passes along the residual connection; leave out `.detach()`.",
            line="gradients",
            edits=[(FIRST, "x = x.detach() + attended")],
        ),
    ],
)
