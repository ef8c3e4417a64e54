"""Assignment 04, the attention operator itself: exercises 1 to 4 and 10."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.grading.spec import Cases, Exercise, Line, Misconception, random_state, random_tensor
from course_lib.grading.specs._cases import random_mask
from course_lib.models import attention as reference

RETURNS = ("the output", "the weights")
ROWS = Property("rows_sum_to_one", {"part": 1})
FUSED = "scaled_dot_product_attention"


def _embeddings(*shapes: Sequence[int], gradients: tuple[str, ...] = ()) -> Cases:
    """Scores that leave the softmax some spread: without scaling, embeddings must be small."""
    return lambda rng: [
        Probe(target="contextual_embedding", args=(random_tensor(rng, *shape, scale=0.6),), gradients=gradients)
        for shape in shapes
    ]


contextual_embedding = Exercise(
    name="contextual_embedding",
    reference=reference.contextual_embedding,
    banned=(FUSED,),
    lines=[
        Line(
            name="output",
            text="a batch of sentences: each word becomes the weighted sum of all words",
            points=1,
            cases=_embeddings((2, 5, 4), (3, 4, 7)),
        ),
        Line(
            name="leading_axes",
            text="the same without a batch, and with two leading axes",
            points=0.5,
            cases=_embeddings((5, 3), (2, 3, 4, 5)),
        ),
        Line(
            name="gradients",
            text="the gradient by the embeddings",
            points=0.5,
            cases=_embeddings((2, 5, 3), gradients=("0",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="softmax_over_wrong_axis",
            says="Your weights equal a softmax down the columns; the weights with which one word sums the others "
            "stand in a row, so each row must sum to one.",
            line="output",
            edits=[("softmax(dim=-1)", "softmax(dim=-2)")],
        ),
        Misconception(
            name="scaled",
            says="You divide the scores by the root of the width; this first form of attention has no scaling.",
            line="output",
            edits=[("embeddings.transpose(-2, -1)", "embeddings.transpose(-2, -1) / math.sqrt(embeddings.shape[-1])")],
        ),
        Misconception(
            name="no_softmax",
            says="You sum with the raw dot products; a softmax must turn each row of them into weights first.",
            line="output",
            edits=[("scores.softmax(dim=-1)", "scores")],
        ),
        Misconception(
            name="leaves_itself_out",
            says="Your words attend to all words but themselves; each word is also part of its own sum.",
            line="output",
            edits=[
                (
                    "scores.softmax(dim=-1)",
                    "scores.masked_fill(torch.eye(scores.shape[-1], dtype=torch.bool), -math.inf).softmax(dim=-1)",
                )
            ],
        ),
        Misconception(
            name="cosine_similarity",
            says="You bring the embeddings to length one before you compare them; the scores are plain dot products.",
            line="output",
            edits=[
                (
                    "scores = embeddings @ embeddings.transpose(-2, -1)",
                    "unit = F.normalize(embeddings, dim=-1)\n    scores = unit @ unit.transpose(-2, -1)",
                )
            ],
        ),
    ],
)


def _attention_inputs(
    rng: np.random.Generator, *leading: int, n: int, m: int, head_dim: int, d_value: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return (
        random_tensor(rng, *leading, n, head_dim),
        random_tensor(rng, *leading, m, head_dim),
        random_tensor(rng, *leading, m, d_value),
    )


def _unmasked(rng: np.random.Generator) -> list[Probe]:
    batch = _attention_inputs(rng, 2, n=5, m=7, head_dim=4, d_value=3)
    heads = _attention_inputs(rng, 2, 3, n=4, m=5, head_dim=6, d_value=7)
    alone = _attention_inputs(rng, n=3, m=4, head_dim=5, d_value=2)
    single = tuple(part.float() for part in _attention_inputs(rng, 3, n=2, m=6, head_dim=9, d_value=4))
    return [Probe(target=FUSED, args=args, watch=True) for args in (batch, heads, alone, single)]


def _masked(rng: np.random.Generator) -> list[Probe]:
    batch = _attention_inputs(rng, 2, n=5, m=7, head_dim=4, d_value=3)
    heads = _attention_inputs(rng, 2, 3, n=4, m=5, head_dim=6, d_value=7)
    return [
        Probe(target=FUSED, args=(*batch, random_mask(rng, 2, 5, 7)), watch=True),
        Probe(target=FUSED, args=(*batch, random_mask(rng, 5, 7)), watch=True),
        Probe(target=FUSED, args=heads, kwargs={"mask": random_mask(rng, 2, 1, 1, 5)}, watch=True),
    ]


def _blocked_rows(rng: np.random.Generator) -> list[Probe]:
    """One query of each sequence may attend to nothing, the others to some keys."""
    probes = []
    for leading, n, m, head_dim, d_value in (((2,), 5, 4, 3, 6), ((2, 3), 4, 5, 2, 7)):
        mask = random_mask(rng, *leading, n, m)
        mask[..., int(rng.integers(n)), :] = False
        args = (*_attention_inputs(rng, *leading, n=n, m=m, head_dim=head_dim, d_value=d_value), mask)
        probes.append(Probe(target=FUSED, args=args, gradients=("0", "1", "2"), watch=True))
    return probes


def _attention_gradients(rng: np.random.Generator) -> list[Probe]:
    args = _attention_inputs(rng, 2, n=5, m=7, head_dim=4, d_value=3)
    return [Probe(target=FUSED, args=args, gradients=("0", "1", "2"), watch=True)]


SCALE = " / math.sqrt(query.shape[-1])"
BLOCK = "scores = scores.masked_fill(~mask, -math.inf)"
CLEAR = "weights = weights.masked_fill(~mask, 0.0)"

scaled_dot_product_attention = Exercise(
    name="scaled_dot_product_attention",
    reference=reference.scaled_dot_product_attention,
    returns=RETURNS,
    banned=("F.scaled_dot_product_attention", "MultiheadAttention"),
    lines=[
        Line(
            name="output",
            text="output and weights without a mask, with any number of leading axes",
            points=1.5,
            cases=_unmasked,
            properties=[ROWS],
        ),
        Line(
            name="mask",
            text="a mask blocks the pairs where it is False, and broadcasts",
            points=1,
            cases=_masked,
            properties=[ROWS],
        ),
        Line(
            name="blocked_row",
            text="a query that may attend to nothing gets zeros, also as gradients",
            points=1,
            cases=_blocked_rows,
        ),
        Line(
            name="gradients",
            text="the gradients by query, key and value",
            points=0.5,
            cases=_attention_gradients,
        ),
    ],
    misconceptions=[
        Misconception(
            name="no_scaling",
            says="Your scores are not scaled; divide the dot products by the root of head_dim before the softmax.",
            line="output",
            edits=[(SCALE, "")],
        ),
        Misconception(
            name="divided_by_d",
            says="You divide the scores by head_dim; divide by its root, so that their variance becomes 1.",
            line="output",
            edits=[(SCALE, " / query.shape[-1]")],
        ),
        Misconception(
            name="scaled_by_value_width",
            says="You scale by the root of the values' width; the dot product runs over head_dim channels, the width "
            "of a query.",
            line="output",
            edits=[(SCALE, " / math.sqrt(value.shape[-1])")],
        ),
        Misconception(
            name="scaled_by_length",
            says="You scale by the root of the number of keys; the dot product runs over head_dim channels, and its "
            "root belongs there.",
            line="output",
            edits=[(SCALE, " / math.sqrt(key.shape[-2])")],
        ),
        Misconception(
            name="softmax_over_queries",
            says="Your weights equal a softmax over the queries; each query must spread its weight over the keys.",
            line="output",
            edits=[("scores.softmax(dim=-1)", "scores.softmax(dim=-2)")],
        ),
        Misconception(
            name="scores_returned",
            says="The second value you return holds the scores; return the weights, which are the scores after the "
            "softmax.",
            line="output",
            edits=[("return weights @ value, weights", "return weights @ value, scores")],
        ),
        Misconception(
            name="mask_inverted",
            says="Your mask works the wrong way round; True means that the query may attend to the key, so the "
            "scores where it is False are blocked.",
            line="mask",
            edits=[(BLOCK, BLOCK.replace("~", "")), (CLEAR, CLEAR.replace("~", ""))],
        ),
        Misconception(
            name="mask_added",
            says="You add the mask to the scores as ones and zeros, which shifts a few scores by one; a blocked "
            "score must become -∞.",
            line="mask",
            edits=[(BLOCK, "scores = scores + mask"), (CLEAR, "pass")],
        ),
        Misconception(
            name="mask_multiplied",
            says="You multiply the scores by the mask, and a score of 0 still gets weight; a blocked score must "
            "become -∞.",
            line="mask",
            edits=[(BLOCK, "scores = scores * mask"), (CLEAR, "pass")],
        ),
        Misconception(
            name="mask_after_softmax",
            says="You clear the blocked weights after the softmax, so that rows sum to less than one; block the "
            "scores before it.",
            line="mask",
            edits=[(BLOCK, "pass")],
        ),
        Misconception(
            name="blocked_row_is_nan",
            says="A query that may attend to nothing gets NaN, since its softmax divides 0 by 0; set its weights to "
            "zero.",
            line="blocked_row",
            edits=[(CLEAR, "pass")],
        ),
        Misconception(
            name="blocked_row_is_even",
            says="A query that may attend to nothing gets the same weight for every key, since a large negative "
            "number is not -∞; its weights must be zero.",
            line="blocked_row",
            edits=[("-math.inf", "-1e9"), (CLEAR, "pass")],
        ),
        Misconception(
            name="blocked_gradient_is_nan",
            says="The zeros of a query that may attend to nothing are right, and its gradients are NaN: the -∞ was "
            "added to the scores. Set them with masked_fill or where, which let no gradient through.",
            line="blocked_row",
            edits=[
                (BLOCK, "scores = scores + torch.zeros(mask.shape).masked_fill(~mask, -math.inf)"),
                (CLEAR, "weights = weights.nan_to_num(0.0)"),
            ],
        ),
    ],
)


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
    banned=("MultiheadAttention",),
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
    banned=("MultiheadAttention",),
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


def _tiled(
    *settings: tuple[tuple[int, ...], int, int, int, int, int],
    scale: float = 1.0,
    gradients: tuple[str, ...] = (),
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (leading axes, n, m, head_dim, d_value, tile_size); ``scale`` is of the queries."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for leading, n, m, head_dim, d_value, tile_size in settings:
            query, key, value = _attention_inputs(rng, *leading, n=n, m=m, head_dim=head_dim, d_value=d_value)
            probes.append(
                Probe(
                    target="tiled_attention",
                    args=(query * scale, key, value),
                    kwargs={"tile_size": tile_size},
                    gradients=gradients,
                    watch=True,
                )
            )
        return probes

    return cases


RESCALED_SUM = "running_sum = running_sum * old +"
RESCALED_OUTPUT = "running_output = running_output * old +"

tiled_attention = Exercise(
    name="tiled_attention",
    reference=reference.tiled_attention,
    banned=("F.scaled_dot_product_attention", "MultiheadAttention"),
    lines=[
        Line(
            name="output",
            text="equals dense attention, also where tiles do not divide the lengths",
            points=1.5,
            cases=_tiled(
                ((2,), 5, 7, 4, 3, 2),
                ((2, 3), 7, 11, 5, 4, 3),
                ((), 9, 6, 3, 2, 4),
                ((3,), 2, 5, 4, 6, 8),
                ((2,), 4, 6, 3, 5, 1),
            ),
        ),
        Line(
            name="large_scores",
            text="scores in the thousands, whose exponential is infinite",
            points=1,
            cases=_tiled(((2,), 5, 13, 4, 3, 3), ((), 6, 9, 5, 2, 2), scale=600.0),
        ),
        Line(
            name="memory",
            text="no tensor on the way is as large as the table of weights",
            points=1,
            cases=_tiled(((), 90, 110, 3, 2, 8)),
            properties=[Property("largest_tensor", {"limit": 90 * 110 // 2})],
        ),
        Line(
            name="gradients",
            text="the gradients by query, key and value",
            points=0.5,
            cases=_tiled(((2,), 5, 7, 4, 3, 2), gradients=("0", "1", "2")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="sum_not_rescaled",
            says="The running sum is not rescaled; when the maximum rises from M to M', multiply it by exp(M - M').",
            line="output",
            edits=[(RESCALED_SUM, "running_sum = running_sum +")],
        ),
        Misconception(
            name="output_not_rescaled",
            says="The running output is not rescaled; when the maximum rises from M to M', multiply it by exp(M - "
            "M'), like the sum.",
            line="output",
            edits=[(RESCALED_OUTPUT, "running_output = running_output +")],
        ),
        Misconception(
            name="nothing_rescaled",
            says="Each tile is measured against its own maximum, and neither running number is rescaled; multiply "
            "both by exp(M - M') before you add a tile.",
            line="output",
            edits=[
                (RESCALED_SUM, "running_sum = running_sum +"),
                (RESCALED_OUTPUT, "running_output = running_output +"),
            ],
        ),
        Misconception(
            name="rescaled_the_wrong_way",
            says="You rescale by exp(M' - M); when the maximum rises, what has been summed becomes smaller, so the "
            "factor is exp(M - M').",
            line="output",
            edits=[
                ("torch.exp(running_max - new_max)", "torch.exp(new_max - running_max).nan_to_num(posinf=0.0)"),
            ],
        ),
        Misconception(
            name="mean_of_tiles",
            says="You take a softmax in each tile and the mean of the tiles' outputs; all keys of a query share one "
            "softmax, whose sum runs on from tile to tile.",
            line="output",
            edits=[
                (RESCALED_SUM + " unnormalised.sum(dim=-1, keepdim=True)", "running_sum = running_sum + 1"),
                (
                    RESCALED_OUTPUT + " unnormalised @ value_tile",
                    "running_output = running_output + scores.softmax(dim=-1) @ value_tile",
                ),
            ],
        ),
        Misconception(
            name="last_tile_dropped",
            says="The last, shorter tile of keys is left out; tile_size need not divide the number of keys.",
            line="output",
            edits=[
                (
                    "            scores = query_tile",
                    "            if key_tile.shape[-2] < tile_size and key.shape[-2] > tile_size:\n"
                    "                continue\n"
                    "            scores = query_tile",
                )
            ],
        ),
        Misconception(
            name="no_scaling",
            says="Your scores are not scaled; divide them by the root of head_dim, as dense attention does.",
            line="output",
            edits=[(SCALE, "")],
        ),
        Misconception(
            name="no_running_max",
            says="You take the exponential of the scores as they are, which is infinite for large ones; subtract the "
            "running maximum first.",
            line="large_scores",
            edits=[
                ("torch.maximum(running_max, scores.amax(dim=-1, keepdim=True))", "torch.zeros_like(running_max)"),
            ],
        ),
    ],
)
