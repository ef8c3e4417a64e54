"""Measures of flows in the plane: assignment 11.

What a flow should have learned, the mean velocity of all straight paths through a point, is known exactly for a finite
set of points. So a measure can tell what a flow has learned instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.check.weights import fit
from course_lib.metrics import energy_distance


class PlaneFlow(nn.Module):
    """A velocity in the plane: position and embedded time side by side, then layers with SiLU between them.

    Args:
        hidden_size: width of the layers between.
        num_layers: how many of them.
        time_dim: channels of the embedded time, even.
        max_frequency: what its frequencies rise towards.
    """

    def __init__(self, *, hidden_size: int, num_layers: int, time_dim: int, max_frequency: float) -> None:
        super().__init__()
        self.time_dim, self.max_frequency = time_dim, max_frequency
        sizes = [2 + time_dim, *[hidden_size] * num_layers]
        self.hidden = nn.ModuleList([nn.Linear(width, after) for width, after in pairwise(sizes)])
        self.output = nn.Linear(hidden_size, 2)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Positions (batch, 2) and times (batch,) -> velocities (batch, 2)."""
        angles = t[:, None] * self.max_frequency ** (torch.arange(0, self.time_dim, 2) / self.time_dim)
        h = torch.cat([x, torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)], dim=-1)
        for layer in self.hidden:
            h = nn.functional.silu(layer(h))
        arrows: Tensor = self.output(h)
        return arrows

    def samples(self, noise: Tensor, *, steps: int) -> Tensor:
        """Where equal steps along the velocity take the noise, (count, 2)."""
        x = noise
        for step in range(steps):
            x = x + self(x, torch.full((len(x),), step / steps)) / steps
        return x


MISTAUGHT = ("exchanged", "times reversed", "velocity reversed", "data", "noise")
"""What a flow may learn by mistake: data to noise; the time 1 - t; the arrows back; the data or noise itself."""


@dataclass(frozen=True)
class _Exam:
    """A flow with as much noise as data, (count, 2) each, to examine it with."""

    network: PlaneFlow
    noise: Tensor
    data: Tensor

    @property
    def times(self) -> Tensor:
        """Evenly from 0 to 0.8, (count,): later the velocity depends on single points of the data."""
        return torch.linspace(0, 0.8, len(self.data))

    @property
    def points(self) -> Tensor:
        """One on each straight path, at its time, (count, 2)."""
        t = self.times[:, None]
        return (1 - t) * self.noise + t * self.data

    def means(self) -> tuple[Tensor, Tensor]:
        """The mean data and the mean noise of all paths through each point, by Bayes' rule, (count, 2) each."""
        t = self.times[:, None]
        squares = (self.points[:, None] - t[..., None] * self.data).square().sum(-1)  # (count, count)
        data = (-squares / (2 * (1 - t) ** 2)).softmax(dim=-1) @ self.data
        return data, (self.points - t * data) / (1 - t)

    def error(self, taught: str = "") -> float:
        """How far the arrows are from what this mistake would teach at best, or none: mean square, 1 for no arrows."""
        data, noise = self.means()
        time = 1 - self.times if taught in ("exchanged", "times reversed") else self.times
        target = {"exchanged": noise - data, "velocity reversed": noise - data, "data": data, "noise": noise}
        off = self.network(self.points, time) - target.get(taught, data - noise)
        return float(off.square().mean() / (data - noise).square().mean())

    def drawn(self, *, steps: int) -> Tensor:
        """Samples of the flow, (count, 2)."""
        return self.network.samples(self.noise, steps=steps)


def _flow(look: Callable[..., str | None]) -> Callable[..., str | None]:
    """A measure of a flow's weights from one that looks at an exam.

    Its parameters are the sizes of :class:`PlaneFlow`, ``noise`` and ``data`` (count, 2), and what ``look`` takes
    besides.
    """

    @torch.no_grad()
    def measure(
        weights: Any, *, sizes: Mapping[str, Any], noise: Tensor, data: Tensor, **parameters: Any
    ) -> str | None:
        with torch.device("meta"):
            network = PlaneFlow(**sizes)
        fit(network, weights)
        return look(_Exam(network, noise.float(), data.float()), **parameters)

    return measure


def _is_untrained(exam: _Exam) -> str | None:
    arrows = exam.network(exam.points, exam.times).square().mean()
    if float(arrows / (exam.data - exam.noise).square().mean()) < 0.03:
        return "its arrows have hardly any length: it has not learned more than it knew at the start."
    return None


def _was_taught(exam: _Exam, *, mistake: str, says: str) -> str | None:
    errors = {taught: exam.error(taught) for taught in ("", *MISTAUGHT)}
    return says if min(errors, key=lambda taught: errors[taught]) == mistake and errors[mistake] < 0.3 else None


def _velocity(exam: _Exam, *, at_most: float) -> str | None:
    error = exam.error()
    if not error <= at_most:  # arrows too long for a number give NaN
        return (
            f"its arrows are {error:.0%} off the mean velocity of all paths, in squares; at most {at_most:.0%} is "
            "asked for."
        )
    return None


def _energy_distance(exam: _Exam, *, steps: int, at_most: float) -> str | None:
    distance = energy_distance(exam.drawn(steps=steps), exam.data)
    if not distance <= at_most:  # arrows too long for a number give NaN
        return f"the energy distance of its samples from new data is {distance:.3f}; at most {at_most:g} is asked for."
    return None


def _clusters(exam: _Exam, *, steps: int, centres: Tensor, radius: float, at_least: float) -> str | None:
    distances, nearest = torch.cdist(exam.drawn(steps=steps), centres.float()).min(dim=1)
    counts = torch.bincount(nearest[distances < radius], minlength=len(centres))
    poorest = float(counts.min()) / (len(exam.data) / len(centres))
    if poorest < at_least:
        return (
            f"one of the {len(centres)} clusters of the data gets {poorest:.0%} of its share of the samples; "
            f"{at_least:.0%} is asked for."
        )
    return None


FLOW_MEASURES: dict[str, Callable[..., str | None]] = {
    "flow_is_untrained": _flow(_is_untrained),
    "flow_was_taught": _flow(_was_taught),
    "flow_velocity": _flow(_velocity),
    "flow_energy_distance": _flow(_energy_distance),
    "flow_clusters": _flow(_clusters),
}
