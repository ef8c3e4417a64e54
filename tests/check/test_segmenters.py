"""A trained segmenter is measured on a network of torch.nn alone that equals the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from course_lib.check.measures import Measure
from course_lib.check.weights import Misfit
from course_lib.metrics import dice_score, mean_iou
from course_lib.models.unet import UNet
from course_lib.training import initialised

SIZES = {"in_channels": 1, "channels": 4, "depth": 2}


def trained(seed: int = 0) -> UNet:
    """A U-Net whose norms have been through a batch or two."""
    chance = torch.Generator().manual_seed(seed)
    network = initialised(lambda: UNet(out_channels=3, **SIZES), generator=chance)
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(4, 1, 8, 12, generator=chance))
        for name, weight in network.named_parameters():
            if "norm" in name:
                weight += 0.3 * torch.randn(weight.shape, generator=chance)
    return network.eval()


def images(count: int = 6, size: tuple[int, int] = (8, 8)) -> Tensor:
    return torch.randint(256, (count, 1, *size), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def scores(network: UNet, shown: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = network(shown.float() / 255)
    return logits


def broken(name: str, network: UNet, labels: Tensor, shown: Tensor, **parameters: Any) -> str | None:
    sizes = {**SIZES, "num_classes": 3}
    return Measure(
        f"segmenter_{name}", {"sizes": sizes, "images": shown, "labels": labels.to(torch.uint8), **parameters}
    ).broken(dict(network.state_dict()))


def test_a_segmenter_is_judged_by_the_logits_that_the_reference_gives() -> None:
    network, shown = trained(), images(size=(8, 12))
    logits = scores(network, shown)
    assert broken("mean_iou", network, logits.argmax(1), shown, at_least=1.0) is None
    labels = torch.randint(3, (6, 8, 12), generator=torch.Generator().manual_seed(2))
    reached = mean_iou(logits, labels)
    assert broken("mean_iou", network, labels, shown, at_least=reached) is None
    assert f"is {reached:.2f}; 1.00 is asked for" in str(broken("mean_iou", network, labels, shown, at_least=1.0))


def test_the_worst_class_is_named() -> None:
    network, shown = trained(), images()
    logits = scores(network, shown)
    labels = torch.randint(3, (6, 8, 8), generator=torch.Generator().manual_seed(2))
    worst = int(dice_score(logits, labels).argmin())
    assert f"of class {worst}" in str(broken("every_class", network, labels, shown, at_least=0.99))
    assert broken("every_class", network, logits.argmax(1), shown, at_least=1.0) is None


def test_weights_as_they_were_made_are_told_from_trained_ones() -> None:
    labels, shown = torch.zeros(6, 8, 8), images()
    fresh = initialised(lambda: UNet(out_channels=3, **SIZES), generator=torch.Generator().manual_seed(0))
    assert "no update reached them" in str(broken("is_untrained", fresh, labels, shown))
    assert broken("is_untrained", trained(), labels, shown) is None


def test_a_network_that_sees_no_ground_is_told() -> None:
    network, shown = trained(), images()
    labels = torch.zeros(6, 8, 8)
    network.head.bias.data = torch.tensor([-1000.0, 0.0, 0.0])
    assert "0% of the pixels for ground" in str(broken("leaves_out_the_ground", network, labels, shown))
    network.head.bias.data = torch.tensor([1000.0, 0.0, 0.0])
    assert broken("leaves_out_the_ground", network, labels, shown) is None


def test_rows_and_columns_exchanged_are_told() -> None:
    network, shown = trained(), images()
    network.head.bias.data -= scores(network, shown).mean((0, 2, 3))  # no class wins everywhere
    found = scores(network, shown).argmax(1)
    assert len(found.unique()) > 1
    assert "rows and columns are exchanged" in str(
        broken("has_its_axes_swapped", network, found.transpose(1, 2), shown)
    )
    assert broken("has_its_axes_swapped", network, found, shown) is None


def test_weights_of_another_network_do_not_fit() -> None:
    state = dict(trained().state_dict())
    del state["head.bias"]
    measure = Measure(
        "segmenter_mean_iou",
        {"sizes": {**SIZES, "num_classes": 3}, "images": images(), "labels": torch.zeros(6, 8, 8), "at_least": 0.5},
    )
    for weights in (state, None, [1]):
        with pytest.raises(Misfit):
            measure.broken(weights)
