"""Distributions in the plane, small enough to see whole: what a generative model makes of them fits in one figure.

    from course_lib.data.plane import eight_gaussians
    points = eight_gaussians(2000, generator=torch.Generator().manual_seed(0))  # (2000, 2)

Each function draws from one fixed distribution; all chance comes from the generator. Draw twice from the same
distribution to see how far real data are from real data (`course_lib.metrics.energy_distance`).

Chapters: 10-generative-models, 11-rectified-flow.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

RADIUS = 2.0
SIGMA = 0.15


def gaussian_centres(*, modes: int = 8, radius: float = RADIUS) -> Tensor:
    """The centres of `eight_gaussians`: points at equal distances on a circle, (modes, 2), the first at (radius, 0)."""
    angles = torch.arange(modes) * (2 * math.pi / modes)
    return radius * torch.stack([angles.cos(), angles.sin()], dim=-1)


def eight_gaussians(
    count: int, *, generator: torch.Generator, modes: int = 8, radius: float = RADIUS, sigma: float = SIGMA
) -> Tensor:
    """Equally likely round Gaussians on a circle: separate modes, so that a forgotten one is seen.

    Args:
        count: how many points.
        generator: the source of chance.
        modes: how many Gaussians.
        radius: of the circle on which their centres stand.
        sigma: standard deviation of each Gaussian, along each axis.

    Returns:
        The points, (count, 2).

    Chapter: 10-generative-models.
    """
    which = torch.randint(modes, (count,), generator=generator)
    return gaussian_centres(modes=modes, radius=radius)[which] + sigma * torch.randn(count, 2, generator=generator)


def two_moons(count: int, *, generator: torch.Generator, sigma: float = 0.1) -> Tensor:
    """Two half circles that reach into each other: a thin, curved set.

    The upper moon is the upper half of a circle of radius 1.5 around (-0.75, -0.375), the lower one the lower half
    of a circle around (0.75, 0.375).

    Args:
        count: how many points.
        generator: the source of chance.
        sigma: standard deviation of the noise added along each axis.

    Returns:
        The points, (count, 2).

    Chapter: 10-generative-models.
    """
    side = 1.0 - 2.0 * torch.randint(2, (count,), generator=generator)  # 1: upper, -1: lower
    angle = math.pi * torch.rand(count, generator=generator)
    x = 1.5 * angle.cos() - 0.75
    y = 1.5 * angle.sin() - 0.375
    points = torch.stack([side * x, side * y], dim=-1)  # a half turn takes one moon to the other
    return points + sigma * torch.randn(count, 2, generator=generator)


def checkerboard(count: int, *, generator: torch.Generator, squares: int = 4, width: float = 4.0) -> Tensor:
    """Points spread evenly over the dark squares of a board: sharp edges, and nothing in between.

    Args:
        count: how many points.
        generator: the source of chance.
        squares: along each side of the board; even.
        width: of the whole board, which is centred on 0.

    Returns:
        The points, (count, 2).

    Raises:
        ValueError: if `squares` is odd.

    Chapter: 10-generative-models.
    """
    if squares % 2:
        raise ValueError(f"A board of {squares} squares a side has not as many dark squares as light: choose even.")
    column = torch.randint(squares, (count,), generator=generator)
    row = 2 * torch.randint(squares // 2, (count,), generator=generator) + column % 2
    inside = torch.rand(count, 2, generator=generator)
    return (torch.stack([column, row], dim=-1) + inside) * (width / squares) - width / 2


DISTRIBUTIONS: dict[str, Callable[..., Tensor]] = {
    "eight Gaussians": eight_gaussians,
    "two moons": two_moons,
    "checkerboard": checkerboard,
}
