"""Assignment 08, the larger piece: a vision transformer is trained to read digits, and its weights are measured.

The probe is the same for every draw. It hands over a function that draws batches from 1,297 digits; what is drawn are
those of the other 500 that the weights are measured on. With four seeds of the first weights, a training like the
solution's (300 updates) reads 96 to 97 % of all 500 and at least 90 % of each class; 80 and 90 %, and half of each
class, are asked for. With its first batch alone it reads 64 %.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from course_lib.check.classifiers import FULL_INK
from course_lib.check.measures import Measure
from course_lib.check.probe import Probe
from course_lib.check.values import Code
from course_lib.data.digits import Digits, split_digits
from course_lib.grading.spec import Exercise, Line, Misconception
from course_lib.models.vit import VisionTransformer

TEST_SIZE = 500
NEW_DIGITS = 200
LEARNED, WELL, EACH = 0.8, 0.9, 0.5

DRAW_BATCH = f"""
import torch
from course_lib.data.digits import split_digits

digits, _ = split_digits(test_size={TEST_SIZE}, generator=torch.Generator().manual_seed(0), low=-1.0, high=1.0)
chance = torch.Generator().manual_seed(0)


def draw_batch():
    rows = torch.randint(len(digits), (64,), generator=chance)
    return digits.images[rows], digits.labels[rows]
"""

SIZES = {
    "patch_size": 2,
    "num_patches": 16,
    "in_channels": 1,
    "num_classes": 10,
    "d_model": 32,
    "num_heads": 4,
    "num_layers": 2,
    "dim_feedforward": 64,
}


@cache
def _parts() -> tuple[Digits, Digits]:
    """The digits that `DRAW_BATCH` draws from, and those that are held out; as ink from 0 to 16."""
    return split_digits(test_size=TEST_SIZE, generator=torch.Generator().manual_seed(0), low=0.0, high=FULL_INK)


def _given(digits: Digits, rows: Tensor, *, prefix: str = "") -> dict[str, Tensor]:
    """Images and labels as a measure takes them, small."""
    return {
        f"{prefix}ink": digits.images[rows].to(torch.uint8),
        f"{prefix}labels": digits.labels[rows].to(torch.uint8),
    }


def _new(rng: np.random.Generator) -> dict[str, Tensor]:
    """Some of the held-out digits."""
    held_out = _parts()[1]
    return _given(held_out, torch.from_numpy(rng.permutation(len(held_out))[:NEW_DIGITS]))


def _first_batch() -> dict[str, Tensor]:
    """What the first call of `draw_batch` gives."""
    train = _parts()[0]
    rows = torch.randint(len(train), (64,), generator=torch.Generator().manual_seed(0))
    return _given(train, rows, prefix="batch_")


def _training(rng: np.random.Generator) -> list[Probe]:
    return [
        Probe(target="train_classifier", args=(Code(DRAW_BATCH, "draw_batch"),), dtype="float32", seconds=120.0),
    ]


def _measures(new: dict[str, Tensor], *goal: Measure) -> list[Measure]:
    """The signs of the known mistakes, then the goal."""
    common = {"sizes": SIZES}
    return [
        Measure("classifier_is_untouched", common, "never_updated"),
        Measure("classifier_has_untouched_blocks", common, "only_the_head_trained"),
        Measure("classifier_knows_one_batch", common | new | _first_batch() | {"at_least": LEARNED}, "one_batch_only"),
        *goal,
    ]


def learned(rng: np.random.Generator) -> list[Measure]:
    """Whether it reads most new digits."""
    new = _new(rng)
    return _measures(new, Measure("classifier_accuracy", {"sizes": SIZES, **new, "at_least": LEARNED}))


def well(rng: np.random.Generator) -> list[Measure]:
    """Whether it reads them as well as a sound training makes it."""
    new = _new(rng)
    return _measures(new, Measure("classifier_accuracy", {"sizes": SIZES, **new, "at_least": WELL}))


def each_class(rng: np.random.Generator) -> list[Measure]:
    """Whether no class is left out."""
    new = _new(rng)
    return _measures(new, Measure("classifier_every_class", {"sizes": SIZES, **new, "at_least": EACH}))


DRAW = "images, labels = draw_batch()"
START = "    steps, learning_rate = 300, 0.003\n"

train_classifier = Exercise(
    name="train_classifier",
    reference=VisionTransformer,
    returns=("the weights",),
    banned=("load_digits", "all_digits", "split_digits", "fetch_openml"),
    uses=("PatchEmbedding", "VisionTransformer"),
    no_mutants="a training with another constant ends in other weights that are as good, and quality cannot tell them "
    "apart.",
    lines=[
        Line(
            name="learned",
            text="most new digits are named rightly",
            points=2,
            cases=_training,
            measures=learned,
        ),
        Line(
            name="well",
            text="as many as after a sound training",
            points=2,
            cases=_training,
            measures=well,
        ),
        Line(
            name="each_class",
            text="each of the ten classes is recognised more often than not",
            points=1,
            cases=_training,
            measures=each_class,
        ),
    ],
    misconceptions=[
        Misconception(
            name="never_updated",
            says="Your weights are those that you began with: is there a `backward()` and a `step()` for each batch?",
            line="learned",
            edits=[("        optimizer.step()\n", ""), ("steps, learning_rate = 300", "steps, learning_rate = 3")],
        ),
        Misconception(
            name="only_the_head_trained",
            says="Only the last layer of your model was trained; the optimiser must hold all of model.parameters().",
            line="learned",
            edits=[("AdamW(model.parameters()", "AdamW(model.head.parameters()")],
        ),
        Misconception(
            name="one_batch_only",
            says="Your model knows its first batch by heart and little else; draw a new batch for each update.",
            line="learned",
            edits=[
                (START, START + "    images, labels = draw_batch()\n"),
                ("        " + DRAW + "\n", ""),
                ("steps, learning_rate = 300", "steps, learning_rate = 100"),
            ],
        ),
    ],
)
