"""Assignment 09, from small to large: exercises 1 to 5."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch.nn.functional as F

from course_lib.check.probe import Probe
from course_lib.grading.spec import Exercise, Line, Misconception, random_tensor
from course_lib.models import upsampling as reference

CONVOLUTIONS = (
    "conv_transpose1d",
    "conv_transpose3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "F.conv1d",
    "F.conv2d",
    "F.conv3d",
    "nn.Conv1d",
    "nn.Conv2d",
    "nn.Conv3d",
    "convolution",
    "F.fold",
    "col2im",
    "nn.Fold",
    "conv2d_input",
    "scipy",
)
"""What of PyTorch's convolves, in either direction."""


def _larger(
    *settings: tuple[int, int, int, int, int], gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, channels, height, width, scale)."""
    return lambda rng: [
        Probe(
            target="nearest_upsample",
            args=(random_tensor(rng, *shape),),
            kwargs={"scale": scale},
            gradients=gradients,
        )
        for *shape, scale in settings
    ]


ROWS = "rows = x.repeat_interleave(scale, dim=2)"
COLUMNS = "return rows.repeat_interleave(scale, dim=3)"

nearest_upsample = Exercise(
    name="nearest_upsample",
    reference=reference.nearest_upsample,
    banned=("F.interpolate", "F.upsample", "F.upsample_nearest", "nn.Upsample", "UpsamplingNearest2d"),
    lines=[
        Line(
            name="output",
            text="each pixel is a square of copies; scales of 2 and 3",
            points=1.5,
            cases=_larger((2, 3, 4, 5, 2), (3, 2, 2, 4, 3), (1, 1, 3, 2, 2)),
        ),
        Line(
            name="gradients",
            text="the gradient of a pixel collects those of its copies",
            points=0.5,
            cases=_larger((2, 3, 2, 4, 3), gradients=("0",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="image_repeated",
            says="You copy the whole image side by side; copy each pixel: repeat_interleave, not repeat or tile.",
            line="output",
            edits=[(ROWS, "rows = x.repeat(1, 1, scale, 1)"), (COLUMNS, "return rows.repeat(1, 1, 1, scale)")],
        ),
        Misconception(
            name="rows_only",
            says="Your image grows in height only; the columns are copied, too.",
            line="output",
            edits=[(COLUMNS, "return rows")],
        ),
        Misconception(
            name="columns_only",
            says="Your image grows in width only; the rows are copied, too.",
            line="output",
            edits=[(ROWS, "rows = x")],
        ),
        Misconception(
            name="bed_of_nails",
            says="You put zeros between the pixels, a bed of nails; fill each square with copies.",
            line="output",
            edits=[
                (
                    COLUMNS,
                    "larger = rows.repeat_interleave(scale, dim=3)\n"
                    "    nails = torch.zeros_like(larger)\n"
                    "    nails[:, :, ::scale, ::scale] = x\n"
                    "    return nails",
                )
            ],
        ),
        Misconception(
            name="channels_repeated",
            says="You repeat the channels; height and width are the last two axes.",
            line="output",
            edits=[(ROWS, "rows = x.repeat_interleave(scale, dim=1)")],
        ),
        Misconception(
            name="graph_cut",
            says="Your numbers are right and no gradient reaches the pixels; leave out `.detach()` and `.data`.",
            line="gradients",
            edits=[(ROWS, "rows = x.detach().repeat_interleave(scale, dim=2)")],
        ),
    ],
)


def _unpooled(
    *settings: tuple[int, int, int, int], scale: int = 2, odd: bool = False, gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, channels, height, width) of the small image; the places come from random maxima."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, channels, height, width in settings:
            size = (scale * height + odd, scale * width + odd)
            places = F.max_pool2d(random_tensor(rng, batch, channels, *size), scale, return_indices=True)[1]
            if odd:  # the last row and column belong to no window, so bring the windows away from the upper left
                places = places.flip(1)
            probes.append(
                Probe(
                    target="max_unpool",
                    args=(random_tensor(rng, *places.shape) + 3, places),
                    kwargs={"output_size": size},
                    gradients=gradients,
                )
            )
        return probes

    return cases


FLAT = "flat = values.new_zeros(batch, channels, height * width)"
SCATTER = "flat = flat.scatter(2, indices.flatten(2), values.flatten(2))"
RESHAPE = "return flat.reshape(batch, channels, height, width)"

max_unpool = Exercise(
    name="max_unpool",
    reference=reference.max_unpool,
    banned=("nn.MaxUnpool2d", "F.max_unpool2d", "MaxUnpool1d", "MaxUnpool3d", "max_unpool1d", "max_unpool3d"),
    lines=[
        Line(
            name="output",
            text="each value at its place, zeros elsewhere",
            points=1,
            cases=_unpooled((2, 3, 3, 4), (3, 2, 2, 5)),
        ),
        Line(
            name="output_size",
            text="windows of 3, and a size that the windows do not fill",
            points=0.5,
            cases=_unpooled((2, 3, 2, 3), (1, 2, 3, 2), scale=3, odd=True),
        ),
        Line(
            name="gradients",
            text="the gradient of a value is the one at its place",
            points=0.5,
            cases=_unpooled((2, 3, 2, 4), gradients=("0",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="bed_of_nails",
            says="You put each value into the upper left corner of its window; put it where the maximum stood.",
            line="output",
            edits=[
                (
                    RESHAPE,
                    "small_height, small_width = values.shape[2:]\n"
                    "    nails = values.new_zeros(batch, channels, height, width)\n"
                    "    down, across = height // small_height, width // small_width\n"
                    "    nails[:, :, : down * small_height : down, : across * small_width : across] = values\n"
                    "    return nails",
                )
            ],
        ),
        Misconception(
            name="copies",
            says="You fill each window with its value; only the place of the maximum gets it.",
            line="output",
            edits=[
                (
                    RESHAPE,
                    "small_height, small_width = values.shape[2:]\n"
                    "    down, across = height // small_height, width // small_width\n"
                    "    copies = values.repeat_interleave(down, dim=2).repeat_interleave(across, dim=3)\n"
                    "    return F.pad(copies, (0, width - copies.shape[3], 0, height - copies.shape[2]))",
                )
            ],
        ),
        Misconception(
            name="places_of_the_first_image",
            says="You use the places of the first image for all; every image has places of its own.",
            line="output",
            edits=[(SCATTER, "flat = flat.scatter(2, indices[:1].expand_as(indices).flatten(2), values.flatten(2))")],
        ),
        Misconception(
            name="places_of_the_first_channel",
            says="You use the places of the first channel for all; every channel has places of its own.",
            line="output",
            edits=[
                (SCATTER, "flat = flat.scatter(2, indices[:, :1].expand_as(indices).flatten(2), values.flatten(2))")
            ],
        ),
        Misconception(
            name="all_in_the_first_image",
            says="All your values land in the first channel of the first image: a place counts within its own image "
            "and channel, so flatten the last two axes only.",
            line="output",
            edits=[(SCATTER, "flat.view(-1)[indices.flatten()] = values.flatten()")],
        ),
        Misconception(
            name="rows_and_columns_exchanged",
            says="You count the places along the columns; a place is row · width + column.",
            line="output",
            edits=[(RESHAPE, "return flat.reshape(batch, channels, width, height).transpose(2, 3)")],
        ),
        Misconception(
            name="graph_cut",
            says="Your numbers are right and no gradient reaches the values; leave out `.detach()` and `.data`.",
            line="gradients",
            edits=[(SCATTER, "flat = flat.scatter(2, indices.flatten(2), values.detach().flatten(2))")],
        ),
    ],
)


def _transposed(
    *settings: tuple[int, int, int, int, int, int, int],
    stride: int = 1,
    padding: int = 0,
    gradients: tuple[str, ...] = (),
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, in_channels, out_channels, height, width, kernel_height, kernel_width)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        options = {"stride": stride} if stride != 1 else {}
        options |= {"padding": padding} if padding else {}
        return [
            Probe(
                target="conv_transpose2d",
                args=(random_tensor(rng, batch, inside, height, width), random_tensor(rng, inside, outside, *kernel)),
                kwargs=options,
                gradients=gradients,
            )
            for batch, inside, outside, height, width, *kernel in settings
        ]

    return cases


PART = 'part = torch.einsum("bchw,co->bohw", x, weight[:, :, a, b])'
ADD = "y[:, :, a : a + down + 1 : stride, b : b + across + 1 : stride] += part"
SPACE = "y = x.new_zeros(batch, out_channels, down + kernel_height, across + kernel_width)"
CUT = "return y[:, :, padding : y.shape[2] - padding, padding : y.shape[3] - padding]"

conv_transpose2d = Exercise(
    name="conv_transpose2d",
    reference=reference.conv_transpose2d,
    banned=("F.conv_transpose2d", *CONVOLUTIONS),
    lines=[
        Line(
            name="stride_1",
            text="each pixel lays down the kernel, overlaps add",
            points=1,
            cases=_transposed((2, 1, 1, 3, 4, 3, 2), (1, 1, 1, 4, 3, 2, 4)),
        ),
        Line(
            name="channels",
            text="several channels, in and out",
            points=0.5,
            cases=_transposed((2, 3, 4, 3, 4, 2, 3), (3, 4, 2, 2, 3, 3, 2)),
        ),
        Line(
            name="stride",
            text="strides of 2 and 3: steps of the output",
            points=1,
            cases=lambda rng: [
                *_transposed((2, 2, 3, 3, 4, 3, 4), stride=2)(rng),
                *_transposed((2, 3, 1, 2, 4, 4, 5), stride=3)(rng),
            ],
        ),
        Line(
            name="padding",
            text="padding, cut off on each side",
            points=1,
            cases=lambda rng: [
                *_transposed((2, 2, 3, 3, 4, 4, 3), stride=2, padding=1)(rng),
                *_transposed((2, 3, 2, 4, 5, 3, 4), padding=2)(rng),
            ],
        ),
        Line(
            name="gradients",
            text="the gradients by the image and the kernels",
            points=0.5,
            cases=_transposed((2, 2, 3, 3, 4, 3, 2), stride=2, padding=1, gradients=("0", "1")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="kernel_flipped",
            says="Your kernel is turned round; each pixel lays it down as it is.",
            line="stride_1",
            edits=[(PART, PART.replace("a, b]", "kernel_height - 1 - a, kernel_width - 1 - b]"))],
        ),
        Misconception(
            name="rows_and_columns_exchanged",
            says="You exchange the kernel's rows and columns.",
            line="stride_1",
            edits=[
                ("_, out_channels, kernel_height, kernel_width = weight.shape", "_, out_channels, _, _ = weight.shape"),
                (
                    "    down, across = (height - 1) * stride, (width - 1) * stride",
                    "    weight = weight.transpose(2, 3)\n"
                    "    kernel_height, kernel_width = weight.shape[2:]\n"
                    "    down, across = (height - 1) * stride, (width - 1) * stride",
                ),
            ],
        ),
        Misconception(
            name="overwritten",
            says="Where kernels overlap, you keep the last one only; overlaps add.",
            line="stride_1",
            edits=[(ADD, ADD.replace("+= part", "= part"))],
        ),
        Misconception(
            name="overwritten_pixel_by_pixel",
            says="Where kernels overlap, the pixel that comes last wins; overlaps add.",
            line="stride_1",
            edits=[
                ("for a in range(kernel_height):", "for a in reversed(range(kernel_height)):"),
                ("for b in range(kernel_width):", "for b in reversed(range(kernel_width)):"),
                (ADD, ADD.replace("+= part", "= part")),
            ],
        ),
        Misconception(
            name="averaged",
            says="Where kernels overlap, you divide by how many they are; overlaps add, and nothing is divided.",
            line="stride_1",
            edits=[
                (SPACE, f"{SPACE}\n    laid = torch.zeros_like(y)"),
                (ADD, f"{ADD}\n            {ADD.replace('y[', 'laid[').replace('part', '1')}"),
                (CUT, f"y = y / laid.clamp(min=1)\n    {CUT}"),
            ],
        ),
        Misconception(
            name="minus_zero",
            says="With a padding of 0 your output is empty: a slice that ends at -0 ends where it begins. Let it end "
            "at height - padding.",
            line="stride_1",
            edits=[(CUT, "return y[:, :, padding:-padding, padding:-padding]")],
        ),
        Misconception(
            name="input_not_used",
            says="You lay down the kernel as it is; multiply it by the value of the pixel.",
            line="stride_1",
            edits=[(PART, PART.replace("x, weight", "torch.ones_like(x), weight"))],
        ),
        Misconception(
            name="stride_ignored",
            says="Your result is the one with stride 1; the stride spreads the input's pixels over the output.",
            line="stride",
            edits=[
                (
                    "    batch, _, height, width = x.shape",
                    "    stride = 1\n    batch, _, height, width = x.shape",
                )
            ],
        ),
        Misconception(
            name="stride_applied_to_the_output",
            says="You take every stride-th pixel of the output, as a convolution does; here the stride makes the "
            "output larger: kernels are laid down stride steps apart.",
            line="stride",
            edits=[
                ("(height - 1) * stride, (width - 1) * stride", "height - 1, width - 1"),
                (ADD, "y[:, :, a : a + down + 1, b : b + across + 1] += part"),
                (CUT, f"{CUT}[:, :, ::stride, ::stride]"),
            ],
        ),
        Misconception(
            name="padding_ignored",
            says="You do not cut off the padding.",
            line="padding",
            edits=[(CUT, "return y")],
        ),
        Misconception(
            name="padding_added",
            says="You add zeros around the output; the padding of a transposed convolution is cut off.",
            line="padding",
            edits=[(CUT, "return F.pad(y, (padding, padding, padding, padding))")],
        ),
        Misconception(
            name="padding_cut_at_one_end",
            says="You cut the padding off at the end only; it is cut off on each side.",
            line="padding",
            edits=[(CUT, "return y[:, :, : y.shape[2] - padding, : y.shape[3] - padding]")],
        ),
        Misconception(
            name="graph_cut",
            says="Your numbers are right and not every gradient arrives; leave out `.detach()` and `.data`.",
            line="gradients",
            edits=[(PART, PART.replace("weight[", "weight.detach()["))],
        ),
    ],
)


def _matrices(
    *settings: tuple[int, int, int, int], stride: int = 1, gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (kernel_height, kernel_width, height, width)."""
    return lambda rng: [
        Probe(
            target="convolution_matrix",
            args=(random_tensor(rng, *kernel),),
            kwargs={"height": height, "width": width} | ({"stride": stride} if stride != 1 else {}),
            gradients=gradients,
        )
        for *kernel, height, width in settings
    ]


WRITE = "matrix[i, j, top : top + kernel_height, left : left + kernel_width] = weight"
CORNER = "top, left = i * stride, j * stride"
FOLDED = "return matrix.reshape(out_height * out_width, height * width)"
OUT = "(height - kernel_height) // stride + 1, (width - kernel_width) // stride + 1"

convolution_matrix = Exercise(
    name="convolution_matrix",
    reference=reference.convolution_matrix,
    returns=("the matrix",),
    banned=("conv_transpose2d", "F.conv_transpose2d", *CONVOLUTIONS),
    lines=[
        Line(
            name="stride_1",
            text="each row holds the kernel where it lies on the image",
            points=1.5,
            cases=_matrices((2, 3, 4, 7), (3, 2, 3, 5), (1, 2, 4, 4)),  # outputs of 3 × 5, 1 × 4 and 4 × 3
        ),
        Line(
            name="stride",
            text="strides of 2 and 3, and rows and columns that no kernel reaches",
            points=1,
            cases=lambda rng: [  # outputs of 2 × 3 and 3 × 2
                *_matrices((2, 3, 5, 8), stride=2)(rng),
                *_matrices((3, 2, 10, 6), stride=3)(rng),
            ],
        ),
        Line(
            name="gradients",
            text="the gradient by the kernel",
            points=0.5,
            cases=_matrices((2, 3, 3, 5), gradients=("0",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="kernel_flipped",
            says="Your kernel is turned round; it is laid onto the image as it is.",
            line="stride_1",
            edits=[(WRITE, f"{WRITE}.flip(0, 1)")],
        ),
        Misconception(
            name="transposed",
            says="You return the transpose; a row of the matrix belongs to a pixel of the output.",
            line="stride_1",
            edits=[(FOLDED, f"{FOLDED}.T")],
        ),
        Misconception(
            name="outputs_by_columns",
            says="Your rows follow the output's pixels column by column; they come row after row.",
            line="stride_1",
            edits=[(FOLDED, FOLDED.replace("matrix.reshape", "matrix.transpose(0, 1).reshape"))],
        ),
        Misconception(
            name="image_by_columns",
            says="You flatten the image column by column; it is flattened row after row.",
            line="stride_1",
            edits=[(FOLDED, FOLDED.replace("matrix.reshape", "matrix.transpose(2, 3).reshape"))],
        ),
        Misconception(
            name="rolled",
            says="You move each row of the matrix on by the same number; where the output begins a new row, the kernel "
            "would lie half over the image's edge, so those places are left out.",
            line="stride_1",
            edits=[
                (
                    FOLDED,
                    "first = matrix[0, 0].flatten()\n"
                    "    return torch.stack([first.roll(row * stride) for row in range(out_height * out_width)])",
                )
            ],
        ),
        Misconception(
            name="kernel_in_one_piece",
            says="You write the whole kernel in one piece; its next row lies one image row on, `width` numbers later.",
            line="stride_1",
            edits=[
                (
                    FOLDED,
                    "flat = weight.new_zeros(out_height * out_width, height * width)\n"
                    "    for row in range(len(flat)):\n"
                    "        start = stride * (row // out_width * width + row % out_width)\n"
                    "        flat[row, start : start + weight.numel()] = weight.flatten()\n"
                    "    return flat",
                )
            ],
        ),
        Misconception(
            name="rows_numbered_by_the_height",
            says="Two of your output pixels share a row of the matrix; pixel (i, j) has row i · out_width + j.",
            line="stride_1",
            edits=[
                (
                    FOLDED,
                    "flat = weight.new_zeros(max(out_height, out_width) ** 2, height * width)\n"
                    "    for i in range(out_height):\n"
                    "        for j in range(out_width):\n"
                    "            flat[i * out_height + j] = matrix[i, j].flatten()\n"
                    "    return flat[: out_height * out_width]",
                )
            ],
        ),
        Misconception(
            name="stride_ignored",
            says="Your matrix is the one with stride 1.",
            line="stride",
            edits=[(OUT, "height - kernel_height + 1, width - kernel_width + 1"), (CORNER, "top, left = i, j")],
        ),
        Misconception(
            name="stride_in_the_number_only",
            says="You make as many rows as the stride asks for, and move the kernel by single steps.",
            line="stride",
            edits=[(CORNER, "top, left = i, j")],
        ),
        Misconception(
            name="graph_cut",
            says="Your numbers are right and no gradient reaches the kernel; leave out `.detach()` and `.data`.",
            line="gradients",
            edits=[(WRITE, f"{WRITE}.detach()")],
        ),
    ],
)


def _chain(rng: np.random.Generator, strides: tuple[int, ...]) -> list[tuple[int, int]]:
    """Layers with these strides, and kernels from 3 to 8, neighbours of different size.

    No stride is larger than its kernel: then every pixel of the field reaches the output, however it is counted.
    """
    kernels = 3 + (rng.integers(0, 6) + np.arange(len(strides)) * rng.choice([1, 5])) % 6
    return [(int(kernel), stride) for kernel, stride in zip(kernels, strides, strict=True)]


def _fields(*chains: tuple[int, ...]) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for the strides of each chain of layers."""
    return lambda rng: [Probe(target="receptive_field", args=(_chain(rng, strides),)) for strides in chains]


GROW = "field += (kernel_size - 1) * jump"
JUMP = "jump *= stride"

receptive_field = Exercise(
    name="receptive_field",
    reference=reference.receptive_field,
    returns=("the receptive field",),
    lines=[
        Line(
            name="stride_1",
            text="layers of stride 1, and no layer",
            points=0.5,
            cases=_fields((), (1,), (1, 1, 1)),
        ),
        Line(
            name="strides",
            text="layers with strides",
            points=1.5,
            cases=_fields((2, 1), (1, 2, 1), (2, 3, 1, 2), (1, 3, 2, 1)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="kernel_sizes_added",
            says="You add up kernel sizes; a kernel of width k adds k - 1 pixels to what is seen already.",
            line="stride_1",
            edits=[(GROW, "field += kernel_size * jump")],
        ),
        Misconception(
            name="kernel_sizes_multiplied",
            says="You multiply kernel sizes; neighbouring kernels overlap, so each adds k - 1 steps.",
            line="stride_1",
            edits=[(GROW, "field *= kernel_size")],
        ),
        Misconception(
            name="starts_at_zero",
            says="You are one too small: without any layer, a pixel sees itself.",
            line="stride_1",
            edits=[("field, jump = 1, 1", "field, jump = 0, 1")],
        ),
        Misconception(
            name="strides_ignored",
            says="Your strides change nothing; behind a stride of 2, every step is two pixels of the image.",
            line="strides",
            edits=[(JUMP, "pass")],
        ),
        Misconception(
            name="own_stride_counted",
            says="You widen a layer's field by its own stride; it counts for the layers behind it.",
            line="strides",
            edits=[(f"        {GROW}\n        {JUMP}", f"        {JUMP}\n        {GROW}")],
        ),
        Misconception(
            name="strides_added",
            says="You add up strides; two layers of stride 2 make steps of 4 pixels, so multiply them.",
            line="strides",
            edits=[(JUMP, "jump += stride - 1")],
        ),
        Misconception(
            name="from_the_end",
            says="You go through the layers from the output back, with the rule for the way forth.",
            line="strides",
            edits=[("in layers:", "in reversed(layers):")],
        ),
        Misconception(
            name="last_stride_only",
            says="You multiply by the stride of the layer before only; the strides of all layers before multiply.",
            line="strides",
            edits=[(JUMP, "jump = stride")],
        ),
    ],
)
