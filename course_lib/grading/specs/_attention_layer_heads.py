"""Assignment 04, several heads: exercise 9 and the larger piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.grading.spec import Exercise, Line, Misconception, random_state, random_tensor
from course_lib.grading.specs._cases import LIBRARY_HEADS, random_mask
from course_lib.models import attention as reference

SCALE = 0.3  # of the weights: the softmax keeps some spread


def _heads(
    *settings: tuple[int, int, int, int, int],
    mask_shapes: Sequence[tuple[int, ...] | None] = (None,),
    gradients: tuple[str, ...] = (),
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, n, m, d_model, num_heads), each with each shape of mask."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, n, m, d_model, num_heads in settings:
            init = {"d_model": d_model, "num_heads": num_heads}
            for shape in mask_shapes:
                probes.append(
                    Probe(
                        target="MultiHeadAttention",
                        init=init,
                        state=random_state(reference.MultiHeadAttention(**init), rng, scale=SCALE),
                        args=tuple(random_tensor(rng, batch, size, d_model) for size in (n, m, m)),
                        kwargs={} if shape is None else {"mask": random_mask(rng, *shape)},
                        gradients=gradients,
                    )
                )
        return probes

    return cases


def _uneven_heads(rng: np.random.Generator) -> list[Probe]:
    """Numbers of heads that do not divide the width: the constructor must refuse."""
    return [
        Probe(
            target="MultiHeadAttention",
            init={"d_model": d_model, "num_heads": num_heads},
            args=tuple(random_tensor(rng, 2, 3, d_model) for _ in range(3)),
        )
        for d_model, num_heads in ((10, 4), (7, 2))
    ]


SPLIT_QUERY = "queries = self.query_projection(query).view(batch, n, self.num_heads, head_dim).transpose(1, 2)"
SPLIT_KEY = "keys = self.key_projection(key).view(batch, m, self.num_heads, head_dim).transpose(1, 2)"
SPLIT_VALUE = "values = self.value_projection(value).view(batch, m, self.num_heads, head_dim).transpose(1, 2)"
ATTEND = "heads, weights = scaled_dot_product_attention(queries, keys, values, mask)"
MERGE = "heads.transpose(1, 2).reshape(batch, n, d_model)"
CHECK = "if d_model % num_heads:"


def _split_otherwise(name: str) -> list[tuple[str, str]]:
    """The three splits changed in one way: "cut" views straight into heads, "interleave" swaps the axes."""
    edits = []
    for split, length in ((SPLIT_QUERY, "n"), (SPLIT_KEY, "m"), (SPLIT_VALUE, "m")):
        old = f".view(batch, {length}, self.num_heads, head_dim).transpose(1, 2)"
        new = {
            "cut": f".view(batch, self.num_heads, {length}, head_dim)",
            "interleave": f".view(batch, {length}, head_dim, self.num_heads).permute(0, 3, 1, 2)",
        }[name]
        edits.append((split, split.replace(old, new)))
    return edits


def _scaled_by(width: str) -> str:
    """The attention of all heads, scaled by the root of ``width``."""
    return (
        f"scores = queries @ keys.transpose(-2, -1) / math.sqrt({width})\n"
        "        if mask is not None:\n"
        "            scores = scores.masked_fill(~mask, -math.inf)\n"
        "        weights = scores.softmax(dim=-1)\n"
        "        heads = weights @ values"
    )


multi_head_attention = Exercise(
    name="MultiHeadAttention",
    reference=reference.MultiHeadAttention,
    returns=("the output", "the weights"),
    banned=LIBRARY_HEADS,
    uses=("scaled_dot_product_attention",),
    lines=[
        Line(
            name="output",
            text="output and the weights of each head, for queries and keys of different length",
            points=2,
            cases=_heads((2, 5, 7, 12, 3), (3, 4, 5, 12, 2), (2, 3, 4, 6, 1)),
            properties=[Property("rows_sum_to_one", {"part": 1})],
        ),
        Line(
            name="mask",
            text="a mask reaches every head",
            points=0.5,
            cases=_heads((2, 5, 7, 12, 3), mask_shapes=((2, 3, 5, 7), (2, 1, 1, 7))),
            properties=[Property("rows_sum_to_one", {"part": 1})],
        ),
        Line(
            name="gradients",
            text="the gradients by the inputs and all four projections",
            points=1,
            cases=_heads((2, 5, 7, 6, 3), gradients=("0", "1", "2", "state")),
        ),
        Line(
            name="uneven_heads",
            text="ValueError where the heads do not divide the width",
            points=0.5,
            cases=_uneven_heads,
        ),
    ],
    misconceptions=[
        Misconception(
            name="heads_cut_without_transpose",
            says="You view the channels straight into (batch, heads, length, head_dim), which cuts through the "
            "positions; view into (batch, length, heads, head_dim) and exchange axes 1 and 2.",
            line="output",
            edits=_split_otherwise("cut"),
        ),
        Misconception(
            name="heads_interleaved",
            says="Your heads take every num_heads-th channel; each head owns head_dim neighbouring channels.",
            line="output",
            edits=_split_otherwise("interleave"),
        ),
        Misconception(
            name="merged_without_transpose",
            says="You reshape the heads into channels before you exchange axes 1 and 2 back, which mixes positions; "
            "exchange first.",
            line="output",
            edits=[(MERGE, "heads.reshape(batch, n, d_model)")],
        ),
        Misconception(
            name="output_projection_missing",
            says="Your output is the heads side by side; the output projection must mix them.",
            line="output",
            edits=[("return self.output_projection(merged), weights", "return merged, weights")],
        ),
        Misconception(
            name="scaled_by_d_model",
            says="You divide by the root of d_model; each head works on head_dim channels, so divide by the root of "
            "head_dim.",
            line="output",
            edits=[(ATTEND, _scaled_by("d_model"))],
        ),
        Misconception(
            name="no_scaling",
            says="Your scores are not scaled; divide them by the root of head_dim.",
            line="output",
            edits=[(ATTEND, _scaled_by("1"))],
        ),
        Misconception(
            name="weights_averaged",
            says="You return the mean of the heads' weights; return each head's own, (batch, num_heads, n, m).",
            line="output",
            edits=[
                (
                    "return self.output_projection(merged), weights",
                    "return self.output_projection(merged), weights.mean(1)",
                )
            ],
        ),
        Misconception(
            name="key_and_value_share_a_projection",
            says="Your values come from the key projection; the value projection belongs there.",
            line="output",
            edits=[("self.value_projection(value)", "self.key_projection(value)")],
        ),
        Misconception(
            name="mask_ignored",
            says="Your output is the one without a mask; hand the mask on to the attention.",
            line="mask",
            edits=[("(queries, keys, values, mask)", "(queries, keys, values)")],
        ),
        Misconception(
            name="uneven_heads_accepted",
            says="Your constructor accepts a number of heads that does not divide d_model; raise ValueError there.",
            line="uneven_heads",
            edits=[(CHECK, "if False:")],
        ),
    ],
)


def _rotary_probe(
    rng: np.random.Generator, batch: int, length: int, d_model: int, num_heads: int, *, gradients: tuple[str, ...] = ()
) -> Probe:
    """In float32, where angles in float32 are as right as in float64."""
    init = {"d_model": d_model, "num_heads": num_heads}
    return Probe(
        target="RotarySelfAttention",
        init=init,
        state=random_state(reference.RotarySelfAttention(**init), rng, scale=SCALE),
        args=(random_tensor(rng, batch, length, d_model).float(),),
        gradients=gradients,
        dtype="float32",
    )


def _rotary(
    *settings: tuple[int, int, int, int], gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, length, d_model, num_heads)."""
    return lambda rng: [_rotary_probe(rng, *setting, gradients=gradients) for setting in settings]


CHANGED = 3


def _future_changed(rng: np.random.Generator) -> list[Probe]:
    """The same layer on two inputs that agree before position CHANGED."""
    first = _rotary_probe(rng, 2, 7, 12, 3)
    x = first.args[0].clone()
    x[:, CHANGED:] = random_tensor(rng, 2, 7 - CHANGED, 12).float()
    return [first, replace(first, args=(x,))]


def _offsets(rng: np.random.Generator) -> list[Probe]:
    """The same layer on the same input, begun at several positions."""
    first = _rotary_probe(rng, 2, 5, 12, 3)
    return [replace(first, kwargs={"offset": offset}) for offset in (0, 1, int(rng.integers(5, 12)))]


ROTATE_QUERY = "query = apply_rope(query, offset=offset)"
ROTATE_KEY = "key = apply_rope(key, offset=offset)"
ROTARY_ATTEND = "heads, _ = scaled_dot_product_attention(query, key, value, causal_mask(length))"
ROTARY_SPLIT = ".view(batch, length, self.num_heads, head_dim).transpose(1, 2)"


def _rotary_split_otherwise(replacement: str) -> list[tuple[str, str]]:
    return [
        (f"self.{name}_projection(x){ROTARY_SPLIT}", f"self.{name}_projection(x){replacement}")
        for name in ("query", "key", "value")
    ]


rotary_self_attention = Exercise(
    name="RotarySelfAttention",
    reference=reference.RotarySelfAttention,
    banned=LIBRARY_HEADS,
    uses=("scaled_dot_product_attention", "apply_rope", "causal_mask", "MultiHeadAttention"),
    lines=[
        Line(
            name="output",
            text="the output, for several numbers of heads",
            points=2,
            cases=_rotary((2, 5, 12, 3), (3, 7, 8, 2), (2, 3, 6, 1)),
        ),
        Line(
            name="causal",
            text="an output does not change when a later position does",
            points=1.5,
            cases=_future_changed,
            properties=[Property("future_does_not_leak", {"position": CHANGED})],
        ),
        Line(
            name="offset",
            text="the output is the same for every offset",
            points=1,
            cases=_offsets,
            properties=[Property("same_output", {"what": "the offset"})],
        ),
        Line(
            name="gradients",
            text="the gradients by the input and all four projections",
            points=1.5,
            cases=_rotary((2, 5, 12, 3), gradients=("0", "state")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="no_causal_mask",
            says="Your positions see the future; hand the causal mask to the attention.",
            line="causal",
            edits=[(", causal_mask(length))", ")")],
        ),
        Misconception(
            name="sees_only_the_future",
            says="Your mask is turned round, and each position sees itself and the future; it may see itself and the "
            "past.",
            line="causal",
            edits=[("causal_mask(length)", "causal_mask(length).T")],
        ),
        Misconception(
            name="does_not_see_itself",
            says="Your positions see the past and not themselves, so the first sees nothing; each position also sees "
            "itself.",
            line="output",
            edits=[("causal_mask(length)", "causal_mask(length).tril(-1)")],
        ),
        Misconception(
            name="no_positions",
            says="Your layer does not know the order of its inputs: queries and keys are not turned, or by the "
            "number of their head. Call apply_rope on both, with the positions on the second last axis.",
            line="output",
            edits=[(ROTATE_QUERY, "pass"), (ROTATE_KEY, "pass")],
        ),
        Misconception(
            name="key_not_turned",
            says="Only the queries are turned; turn the keys as well, so that their dot product depends on the "
            "distance only.",
            line="offset",
            edits=[(ROTATE_KEY, "pass")],
        ),
        Misconception(
            name="offset_on_queries_only",
            says="The offset moves your queries and not your keys; both stand in the same sequence, so both need it.",
            line="offset",
            edits=[(ROTATE_KEY, "key = apply_rope(key)")],
        ),
        Misconception(
            name="values_turned",
            says="Your values are turned as well, so that what a position hands over depends on where it stands; "
            "turn queries and keys only.",
            line="offset",
            edits=[(ROTATE_KEY, ROTATE_KEY + "\n        value = apply_rope(value, offset=offset)")],
        ),
        Misconception(
            name="turned_before_the_heads_are_cut",
            says="You turn queries and keys at their full width, so that later heads get only slow pairs; cut the "
            "heads first, then turn each with its own head_dim.",
            line="output",
            edits=[
                ("self.query_projection(x).view", "apply_rope(self.query_projection(x), offset=offset).view"),
                ("self.key_projection(x).view", "apply_rope(self.key_projection(x), offset=offset).view"),
                (ROTATE_QUERY, "pass"),
                (ROTATE_KEY, "pass"),
            ],
        ),
        Misconception(
            name="heads_cut_without_transpose",
            says="You view the channels straight into (batch, heads, length, head_dim), which cuts through the "
            "positions; view into (batch, length, heads, head_dim) and exchange axes 1 and 2.",
            line="output",
            edits=_rotary_split_otherwise(".view(batch, self.num_heads, length, head_dim)"),
        ),
        Misconception(
            name="scaled_by_d_model",
            says="You divide by the root of d_model; each head works on head_dim channels, so divide by the root of "
            "head_dim.",
            line="output",
            edits=[
                (
                    ROTARY_ATTEND,
                    "scores = query @ key.transpose(-2, -1) / math.sqrt(d_model)\n"
                    "        scores = scores.masked_fill(~causal_mask(length), -math.inf)\n"
                    "        heads = scores.softmax(dim=-1) @ value",
                )
            ],
        ),
        Misconception(
            name="output_projection_missing",
            says="Your output is the heads side by side; the output projection must mix them.",
            line="output",
            edits=[("return self.output_projection(merged)", "return merged")],
        ),
    ],
)
