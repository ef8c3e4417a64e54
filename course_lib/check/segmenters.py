"""Measures of U-Nets that label pixels: assignment 09.

The images come as whole numbers from 0 to 255, which take little room in a file; the network reads them between 0
and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.check.weights import fit
from course_lib.metrics import dice_score, mean_iou

COUNTERS = "num_batches_tracked"
"""The end of the names under which norms count their batches: whole numbers, which decide nothing."""


class PixelClassifier(nn.Module):
    """A U-Net of torch.nn alone.

    Args:
        in_channels: channels of the images.
        num_classes: number of classes.
        channels: at full resolution; they double with each level.
        depth: how often the resolution is halved.
    """

    def __init__(self, *, in_channels: int, num_classes: int, channels: int, depth: int) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(depth + 1)]
        before = [in_channels, *widths]
        self.down = nn.ModuleList(_block(before[level], widths[level]) for level in range(depth))
        self.bottom = _block(before[depth], widths[depth])
        levels = range(depth - 1, -1, -1)
        self.up = nn.ModuleList(nn.ConvTranspose2d(widths[level + 1], widths[level], 2, 2) for level in levels)
        self.merge = nn.ModuleList(_block(2 * widths[level], widths[level]) for level in levels)
        self.head = nn.Conv2d(channels, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, in_channels, height, width) -> logits (batch, num_classes, height, width)."""
        skips = []
        for block in self.down:
            skips.append(_pass(block, x))
            x = F.max_pool2d(skips[-1], 2)
        x = _pass(self.bottom, x)
        for up, block in zip(self.up, self.merge, strict=True):
            x = _pass(block, torch.cat([skips.pop(), up(x)], dim=1))
        logits: Tensor = self.head(x)
        return logits


def _block(in_channels: int, out_channels: int) -> nn.ModuleDict:
    """Two convolutions with their norms."""
    return nn.ModuleDict(
        {
            "conv1": nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            "norm1": nn.BatchNorm2d(out_channels),
            "conv2": nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            "norm2": nn.BatchNorm2d(out_channels),
        }
    )


def _pass(block: Any, x: Tensor) -> Tensor:
    for number in (1, 2):
        x = F.relu(block[f"norm{number}"](block[f"conv{number}"](x)))
    return x


def _segmenter(look: Callable[..., str | None]) -> Callable[..., str | None]:
    """A measure of a segmenter's weights from one that looks at the network and at its logits.

    Its parameters are the sizes of :class:`PixelClassifier`, ``images`` (count, in_channels, height, width) from 0 to
    255, ``labels`` (count, height, width), and what ``look`` takes besides.
    """

    @torch.no_grad()
    def measure(
        weights: Any, *, sizes: Mapping[str, int], images: Tensor, labels: Tensor, **parameters: Any
    ) -> str | None:
        with torch.device("meta"):
            network = PixelClassifier(**sizes)
        if isinstance(weights, Mapping):
            counters = {name: torch.zeros(()) for name in network.state_dict() if name.endswith(COUNTERS)}
            weights = {**weights, **counters}
        fit(network, weights)
        return look(network, network.eval()(images.float() / 255), labels.long(), **parameters)

    return measure


def _is_untrained(network: nn.Module, logits: Tensor, labels: Tensor) -> str | None:
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if all(bool((norm.weight == 1).all()) and bool((norm.bias == 0).all()) for norm in norms):
        return "its weights are as they were made: no update reached them."
    return None


def _leaves_out_the_ground(network: nn.Module, logits: Tensor, labels: Tensor) -> str | None:
    share = float((logits.argmax(dim=1) == 0).float().mean())
    if share < float((labels == 0).float().mean()) / 4:
        return f"it takes {share:.0%} of the pixels for ground, so the ground was left out of its loss."
    return None


def _has_its_axes_swapped(network: nn.Module, logits: Tensor, labels: Tensor) -> str | None:
    if mean_iou(logits, labels.transpose(1, 2)) > mean_iou(logits, labels) + 0.1:
        return "its label maps fit better when rows and columns are exchanged."
    return None


def _mean_iou(network: nn.Module, logits: Tensor, labels: Tensor, *, at_least: float) -> str | None:
    score = mean_iou(logits, labels)
    if score < at_least:
        return f"the mean IoU on new scenes is {score:.2f}; {at_least:.2f} is asked for."
    return None


def _every_class(network: nn.Module, logits: Tensor, labels: Tensor, *, at_least: float) -> str | None:
    scores = dice_score(logits, labels)
    worst = int(scores.argmin())
    if float(scores[worst]) < at_least:
        return f"the Dice score of class {worst} on new scenes is {scores[worst]:.2f}; {at_least:.2f} is asked for."
    return None


SEGMENTER_MEASURES: dict[str, Callable[..., str | None]] = {
    "segmenter_is_untrained": _segmenter(_is_untrained),
    "segmenter_leaves_out_the_ground": _segmenter(_leaves_out_the_ground),
    "segmenter_has_its_axes_swapped": _segmenter(_has_its_axes_swapped),
    "segmenter_mean_iou": _segmenter(_mean_iou),
    "segmenter_every_class": _segmenter(_every_class),
}
