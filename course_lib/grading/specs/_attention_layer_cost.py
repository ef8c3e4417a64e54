"""Assignment 04, memory and multiply-adds: exercises 10 and 11."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.grading.spec import Exercise, Line, Misconception
from course_lib.grading.specs._cases import LIBRARY_ATTENTION, attention_inputs
from course_lib.models import attention as reference

ROOM = 9 << 20


def _tiled(
    *settings: tuple[tuple[int, ...], int, int, int, int, int],
    gradients: tuple[str, ...] = (),
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (leading axes, n, m, head_dim, d_value, tile_size)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for leading, n, m, head_dim, d_value, tile_size in settings:
            query, key, value = attention_inputs(rng, *leading, n=n, m=m, head_dim=head_dim, d_value=d_value)
            probes.append(
                Probe(
                    target="tiled_attention",
                    args=(query, key, value),
                    kwargs={"tile_size": tile_size},
                    gradients=gradients,
                    watch=True,
                )
            )
        return probes

    return cases


def _large_scores(rng: np.random.Generator) -> list[Probe]:
    """Scores of a thousand of either sign, and scores that are all as negative.

    Nearly all weight lies on one key here. So there are many queries: for some of them that key stands in the last
    tile, for some two scores are close, and a mistake about either shows with every draw.
    """
    mixed = attention_inputs(rng, 2, 9, n=10, m=14, head_dim=4, d_value=3)
    negative = attention_inputs(rng, 6, n=10, m=14, head_dim=5, d_value=2)
    return [
        Probe(target="tiled_attention", args=(600 * query, key, value), kwargs={"tile_size": size}, watch=True)
        for (query, key, value), size in (
            (mixed, 5),
            ((negative[0].abs() + 1, -negative[1].abs() - 1, negative[2]), 5),
        )
    ]


def _memory(rng: np.random.Generator) -> list[Probe]:
    """A small case, whose largest tensor is noted by the process itself, and one for which the kernel decides.

    The table of the second has 2.7 million weights: 20 MiB, or 10 MiB in float32, and dense attention holds two
    at once. In parts the right answers of the tests need less than 7 MiB. Scores of up to 50 leave half precision too
    coarse for a smaller table to help.
    """
    small = attention_inputs(rng, n=46, m=55, head_dim=3, d_value=2)
    n, m = (int(length + rng.integers(50)) for length in (1100, 2400))
    query, key, value = attention_inputs(rng, n=n, m=m, head_dim=2, d_value=1)
    large = 4 * query, key, value
    return [
        Probe(target="tiled_attention", args=small, kwargs={"tile_size": 16}, watch=True),
        Probe(target="tiled_attention", args=large, kwargs={"tile_size": 107}, room_bytes=ROOM, seconds=40.0),
    ]


RESCALED_SUM = "running_sum = running_sum * old +"
RESCALED_OUTPUT = "running_output = running_output * old +"

tiled_attention = Exercise(
    name="tiled_attention",
    reference=reference.tiled_attention,
    banned=LIBRARY_ATTENTION,
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
            text="scores in the thousands, whose exponential is infinite or zero",
            points=1,
            cases=_large_scores,
        ),
        Line(
            name="memory",
            text="no tensor on the way is as large as the table of weights",
            points=1,
            cases=_memory,
            properties=[Property("largest_tensor", {"limit": 46 * 55 // 2})],
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
            edits=[(" / math.sqrt(query.shape[-1])", "")],
        ),
        Misconception(
            name="maximum_starts_at_zero",
            says="Your running maximum starts at 0, so where all scores are very negative, every exponential is 0 and "
            "you divide 0 by 0; let it start at -∞.",
            line="large_scores",
            edits=[("torch.full_like(query_tile[..., :1], -math.inf)", "torch.zeros_like(query_tile[..., :1])")],
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


def _cost(*settings: tuple[int, int, int]) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (length, head_dim, num_heads), the length and the width of a head varied a little."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            Probe(
                target="attention_cost",
                kwargs={
                    "length": length + int(rng.integers(3)),
                    "d_model": (head_dim + 2 * int(rng.integers(3))) * num_heads,
                    "num_heads": num_heads,
                },
            )
            for length, head_dim, num_heads in settings
        ]

    return cases


attention_cost = Exercise(
    name="attention_cost",
    reference=reference.attention_cost,
    lines=[
        Line(
            name="one_head",
            text="all six counts of a layer with one head",
            points=1,
            cases=_cost((5, 8, 1), (100, 64, 1)),
        ),
        Line(
            name="several_heads",
            text="what changes with the number of heads, and what does not",
            points=1,
            cases=_cost((5, 8, 3), (100, 32, 4)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="one_projection_counted",
            says="You count one of the three input projections; query, key and value take N d² each.",
            line="one_head",
            edits=[("qkv_projection = 3 * length", "qkv_projection = length")],
        ),
        Misconception(
            name="products_and_additions_counted",
            says="Your counts are twice as large, products and additions apart; a multiply-add counts both as one.",
            line="one_head",
            edits=[
                ("qkv_projection = 3 *", "qkv_projection = 2 * 3 *"),
                ("scores = length", "scores = 2 * length"),
                ("weighting = length", "weighting = 2 * length"),
                ("output_projection = length", "output_projection = 2 * length"),
            ],
        ),
        Misconception(
            name="output_projection_not_in_total",
            says="Your total lacks the output projection; it is the sum of all four products.",
            line="one_head",
            edits=[(" + weighting + output_projection", " + weighting")],
        ),
        Misconception(
            name="length_and_width_exchanged",
            says="Length and width are exchanged; a projection takes N d² per matrix, the scores N² d.",
            line="one_head",
            edits=[
                ("3 * length * d_model * d_model", "3 * length * length * d_model"),
                ("scores = length * length * d_model", "scores = length * d_model * d_model"),
                ("weighting = length * length * d_model", "weighting = length * d_model * d_model"),
                ("output_projection = length * d_model * d_model", "output_projection = length * length * d_model"),
            ],
        ),
        Misconception(
            name="heads_multiply_the_cost",
            says="You multiply scores and weighting by the number of heads; each head is only d / H wide, so "
            "together they take N² d.",
            line="several_heads",
            edits=[
                ("scores = length * length * d_model", "scores = num_heads * length * length * d_model"),
                ("weighting = length * length * d_model", "weighting = num_heads * length * length * d_model"),
            ],
        ),
        Misconception(
            name="cost_of_one_head",
            says="You count scores and weighting of one head; there are num_heads of them.",
            line="several_heads",
            edits=[
                ("scores = length * length * d_model", "scores = length * length * d_model // num_heads"),
                ("weighting = length * length * d_model", "weighting = length * length * d_model // num_heads"),
            ],
        ),
        Misconception(
            name="weights_of_one_head",
            says="You count the weights of one head; each head has its own table of N² weights.",
            line="several_heads",
            edits=[("num_heads * length * length", "length * length")],
        ),
    ],
)
