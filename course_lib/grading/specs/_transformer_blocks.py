"""Assignment 05, the two blocks: exercises 3 and 4."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.grading.spec import Exercise, Line, Misconception, random_state, random_tensor
from course_lib.grading.specs._cases import random_mask
from course_lib.grading.specs._transformer_layers import BANNED
from course_lib.models import transformer as reference

SCALE = 0.4  # of the weights: the softmax keeps some spread


def _encoder_block(
    *settings: tuple[int, int, int, int, int], masked: bool = False, gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, length, d_model, num_heads, dim_feedforward)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for number, (batch, length, d_model, num_heads, dim_feedforward) in enumerate(settings):
            init = {"d_model": d_model, "num_heads": num_heads, "dim_feedforward": dim_feedforward}
            shapes = ((length, length), (batch, 1, 1, length), (batch, num_heads, length, length))
            probes.append(
                Probe(
                    target="EncoderBlock",
                    init=init,
                    state=random_state(reference.EncoderBlock(**init), rng, scale=SCALE),
                    args=(random_tensor(rng, batch, length, d_model),),
                    kwargs={"mask": random_mask(rng, *shapes[number % 3])} if masked else {},
                    gradients=gradients,
                )
            )
        return probes

    return cases


ATTEND = "attended, _ = self.self_attention(x, x, x, mask)"
FIRST = "x = self.norm1(x + attended)"
SECOND = "return self.norm2(x + self.feed_forward(x))"
PRE_NORM = "normed = self.norm1(x)\n        attended, _ = self.self_attention(normed, normed, normed, mask)"

encoder_block = Exercise(
    name="EncoderBlock",
    reference=reference.EncoderBlock,
    banned=BANNED,
    uses=("FeedForward",),
    lines=[
        Line(
            name="output",
            text="both sub-layers, each followed by add and norm",
            points=2,
            cases=_encoder_block((2, 5, 6, 3, 7), (3, 4, 8, 2, 5)),
        ),
        Line(
            name="mask",
            text="the mask reaches the attention",
            points=1,
            cases=_encoder_block((2, 5, 6, 3, 7), (3, 4, 8, 2, 5), (2, 3, 6, 2, 4), masked=True),
        ),
        Line(
            name="gradients",
            text="the gradients by the input and all weights",
            points=1,
            cases=_encoder_block((2, 3, 6, 2, 5), gradients=("0", "state")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="no_residual",
            says="Nothing is added: you normalise the sub-layers' outputs alone; add each sub-layer's input first.",
            line="output",
            edits=[(FIRST, "x = self.norm1(attended)"), (SECOND, "return self.norm2(self.feed_forward(x))")],
        ),
        Misconception(
            name="first_residual_missing",
            says="The input is not added to what the attention gives, so a position forgets itself; add x.",
            line="output",
            edits=[(FIRST, "x = self.norm1(attended)")],
        ),
        Misconception(
            name="second_residual_missing",
            says="The second sum is missing: add the feed-forward network's input to its output.",
            line="output",
            edits=[(SECOND, "return self.norm2(self.feed_forward(x))")],
        ),
        Misconception(
            name="second_residual_from_the_input",
            says="Your second residual is the block's input; it is what the first norm gave.",
            line="output",
            edits=[
                (FIRST, "start = x\n        x = self.norm1(x + attended)"),
                ("norm2(x + self", "norm2(start + self"),
            ],
        ),
        Misconception(
            name="norm_first",
            says="You normalise before each sub-layer, as later models do; here the norm comes after the addition.",
            line="output",
            edits=[
                (ATTEND, PRE_NORM),
                (FIRST, "x = x + attended"),
                (SECOND, "return x + self.feed_forward(self.norm2(x))"),
            ],
        ),
        Misconception(
            name="residual_from_the_normalised_input",
            says="You normalise first and add the normalised input, so the signal itself is lost; add the sub-layer's "
            "own input, then normalise.",
            line="output",
            edits=[
                (ATTEND, PRE_NORM),
                (FIRST, "x = normed + attended"),
                (SECOND, "normed = self.norm2(x)\n        return normed + self.feed_forward(normed)"),
            ],
        ),
        Misconception(
            name="norm_before_adding",
            says="You normalise the sub-layer's output and add afterwards; add first, then normalise the sum.",
            line="output",
            edits=[(FIRST, "x = x + self.norm1(attended)"), (SECOND, "return x + self.norm2(self.feed_forward(x))")],
        ),
        Misconception(
            name="last_norm_missing",
            says="Your output is not normalised; norm2 comes last.",
            line="output",
            edits=[(SECOND, "return x + self.feed_forward(x)")],
        ),
        Misconception(
            name="one_norm_for_both",
            says="You use norm1 twice; the second one has weights of its own.",
            line="output",
            edits=[("self.norm2(x +", "self.norm1(x +")],
        ),
        Misconception(
            name="norms_exchanged",
            says="Your norms are exchanged; norm1 follows the attention.",
            line="output",
            edits=[(FIRST, "x = self.norm2(x + attended)"), ("self.norm2(x + self", "self.norm1(x + self")],
        ),
        Misconception(
            name="side_by_side",
            says="Both your sub-layers read the block's input; the feed-forward network reads what norm1 gave.",
            line="output",
            edits=[
                (FIRST, "start = x\n        x = self.norm1(x + attended)"),
                ("self.feed_forward(x))", "self.feed_forward(start))"),
            ],
        ),
        Misconception(
            name="feed_forward_first",
            says="Your feed-forward network comes before the attention; the attention comes first.",
            line="output",
            edits=[
                (ATTEND, "x = self.norm2(x + self.feed_forward(x))\n        " + ATTEND),
                (SECOND, "return x"),
            ],
        ),
        Misconception(
            name="mask_dropped",
            says="Your block ignores the mask; hand it to the attention.",
            line="mask",
            edits=[(ATTEND, "attended, _ = self.self_attention(x, x, x)")],
        ),
        Misconception(
            name="mask_inverted",
            says="Your mask works the wrong way round: True means that a position may be attended to.",
            line="mask",
            edits=[
                (ATTEND, "attended, _ = self.self_attention(x, x, x, None if mask is None else ~mask)"),
            ],
        ),
        Misconception(
            name="residual_detached",
            says="Your numbers are right and no gradient passes along the residual connection; leave out `.detach()`.",
            line="gradients",
            edits=[(FIRST, "x = self.norm1(x.detach() + attended)")],
        ),
    ],
)


def _decoder_block(
    *settings: tuple[int, int, int, int, int, int],
    mask: bool = False,
    memory_mask: bool = False,
    gradients: tuple[str, ...] = (),
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, n, m, d_model, num_heads, dim_feedforward)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, n, m, d_model, num_heads, dim_feedforward in settings:
            init = {"d_model": d_model, "num_heads": num_heads, "dim_feedforward": dim_feedforward}
            masks: dict[str, torch.Tensor] = {}
            if mask:
                masks["mask"] = random_mask(rng, n, n)
            if memory_mask:
                masks["memory_mask"] = random_mask(rng, batch, 1, 1, m)
            probes.append(
                Probe(
                    target="DecoderBlock",
                    init=init,
                    state=random_state(reference.DecoderBlock(**init), rng, scale=SCALE),
                    args=(random_tensor(rng, batch, n, d_model), random_tensor(rng, batch, m, d_model)),
                    kwargs=masks,
                    gradients=gradients,
                )
            )
        return probes

    return cases


LOOK = "looked, _ = self.cross_attention(x, memory, memory, memory_mask)"
LOOKED = "x = self.norm2(x + looked)"
LAST = "return self.norm3(x + self.feed_forward(x))"

decoder_block = Exercise(
    name="DecoderBlock",
    reference=reference.DecoderBlock,
    banned=BANNED,
    uses=("FeedForward",),
    lines=[
        Line(
            name="output",
            text="all three sub-layers, each followed by add and norm",
            points=2,
            cases=_decoder_block((2, 5, 3, 6, 3, 7), (3, 2, 4, 8, 2, 5)),
        ),
        Line(
            name="masks",
            text="each mask reaches its attention, alone and together",
            points=1,
            cases=lambda rng: [
                *_decoder_block((2, 5, 3, 6, 3, 7), mask=True)(rng),
                *_decoder_block((2, 5, 3, 6, 3, 7), memory_mask=True)(rng),
                *_decoder_block((2, 4, 6, 6, 2, 5), mask=True, memory_mask=True)(rng),
            ],
        ),
        Line(
            name="gradients",
            text="the gradients by target, memory and all weights",
            points=1,
            cases=_decoder_block((2, 3, 4, 6, 2, 5), gradients=("0", "1", "state")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="key_and_value_from_the_decoder",
            says="Your cross-attention looks at the decoder itself, so the source plays no part; key and value are the "
            "memory.",
            line="output",
            edits=[(LOOK, "looked, _ = self.cross_attention(x, x, x)")],
        ),
        Misconception(
            name="cross_attention_missing",
            says="Your block never looks at the memory; the cross-attention stands between the other two sub-layers.",
            line="output",
            edits=[(LOOK, "looked = 0")],
        ),
        Misconception(
            name="query_from_the_block_input",
            says="Your cross-attention asks with the block's input; the query is what the first norm gave.",
            line="output",
            edits=[
                ("        attended, _ =", "        start = x\n        attended, _ ="),
                ("self.cross_attention(x, memory,", "self.cross_attention(start, memory,"),
            ],
        ),
        Misconception(
            name="cross_attention_first",
            says="Your cross-attention comes before the self-attention; the order is self-attention, cross-attention, "
            "feed-forward.",
            line="output",
            edits=[
                (
                    "        attended, _ =",
                    f"        {LOOK}\n        {LOOKED}\n        attended, _ =",
                ),
                (f"        {LOOK}\n        {LOOKED}\n        {LAST}", f"        {LAST}"),
            ],
        ),
        Misconception(
            name="attentions_exchanged",
            says="Your two attentions are exchanged; self_attention is the one in which x looks at itself.",
            line="output",
            edits=[
                ("self.self_attention(x", "self.cross_attention(x"),
                ("self.cross_attention(x, memory", "self.self_attention(x, memory"),
            ],
        ),
        Misconception(
            name="no_residual",
            says="Nothing is added: you normalise the sub-layers' outputs alone; add each sub-layer's input first.",
            line="output",
            edits=[
                ("self.norm1(x + attended)", "self.norm1(attended)"),
                (LOOKED, "x = self.norm2(looked)"),
                (LAST, "return self.norm3(self.feed_forward(x))"),
            ],
        ),
        Misconception(
            name="residual_missing_at_the_source",
            says="What the cross-attention gives replaces x; add it to x.",
            line="output",
            edits=[(LOOKED, "x = self.norm2(looked)")],
        ),
        Misconception(
            name="norm_first",
            says="You normalise before each sub-layer, as later models do; here the norm comes after the addition.",
            line="output",
            edits=[
                (
                    "attended, _ = self.self_attention(x, x, x, mask)",
                    "normed = self.norm1(x)\n        attended, _ = self.self_attention(normed, normed, normed, mask)",
                ),
                ("x = self.norm1(x + attended)", "x = x + attended"),
                ("self.cross_attention(x, memory,", "self.cross_attention(self.norm2(x), memory,"),
                (LOOKED, "x = x + looked"),
                (LAST, "return x + self.feed_forward(self.norm3(x))"),
            ],
        ),
        Misconception(
            name="norm_before_adding",
            says="You normalise the sub-layer's output and add afterwards; add first, then normalise the sum.",
            line="output",
            edits=[
                ("self.norm1(x + attended)", "x + self.norm1(attended)"),
                (LOOKED, "x = x + self.norm2(looked)"),
                (LAST, "return x + self.norm3(self.feed_forward(x))"),
            ],
        ),
        Misconception(
            name="norms_out_of_order",
            says="norm2 and norm3 are exchanged; norm2 follows the cross-attention, norm3 comes last.",
            line="output",
            edits=[(LOOKED, "x = self.norm3(x + looked)"), (LAST, "return self.norm2(x + self.feed_forward(x))")],
        ),
        Misconception(
            name="memory_normalised",
            says="You normalise the memory; the encoder has done that, take it as it is.",
            line="output",
            edits=[(LOOK, "memory = self.norm2(memory)\n        " + LOOK)],
        ),
        Misconception(
            name="mask_dropped",
            says="Your self-attention sees the future; hand it the mask.",
            line="masks",
            edits=[("self.self_attention(x, x, x, mask)", "self.self_attention(x, x, x)")],
        ),
        Misconception(
            name="memory_mask_dropped",
            says="Your cross-attention looks at the padding of the source; hand it memory_mask.",
            line="masks",
            edits=[(LOOK, "looked, _ = self.cross_attention(x, memory, memory)")],
        ),
        Misconception(
            name="both_masks_dropped",
            says="Your block ignores both masks; mask belongs to the self-attention, memory_mask to the "
            "cross-attention.",
            line="masks",
            edits=[
                ("self.self_attention(x, x, x, mask)", "self.self_attention(x, x, x)"),
                (LOOK, "looked, _ = self.cross_attention(x, memory, memory)"),
            ],
        ),
        Misconception(
            name="memory_detached",
            says="Your numbers are right and no gradient reaches the encoder; leave out `.detach()`.",
            line="gradients",
            edits=[(LOOK, "memory = memory.detach()\n        " + LOOK)],
        ),
    ],
)
