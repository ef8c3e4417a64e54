"""Assignment 04, the operator with its projections: exercises 3 and 4."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.grading.spec import Exercise, Line, Misconception, random_state, random_tensor
from course_lib.grading.specs._cases import LIBRARY_HEADS, random_mask
from course_lib.models import attention as reference

RETURNS = ("the output", "the weights")
ROWS = Property("rows_sum_to_one", {"part": 1})
FUSED = "scaled_dot_product_attention"


def _cross(
    *,
    mask_shapes: Sequence[tuple[int, ...] | None] = (None,),
    gradients: tuple[str, ...] = (),
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cross-attention of 5 queries of width 4 with 7 data vectors of width 6, two at a time."""
    init = {"d_model": 4, "d_data": 6, "head_dim": 3}

    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            Probe(
                target="CrossAttention",
                init=init,
                state=random_state(reference.CrossAttention(**init), rng, scale=0.6),
                args=(random_tensor(rng, 2, 5, 4), random_tensor(rng, 2, 7, 6)),
                kwargs={} if shape is None else {"mask": random_mask(rng, *shape)},
                gradients=gradients,
            )
            for shape in mask_shapes
        ]

    return cases


ATTEND = "return scaled_dot_product_attention(query, key, value, mask)"


def _own_attention(scores: str, *, axis: int = -1) -> str:
    """The lines of a head that scales or normalises in its own way."""
    return (
        f"scores = query @ key.transpose(-2, -1) / math.sqrt({scores})\n"
        "        if mask is not None:\n"
        "            scores = scores.masked_fill(~mask, -math.inf)\n"
        f"        weights = scores.softmax(dim={axis})\n"
        "        return weights @ value, weights"
    )


cross_attention = Exercise(
    name="CrossAttention",
    reference=reference.CrossAttention,
    returns=RETURNS,
    banned=LIBRARY_HEADS,
    uses=(FUSED,),
    lines=[
        Line(
            name="output",
            text="one output per query, from data of another length and width",
            points=1.5,
            cases=_cross(mask_shapes=(None, None)),
            properties=[ROWS],
        ),
        Line(
            name="mask",
            text="the mask reaches the attention",
            points=0.5,
            cases=_cross(mask_shapes=((2, 5, 7), (2, 1, 7))),
            properties=[ROWS],
        ),
        Line(
            name="gradients",
            text="the gradients by queries, data and all three projections",
            points=1,
            cases=_cross(gradients=("0", "1", "state")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="value_is_key",
            says="Your values are the keys; what a datum offers and what it hands over are two roles, each with its "
            "own projection.",
            line="output",
            edits=[("value = self.value_projection(data)", "value = self.key_projection(data)")],
        ),
        Misconception(
            name="key_is_value",
            says="Your keys come from the value projection; the key projection belongs there.",
            line="output",
            edits=[("key = self.key_projection(data)", "key = self.value_projection(data)")],
        ),
        Misconception(
            name="key_and_value_exchanged",
            says="Keys and values are exchanged; the queries are compared with the keys, and the values are summed.",
            line="output",
            edits=[("(query, key, value, mask)", "(query, value, key, mask)")],
        ),
        Misconception(
            name="scaled_by_d_model",
            says="You divide by the root of d_model, the width of the queries before they are projected; divide by "
            "the root of head_dim.",
            line="output",
            edits=[(ATTEND, _own_attention("queries.shape[-1]"))],
        ),
        Misconception(
            name="no_scaling",
            says="Your scores are not scaled; divide the dot products by the root of head_dim.",
            line="output",
            edits=[(ATTEND, _own_attention("1"))],
        ),
        Misconception(
            name="softmax_over_queries",
            says="Your weights equal a softmax over the queries; each query must spread its weight over the data.",
            line="output",
            edits=[(ATTEND, _own_attention("query.shape[-1]", axis=-2))],
        ),
        Misconception(
            name="mask_ignored",
            says="Your output is the one without a mask; hand the mask on to the attention.",
            line="mask",
            edits=[("(query, key, value, mask)", "(query, key, value)")],
        ),
    ],
)


def _self(
    *,
    mask_shapes: Sequence[tuple[int, ...] | None] = (None,),
    gradients: tuple[str, ...] = (),
) -> Callable[[np.random.Generator], list[Probe]]:
    """Self-attention of 5 vectors of width 6 in a head of width 4, two sequences at a time."""
    init = {"d_model": 6, "head_dim": 4}

    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            Probe(
                target="SelfAttention",
                init=init,
                state=random_state(reference.SelfAttention(**init), rng, scale=0.5),
                args=(random_tensor(rng, 2, 5, 6),),
                kwargs={} if shape is None else {"mask": random_mask(rng, *shape)},
                gradients=gradients,
            )
            for shape in mask_shapes
        ]

    return cases


SPLIT = "query, key, value = self.qkv_projection(x).chunk(3, dim=-1)"

self_attention = Exercise(
    name="SelfAttention",
    reference=reference.SelfAttention,
    returns=RETURNS,
    banned=LIBRARY_HEADS,
    uses=(FUSED,),
    lines=[
        Line(
            name="output",
            text="one output per input, each input part of its own sum",
            points=1,
            cases=_self(mask_shapes=(None, None)),
            properties=[ROWS],
        ),
        Line(
            name="mask",
            text="the mask reaches the attention",
            points=0.5,
            cases=_self(mask_shapes=((2, 5, 5), (2, 1, 5))),
            properties=[ROWS],
        ),
        Line(
            name="gradients",
            text="the gradients by the input and the projection",
            points=0.5,
            cases=_self(gradients=("0", "state")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="query_and_key_exchanged",
            says="Query and key are exchanged; of the product's channels, the first third is the query, the next the "
            "key.",
            line="output",
            edits=[("query, key, value =", "key, query, value =")],
        ),
        Misconception(
            name="key_and_value_exchanged",
            says="Key and value are exchanged; of the product's channels, the second third is the key, the last the "
            "value.",
            line="output",
            edits=[("query, key, value =", "query, value, key =")],
        ),
        Misconception(
            name="value_first",
            says="You take value, key and query from the product in this order; it holds query, key and value.",
            line="output",
            edits=[("query, key, value =", "value, key, query =")],
        ),
        Misconception(
            name="every_third_channel",
            says="You give every third channel of the product to the query; the first head_dim channels are the "
            "query, the next the key, the last the value.",
            line="output",
            edits=[(SPLIT, "query, key, value = self.qkv_projection(x).unflatten(-1, (-1, 3)).unbind(-1)")],
        ),
        Misconception(
            name="scaled_by_d_model",
            says="You divide by the root of d_model; the dot product runs over head_dim channels, so divide by its "
            "root.",
            line="output",
            edits=[(ATTEND, _own_attention("x.shape[-1]"))],
        ),
        Misconception(
            name="scaled_by_product_width",
            says="You divide by the root of 3 · head_dim, the width of the product; divide by the root of head_dim, "
            "the width of one query.",
            line="output",
            edits=[(ATTEND, _own_attention("self.qkv_projection.out_features"))],
        ),
        Misconception(
            name="leaves_itself_out",
            says="Your positions attend to all others and not to themselves; each input is part of its own sum.",
            line="output",
            edits=[
                (
                    ATTEND,
                    "others = ~torch.eye(x.shape[1], dtype=torch.bool)\n"
                    "        mask = others if mask is None else mask & others\n"
                    f"        {ATTEND}",
                )
            ],
        ),
        Misconception(
            name="mask_ignored",
            says="Your output is the one without a mask; hand the mask on to the attention.",
            line="mask",
            edits=[("(query, key, value, mask)", "(query, key, value)")],
        ),
    ],
)
