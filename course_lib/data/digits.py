"""Handwritten digits, 8 × 8 pixels each: the images that come with scikit-learn, split and scaled.

1,797 digits by 13 people; each pixel counts the inked points of a square of 4 × 4, so it was a number from 0 to 16.
Nothing is downloaded.

    train, test = split_digits(test_size=500, generator=generator)
    train.first(100).images  # (100, 1, 8, 8), the ten classes in equal shares

Chapters: 08-vit, 09-unet, 10-generative-models, 11-rectified-flow.
"""

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from torch import Tensor

NUM_CLASSES = 10
SIZE = 8
"""Pixels on each side."""


@dataclass(frozen=True)
class Digits:
    """Images and what they show.

    Attributes:
        images: (count, 1, 8, 8), float32.
        labels: 0 .. 9, (count,), int64.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def first(self, count: int) -> "Digits":
        """The first of them; of a split, each class has its share in them.

        Raises:
            ValueError: if there are not so many.
        """
        if not 0 <= count <= len(self):
            raise ValueError(f"There are {len(self)} digits here, so the first {count} of them cannot be taken.")
        return Digits(self.images[:count], self.labels[:count])


def all_digits(*, low: float = 0.0, high: float = 1.0) -> Digits:
    """All digits in the order of scikit-learn.

    Args:
        low, high: the values of empty paper and of full ink.

    Returns:
        1,797 digits.

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
    """
    data = load_digits()
    ink = torch.from_numpy(data.images / 16).float()[:, None]  # (count, 1, 8, 8), between 0 and 1
    return Digits(low + (high - low) * ink, torch.from_numpy(data.target).long())


def split_digits(
    *, test_size: int, generator: torch.Generator, low: float = 0.0, high: float = 1.0
) -> tuple[Digits, Digits]:
    """Divide the digits at random, each class in the same shares.

    Both parts are shuffled so that not only the whole but also every first n of them hold each class in proportion:
    digit number r (at random) of the k of its class stands at about r / k of the way.

    Args:
        test_size: number of digits that are held out.
        generator: the source of chance.
        low, high: the values of empty paper and of full ink.

    Returns:
        The digits to train on, and those that are held out.

    Raises:
        ValueError: if nothing would be left to train on, or test_size is negative.
    """
    digits = all_digits(low=low, high=high)
    if not 0 <= test_size < len(digits):
        raise ValueError(f"There are {len(digits)} digits, so {test_size} of them cannot be held out: choose fewer.")
    place = torch.empty(len(digits))
    for label in range(NUM_CLASSES):
        members = (digits.labels == label).nonzero().squeeze(1)
        ranks = torch.randperm(len(members), generator=generator)
        place[members] = (ranks + torch.rand(len(members), generator=generator)) / len(members)
    order = place.argsort()
    test, train = order[:test_size], order[test_size:]
    return Digits(digits.images[train], digits.labels[train]), Digits(digits.images[test], digits.labels[test])
