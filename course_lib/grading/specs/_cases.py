"""Pieces that case generators share."""

from __future__ import annotations

import numpy as np
import torch

from course_lib.grading.spec import random_tensor

LIBRARY_HEADS = (
    "MultiheadAttention",
    "F.multi_head_attention_forward",
    "nn.TransformerEncoderLayer",
    "nn.TransformerDecoderLayer",
    "nn.Transformer",
    "flex_attention",
)
"""What of PyTorch's holds attention with its projections, alone or in a layer."""

LIBRARY_ATTENTION = ("F.scaled_dot_product_attention", *LIBRARY_HEADS)


def random_mask(rng: np.random.Generator, *shape: int, allowed: float = 0.6) -> torch.Tensor:
    """A boolean mask in whose rows at least one entry is allowed and at least one is blocked."""
    mask = rng.random(shape) < allowed
    rows = mask.reshape(-1, shape[-1])
    for row in rows:
        first, second = rng.choice(shape[-1], size=2, replace=False)
        row[first], row[second] = True, False
    return torch.from_numpy(rows.reshape(shape))


def spread_logits(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    """Logits whose neighbours in a sorted row are well apart, in random order."""
    steps = rng.uniform(0.2, 0.9, size=shape).cumsum(axis=-1) - rng.uniform(0, 3)
    return torch.from_numpy(np.round(rng.permuted(steps, axis=-1), 4))


def random_cycle(rng: np.random.Generator, length: int) -> torch.Tensor:
    """A permutation that leads through all positions in one cycle.

    From five positions on, to shuffle once, twice and back are then three things in every part of the sequence.
    """
    order = rng.permutation(length)
    cycle = np.empty(length, dtype=np.int64)
    cycle[order] = np.roll(order, -1)
    return torch.from_numpy(cycle)


def attention_inputs(
    rng: np.random.Generator, *leading: int, n: int, m: int, head_dim: int, d_value: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A query (*leading, n, head_dim), a key (*leading, m, head_dim) and a value (*leading, m, d_value)."""
    return (
        random_tensor(rng, *leading, n, head_dim),
        random_tensor(rng, *leading, m, head_dim),
        random_tensor(rng, *leading, m, d_value),
    )
