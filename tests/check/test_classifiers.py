"""A trained classifier is measured on a network of torch.nn alone that equals the reference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from course_lib.check.classifiers import FULL_INK, PatchClassifier
from course_lib.check.measures import Measure
from course_lib.check.weights import fit
from course_lib.models.vit import VisionTransformer

BLOCKS = {"d_model": 12, "num_heads": 3, "num_layers": 2, "dim_feedforward": 20}
SIZES = {"patch_size": 2, "num_patches": 6, "in_channels": 1, "num_classes": 4, **BLOCKS}


def reference(seed: int = 0) -> VisionTransformer:
    torch.manual_seed(seed)
    return VisionTransformer(image_size=(4, 6), patch_size=2, in_channels=1, num_classes=4, **BLOCKS).eval()


def weights(seed: int = 0, *, bias: Tensor | None = None) -> dict[str, Tensor]:
    """Those of a reference; with a bias of the head that is so large that it decides alone."""
    state = {name: weight.clone() for name, weight in reference(seed).state_dict().items()}
    if bias is not None:
        state["head.bias"] = 1000 * bias
    return state


def ink(count: int = 40) -> Tensor:
    chance = torch.Generator().manual_seed(1)
    return torch.randint(FULL_INK + 1, (count, 1, 4, 6), generator=chance, dtype=torch.uint8)


def broken(name: str, state: dict[str, Tensor], **parameters: Any) -> str | None:
    return Measure(f"classifier_{name}", {"sizes": SIZES, **parameters}).broken(state)


def trained_head() -> dict[str, Tensor]:
    state = weights()
    state["head.weight"][1, 2] = 0.5
    return state


ALWAYS_TWO = torch.tensor([0.0, 0.0, 1.0, 0.0])


def test_the_network_computes_what_the_reference_computes() -> None:
    with torch.device("meta"):
        network = PatchClassifier(**SIZES)
    fit(network, weights())
    images = torch.randn(5, 1, 4, 6, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(network(images), reference()(images))


def test_ink_is_read_between_minus_one_and_one() -> None:
    model, images = reference(), ink()
    guesses = model(images.float() / 8 - 1).argmax(dim=-1)
    assert broken("accuracy", weights(), ink=images, labels=guesses, at_least=1.0) is None


def test_accuracy_is_the_share_of_right_names() -> None:
    labels = torch.tensor([2, 2, 2, 0])
    given = {"ink": ink(4), "labels": labels}
    assert broken("accuracy", weights(bias=ALWAYS_TWO), **given, at_least=0.75) is None
    says = broken("accuracy", weights(bias=ALWAYS_TWO), **given, at_least=0.76)
    assert says == "it names 75% of new images rightly; 76% are asked for."


def test_a_class_that_is_never_named_is_told() -> None:
    labels = torch.tensor([2, 2, 2, 2, 2, 2, 2, 3])
    says = broken("every_class", weights(bias=ALWAYS_TWO), ink=ink(8), labels=labels, at_least=0.5)
    assert says == "it names 0% of the images of class 3 rightly; 50% are asked for."
    assert broken("every_class", weights(bias=ALWAYS_TWO), ink=ink(8), labels=labels.clamp(max=2), at_least=0.5) is None


def test_a_model_as_it_was_made_is_untouched_and_one_with_another_head_is_not() -> None:
    assert broken("is_untouched", weights()) is not None
    assert broken("is_untouched", trained_head()) is None


def test_blocks_whose_norms_never_moved_were_not_trained() -> None:
    assert broken("has_untouched_blocks", trained_head()) is not None
    moved = weights()
    moved["blocks.1.norm1.bias"] += 1e-4
    assert broken("has_untouched_blocks", moved) is None


def test_who_knows_the_first_batch_and_little_else_is_told() -> None:
    first = {"batch_ink": ink(6), "batch_labels": torch.full((6,), 2)}
    new = {"ink": ink(4), "labels": torch.tensor([2, 2, 0, 1])}
    state = weights(bias=ALWAYS_TWO)
    assert broken("knows_one_batch", state, **first, **new, at_least=0.8) is not None
    assert broken("knows_one_batch", state, **first, **new, at_least=0.5) is None
    assert (
        broken("knows_one_batch", state, **new, batch_ink=ink(2), batch_labels=torch.tensor([0, 2]), at_least=0.8)
        is None
    )
