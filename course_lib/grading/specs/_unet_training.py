"""Assignment 09, the larger piece: a U-Net is trained, and its weights are measured.

The probe is the same for every draw. It hands over a function that draws batches from 500 scenes of 16 × 16 pixels
with circles, crosses and triangles; what is drawn are the new scenes that the weights are measured on. With eight seeds
of the first weights, a training like the solution's (120 updates) reaches a mean IoU of 0.99 or more; 0.85 is asked
for. Without any update it is below 0.3, and so is a prediction of nothing but ground.
"""

from __future__ import annotations

import numpy as np
import torch

from course_lib.check.measures import Measure
from course_lib.check.probe import Probe
from course_lib.check.values import Code
from course_lib.data.scenes import SceneStyle, draw_scenes
from course_lib.grading.spec import Exercise, Line, Misconception
from course_lib.models.unet import UNet

STYLE = SceneStyle(size=16, cells=2, thing_size=8, kinds=("circle", "cross", "triangle"))
NUM_CLASSES = len(STYLE.class_names)
SIZES = {"in_channels": 1, "num_classes": NUM_CLASSES, "channels": 12, "depth": 2}
NEW_SCENES = 40
MEAN_IOU, EVERY_CLASS = 0.85, 0.8

DRAW_BATCH = f"""
from course_lib.data.scenes import SceneStyle, draw_scenes

style = SceneStyle(size={STYLE.size}, cells={STYLE.cells}, thing_size={STYLE.thing_size}, kinds={STYLE.kinds})
chance = torch.Generator().manual_seed(0)
scenes = draw_scenes(500, style=style, generator=chance)


def draw_batch():
    rows = torch.randint(len(scenes), (32,), generator=chance)
    return scenes.images[rows], scenes.masks[rows]
"""


def _training(rng: np.random.Generator) -> list[Probe]:
    return [
        Probe(
            target="train_segmenter",
            args=(Code(DRAW_BATCH, "draw_batch"),),
            kwargs={"num_classes": NUM_CLASSES},
            dtype="float32",
            seconds=120.0,
        )
    ]


def _new_scenes(rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """Scenes that training does not hold: the ground alone never comes twice."""
    chance = torch.Generator().manual_seed(int(rng.integers(1, 2**31)))
    scenes = draw_scenes(NEW_SCENES, style=STYLE, generator=chance)
    return {"images": (255 * scenes.images).round().to(torch.uint8), "labels": scenes.masks.to(torch.uint8)}


SIGNS = (
    ("is_untrained", "never_updated"),
    ("leaves_out_the_ground", "ground_left_out"),
    ("has_its_axes_swapped", "axes_swapped"),
)


def _measures(rng: np.random.Generator, name: str, at_least: float) -> list[Measure]:
    """The signs of the known mistakes, then what the line asks for."""
    common = {"sizes": SIZES, **_new_scenes(rng)}
    signs = [Measure(f"segmenter_{sign}", common, mistake) for sign, mistake in SIGNS]
    return [*signs, Measure(f"segmenter_{name}", {**common, "at_least": at_least})]


LOSS = "loss = pixel_cross_entropy(network(images), target)"

train_segmenter = Exercise(
    name="train_segmenter",
    reference=UNet,
    returns=("the weights",),
    uses=("DoubleConv", "UNet", "pixel_cross_entropy"),
    no_mutants="a training with another constant ends in other weights that are as good, and quality cannot tell them "
    "apart.",
    lines=[
        Line(
            name="mean_iou",
            text="the mean IoU on new scenes",
            points=4,
            cases=_training,
            measures=lambda rng: _measures(rng, "mean_iou", MEAN_IOU),
        ),
        Line(
            name="every_class",
            text="no class is left behind: Dice of the worst one",
            points=2,
            cases=_training,
            measures=lambda rng: _measures(rng, "every_class", EVERY_CLASS),
        ),
    ],
    misconceptions=[
        Misconception(
            name="never_updated",
            says="Your weights are those you began with: is there a `backward()` and a `step()` for each batch?",
            line="mean_iou",
            edits=[("        optimizer.step()\n", ""), ("steps, learning_rate = 120", "steps, learning_rate = 3")],
        ),
        Misconception(
            name="ground_left_out",
            says="Your network was never told what ground is: class 0 is a class like the others, and every pixel of "
            "these scenes has a label.",
            line="mean_iou",
            edits=[(LOSS, LOSS.replace("target)", "target, ignore=0)"))],
        ),
        Misconception(
            name="axes_swapped",
            says="Your label maps are turned over, rows for columns; a map is (batch, height, width), as the image is.",
            line="mean_iou",
            edits=[(LOSS, LOSS.replace("target)", "target.transpose(1, 2))"))],
        ),
    ],
)
