"""Ways to make an image larger, from copying a pixel to the transpose of a convolution.

Images are (batch, channels, height, width). All but `conv_transpose2d` have nothing to learn. `convolution_matrix`
writes a convolution as the matrix that it is; its transpose is what `conv_transpose2d` computes.

Sources:
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.
    Noh et al., "Learning Deconvolution Network for Semantic Segmentation", 2015, section 3.2 (unpooling).
    Long et al., "Fully Convolutional Networks for Semantic Segmentation", 2015, section 3.3.

Chapter: 09-unet.
"""

from collections.abc import Iterable

import torch
from torch import Tensor


def nearest_upsample(x: Tensor, *, scale: int) -> Tensor:
    """Each pixel becomes a square of scale × scale copies: y[i, j] = x[i // scale, j // scale].

    Args:
        x: images, (batch, channels, height, width).
        scale: how many times as high and as wide, at least 1.

    Returns:
        (batch, channels, scale · height, scale · width).

    Chapter: 09-unet.
    """
    return x.repeat_interleave(scale, dim=-2).repeat_interleave(scale, dim=-1)


def bed_of_nails(x: Tensor, *, scale: int) -> Tensor:
    """Each pixel keeps its value in the upper left corner of a square of zeros: y[scale · i, scale · j] = x[i, j].

    Args:
        x: images, (batch, channels, height, width).
        scale: how many times as high and as wide, at least 1.

    Returns:
        (batch, channels, scale · height, scale · width).

    Chapter: 09-unet.
    """
    batch, channels, height, width = x.shape
    nails = x.new_zeros(batch, channels, scale * height, scale * width)
    nails[:, :, ::scale, ::scale] = x
    return nails


def max_unpool(values: Tensor, indices: Tensor, *, output_size: tuple[int, int]) -> Tensor:
    """Each value goes back to the place where max pooling found it; all other pixels are zeros.

    Args:
        values: what stands at the places, (batch, channels, height, width).
        indices: the places as `F.max_pool2d(…, return_indices=True)` gives them: row · width + column within the
            larger image, the same shape as the values. Places of an image and channel differ.
        output_size: height and width of the larger image.

    Returns:
        (batch, channels, *output_size).

    Source: Noh et al. 2015, section 3.2.1; as `nn.MaxUnpool2d`.
    Chapter: 09-unet.
    """
    batch, channels = values.shape[:2]
    flat = values.new_zeros(batch, channels, output_size[0] * output_size[1])
    flat = flat.scatter(-1, indices.flatten(2), values.flatten(2))
    return flat.unflatten(-1, output_size)


def bilinear_upsample(x: Tensor, *, scale: int) -> Tensor:
    """Between the pixels' middles, values change in a straight line, down and across: R x Cᵀ.

    R holds, for each new row, the weights of the old rows; C does so for the columns. Beyond the middles of the
    outermost pixels the value stays theirs.

    Args:
        x: images, (batch, channels, height, width).
        scale: how many times as high and as wide, at least 1.

    Returns:
        (batch, channels, scale · height, scale · width).

    Source: as `F.interpolate(…, mode="bilinear", align_corners=False)`.
    Chapter: 09-unet.
    """
    rows, columns = (_linear_weights(length, scale).to(x) for length in x.shape[-2:])
    return rows @ x @ columns.T


def _linear_weights(length: int, scale: int) -> Tensor:
    """The weights of the old pixels for each new one along an axis, (scale · length, length)."""
    middles = (torch.arange(scale * length, dtype=torch.float64) + 0.5) / scale - 0.5  # measured in old pixels
    distance = (middles.clamp(0, length - 1)[:, None] - torch.arange(length)).abs()
    return (1 - distance).clamp(min=0)


def conv_transpose2d(x: Tensor, weight: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
    """Each input pixel lays down the kernel, scaled by its value; steps of `stride` apart, and overlaps add.

        y[o, s·i + a - p, s·j + b - p]  collects  Σ_c x[c, i, j] · w[c, o, a, b]

    This is the transpose, as a matrix, of the convolution with the same weight, stride and padding.

    Args:
        x: images, (batch, in_channels, height, width).
        weight: one kernel for each pair of channels, (in_channels, out_channels, kernel_height, kernel_width).
        stride: pixels of the output between neighbouring pixels of the input.
        padding: pixels that are cut off the output on each side.

    Returns:
        (batch, out_channels, (height - 1) · stride + kernel_height - 2 · padding, and the same for the width).

    Source: Dumoulin and Visin 2016, chapter 4; as `F.conv_transpose2d`.
    Chapter: 09-unet.
    """
    batch, _, height, width = x.shape
    _, out_channels, kernel_height, kernel_width = weight.shape
    down, across = (height - 1) * stride, (width - 1) * stride
    y = x.new_zeros(batch, out_channels, down + kernel_height, across + kernel_width)
    for a in range(kernel_height):
        for b in range(kernel_width):
            part = torch.einsum("bchw,co->bohw", x, weight[:, :, a, b])
            y[:, :, a : a + down + 1 : stride, b : b + across + 1 : stride] += part
    return y[:, :, padding : y.shape[2] - padding, padding : y.shape[3] - padding]


def convolution_matrix(weight: Tensor, *, height: int, width: int, stride: int = 1) -> Tensor:
    """The matrix A of a convolution without padding: A @ x.flatten() is the convolved image, row after row.

    Row (i, j) of the matrix holds the kernel where it lies on the image when its corner stands at (s·i, s·j).
    "Convolution" is what networks call so: the kernel is not turned round.

    Args:
        weight: one kernel, (kernel_height, kernel_width).
        height, width: of the image, at least those of the kernel.
        stride: steps of the kernel.

    Returns:
        (out_height · out_width, height · width), with out_height = (height - kernel_height) // stride + 1.

    Source: Dumoulin and Visin 2016, section 4.1.
    Chapter: 09-unet.
    """
    kernel_height, kernel_width = weight.shape
    out_height, out_width = (height - kernel_height) // stride + 1, (width - kernel_width) // stride + 1
    matrix = weight.new_zeros(out_height, out_width, height, width)
    for i in range(out_height):
        for j in range(out_width):
            top, left = i * stride, j * stride
            matrix[i, j, top : top + kernel_height, left : left + kernel_width] = weight
    return matrix.reshape(out_height * out_width, height * width)


def receptive_field(layers: Iterable[tuple[int, int]]) -> int:
    """How many neighbouring inputs, along one axis, reach one output of a chain of convolutions and poolings.

    A step of the output of a layer is `jump` steps of the input: r grows by (kernel_size - 1) · jump, then jump
    grows by the factor stride.

    Args:
        layers: kernel_size and stride of each layer, from the input on.

    Returns:
        The width of the receptive field in pixels; 1 without layers.

    Source: Dumoulin and Visin 2016, chapter 2, for one layer; chained.
    Chapter: 09-unet.
    """
    field, jump = 1, 1
    for kernel_size, stride in layers:
        field += (kernel_size - 1) * jump
        jump *= stride
    return field
