"""How good a map of labels is: Dice, intersection over union.

Sources:
    Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", 2010, section 4.2 (intersection over union).
    Dice, "Measures of the Amount of Ecologic Association Between Species", 1945.

Chapter: 09-unet.
"""

import torch
from torch import Tensor


def dice_score(logits: Tensor, target: Tensor) -> Tensor:
    """Dice of each class: the pixels that both maps give to it, twice, over the pixels that each of them gives.

        Dice = 2 |P ∩ T| / (|P| + |T|)

    The predicted class of a pixel is the one with the largest score. Pixels are counted over the whole batch.

    Args:
        logits: one score for each class at each pixel, (batch, num_classes, height, width).
        target: the right classes, integers, (batch, height, width).

    Returns:
        Between 0 and 1, (num_classes,); 1 for a class that is neither predicted nor there.

    Raises:
        ValueError: if the shapes do not fit together.

    Source: Dice 1945; as scikit-learn's f1_score of each class, with zero_division=1.
    Chapter: 09-unet.
    """
    both, predicted, there = _pixel_counts(logits, target)
    return torch.where(predicted + there > 0, 2 * both / (predicted + there), 1.0)


def mean_iou(logits: Tensor, target: Tensor) -> float:
    """Intersection over union of each class, and its mean over the classes that are predicted or there.

        IoU = |P ∩ T| / |P ∪ T|

    The predicted class of a pixel is the one with the largest score. Pixels are counted over the whole batch. A class
    that neither map holds has no IoU and does not enter the mean.

    Args:
        logits: one score for each class at each pixel, (batch, num_classes, height, width).
        target: the right classes, integers, (batch, height, width).

    Returns:
        The mean, between 0 and 1.

    Raises:
        ValueError: if the shapes do not fit together.

    Source: Everingham et al. 2010, section 4.2; as scikit-learn's jaccard_score, average="macro".
    Chapter: 09-unet.
    """
    both, predicted, there = _pixel_counts(logits, target)
    union = predicted + there - both
    return float((both / union)[union > 0].mean())


def _pixel_counts(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each class the pixels that both maps give to it, that the prediction and that the target gives to it."""
    if logits.dim() != 4 or logits.shape[:1] + logits.shape[2:] != target.shape:
        raise ValueError(
            f"Scores of shape {tuple(logits.shape)} do not fit labels of shape {tuple(target.shape)}: give "
            "(batch, num_classes, height, width) and (batch, height, width)."
        )
    classes = torch.arange(logits.shape[1])[:, None]
    predicted = logits.argmax(dim=1).flatten() == classes  # (num_classes, pixels)
    there = target.flatten() == classes
    return (predicted & there).sum(dim=1), predicted.sum(dim=1), there.sum(dim=1)
