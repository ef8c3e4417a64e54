"""Networks that learn a velocity: from a position, a time and, where there is one, a class to an arrow.

All have the same two entrances: position and time are put together, and the result has the shape of the position. Time
and class become one vector, the condition, which every block is given anew. `VelocityMLP` is for points of the plane;
the others are for small images.

Sources:
    Liu, Gong and Liu, "Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow", 2022.
    Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", 2020, appendix B (time in every block of a U-Net).
    Ho and Salimans, "Classifier-Free Diffusion Guidance", 2022, section 3.2 (the class that is no class).
    Peebles and Xie, "Scalable Diffusion Models with Transformers", 2023, section 3 (DiT).

Chapter: 11-rectified-flow.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from course_lib.models.attention import MultiHeadAttention
from course_lib.models.flow import time_embedding
from course_lib.models.unet import UNet
from course_lib.models.vit import PatchEmbedding, unpatchify


class VelocityMLP(nn.Module):
    """A velocity in few dimensions: position and embedded time side by side, then layers with SiLU between them.

    Args:
        channels: numbers of a position.
        hidden_size: width of the layers between.
        num_layers: how many of them.
        time_dim: channels of the embedded time, even.

    Chapter: 11-rectified-flow.
    """

    def __init__(self, *, channels: int = 2, hidden_size: int = 96, num_layers: int = 3, time_dim: int = 12) -> None:
        super().__init__()
        self.time_dim = time_dim
        sizes = [channels + time_dim, *[hidden_size] * num_layers]
        self.hidden = nn.ModuleList([nn.Linear(width, after) for width, after in pairwise(sizes)])
        self.output = nn.Linear(sizes[-1], channels)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Positions (batch, channels) and times (batch,) -> velocities (batch, channels)."""
        h = torch.cat([x, time_embedding(t, dim=self.time_dim)], dim=-1)
        for layer in self.hidden:
            h = nn.functional.silu(layer(h))
        return self.output(h)


class Condition(nn.Module):
    """Time and class as one vector: a small network on the embedded time, plus a learned vector for each class.

    Args:
        dim: width of the vector.
        num_classes: classes 0 .. num_classes - 1; the label num_classes stands for "no class".
        time_dim: channels of the embedded time, even.

    Source: Ho et al. 2020, appendix B; Ho and Salimans 2022, section 3.2.
    Chapter: 11-rectified-flow.
    """

    def __init__(self, *, dim: int, num_classes: int, time_dim: int = 32) -> None:
        super().__init__()
        self.time_dim = time_dim
        self.no_class = num_classes
        self.time = nn.Sequential(nn.Linear(time_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.label = nn.Embedding(num_classes + 1, dim)

    def forward(self, t: Tensor, label: Tensor | None = None) -> Tensor:
        """Times (batch,) and classes (batch,), None for no class -> (batch, dim)."""
        if label is None:
            label = torch.full(t.shape, self.no_class)
        return self.time(time_embedding(t, dim=self.time_dim)) + self.label(label)


def drop_labels(label: Tensor, *, share: float, no_class: int, generator: torch.Generator) -> Tensor:
    """Replace some classes by "no class", so that one network learns the velocity with and without one.

    Args:
        label: classes, (batch,).
        share: the probability of each to be dropped.
        no_class: the label that stands for "no class".
        generator: the source of chance.

    Returns:
        The classes, (batch,).

    Source: Ho and Salimans 2022, algorithm 1.
    Chapter: 11-rectified-flow.
    """
    return torch.where(torch.rand(label.shape, generator=generator) < share, no_class, label)


class VelocityResidualMLP(nn.Module):
    """A velocity of small images that sees an image as a row of numbers: residual blocks, each given the condition.

        h <- h + W_2 SiLU(W_1 (LayerNorm(h) + condition))

    Args:
        shape: channels, height and width of an image.
        num_classes: number of classes; the label num_classes stands for "no class".
        hidden_size: width of h; the blocks are twice as wide inside.
        num_blocks: number of blocks.

    Source: He et al., "Deep Residual Learning for Image Recognition", 2016, section 3, for the residual.
    Chapter: 11-rectified-flow.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, int, int] = (1, 8, 8),
        num_classes: int = 10,
        hidden_size: int = 128,
        num_blocks: int = 3,
    ) -> None:
        super().__init__()
        pixels = shape[0] * shape[1] * shape[2]
        self.condition = Condition(dim=hidden_size, num_classes=num_classes)
        self.input = nn.Linear(pixels, hidden_size)
        self.norms = nn.ModuleList([nn.LayerNorm(hidden_size) for _ in range(num_blocks)])
        self.blocks = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Linear(hidden_size, 2 * hidden_size), nn.SiLU(), nn.Linear(2 * hidden_size, hidden_size)
                )
                for _ in range(num_blocks)
            ]
        )
        self.norm = nn.LayerNorm(hidden_size)
        self.output = nn.Linear(hidden_size, pixels)

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (batch, channels, height, width), times (batch,), classes (batch,) or None -> velocities like x."""
        condition = self.condition(t, label)  # (batch, hidden_size)
        h = self.input(x.flatten(1))
        for norm, block in zip(self.norms, self.blocks, strict=True):
            h = h + block(norm(h) + condition)
        return self.output(self.norm(h)).reshape(x.shape)


class VelocityUNet(nn.Module):
    """A velocity of images: the U-Net of chapter 09, its blocks given the condition, with an arrow for each pixel.

    Args:
        in_channels: of the images.
        num_classes: number of classes; the label num_classes stands for "no class".
        channels: at full resolution.
        depth: how often the resolution is halved.
        d_condition: width of the condition.

    Source: Ho et al. 2020, appendix B; Ronneberger et al., "U-Net", 2015, figure 1.
    Chapter: 11-rectified-flow.
    """

    def __init__(
        self, *, in_channels: int = 1, num_classes: int = 10, channels: int = 16, depth: int = 2, d_condition: int = 64
    ) -> None:
        super().__init__()
        self.condition = Condition(dim=d_condition, num_classes=num_classes)
        self.network = UNet(
            in_channels=in_channels,
            out_channels=in_channels,
            channels=channels,
            depth=depth,
            num_groups=4,  # times differ within a batch, so a batch has no common mean
            d_condition=d_condition,
        )

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (batch, channels, height, width), times (batch,), classes (batch,) or None -> velocities like x."""
        return self.network(x, self.condition(t, label))


class DiTBlock(nn.Module):
    """A transformer block whose normalisations are steered by the condition.

        x <- x + g_1 · SelfAttention((1 + s_1) · LayerNorm(x) + b_1)
        x <- x + g_2 · FeedForward((1 + s_2) · LayerNorm(x) + b_2)

    Scales s, shifts b and gates g are linear in the condition. The gates begin at 0, so that the block begins as the
    identity.

    Args:
        d_model: width of the vectors and of the condition.
        num_heads: number of heads, a divisor of d_model.
        dim_feedforward: width inside the feed-forward network.

    Source: Peebles and Xie 2023, section 3.2, "adaLN-Zero block".
    Chapter: 11-rectified-flow.
    """

    def __init__(self, *, d_model: int, num_heads: int, dim_feedforward: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(d_model, elementwise_affine=False)
        self.self_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.norm2 = nn.LayerNorm(d_model, elementwise_affine=False)
        self.feed_forward = nn.Sequential(
            nn.Linear(d_model, dim_feedforward), nn.GELU(), nn.Linear(dim_feedforward, d_model)
        )
        self.modulation = nn.Linear(d_model, 6 * d_model)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Patches (batch, length, d_model) and the condition (batch, d_model) -> (batch, length, d_model)."""
        parts = self.modulation(nn.functional.silu(condition))[:, None].chunk(6, dim=-1)  # six of (batch, 1, d_model)
        shift1, scale1, gate1, shift2, scale2, gate2 = parts
        h = (1 + scale1) * self.norm1(x) + shift1
        attended, _ = self.self_attention(h, h, h, need_weights=False)
        x = x + gate1 * attended
        return x + gate2 * self.feed_forward((1 + scale2) * self.norm2(x) + shift2)


class VelocityDiT(nn.Module):
    """A velocity of images without a convolution: patches, learned positions, blocks that are given the condition.

    Args:
        image_size: height and width of the images in pixels.
        patch_size: pixels on each side of a patch; divides height and width.
        in_channels: of the images.
        num_classes: number of classes; the label num_classes stands for "no class".
        d_model: width of the vectors between the blocks.
        num_heads: number of heads, a divisor of d_model.
        num_layers: number of blocks.

    Source: Peebles and Xie 2023, section 3.
    Chapter: 11-rectified-flow.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int] = (8, 8),
        patch_size: int = 2,
        in_channels: int = 1,
        num_classes: int = 10,
        d_model: int = 64,
        num_heads: int = 4,
        num_layers: int = 3,
    ) -> None:
        super().__init__()
        self.image_size, self.patch_size = image_size, patch_size
        length = (image_size[0] // patch_size) * (image_size[1] // patch_size)
        self.condition = Condition(dim=d_model, num_classes=num_classes)
        self.patch_embedding = PatchEmbedding(in_channels=in_channels, patch_size=patch_size, d_model=d_model)
        self.positions = nn.Parameter(0.3 * torch.randn(1, length, d_model))
        self.blocks = nn.ModuleList(
            DiTBlock(d_model=d_model, num_heads=num_heads, dim_feedforward=2 * d_model) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(d_model)
        self.output = nn.Linear(d_model, in_channels * patch_size**2)

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (batch, channels, height, width), times (batch,), classes (batch,) or None -> velocities like x."""
        condition = self.condition(t, label)  # (batch, d_model)
        h = self.patch_embedding(x) + self.positions  # (batch, length, d_model)
        for block in self.blocks:
            h = block(h, condition)
        patches = self.output(self.norm(h))  # (batch, length, channels · patch_size²)
        height, width = self.image_size
        return unpatchify(patches, patch_size=self.patch_size, height=height, width=width)
