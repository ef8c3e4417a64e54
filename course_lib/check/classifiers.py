"""Measures of vision transformers that name images: assignment 08.

The images come as ink, integers from 0 (paper) to 16, which takes little room in a file; the network reads them
between -1 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.check.weights import fit

FULL_INK = 16


class PatchClassifier(nn.Module):
    """A vision transformer with a class token, of torch.nn alone.

    Args:
        patch_size: pixels on each side of a patch.
        num_patches: patches of an image.
        in_channels: channels of the images.
        num_classes: number of classes.
        d_model, num_heads, num_layers, dim_feedforward: sizes of the blocks.
    """

    def __init__(
        self,
        *,
        patch_size: int,
        num_patches: int,
        in_channels: int,
        num_classes: int,
        d_model: int,
        num_heads: int,
        num_layers: int,
        dim_feedforward: int,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.num_heads = num_heads
        self.patch_embedding = nn.ModuleDict({"projection": nn.Linear(in_channels * patch_size**2, d_model)})
        self.class_token = nn.Parameter(torch.empty(1, 1, d_model))
        self.positions = nn.Parameter(torch.empty(1, num_patches + 1, d_model))
        parts = ("query", "key", "value", "output")
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "self_attention": nn.ModuleDict(
                        {f"{part}_projection": nn.Linear(d_model, d_model) for part in parts}
                    ),
                    "feed_forward": nn.ModuleDict(
                        {
                            "linear1": nn.Linear(d_model, dim_feedforward),
                            "linear2": nn.Linear(dim_feedforward, d_model),
                        }
                    ),
                    "norm1": nn.LayerNorm(d_model),
                    "norm2": nn.LayerNorm(d_model),
                }
            )
            for _ in range(num_layers)
        )
        self.head = nn.Linear(d_model, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (batch, channels, height, width) -> logits (batch, num_classes)."""
        patches = F.unfold(images, self.patch_size, stride=self.patch_size).transpose(1, 2)
        x = self.patch_embedding["projection"](patches)  # (batch, patches, d_model)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1) + self.positions
        for block in self.blocks:
            assert isinstance(block, nn.ModuleDict)
            x = block["norm1"](x + self._attended(x, block["self_attention"]))
            inner: Any = block["feed_forward"]
            x = block["norm2"](x + inner["linear2"](F.relu(inner["linear1"](x))))
        logits: Tensor = self.head(x[:, 0])
        return logits

    def _attended(self, x: Tensor, layer: Any) -> Tensor:
        query, key, value = (
            layer[f"{part}_projection"](x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        heads = F.scaled_dot_product_attention(query, key, value)
        mixed: Tensor = layer["output_projection"](heads.transpose(1, 2).flatten(-2))
        return mixed


def _share_right(network: PatchClassifier, ink: Tensor, labels: Tensor) -> float:
    """The share of images that the network names rightly."""
    return float((_guesses(network, ink) == labels).float().mean())


def _guesses(network: PatchClassifier, ink: Tensor) -> Tensor:
    return network(ink.float() / (FULL_INK / 2) - 1).argmax(dim=-1)


def _classifier(look: Callable[..., str | None]) -> Callable[..., str | None]:
    """A measure of a classifier's weights from one that looks at the network.

    Its parameters are the sizes of :class:`PatchClassifier` and what ``look`` takes besides.
    """

    @torch.no_grad()
    def measure(weights: Any, *, sizes: Mapping[str, int], **parameters: Any) -> str | None:
        with torch.device("meta"):
            network = PatchClassifier(**sizes)
        fit(network, weights)
        return look(network, **parameters)

    return measure


def _is_untouched(network: PatchClassifier) -> str | None:
    first = network.head.in_features**-0.5  # nn.Linear begins with weights between minus and plus this
    if _untouched_blocks(network) and bool((network.head.weight.abs() <= first).all()):
        return "it is as it was made: no update reached it."
    return None


def _has_untouched_blocks(network: PatchClassifier) -> str | None:
    return "its blocks are as they were made: no update reached them." if _untouched_blocks(network) else None


def _untouched_blocks(network: PatchClassifier) -> bool:
    norms = [module for module in network.modules() if isinstance(module, nn.LayerNorm)]
    return all(bool((norm.weight == 1).all()) and bool((norm.bias == 0).all()) for norm in norms)


def _knows_one_batch(
    network: PatchClassifier, *, ink: Tensor, labels: Tensor, batch_ink: Tensor, batch_labels: Tensor, at_least: float
) -> str | None:
    known = _share_right(network, batch_ink, batch_labels)
    share = _share_right(network, ink, labels)
    if known > 0.98 and share < at_least:
        return f"it names {known:.0%} of the first batch rightly and {share:.0%} of new images."
    return None


def _accuracy(network: PatchClassifier, *, ink: Tensor, labels: Tensor, at_least: float) -> str | None:
    share = _share_right(network, ink, labels)
    return f"it names {share:.0%} of new images rightly; {at_least:.0%} are asked for." if share < at_least else None


def _every_class(network: PatchClassifier, *, ink: Tensor, labels: Tensor, at_least: float) -> str | None:
    right = (_guesses(network, ink) == labels).float()
    shares = {int(label): float(right[labels == label].mean()) for label in labels.unique()}
    worst = min(shares, key=shares.__getitem__)
    if shares[worst] < at_least:
        return f"it names {shares[worst]:.0%} of the images of class {worst} rightly; {at_least:.0%} are asked for."
    return None


CLASSIFIER_MEASURES: dict[str, Callable[..., str | None]] = {
    "classifier_is_untouched": _classifier(_is_untouched),
    "classifier_has_untouched_blocks": _classifier(_has_untouched_blocks),
    "classifier_knows_one_batch": _classifier(_knows_one_batch),
    "classifier_accuracy": _classifier(_accuracy),
    "classifier_every_class": _classifier(_every_class),
}
