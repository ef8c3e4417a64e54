"""Assignment 09: what is ruled out there, and what the trained segmenter is measured on."""

from __future__ import annotations

import pytest
import torch

from course_lib.check.segmenters import PixelClassifier
from course_lib.grading.draw import PUBLIC_SEED, draw
from course_lib.grading.kill_table import judge_source
from course_lib.grading.spec import assignment
from course_lib.grading.specs import _unet_training as training
from course_lib.models.unet import UNet

SPEC = assignment("09-unet")


def lost(name: str, source: str) -> dict[str, str]:
    """The rubric lines that an answer loses, each with what the student is told."""
    result = judge_source(SPEC, draw(SPEC, SPEC.exercise(name), seed=PUBLIC_SEED), source)
    return {line.line.name: line.finding.message for line in result.lines if line.finding}


LIBRARY = {
    "nearest_upsample": "def nearest_upsample(x, *, scale):\n    return F.interpolate(x, scale_factor=scale)\n",
    "max_unpool": "def max_unpool(values, indices, *, output_size):\n"
    "    return torch.nn.functional.max_unpool2d(values, indices, 2, output_size=output_size)\n",
    "conv_transpose2d": "def conv_transpose2d(x, weight, *, stride=1, padding=0):\n"
    "    return torch.conv_transpose2d(x, weight, stride=stride, padding=padding)\n",
    "convolution_matrix": "def convolution_matrix(weight, *, height, width, stride=1):\n"
    "    images = torch.eye(height * width).reshape(-1, 1, height, width)\n"
    "    return F.conv2d(images, weight[None, None], stride=stride).flatten(1).T\n",
    "pixel_cross_entropy": "def pixel_cross_entropy(logits, target, *, ignore=-1):\n"
    "    return F.cross_entropy(logits, target, ignore_index=ignore)\n",
    "dice_score": "from course_lib import metrics\n\n"
    "def dice_score(logits, target):\n    return metrics.dice_score(logits, target)\n",
    "mean_iou": "from course_lib import metrics\n\n"
    "def mean_iou(logits, target):\n    return metrics.mean_iou(logits, target)\n",
}


@pytest.mark.parametrize("name", LIBRARY)
def test_an_answer_that_lets_the_library_do_the_exercise_earns_nothing(name: str) -> None:
    told = lost(name, LIBRARY[name])
    assert set(told) == {line.name for line in SPEC.exercise(name).lines}
    assert all("does the exercise's work" in message for message in told.values())


MATRIX = """
def convolution_matrix(weight, *, height, width, stride=1):
    rows, columns = weight.shape
    out_height, out_width = (height - rows) // stride + 1, (width - columns) // stride + 1
    matrix = weight.new_zeros(out_height * out_width, height * width)
    for i in range(out_height):
        for j in range(out_width):
            image = weight.new_zeros(height, width)
            image[i * stride : i * stride + rows, j * stride : j * stride + columns] = weight
            matrix[i * out_height + j] = image.flatten()
    return matrix
"""
IOU = """
def mean_iou(logits, target):
    predicted = logits.argmax(1)
    ious = []
    for number in CLASSES:
        p, t = predicted == number, target == number
        if (p | t).any():
            ious.append(float((p & t).sum() / (p | t).sum()))
    return sum(ious) / len(ious)
"""
DICE = """
def dice_score(logits, target):
    predicted = logits.argmax(1)
    scores = []
    for number in range(int(target.max()) + 1):
        p, t = predicted == number, target == number
        pixels = p.sum() + t.sum()
        scores.append(2 * (p & t).sum() / pixels if pixels > 0 else torch.tensor(1.0))
    return torch.stack(scores)
"""
LOST = {
    "rows of the matrix are numbered by the height": (MATRIX, {"stride_1", "stride", "gradients"}),
    "classes up to the largest label": (IOU.replace("CLASSES", "range(int(target.max()) + 1)"), {"only_predicted"}),
    "classes up to the largest prediction": (
        IOU.replace("CLASSES", "range(int(predicted.max()) + 1)"),
        {"only_predicted"},
    ),
    "classes that are predicted": (IOU.replace("CLASSES", "predicted.unique()"), {"only_predicted"}),
    "scores up to the largest label": (DICE, {"nowhere"}),
}


@pytest.mark.parametrize("mistake", LOST)
def test_a_mistake_that_a_square_output_or_a_class_in_the_middle_would_hide_loses_its_line(mistake: str) -> None:
    source, lines = LOST[mistake]
    assert set(lost(source.split("(")[0].removeprefix("\ndef "), source)) == lines


# The trained segmenter


def test_every_draw_asks_for_the_same_training_and_measures_on_other_scenes() -> None:
    drawn = [draw(SPEC, SPEC.exercise("train_segmenter"), seed=seed) for seed in (PUBLIC_SEED, b"one", b"two")]
    probes = [case.probe for cases in drawn for line in cases.lines for case in line.cases]
    assert all(probe == probes[0] for probe in probes)
    images = [cases.lines[0].measures[-1].parameters["images"] for cases in drawn]
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[1], images[2])


def test_every_class_occurs_in_the_scenes_that_are_measured_on() -> None:
    for seed in (PUBLIC_SEED, b"one", b"two"):
        for line in draw(SPEC, SPEC.exercise("train_segmenter"), seed=seed).lines:
            labels = line.measures[-1].parameters["labels"]
            assert set(labels.unique().tolist()) == set(range(training.NUM_CLASSES))


def test_the_weights_that_are_measured_are_those_of_the_network_of_the_exercise() -> None:
    sizes = training.SIZES
    with torch.device("meta"):
        judged = PixelClassifier(**sizes).state_dict()
        built = UNet(
            in_channels=1, out_channels=sizes["num_classes"], channels=sizes["channels"], depth=sizes["depth"]
        ).state_dict()
    assert {name: weight.shape for name, weight in judged.items()} == {
        name: weight.shape for name, weight in built.items()
    }
