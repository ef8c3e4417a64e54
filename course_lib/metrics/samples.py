"""How far samples are from what they should be drawn from: energy distance.

Source: Székely and Rizzo, "Energy Statistics: A Class of Statistics Based on Distances", 2013, section 2.
Chapters: 10-generative-models, 11-rectified-flow.
"""

import torch
from torch import Tensor


def energy_distance(samples: Tensor, others: Tensor) -> float:
    """How far apart two distributions are, judged from samples of each; 0 on average where they are equal.

        D² = 2 E|X - Y| - E|X - X'| - E|Y - Y'|

    X, X' are drawn from one, Y, Y' from the other. Each mean runs over pairs of different samples (a U-statistic),
    so the estimate is right on average and is about as often below 0 as above where the two are equal: real data
    against real data gives the figure to compare with.

    Args:
        samples: (count, ...); everything but the first axis is one point, however it is shaped.
        others: (other_count, ...), points of the same shape.

    Returns:
        The squared distance D², in the unit of the data.

    Raises:
        ValueError: if the points differ in shape, or there are not two of each.

    Source: Székely and Rizzo 2013, section 2, equation 5.
    Chapter: 10-generative-models.
    """
    if samples.shape[1:] != others.shape[1:] or min(len(samples), len(others)) < 2:
        raise ValueError(
            f"Samples of shape {tuple(samples.shape)} cannot be compared with {tuple(others.shape)}: "
            "give at least two points of each, all of one shape."
        )
    x, y = samples.detach().flatten(1).double(), others.detach().flatten(1).double()
    within = sum(_distances(z, z).sum() / (len(z) * (len(z) - 1)) for z in (x, y))
    return float(2 * _distances(x, y).mean() - within)


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances of all pairs, (len(x), len(y)), a point's distance from itself exactly 0."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
