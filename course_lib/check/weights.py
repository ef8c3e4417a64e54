"""Weights that came from a student's training, put into a network of the judge's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Misfit(Exception):
    """Weights that do not fit into the network that is measured; the message says why, in one sentence."""


def fit(network: nn.Module, weights: Any) -> None:
    """Put weights into a network that was made on the meta device.

    Raises:
        Misfit: a name, a shape or a type is not that of the network's, or not all numbers are finite.
    """
    wanted = network.state_dict()
    if not isinstance(weights, Mapping):
        raise Misfit("it must return a dict of weights by name.")
    missing, extra = sorted(set(wanted) - set(weights)), sorted(set(weights) - set(wanted))
    if missing or extra:
        parts = [f"lack {_few(missing)}"] * bool(missing) + [f"also hold {_few(extra)}"] * bool(extra)
        raise Misfit(f"the returned weights {' and '.join(parts)}.")
    for name, want in wanted.items():
        have = weights[name]
        if not isinstance(have, Tensor) or not have.is_floating_point():
            raise Misfit(f"{name} must be a tensor of floating-point numbers.")
        if have.shape != want.shape:
            raise Misfit(f"{name} has shape {tuple(have.shape)}, expected {tuple(want.shape)}.")
        if not bool(torch.isfinite(have).all()):
            raise Misfit(f"{name} holds numbers that are not finite.")
    network.load_state_dict({name: weights[name].float() for name in wanted}, assign=True)


def _few(names: list[str]) -> str:
    """The first names, each cut to a readable length."""
    others = [f"{len(names) - 3} more"] * (len(names) > 3)
    return ", ".join([*(name[:60] for name in names[:3]), *others])
