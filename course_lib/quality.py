"""How good generated digits are: a judge that was trained on real ones, diversity, and copies.

No single number is enough. The judge's accuracy says whether a sample shows the class that it should, and a blurred
average of a class passes too. Diversity sees the blur, and no more. The energy distance of `course_lib.metrics` sees
both and does not say which. The nearest neighbour says whether a sample is a copy. Each is read beside what real
digits reach.

Chapters: 10-generative-models, 11-rectified-flow.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.data.digits import NUM_CLASSES, Digits
from course_lib.training import initialised, linear_schedule, train


class Judge(nn.Module):
    """A small convolutional network that names digits of 8 × 8 pixels.

    Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998, section II, for the kind.
    Chapter: 11-rectified-flow.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 16, NUM_CLASSES),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (batch, 1, 8, 8) -> logits (batch, 10)."""
        logits: Tensor = self.layers(images)
        return logits


def train_judge(digits: Digits, *, generator: torch.Generator, steps: int = 300) -> Judge:
    """Train a judge on real digits.

    Args:
        digits: what it learns from; judge with the scale of pixels that it was trained with.
        generator: the source of chance.
        steps: number of updates, of 64 digits each.

    Returns:
        The judge, ready for use.

    Chapter: 11-rectified-flow.
    """
    judge = initialised(Judge, generator=generator)
    draws = (torch.randint(len(digits), (64,), generator=generator) for _ in range(steps))
    train(
        judge,
        draws,
        lambda rows: F.cross_entropy(judge(digits.images[rows]), digits.labels[rows]),
        optimizer=torch.optim.AdamW(judge.parameters(), lr=4e-3),
        steps=steps,
        schedule=linear_schedule(steps),
        progress=False,
    )
    return judge


@torch.no_grad()
def share_recognised(judge: Judge, images: Tensor, labels: Tensor) -> float:
    """The share of images in which the judge sees the class that they should show.

    Args:
        judge: trained on real digits.
        images: (count, 1, 8, 8).
        labels: (count,).

    Returns:
        From 0 to 1.

    Chapter: 11-rectified-flow.
    """
    return float((judge(images).argmax(dim=-1) == labels).float().mean())


def diversity(images: Tensor, labels: Tensor) -> float:
    """How much images of one class differ: the root of the mean variance of a pixel within its class.

    Args:
        images: (count, ...).
        labels: (count,); each class has at least two images.

    Returns:
        In the unit of a pixel; 0 where all images of a class are equal.

    Chapter: 11-rectified-flow.
    """
    variances = [images[labels == label].var(dim=0).mean() for label in labels.unique()]
    return float(torch.stack(variances).mean().sqrt())


def nearest_distances(samples: Tensor, others: Tensor) -> Tensor:
    """The Euclidean distance of each sample from the nearest of the others.

    Args:
        samples: (count, ...).
        others: (other_count, ...), of the same shape but for the first axis.

    Returns:
        (count,). A copy is at 0.

    Chapter: 11-rectified-flow.
    """
    return torch.cdist(samples.flatten(1), others.flatten(1)).min(dim=1).values
