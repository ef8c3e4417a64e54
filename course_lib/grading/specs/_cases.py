"""Pieces that case generators share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.grading.spec import Cases


def random_mask(rng: np.random.Generator, *shape: int, allowed: float = 0.6) -> torch.Tensor:
    """A boolean mask in whose rows at least one entry is allowed and at least one is blocked."""
    mask = rng.random(shape) < allowed
    rows = mask.reshape(-1, shape[-1])
    for row in rows:
        first, second = rng.choice(shape[-1], size=2, replace=False)
        row[first], row[second] = True, False
    return torch.from_numpy(rows.reshape(shape))


def random_permutation(rng: np.random.Generator, length: int) -> torch.Tensor:
    """A permutation without fixed points that is not its own inverse, so that each way to err shows."""
    indices = np.arange(length)
    while True:
        permutation = rng.permutation(length)
        if (permutation != indices).all() and (permutation[permutation] != indices).any():
            return torch.from_numpy(permutation)


def together(*generators: Cases) -> Cases:
    """The cases of several generators, one after the other."""

    def cases(rng: np.random.Generator) -> Sequence[Probe]:
        return [probe for generator in generators for probe in generator(rng)]

    return cases
