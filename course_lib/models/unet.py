"""A label for each pixel: a fully convolutional network, the U-Net, and their loss.

Read it from top to bottom: each definition uses the ones above it. Images are (batch, channels, height, width); the
networks give one score for each class at each pixel, (batch, out_channels, height, width).

Sources:
    Long et al., "Fully Convolutional Networks for Semantic Segmentation", 2015, section 3.
    Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015, section 2.
    Ioffe and Szegedy, "Batch Normalization", 2015, section 3.
    Wu and He, "Group Normalization", 2018, section 3.

Differences from the U-Net of 2015: convolutions keep the image's size (they are padded), so nothing is cropped where
both paths meet; and each is followed by a normalisation.

Chapters: 09-unet; 11-rectified-flow (with a condition).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FullyConvolutional(nn.Module):
    """Convolutions of 3 × 3 at full resolution, and one of 1 × 1 that scores the classes at each pixel.

    Args:
        in_channels: of the images.
        out_channels: number of classes.
        channels: between the layers.
        num_layers: number of convolutions of 3 × 3; each widens the receptive field by 2.
        padded: keep the image's size by zeros around it. False: the output is 2 · num_layers pixels smaller.

    Attributes:
        layers: the convolutions, each followed by a ReLU.
        head: nn.Conv2d, 1 × 1.

    Source: Long et al. 2015, section 3.1.
    Chapter: 09-unet.
    """

    def __init__(
        self, *, in_channels: int, out_channels: int, channels: int, num_layers: int, padded: bool = True
    ) -> None:
        super().__init__()
        widths = [in_channels] + num_layers * [channels]
        self.layers = nn.ModuleList(
            nn.Conv2d(width, channels, kernel_size=3, padding=int(padded)) for width in widths[:-1]
        )
        self.head = nn.Conv2d(channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Score the classes at each pixel.

        Args:
            x: images of any size, (batch, in_channels, height, width).

        Returns:
            (batch, out_channels, height, width), or smaller where nothing is padded.
        """
        for layer in self.layers:
            x = layer(x).relu()
        scores: Tensor = self.head(x)
        return scores


class DoubleConv(nn.Module):
    """Twice: convolution of 3 × 3 that keeps the size, normalisation, ReLU.

    A condition, such as the time and class of chapter 11, is added between the two, the same at each pixel:

        h = ReLU(norm1(conv1(x))) + W c,    y = ReLU(norm2(conv2(h)))

    Args:
        in_channels: of the input.
        out_channels: of the output, a multiple of num_groups where that is given.
        num_groups: None for batch normalisation, which learns fastest; a number for group normalisation with so many
            groups, which treats each image by itself and so suits images at different times of a flow.
        d_condition: width of the condition; None for a block without one.

    Attributes:
        conv1, conv2: nn.Conv2d without bias.
        norm1, norm2: nn.BatchNorm2d, or nn.GroupNorm.
        condition: nn.Linear from d_condition to out_channels, or None.

    Source: Ronneberger et al. 2015, section 2; Ho et al., "Denoising Diffusion Probabilistic Models", 2020,
        appendix B (adding a condition in each block).
    Chapter: 09-unet; with a condition 11-rectified-flow.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, num_groups: int | None = None, d_condition: int | None = None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.norm1 = _norm(out_channels, num_groups)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.norm2 = _norm(out_channels, num_groups)
        self.condition = None if d_condition is None else nn.Linear(d_condition, out_channels)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Two convolutions.

        Args:
            x: (batch, in_channels, height, width).
            condition: (batch, d_condition); only for a block that takes one, which may also go without.

        Returns:
            (batch, out_channels, height, width).
        """
        h = self.norm1(self.conv1(x)).relu()
        if self.condition is not None and condition is not None:
            h = h + self.condition(condition)[:, :, None, None]
        return self.norm2(self.conv2(h)).relu()


def _norm(channels: int, num_groups: int | None) -> nn.BatchNorm2d | nn.GroupNorm:
    return nn.BatchNorm2d(channels) if num_groups is None else nn.GroupNorm(num_groups, channels)


class UNet(nn.Module):
    """Down by convolutions and max pooling, up by transposed convolutions, and across by skip connections.

    Level k = 0 .. depth - 1 has channels · 2ᵏ channels at 1 / 2ᵏ of the resolution. On the way up, what the level
    below made is enlarged, laid beside what the same level saw on the way down, and both pass through a DoubleConv.

    Args:
        in_channels: of the images.
        out_channels: number of classes, or of whatever is asked for at each pixel.
        channels: at full resolution.
        depth: how often the resolution is halved; height and width must be multiples of 2 ** depth.
        skips: False for the same network without skip connections.
        num_groups: None for batch normalisation, a number for group normalisation; see `DoubleConv`.
        d_condition: width of a vector that steers each block, such as time and class; None for none.

    Attributes:
        down: one DoubleConv for each level, from full resolution on.
        bottom: DoubleConv at the lowest resolution.
        up: one nn.ConvTranspose2d (2 × 2, stride 2) for each level, from the lowest on.
        merge: one DoubleConv for each level, from the lowest on.
        head: nn.Conv2d, 1 × 1.

    Source: Ronneberger et al. 2015, figure 1.
    Chapter: 09-unet; with a condition 11-rectified-flow.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: int = 16,
        depth: int = 3,
        skips: bool = True,
        num_groups: int | None = None,
        d_condition: int | None = None,
    ) -> None:
        super().__init__()
        self.depth, self.skips = depth, skips
        widths = [channels * 2**level for level in range(depth + 1)]

        def block(before: int, after: int) -> DoubleConv:
            return DoubleConv(before, after, num_groups=num_groups, d_condition=d_condition)

        self.down = nn.ModuleList(block(w, v) for w, v in zip([in_channels, *widths], widths[:-1], strict=False))
        self.bottom = block(widths[-2] if depth else in_channels, widths[-1])
        levels = range(depth - 1, -1, -1)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(widths[level + 1], widths[level], kernel_size=2, stride=2) for level in levels
        )
        self.merge = nn.ModuleList(block(widths[level] * (2 if skips else 1), widths[level]) for level in levels)
        self.head = nn.Conv2d(channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Score the classes at each pixel.

        Args:
            x: images, (batch, in_channels, height, width); height and width are multiples of 2 ** depth.
            condition: (batch, d_condition); only for a network that takes one, which may also go without.

        Returns:
            (batch, out_channels, height, width).

        Raises:
            ValueError: if the image cannot be halved so often.
        """
        if any(side % 2**self.depth for side in x.shape[-2:]):
            raise ValueError(
                f"The image is {x.shape[-2]} × {x.shape[-1]} pixels and is halved {self.depth} times: make height and "
                f"width multiples of {2**self.depth}."
            )
        seen = []
        for block in self.down:
            x = block(x, condition)
            seen.append(x)  # this level's skip
            x = F.max_pool2d(x, kernel_size=2)
        x = self.bottom(x, condition)
        for up, merge in zip(self.up, self.merge, strict=True):
            x = up(x)
            skip = seen.pop()  # of the same resolution
            if self.skips:
                x = torch.cat([skip, x], dim=1)
            x = merge(x, condition)
        scores: Tensor = self.head(x)
        return scores


def pixel_cross_entropy(logits: Tensor, target: Tensor, *, ignore: int = -1) -> Tensor:
    """The mean, over all pixels that have a label, of -log p(label).

    Args:
        logits: one score for each class at each pixel, (batch, num_classes, height, width).
        target: the classes, integers, (batch, height, width).
        ignore: the label of pixels that count for nothing, neither in the sum nor in the number.

    Returns:
        The loss, 0-dimensional; 0 where no pixel has a label.

    Source: Ronneberger et al. 2015, section 3, equation 1, with equal weights.
    Chapter: 09-unet.
    """
    counted = target != ignore
    labels = target.where(counted, 0)  # any class will do where nothing is counted
    log_probability = logits.log_softmax(dim=1).gather(1, labels[:, None])[:, 0]  # (batch, height, width)
    return -(log_probability * counted).sum() / counted.sum().clamp(min=1)
