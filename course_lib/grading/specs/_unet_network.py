"""Assignment 09, the network: exercises 6 and 7."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from course_lib.check.probe import Probe
from course_lib.grading.spec import Exercise, Line, Misconception, random_tensor
from course_lib.models import unet as reference

Cases = Callable[[np.random.Generator], list[Probe]]


def _state(network: nn.Module, rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """Weights with which signals neither fade nor grow, and statistics that every norm has for itself."""
    state = {}
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        if name.endswith("running_var"):
            state[name] = 0.6 + random_tensor(rng, *tensor.shape).abs()
        elif tensor.dim() == 1:
            state[name] = random_tensor(rng, *tensor.shape, scale=0.4) + (1.2 if name.endswith("weight") else 0.1)
        else:
            fan_in = tensor.shape[0] if ".up." in f".{name}" else tensor[0].numel()
            state[name] = random_tensor(rng, *tensor.shape, scale=(2 / fan_in) ** 0.5)
    return state


def _blocks(*settings: tuple[int, int, int, int, int], gradients: tuple[str, ...] = ()) -> Cases:
    """Cases for settings (batch, in_channels, out_channels, height, width)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            Probe(
                target="DoubleConv",
                init={"in_channels": inside, "out_channels": outside},
                state=_state(reference.DoubleConv(inside, outside), rng),
                args=(random_tensor(rng, batch, inside, height, width, scale=3),),
                gradients=gradients,
            )
            for batch, inside, outside, height, width in settings
        ]

    return cases


FIRST = "x = self.norm1(self.conv1(x)).relu()"
SECOND = "return self.norm2(self.conv2(x)).relu()"

double_conv = Exercise(
    name="DoubleConv",
    reference=reference.DoubleConv,
    lines=[
        Line(
            name="output",
            text="convolution, norm, ReLU, twice",
            points=1.5,
            cases=_blocks((2, 3, 4, 5, 6), (3, 2, 5, 4, 3)),
        ),
        Line(
            name="gradients",
            text="the gradients by the image and the weights",
            points=0.5,
            cases=_blocks((2, 3, 4, 3, 4), gradients=("0", "state")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="no_relu_between",
            says="Nothing stands between your two convolutions, so together they are one linear map; put the ReLU "
            "after the first norm.",
            line="output",
            edits=[(FIRST, "x = self.norm1(self.conv1(x))")],
        ),
        Misconception(
            name="no_relu_at_the_end",
            says="Your output is negative in places; a ReLU stands at the end, too.",
            line="output",
            edits=[(SECOND, "return self.norm2(self.conv2(x))")],
        ),
        Misconception(
            name="relu_before_the_norm",
            says="You normalise after the ReLU; the norm comes first.",
            line="output",
            edits=[
                (FIRST, "x = self.norm1(self.conv1(x).relu())"),
                (SECOND, "return self.norm2(self.conv2(x).relu())"),
            ],
        ),
        Misconception(
            name="norms_missing",
            says="You leave out the norms; each convolution is followed by its own.",
            line="output",
            edits=[(FIRST, "x = self.conv1(x).relu()"), (SECOND, "return self.conv2(x).relu()")],
        ),
        Misconception(
            name="one_norm_for_both",
            says="You use the first norm twice; the second convolution has its own.",
            line="output",
            edits=[(SECOND, "return self.norm1(self.conv2(x)).relu()")],
        ),
        Misconception(
            name="norms_exchanged",
            says="You exchange the norms; the first belongs to the first convolution.",
            line="output",
            edits=[(FIRST, FIRST.replace("norm1", "norm2")), (SECOND, SECOND.replace("norm2", "norm1"))],
        ),
        Misconception(
            name="second_convolution_missing",
            says="You return after the first convolution; there are two.",
            line="output",
            edits=[(SECOND, "return x")],
        ),
        Misconception(
            name="residual",
            says="You add the first convolution's result at the end; a U-Net's block has no such connection.",
            line="output",
            edits=[(SECOND, f"{SECOND} + x")],
        ),
        Misconception(
            name="graph_cut",
            says="Your numbers are right and no gradient reaches the first convolution; leave out `.detach()`.",
            line="gradients",
            edits=[(FIRST, f"{FIRST}.detach()")],
        ),
    ],
)

SIZES = {"in_channels": 2, "out_channels": 4, "channels": 3}
Setting = tuple[int, int, int]


def _networks(*settings: Setting, depth: int = 2, skips: bool = True, gradients: tuple[str, ...] = ()) -> Cases:
    """Cases for settings (batch, height, width)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        init: dict[str, Any] = {**SIZES, "depth": depth} | ({} if skips else {"skips": False})
        return [
            Probe(
                target="UNet",
                init=init,
                state=_state(reference.UNet(**init), rng),
                args=(random_tensor(rng, batch, SIZES["in_channels"], height, width),),
                gradients=gradients,
            )
            for batch, height, width in settings
        ]

    return cases


KEEP = "seen.append(x)"
POOL = "x = F.max_pool2d(x, kernel_size=2)"
ASK = "if self.skips:"
BESIDE = "x = torch.cat([skip, x], dim=1)"
MERGE = "x = self.merge[level](x)"
HEAD = "return self.head(x)"

unet = Exercise(
    name="UNet",
    reference=reference.UNet,
    uses=("DoubleConv",),
    returns=("the scores",),
    lines=[
        Line(
            name="one_level",
            text="one level: down, bottom, up, across",
            points=1.5,
            cases=_networks((2, 4, 6), (3, 6, 2), depth=1),
        ),
        Line(
            name="levels",
            text="two and three levels, and images that are not square",
            points=2,
            cases=lambda rng: [*_networks((2, 8, 4))(rng), *_networks((1, 8, 16), depth=3)(rng)],
        ),
        Line(
            name="no_skips",
            text="`skips=False`: the enlarged map alone",
            points=1,
            cases=_networks((2, 4, 8), (1, 8, 4), skips=False),
        ),
        Line(
            name="gradients",
            text="the gradients by the image and the weights",
            points=0.5,
            cases=_networks((2, 4, 6), depth=1, gradients=("0", "state")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="skip_from_the_wrong_level",
            says="Your skip is what the level below is given, enlarged to fit; take what this level's block gave, "
            "before the pooling.",
            line="one_level",
            edits=[(KEEP, "seen.append(F.interpolate(F.max_pool2d(x, kernel_size=2), scale_factor=2))")],
        ),
        Misconception(
            name="skip_joined_after_the_convolution",
            says="Your skip joins after the convolution, which has then seen nothing of it; lay it beside the enlarged "
            "map first, then convolve.",
            line="one_level",
            edits=[
                (BESIDE, "x = torch.cat([torch.zeros_like(skip), x], dim=1)"),
                (MERGE, f"{MERGE} + (skip if self.skips else 0)"),
            ],
        ),
        Misconception(
            name="skip_second",
            says="You lay the enlarged map first and the skip second; the skip comes first.",
            line="one_level",
            edits=[(BESIDE, "x = torch.cat([x, skip], dim=1)")],
        ),
        Misconception(
            name="map_beside_itself",
            says="You lay the enlarged map beside itself; beside it belongs what the level saw on the way down.",
            line="one_level",
            edits=[(BESIDE, "x = torch.cat([x, x], dim=1)")],
        ),
        Misconception(
            name="skip_added",
            says="You add the skip to the enlarged map and lay the sum down twice; lay the two side by side.",
            line="one_level",
            edits=[(BESIDE, "x = torch.cat([skip + x, skip + x], dim=1)")],
        ),
        Misconception(
            name="skip_detached",
            says="Your numbers are right and no gradient flows through the skips; leave out `.detach()`.",
            line="gradients",
            edits=[(KEEP, "seen.append(x.detach())")],
        ),
        Misconception(
            name="average_pooling",
            says="You average each window; a U-Net keeps its maximum.",
            line="one_level",
            edits=[(POOL, "x = F.avg_pool2d(x, kernel_size=2)")],
        ),
        Misconception(
            name="strided",
            says="You keep one pixel of each window; a U-Net keeps its maximum.",
            line="one_level",
            edits=[(POOL, "x = x[:, :, ::2, ::2]")],
        ),
        Misconception(
            name="probabilities_returned",
            says="You return probabilities; return the logits, the loss takes the softmax.",
            line="one_level",
            edits=[(HEAD, f"{HEAD}.softmax(dim=1)")],
        ),
        Misconception(
            name="relu_behind_the_head",
            says="You put a ReLU behind the head; logits may be negative.",
            line="one_level",
            edits=[(HEAD, f"{HEAD}.relu()")],
        ),
        Misconception(
            name="head_of_the_skip",
            says="Your head reads the first level's way down; it reads what the last `merge` made.",
            line="one_level",
            edits=[(HEAD, "return self.head(skip)")],
        ),
        Misconception(
            name="skips_always_used",
            says="With `skips=False`, you add the skips all the same; merge gets the enlarged map alone.",
            line="no_skips",
            edits=[
                (
                    f"{ASK}\n                {BESIDE}",
                    f"{ASK}\n                {BESIDE}\n            else:\n                x = x + skip",
                )
            ],
        ),
    ],
)
