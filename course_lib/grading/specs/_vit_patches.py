"""Assignment 08, images cut into patches: exercises 1 to 4."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from course_lib.check.probe import Probe
from course_lib.grading.spec import Exercise, Line, Misconception, random_state, random_tensor
from course_lib.models import vit as reference

CUTTERS = ("F.unfold", "nn.Unfold", "im2col", "F.pixel_unshuffle", "nn.PixelUnshuffle")
GLUERS = ("F.fold", "nn.Fold", "col2im", "F.pixel_shuffle", "nn.PixelShuffle")

Setting = tuple[int, int, int, int, int]
"""Batch, channels, height, width, patch_size."""


def _cut(*settings: Setting, gradients: tuple[str, ...] = ()) -> Callable[[np.random.Generator], list[Probe]]:
    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            Probe(
                target="patchify",
                args=(random_tensor(rng, *shape),),
                kwargs={"patch_size": patch_size},
                gradients=gradients,
            )
            for *shape, patch_size in settings
        ]

    return cases


CUT_SPLIT = "images.reshape(batch, channels, height // p, p, width // p, p)"
CUT_ORDER = "x.permute(0, 2, 4, 1, 3, 5)"

patchify = Exercise(
    name="patchify",
    reference=reference.patchify,
    banned=CUTTERS,
    returns=("the patches",),
    lines=[
        Line(
            name="colour",
            text="patches in reading order, each channel's pixels row by row",
            points=1.5,
            cases=_cut((2, 3, 4, 6, 2), (3, 2, 9, 6, 3)),
        ),
        Line(
            name="grey",
            text="the same for images of one channel",
            points=0.5,
            cases=_cut((2, 1, 4, 6, 2), (1, 1, 9, 6, 3)),
        ),
        Line(
            name="extremes",
            text="patches of one pixel, and one patch that is the image",
            points=0.5,
            cases=_cut((2, 3, 4, 5, 1), (3, 2, 4, 4, 4)),
        ),
        Line(
            name="gradients",
            text="the gradient by the images",
            points=0.5,
            cases=_cut((2, 2, 4, 6, 2), gradients=("0",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="down_the_columns",
            says="Your patches come column by column; in reading order the first row of patches comes first.",
            line="grey",
            edits=[(CUT_ORDER, "x.permute(0, 4, 2, 1, 3, 5)")],
        ),
        Misconception(
            name="patches_turned",
            says="Inside your patches rows and columns of pixels are exchanged; pixels come row by row.",
            line="grey",
            edits=[(CUT_ORDER, "x.permute(0, 2, 4, 1, 5, 3)")],
        ),
        Misconception(
            name="image_turned",
            says="You exchange rows and columns twice, of patches and inside them, which mirrors the image at its "
            "diagonal; rows come first, both times.",
            line="grey",
            edits=[(CUT_ORDER, "x.permute(0, 4, 2, 1, 5, 3)")],
        ),
        Misconception(
            name="channels_last",
            says="In your patches the channels of a pixel stand side by side; all of the first channel comes first, "
            "as in the kernel of nn.Conv2d.",
            line="colour",
            edits=[(CUT_ORDER, "x.permute(0, 2, 4, 3, 5, 1)")],
        ),
        Misconception(
            name="reshaped_only",
            says="You only reshape, which keeps the numbers in their order in memory and cuts the image into strips; "
            "the axes must change places before they are merged.",
            line="grey",
            edits=[(CUT_ORDER, "x")],
        ),
        Misconception(
            name="channels_stay_in_front",
            says="Your channels stay in front of the patches, so the numbers of several patches are mixed; bring the "
            "channels behind rows and columns before you merge.",
            line="colour",
            edits=[(CUT_ORDER, "x.permute(0, 1, 2, 4, 3, 5)")],
        ),
        Misconception(
            name="pixels_apart",
            says="Your patches gather pixels that lie apart; height splits into (rows, P), with P as the fast axis.",
            line="grey",
            edits=[
                (CUT_SPLIT, "images.reshape(batch, channels, p, height // p, p, width // p)"),
                (CUT_ORDER, "x.permute(0, 3, 5, 1, 2, 4)"),
            ],
        ),
        Misconception(
            name="no_gradient",
            says="Your numbers are right, but no gradient reaches the images; leave out `.detach()` and `.data`.",
            line="gradients",
            edits=[(CUT_SPLIT, "images.detach().reshape(batch, channels, height // p, p, width // p, p)")],
        ),
    ],
)


def _glue(*settings: Setting, gradients: tuple[str, ...] = ()) -> Callable[[np.random.Generator], list[Probe]]:
    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            Probe(
                target="unpatchify",
                args=(random_tensor(rng, batch, height * width // p**2, channels * p**2),),
                kwargs={"patch_size": p, "height": height, "width": width},
                gradients=gradients,
            )
            for batch, channels, height, width, p in settings
        ]

    return cases


GLUE_SPLIT = "patches.reshape(len(patches), height // p, width // p, -1, p, p)"
GLUE_ORDER = "x.permute(0, 3, 1, 4, 2, 5)"

unpatchify = Exercise(
    name="unpatchify",
    reference=reference.unpatchify,
    banned=GLUERS,
    returns=("the images",),
    lines=[
        Line(
            name="colour",
            text="each number back at its channel and its pixel",
            points=1.5,
            cases=_glue((2, 3, 4, 6, 2), (3, 2, 9, 6, 3)),
        ),
        Line(
            name="grey",
            text="the same for images of one channel",
            points=0.5,
            cases=_glue((2, 1, 4, 6, 2), (1, 1, 9, 6, 3)),
        ),
        Line(
            name="extremes",
            text="patches of one pixel, and one patch that is the image",
            points=0.5,
            cases=_glue((2, 3, 4, 5, 1), (3, 2, 4, 4, 4)),
        ),
        Line(
            name="gradients",
            text="the gradient by the patches",
            points=0.5,
            cases=_glue((2, 2, 4, 6, 2), gradients=("0",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="down_the_columns",
            says="You put the patches column by column; they come in reading order, row by row.",
            line="grey",
            edits=[
                (GLUE_SPLIT, "patches.reshape(len(patches), width // p, height // p, -1, p, p)"),
                (GLUE_ORDER, "x.permute(0, 3, 2, 4, 1, 5)"),
            ],
        ),
        Misconception(
            name="patches_turned",
            says="Inside your patches rows and columns of pixels are exchanged; pixels come row by row.",
            line="grey",
            edits=[(GLUE_ORDER, "x.permute(0, 3, 1, 5, 2, 4)")],
        ),
        Misconception(
            name="channels_last",
            says="You read a patch as pixels with their channels side by side; all of the first channel comes first.",
            line="colour",
            edits=[
                (GLUE_SPLIT, "patches.reshape(len(patches), height // p, width // p, p, p, -1)"),
                (GLUE_ORDER, "x.permute(0, 5, 1, 3, 2, 4)"),
            ],
        ),
        Misconception(
            name="reshaped_only",
            says="You only reshape, which keeps the numbers in their order in memory; the axes must change places "
            "before they are merged.",
            line="grey",
            edits=[(GLUE_ORDER, "x")],
        ),
        Misconception(
            name="rows_after_their_pixels",
            says="Your pixels lie apart, since P stands before rows and columns where you merge; each P follows its "
            "rows or columns.",
            line="grey",
            edits=[(GLUE_ORDER, "x.permute(0, 3, 4, 1, 5, 2)")],
        ),
        Misconception(
            name="patches_laid_open",
            says="You merge (rows, columns) and (P, P) without crossing them, so each patch becomes a strip; the order "
            "is rows, P, columns, P.",
            line="grey",
            edits=[(GLUE_ORDER, "x.permute(0, 3, 1, 2, 4, 5)")],
        ),
        Misconception(
            name="no_gradient",
            says="Your numbers are right, but no gradient reaches the patches; leave out `.detach()` and `.data`.",
            line="gradients",
            edits=[(GLUE_SPLIT, "patches.detach().reshape(len(patches), height // p, width // p, -1, p, p)")],
        ),
    ],
)


def _kernels(
    *shapes: tuple[int, int, int], gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for kernels of shapes (d_model, channels, patch_size)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            Probe(
                target="patch_weight_from_conv",
                args=(random_tensor(rng, d_model, channels, p, p),),
                gradients=gradients,
            )
            for d_model, channels, p in shapes
        ]

    return cases


FLATTEN = "weight.flatten(start_dim=1)"

patch_weight_from_conv = Exercise(
    name="patch_weight_from_conv",
    reference=reference.patch_weight_from_conv,
    returns=("the weight",),
    lines=[
        Line(
            name="colour",
            text="the kernel of a convolution over several channels",
            points=1,
            cases=_kernels((5, 3, 2), (4, 2, 3)),
        ),
        Line(
            name="grey",
            text="over one channel, and a kernel of one pixel",
            points=0.5,
            cases=_kernels((5, 1, 3), (4, 3, 1)),
        ),
        Line(
            name="gradients",
            text="the gradient by the kernel",
            points=0.5,
            cases=_kernels((3, 2, 2), gradients=("0",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="channels_last",
            says="Your weight expects the channels of a pixel side by side; in a kernel and in a patch all of the "
            "first channel comes first.",
            line="colour",
            edits=[(FLATTEN, "weight.permute(0, 2, 3, 1).flatten(start_dim=1)")],
        ),
        Misconception(
            name="kernel_turned",
            says="You exchange rows and columns of the kernel; keep its axes in their order.",
            line="grey",
            edits=[(FLATTEN, "weight.transpose(2, 3).flatten(start_dim=1)")],
        ),
        Misconception(
            name="kernel_flipped",
            says="You flip the kernel, as the mathematical convolution does; nn.Conv2d slides it as it is.",
            line="grey",
            edits=[(FLATTEN, "weight.flip(2, 3).flatten(start_dim=1)")],
        ),
        Misconception(
            name="transposed",
            says="Your weight has one column for each output; the weight of nn.Linear has one row for each.",
            line="grey",
            edits=[(FLATTEN, "weight.flatten(start_dim=1).T")],
        ),
        Misconception(
            name="outputs_mixed",
            says="Your numbers wander from one output to another; axis 0 stays as it is, all others become one.",
            line="grey",
            edits=[(FLATTEN, "weight.flatten(start_dim=1).T.reshape(len(weight), -1)")],
        ),
        Misconception(
            name="no_gradient",
            says="Your numbers are right, but no gradient reaches the kernel; leave out `.detach()` and `.data`.",
            line="gradients",
            edits=[(FLATTEN, "weight.detach().flatten(start_dim=1)")],
        ),
    ],
)


def _embedding(
    *settings: tuple[int, int, int, int, int, int], gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, channels, height, width, patch_size, d_model)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, channels, height, width, patch_size, d_model in settings:
            init = {"in_channels": channels, "patch_size": patch_size, "d_model": d_model}
            probes.append(
                Probe(
                    target="PatchEmbedding",
                    init=init,
                    state=random_state(reference.PatchEmbedding(**init), rng),
                    args=(random_tensor(rng, batch, channels, height, width),),
                    gradients=gradients,
                )
            )
        return probes

    return cases


PROJECT = "return self.projection(patchify(images, patch_size=self.patch_size))"

patch_embedding = Exercise(
    name="PatchEmbedding",
    reference=reference.PatchEmbedding,
    uses=("patchify",),
    lines=[
        Line(
            name="output",
            text="one vector for each patch, in reading order",
            points=1.5,
            cases=_embedding((2, 3, 4, 6, 2, 5), (3, 1, 6, 9, 3, 4)),
        ),
        Line(
            name="gradients",
            text="the gradients by the images and the weights",
            points=0.5,
            cases=_embedding((2, 3, 4, 6, 2, 5), gradients=("0", "state")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="relu_after",
            says="Your vectors have no negative numbers; there is no ReLU behind the projection.",
            line="output",
            edits=[("patch_size=self.patch_size))", "patch_size=self.patch_size)).relu()")],
        ),
        Misconception(
            name="bias_missing",
            says="The projection's bias plays no part in your vectors; call the layer.",
            line="output",
            edits=[(PROJECT, PROJECT.replace("self.projection(", "F.linear(")[:-1] + ", self.projection.weight)")],
        ),
        Misconception(
            name="image_turned",
            says="Your patches are those of the image mirrored at its diagonal; images are (batch, channels, height, "
            "width).",
            line="output",
            edits=[("patchify(images,", "patchify(images.transpose(2, 3),")],
        ),
        Misconception(
            name="scaled_by_the_width",
            says="You multiply the vectors by the root of d_model; here they are used as they are.",
            line="output",
            edits=[
                ("patch_size=self.patch_size))", "patch_size=self.patch_size)) * self.projection.out_features**0.5")
            ],
        ),
        Misconception(
            name="no_gradient",
            says="Your numbers are right, but no gradient reaches the images; leave out `.detach()` and `.data`.",
            line="gradients",
            edits=[("patchify(images,", "patchify(images.detach(),")],
        ),
    ],
)
