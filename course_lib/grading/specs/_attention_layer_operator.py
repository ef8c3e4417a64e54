"""Assignment 04, the operator itself: exercises 1 and 2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.grading.spec import Cases, Exercise, Line, Misconception, random_tensor
from course_lib.grading.specs._cases import LIBRARY_ATTENTION, attention_inputs, random_mask
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


def _unmasked(rng: np.random.Generator) -> list[Probe]:
    batch = attention_inputs(rng, 2, n=5, m=7, head_dim=4, d_value=3)
    heads = attention_inputs(rng, 2, 3, n=4, m=5, head_dim=6, d_value=7)
    alone = attention_inputs(rng, n=3, m=4, head_dim=5, d_value=2)
    single = tuple(part.float() for part in attention_inputs(rng, 3, n=2, m=6, head_dim=9, d_value=4))
    return [Probe(target=FUSED, args=args, watch=True) for args in (batch, heads, alone, single)]


def _masked(rng: np.random.Generator) -> list[Probe]:
    batch = attention_inputs(rng, 2, n=5, m=7, head_dim=4, d_value=3)
    heads = attention_inputs(rng, 2, 3, n=4, m=5, head_dim=6, d_value=7)
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
        args = (*attention_inputs(rng, *leading, n=n, m=m, head_dim=head_dim, d_value=d_value), mask)
        probes.append(Probe(target=FUSED, args=args, gradients=("0", "1", "2"), watch=True))
    return probes


def _attention_gradients(rng: np.random.Generator) -> list[Probe]:
    args = attention_inputs(rng, 2, n=5, m=7, head_dim=4, d_value=3)
    return [Probe(target=FUSED, args=args, gradients=("0", "1", "2"), watch=True)]


SCALE = " / math.sqrt(query.shape[-1])"
BLOCK = "scores = scores.masked_fill(~mask, -math.inf)"
CLEAR = "weights = weights.masked_fill(~mask, 0.0)"

scaled_dot_product_attention = Exercise(
    name="scaled_dot_product_attention",
    reference=reference.scaled_dot_product_attention,
    returns=RETURNS,
    banned=LIBRARY_ATTENTION,
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
