"""Assignment 03, the steps one at a time: exercises 1 to 4."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.grading.spec import Cases, Exercise, Line, Misconception, random_tensor
from course_lib.grading.specs._cases import random_mask
from course_lib.models import recurrent_attention as reference

BANNED = ("F.scaled_dot_product_attention", "MultiheadAttention")

Widths = tuple[int, int, int, int, int]


def _additive(*settings: Widths, bias: bool = True, gradients: tuple[str, ...] = ()) -> Cases:
    """Cases for settings (batch, m, d_query, d_key, d_attention)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, m, d_query, d_key, d_attention in settings:
            args = (
                random_tensor(rng, batch, d_query),
                random_tensor(rng, batch, m, d_key),
                random_tensor(rng, d_attention, d_query + d_key, scale=0.5),
                random_tensor(rng, d_attention, scale=0.5) if bias else None,
                random_tensor(rng, d_attention),
            )
            probes.append(Probe(target="additive_scores", args=args, gradients=gradients))
        return probes

    return cases


PAIRS = "pairs = torch.cat([copies, keys], dim=-1)"
SCORE = "return torch.tanh(hidden) @ v"

additive_scores = Exercise(
    name="additive_scores",
    reference=reference.additive_scores,
    banned=("nn.Bilinear", "F.bilinear"),
    lines=[
        Line(
            name="output",
            text="the score of each encoder state, for a batch of sentences",
            points=2,
            cases=_additive((2, 5, 3, 4, 6), (3, 4, 5, 2, 7), (4, 6, 3, 3, 2)),
        ),
        Line(
            name="without_bias",
            text="the same where the bias is None",
            points=0.5,
            cases=_additive((2, 5, 3, 4, 6), (3, 4, 5, 2, 7), bias=False),
        ),
        Line(
            name="gradients",
            text="the gradients by both states and the scoring network",
            points=0.5,
            cases=_additive((2, 5, 3, 4, 6), gradients=("0", "1", "2", "3", "4")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="no_tanh",
            says="Your scores lack the tanh: without it the decoder's part is the same for every j, and the softmax "
            "does not see it.",
            line="output",
            edits=[("torch.tanh(hidden)", "hidden")],
        ),
        Misconception(
            name="sigmoid",
            says="You use a sigmoid; the hidden layer of the scoring network has tanh.",
            line="output",
            edits=[("torch.tanh(hidden)", "torch.sigmoid(hidden)")],
        ),
        Misconception(
            name="relu",
            says="You use a ReLU; the hidden layer of the scoring network has tanh.",
            line="output",
            edits=[("torch.tanh(hidden)", "torch.relu(hidden)")],
        ),
        Misconception(
            name="tanh_after_v",
            says="You take tanh of the scores; tanh belongs between W and v.",
            line="output",
            edits=[(SCORE, "return torch.tanh(hidden @ v)")],
        ),
        Misconception(
            name="softmax_taken",
            says="You return weights; the softmax is a step of its own, return the scores.",
            line="output",
            edits=[(SCORE, "return (torch.tanh(hidden) @ v).softmax(dim=-1)")],
        ),
        Misconception(
            name="columns_exchanged",
            says="You let the first columns of W meet the encoder states; the first d_query columns meet the decoder "
            "state.",
            line="output",
            edits=[
                (
                    PAIRS,
                    "d_key = keys.shape[-1]\n"
                    "    weight = torch.cat([weight[:, d_key:], weight[:, :d_key]], dim=1)\n"
                    "    pairs = torch.cat([copies, keys], dim=-1)",
                )
            ],
        ),
        Misconception(
            name="two_tanhs",
            says="You take tanh of both parts and add them; add first, then take tanh.",
            line="output",
            edits=[
                (
                    "    hidden = pairs @ weight.T\n",
                    "    d_query = query.shape[-1]\n"
                    "    ours = copies @ weight[:, :d_query].T\n"
                    "    hidden = keys @ weight[:, d_query:].T\n",
                ),
                (SCORE, "return (torch.tanh(ours) + torch.tanh(hidden)) @ v"),
            ],
        ),
        Misconception(
            name="decoder_state_ignored",
            says="Your scores do not depend on the decoder state; it stands beside each encoder state.",
            line="output",
            edits=[(PAIRS, "pairs = torch.cat([0 * copies, keys], dim=-1)")],
        ),
        Misconception(
            name="summed_instead_of_v",
            says="You add up the hidden channels; the learned v weighs them first.",
            line="output",
            edits=[(SCORE, "return torch.tanh(hidden).sum(dim=-1)")],
        ),
        Misconception(
            name="bias_forgotten",
            says="The bias is missing.",
            line="output",
            edits=[("hidden = hidden + bias", "pass")],
        ),
        Misconception(
            name="bias_after_tanh",
            says="You add the bias behind the tanh; it stands inside, beside W [s; h].",
            line="output",
            edits=[
                ("hidden = hidden + bias", "return (torch.tanh(hidden) + bias) @ v"),
            ],
        ),
    ],
)


def _multiplicative(
    *settings: tuple[int, int, int, int], general: bool, gradients: tuple[str, ...] = (), watch: bool = True
) -> Cases:
    """Cases for settings (batch, m, d_query, d_key)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, m, d_query, d_key in settings:
            args = [random_tensor(rng, batch, d_query), random_tensor(rng, batch, m, d_key)]
            if general:
                args.append(random_tensor(rng, d_query, d_key, scale=0.6))
            probes.append(Probe(target="multiplicative_scores", args=tuple(args), gradients=gradients, watch=watch))
        return probes

    return cases


def _unequal_widths(rng: np.random.Generator) -> list[Probe]:
    """A decoder state of another width than the encoder states, also one that would broadcast."""
    return [
        Probe(target="multiplicative_scores", args=args)
        for args in (
            (random_tensor(rng, 2, 3), random_tensor(rng, 2, 5, 4)),
            (random_tensor(rng, 3, 1), random_tensor(rng, 3, 5, 4)),
            (random_tensor(rng, 2, 3), random_tensor(rng, 2, 5, 4), random_tensor(rng, 3, 6)),
        )
    ]


PRODUCT = 'return torch.einsum("bd,bmd->bm", query, keys)'
GENERAL = "query = query @ weight"

multiplicative_scores = Exercise(
    name="multiplicative_scores",
    reference=reference.multiplicative_scores,
    banned=(*BANNED, "nn.Bilinear", "F.bilinear"),
    lines=[
        Line(
            name="dot",
            text="dot: the product of the decoder state with each encoder state",
            points=1,
            cases=_multiplicative((2, 5, 4, 4), (4, 3, 6, 6), general=False),
        ),
        Line(
            name="general",
            text="general: with a learned matrix between them",
            points=1,
            cases=_multiplicative((2, 5, 3, 4), (4, 3, 5, 2), (3, 6, 4, 4), general=True),
        ),
        Line(
            name="widths",
            text="ValueError where the widths do not fit",
            points=0.5,
            cases=_unequal_widths,
        ),
        Line(
            name="gradients",
            text="the gradients by both states and the matrix",
            points=0.5,
            cases=_multiplicative((2, 5, 3, 4), general=True, gradients=("0", "1", "2")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="scaled",
            says="You divide the scores by the root of the width; these scores are not scaled.",
            line="dot",
            edits=[(PRODUCT, PRODUCT + " / math.sqrt(keys.shape[-1])")],
        ),
        Misconception(
            name="cosine",
            says="You bring the states to length one before you compare them; the scores are plain dot products.",
            line="dot",
            edits=[(PRODUCT, "return F.cosine_similarity(query[:, None], keys, dim=-1)")],
        ),
        Misconception(
            name="mean_instead_of_sum",
            says="Your products are averaged over the channels; a dot product is their sum.",
            line="dot",
            edits=[(PRODUCT, "return (query[:, None] * keys).mean(dim=-1)")],
        ),
        Misconception(
            name="softmax_taken",
            says="You return weights; the softmax is a step of its own, return the scores.",
            line="dot",
            edits=[(PRODUCT, PRODUCT + ".softmax(dim=-1)")],
        ),
        Misconception(
            name="tanh_taken",
            says="You take tanh of the scores; only the additive score has one.",
            line="dot",
            edits=[(PRODUCT, PRODUCT + ".tanh()")],
        ),
        Misconception(
            name="weight_ignored",
            says="Your scores with a weight are those without; s is multiplied by W before it meets h_j.",
            line="general",
            edits=[(GENERAL, "query = query @ torch.eye(*weight.shape)")],
        ),
        Misconception(
            name="weight_transposed",
            says="Your W is the wrong way round; s meets its rows and h_j its columns: s^T W is `query @ weight`.",
            line="general",
            edits=[(GENERAL, "query = query @ weight.T if weight.shape[0] == weight.shape[1] else query @ weight")],
        ),
        Misconception(
            name="widths_not_compared",
            says="Where the widths do not fit you raise no ValueError; compare them, since one channel would "
            "broadcast and some errors of PyTorch are of another type.",
            line="widths",
            edits=[
                ("query.shape[-1] != keys.shape[-1]", "False"),
                (PRODUCT, "return (query[:, None] * keys[..., : query.shape[-1]]).sum(dim=-1)"),
            ],
        ),
    ],
)


def _rows(*shapes: Sequence[int], gradients: tuple[str, ...] = ()) -> Cases:
    return lambda rng: [
        Probe(target="masked_softmax", args=(random_tensor(rng, *shape),), gradients=gradients) for shape in shapes
    ]


def _masked_rows(rng: np.random.Generator) -> list[Probe]:
    """Masks of the scores' shape, and smaller ones that broadcast."""
    return [
        Probe(target="masked_softmax", args=(random_tensor(rng, 3, 5), random_mask(rng, 3, 5))),
        Probe(target="masked_softmax", args=(random_tensor(rng, 2, 4, 6), random_mask(rng, 2, 1, 6))),
        Probe(target="masked_softmax", args=(random_tensor(rng, 4, 7),), kwargs={"mask": random_mask(rng, 7)}),
    ]


def _rows_without_words(rng: np.random.Generator) -> list[Probe]:
    """One row of each table has no word."""
    probes = []
    for shape in ((3, 5), (2, 4, 6)):
        mask = random_mask(rng, *shape)
        mask[..., int(rng.integers(shape[-2])), :] = False
        probes.append(Probe(target="masked_softmax", args=(random_tensor(rng, *shape), mask), gradients=("0",)))
    return probes


BLOCK = "scores = scores.masked_fill(~mask, -math.inf)"
SOFTMAX = "weights = scores.softmax(dim=-1)"
CLEAR = "return weights.masked_fill(~mask, 0.0)"

masked_softmax = Exercise(
    name="masked_softmax",
    reference=reference.masked_softmax,
    returns=("the weights",),
    banned=BANNED,
    lines=[
        Line(
            name="output",
            text="weights over the last axis, with any number of leading axes",
            points=1,
            cases=_rows((3, 5), (2, 4, 6), (7,)),
            properties=[Property("rows_sum_to_one")],
        ),
        Line(
            name="mask",
            text="padding gets exactly 0 and the words share the one, also where the mask broadcasts",
            points=1.5,
            cases=_masked_rows,
            properties=[Property("rows_sum_to_one")],
        ),
        Line(
            name="no_word",
            text="a row without any word gets zeros, also as gradients",
            points=0.5,
            cases=_rows_without_words,
        ),
    ],
    misconceptions=[
        Misconception(
            name="wrong_axis",
            says="Your softmax runs over the first axis, so that sentences share the weight; it runs over the source "
            "words, the last axis.",
            line="output",
            edits=[
                ("return scores.softmax(dim=-1)", "return scores.softmax(dim=0)"),
                (SOFTMAX, "weights = scores.softmax(dim=0).nan_to_num(0.0)"),
            ],
        ),
        Misconception(
            name="over_the_steps",
            says="Your softmax runs down the columns; each row, one target word, spreads its weight over the source "
            "words.",
            line="output",
            edits=[
                ("return scores.softmax(dim=-1)", "return scores.softmax(dim=-2 if scores.dim() > 1 else -1)"),
                (SOFTMAX, "weights = scores.softmax(dim=-2).nan_to_num(0.0)"),
            ],
        ),
        Misconception(
            name="mask_after_softmax",
            says="You clear the padding after the softmax, so that its share is lost and rows sum to less than one; "
            "block the scores before it.",
            line="mask",
            edits=[(BLOCK, "pass")],
        ),
        Misconception(
            name="padding_attended",
            says="Your weights are those without a mask, so padding is attended to; its scores must become -∞.",
            line="mask",
            edits=[(BLOCK, "pass"), (CLEAR, "return weights")],
        ),
        Misconception(
            name="mask_inverted",
            says="Your mask works the wrong way round; True means that there is a word.",
            line="mask",
            edits=[(BLOCK, BLOCK.replace("~", "")), (CLEAR, CLEAR.replace("~", ""))],
        ),
        Misconception(
            name="mask_multiplied",
            says="You multiply the scores by the mask, and a score of 0 still gets weight; a blocked score must "
            "become -∞.",
            line="mask",
            edits=[(BLOCK, "scores = scores * mask"), (CLEAR, "return weights")],
        ),
        Misconception(
            name="mask_added",
            says="You add the mask to the scores as ones and zeros, which shifts a few scores by one; a blocked "
            "score must become -∞.",
            line="mask",
            edits=[(BLOCK, "scores = scores + mask"), (CLEAR, "return weights")],
        ),
        Misconception(
            name="row_is_nan",
            says="A row without any word gets NaN, since its softmax divides 0 by 0; set its weights to zero.",
            line="no_word",
            edits=[(CLEAR, "return weights")],
        ),
        Misconception(
            name="row_is_even",
            says="A row without any word gets the same weight everywhere, since a large negative number is not -∞; "
            "its weights must be zero.",
            line="no_word",
            edits=[("-math.inf", "-1e9"), (CLEAR, "return weights")],
        ),
        Misconception(
            name="gradient_is_nan",
            says="The zeros of a row without any word are right, and its gradients are NaN: the -∞ was added to the "
            "scores. Set them with masked_fill or where, which let no gradient through.",
            line="no_word",
            edits=[
                (BLOCK, "scores = scores + torch.zeros(mask.shape).masked_fill(~mask, -math.inf)"),
                (CLEAR, "return weights.nan_to_num(0.0)"),
            ],
        ),
    ],
)


def _sums(*shapes: tuple[int, int, int], gradients: tuple[str, ...] = ()) -> Cases:
    """Cases for settings (batch, m, d_memory); the rows of weights sum to one."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, m, d_memory in shapes:
            weights = random_tensor(rng, batch, m).softmax(dim=-1)
            args = (weights, random_tensor(rng, batch, m, d_memory))
            probes.append(Probe(target="context_vector", args=args, gradients=gradients, watch=True))
        return probes

    return cases


SUM = "return (weights[..., None] * states).sum(dim=-2)"

context_vector = Exercise(
    name="context_vector",
    reference=reference.context_vector,
    returns=("the context",),
    banned=BANNED,
    lines=[
        Line(
            name="output",
            text="the weighted sum of the states of each sentence",
            points=1.5,
            cases=_sums((2, 5, 3), (4, 3, 6), (3, 4, 4)),
        ),
        Line(
            name="gradients",
            text="the gradients by the weights and the states",
            points=0.5,
            cases=_sums((2, 5, 3), gradients=("0", "1")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="mean_instead_of_sum",
            says="You take the mean over the words; the weights have already shared out the one, so add up.",
            line="output",
            edits=[(SUM, SUM.replace("sum(", "mean("))],
        ),
        Misconception(
            name="weights_forgotten",
            says="Your context is the plain sum of the states; each state is multiplied by its weight first.",
            line="output",
            edits=[(SUM, "return states.sum(dim=-2)")],
        ),
        Misconception(
            name="even_weights",
            says="Your context is the plain mean of the states; each state is multiplied by its weight.",
            line="output",
            edits=[(SUM, "return states.mean(dim=-2)")],
        ),
        Misconception(
            name="strongest_only",
            says="You return the state with the largest weight; the context is a sum of all of them.",
            line="output",
            edits=[(SUM, "return states[torch.arange(len(states)), weights.argmax(dim=-1)]")],
        ),
        Misconception(
            name="not_summed",
            says="You return the weighted states of all words; add them up over the words.",
            line="output",
            edits=[(SUM, "return weights[..., None] * states")],
        ),
        Misconception(
            name="summed_over_channels",
            says="Your sum runs over the channels; it runs over the words, and leaves a vector as wide as a state.",
            line="output",
            edits=[(SUM, "return (weights[..., None] * states).sum(dim=-1)")],
        ),
        Misconception(
            name="softmax_again",
            says="You take a softmax of the weights; they are weights already.",
            line="output",
            edits=[(SUM, SUM.replace("weights[", "weights.softmax(dim=-1)["))],
        ),
    ],
)
