"""Assignment 08: what is ruled out there, and what the trained vision transformer is measured on."""

from __future__ import annotations

import pytest
import torch

from course_lib.check.classifiers import PatchClassifier
from course_lib.data.digits import split_digits
from course_lib.grading.draw import PUBLIC_SEED, draw
from course_lib.grading.kill_table import judge_source
from course_lib.grading.spec import assignment
from course_lib.grading.specs import _vit_training as training
from course_lib.models.vit import VisionTransformer

SPEC = assignment("08-vit")


def lost(name: str, source: str) -> dict[str, str]:
    """The rubric lines that an answer loses, each with what the student is told."""
    result = judge_source(SPEC, draw(SPEC, SPEC.exercise(name), seed=PUBLIC_SEED), source)
    return {line.line.name: line.finding.message for line in result.lines if line.finding}


LIBRARY = {
    "patchify": "def patchify(images, *, patch_size):\n"
    "    return F.unfold(images, patch_size, stride=patch_size).transpose(1, 2)\n",
    "unpatchify": "def unpatchify(patches, *, patch_size, height, width):\n"
    "    return F.fold(patches.transpose(1, 2), (height, width), patch_size, stride=patch_size)\n",
}


@pytest.mark.parametrize("name", LIBRARY)
def test_an_answer_that_lets_the_library_do_the_exercise_earns_nothing(name: str) -> None:
    told = lost(name, LIBRARY[name])
    assert set(told) == {line.name for line in SPEC.exercise(name).lines}
    assert all("does the exercise's work" in message for message in told.values())


def test_digits_of_ones_own_are_no_batches() -> None:
    own = "from sklearn.datasets import load_digits\n\n"
    source = own + "def train_classifier(draw_batch):\n    return load_digits().images\n"
    assert all("does the exercise's work" in message for message in lost("train_classifier", source).values())


# The trained classifier


def test_every_draw_asks_for_the_same_training_and_measures_on_other_digits() -> None:
    drawn = [draw(SPEC, SPEC.exercise("train_classifier"), seed=seed) for seed in (PUBLIC_SEED, b"one", b"two")]
    probes = [case.probe for cases in drawn for line in cases.lines for case in line.cases]
    assert all(probe == probes[0] for probe in probes)
    measured = [cases.lines[0].measures[-1].parameters["ink"] for cases in drawn]
    assert not torch.equal(measured[0], measured[1])
    assert not torch.equal(measured[1], measured[2])


def test_the_batches_that_training_draws_and_the_digits_to_measure_on_have_nothing_in_common() -> None:
    scope: dict[str, object] = {}
    exec(training.DRAW_BATCH, scope)
    images, labels = scope["draw_batch"]()  # type: ignore[operator]
    first = training._first_batch()
    assert torch.equal(first["batch_ink"].float() / 8 - 1, images)
    assert torch.equal(first["batch_labels"].long(), labels)
    train, _ = split_digits(test_size=training.TEST_SIZE, generator=torch.Generator().manual_seed(0), high=16.0)
    seen = {tuple(row) for row in train.images.flatten(1).int().tolist()}
    for line in draw(SPEC, SPEC.exercise("train_classifier"), seed=b"any").lines:
        rows = line.measures[-1].parameters["ink"].flatten(1).int().tolist()
        assert len(rows) == training.NEW_DIGITS
        assert not seen & {tuple(row) for row in rows}


def test_the_weights_that_are_measured_are_those_of_the_model_of_the_exercise() -> None:
    blocks = {name: training.SIZES[name] for name in ("d_model", "num_heads", "num_layers", "dim_feedforward")}
    with torch.device("meta"):
        network = PatchClassifier(**training.SIZES)
        model = VisionTransformer(image_size=(8, 8), patch_size=2, in_channels=1, num_classes=10, **blocks)
    assert {k: v.shape for k, v in network.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}
