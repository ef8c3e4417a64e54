"""Assignment 09, the loss and the scores of label maps: exercises 8 to 10."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from course_lib import metrics
from course_lib.check.probe import Probe
from course_lib.grading.spec import Constant, Exercise, Line, Misconception, random_tensor
from course_lib.models import unet as reference

IGNORE = -1


def _labels(rng: np.random.Generator, batch: int, classes: int, height: int, width: int) -> np.ndarray:
    """Labels in which every class occurs in every image."""
    pixels = height * width
    rows = [
        rng.permutation(np.r_[np.arange(classes), rng.integers(0, classes, pixels - classes)]) for _ in range(batch)
    ]
    return np.stack(rows).reshape(batch, height, width)


def _losses(
    *settings: tuple[int, int, int, int],
    ignore: int | None = None,
    gradients: tuple[str, ...] = (),
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, num_classes, height, width); with ``ignore`` each image has its share of such pixels.

    The first image loses a pixel, the second two, and so on, so that a mean of the images' means is another number.
    """

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, classes, height, width in settings:
            target = _labels(rng, batch, classes, height, width).reshape(batch, -1)
            if ignore is not None:
                for row, own in enumerate(target):
                    own[rng.choice(height * width, size=3 * row + 2, replace=False)] = ignore
            probes.append(
                Probe(
                    target="pixel_cross_entropy",
                    args=(
                        random_tensor(rng, batch, classes, height, width, scale=1.5),
                        torch.from_numpy(target.reshape(batch, height, width)),
                    ),
                    kwargs={} if ignore in (None, IGNORE) else {"ignore": ignore},
                    gradients=gradients,
                )
            )
        return probes

    return cases


LABELLED = "labelled = target != ignore"
LABELS = "labels = torch.where(labelled, target, 0)"
LOGARITHM = "log_probability = logits.log_softmax(dim=1)"
CHOSEN = "chosen = log_probability.gather(1, labels[:, None])[:, 0]"
TOTAL = "total = (chosen * labelled).sum()"
LOSS = "return -total / labelled.sum()"

pixel_cross_entropy = Exercise(
    name="pixel_cross_entropy",
    reference=reference.pixel_cross_entropy,
    returns=("the loss",),
    banned=(
        "F.cross_entropy",
        "F.nll_loss",
        "nn.CrossEntropyLoss",
        "nn.NLLLoss",
        "NLLLoss2d",
        "cross_entropy_loss",
        "nll_loss2d",
    ),
    lines=[
        Line(
            name="all_labelled",
            text="every pixel has a label",
            points=1,
            cases=_losses((2, 3, 4, 5), (3, 5, 4, 3)),
        ),
        Line(
            name="ignored",
            text="pixels without a label count for nothing",
            points=1,
            cases=_losses((2, 3, 4, 5), (3, 4, 5, 3), ignore=IGNORE),
        ),
        Line(
            name="other_number",
            text="another number for pixels without a label",
            points=0.5,
            cases=_losses((2, 3, 4, 5), (3, 4, 3, 5), ignore=255),
        ),
        Line(
            name="gradients",
            text="the gradients by the logits; ignored pixels get none",
            points=0.5,
            cases=_losses((2, 3, 4, 3), ignore=IGNORE, gradients=("0",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="softmax_over_the_width",
            says="Your softmax runs along the image's rows; the probabilities of one pixel sum to 1 over the classes, "
            "axis 1.",
            line="all_labelled",
            edits=[(LOGARITHM, "log_probability = logits.log_softmax(dim=-1)")],
        ),
        Misconception(
            name="softmax_over_the_batch",
            says="Your softmax runs over the batch; the classes are axis 1.",
            line="all_labelled",
            edits=[(LOGARITHM, "log_probability = logits.log_softmax(dim=0)")],
        ),
        Misconception(
            name="softmax_over_everything",
            says="Your softmax runs over classes and pixels together; each pixel has its own.",
            line="all_labelled",
            edits=[(LOGARITHM, "log_probability = logits.flatten(1).log_softmax(dim=1).reshape(logits.shape)")],
        ),
        Misconception(
            name="pixels_mixed",
            says="You reshape to (pixels, classes) while the classes are the second axis, which mixes numbers of "
            "different pixels; move the classes to the end first, with `movedim` or `permute`.",
            line="all_labelled",
            edits=[
                (LOGARITHM, "rows = logits.reshape(-1, logits.shape[1]).log_softmax(dim=1)"),
                (CHOSEN, "chosen = rows.gather(1, labels.reshape(-1, 1)).reshape(labels.shape)"),
            ],
        ),
        Misconception(
            name="divided_by_the_classes_too",
            says="You average over the classes, too; each pixel counts once, with its own label.",
            line="all_labelled",
            edits=[(LOSS, "return -total / labelled.sum() / logits.shape[1]")],
        ),
        Misconception(
            name="logits_as_log_probabilities",
            says="You take the logit of the label for its log-probability; a softmax comes first.",
            line="all_labelled",
            edits=[(LOGARITHM, "log_probability = logits")],
        ),
        Misconception(
            name="logarithm_missing",
            says="You average the probabilities of the labels; the loss is minus their logarithm.",
            line="all_labelled",
            edits=[(LOGARITHM, "log_probability = logits.softmax(dim=1)")],
        ),
        Misconception(
            name="sign",
            says="Your loss is negative; it is minus the logarithm.",
            line="all_labelled",
            edits=[(LOSS, "return total / labelled.sum()")],
        ),
        Misconception(
            name="sum",
            says="You return the sum over the pixels; divide by their number.",
            line="all_labelled",
            edits=[(LOSS, "return -total")],
        ),
        Misconception(
            name="divided_by_the_batch",
            says="You divide by the number of images; divide by the number of labelled pixels.",
            line="all_labelled",
            edits=[(LOSS, "return -total / len(target)")],
        ),
        Misconception(
            name="ignored_pixels_counted",
            says="You count a pixel without a label as if it belonged to a class.",
            line="ignored",
            edits=[(TOTAL, "total = chosen.sum()"), (LOSS, "return -total / target.numel()")],
        ),
        Misconception(
            name="divided_by_all_pixels",
            says="You leave ignored pixels out of the sum and divide by all pixels; divide by the labelled ones.",
            line="ignored",
            edits=[(LOSS, "return -total / target.numel()")],
        ),
        Misconception(
            name="mean_of_the_images",
            says="You average each image and then the images; with ignored pixels that weighs some pixels more than "
            "others. Average over all labelled pixels of the batch at once.",
            line="ignored",
            edits=[
                (TOTAL, "totals = (chosen * labelled).sum(dim=(1, 2))"),
                (LOSS, "return -(totals / labelled.sum(dim=(1, 2))).mean()"),
            ],
        ),
        Misconception(
            name="always_minus_one",
            says="You leave out pixels of -1, whatever `ignore` says.",
            line="other_number",
            edits=[
                (LABELLED, "labelled = target != -1"),
                (LABELS, "labels = torch.where(labelled, target, 0).clamp(max=logits.shape[1] - 1)"),
            ],
        ),
        Misconception(
            name="graph_cut",
            says="Your number is right and no gradient reaches the logits; leave out `.detach()`, `.item()` and "
            "`torch.tensor`.",
            line="gradients",
            edits=[(LOGARITHM, f"{LOGARITHM}.detach()")],
        ),
    ],
)


def _scores(
    target: str,
    *settings: tuple[int, int, int, int],
    missing: int = 1,
    absent: bool = False,
    only_predicted: bool = False,
    only_there: bool = False,
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, num_classes, height, width).

    About six of ten pixels are predicted rightly; the logits of a pixel differ by 0.25 or more, and the labels of the
    images are unequally hard. ``absent``: the class ``missing`` occurs nowhere. ``only_predicted``: it is
    predicted, and no label holds it. ``only_there``: it is the other way round.
    """

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, classes, height, width in settings:
            labels = _labels(rng, batch, classes, height, width)
            guesses = _labels(rng, batch, classes, height, width)
            known = rng.random(labels.shape) < np.linspace(0.35, 0.85, batch)[:, None, None]
            predicted = np.where(known, labels, guesses)
            predicted[:, 0, 0], labels[:, 0, 0] = 0, 2  # surely a pixel that is wrong, in either direction
            predicted[:, 0, 1], labels[:, 0, 1] = 2, 0
            predicted[:, 1, :2], labels[:, 1, :2] = [[0, 2]], [[0, 2]]  # and one that is right
            if absent or only_predicted or only_there:
                labels[labels == missing] = 0
                predicted[predicted == missing] = 2
            if only_predicted:
                predicted[:, -1, -1] = missing
            if only_there:
                labels[:, -1, -1] = missing
            ranks = np.argsort(rng.random((batch, classes, height, width)), axis=1)
            rows = np.take_along_axis(ranks, predicted[:, None], axis=1)
            np.put_along_axis(ranks, predicted[:, None], rows + classes, axis=1)  # the largest of its pixel
            logits = torch.from_numpy(0.25 * ranks - 0.5)
            probes.append(Probe(target=target, args=(logits, torch.from_numpy(labels))))
        return probes

    return cases


ARGMAX = "predicted = logits.argmax(dim=1)"
DICE = "scores[number] = 2 * (p & t).sum() / pixels"
ONES = "scores = torch.ones(logits.shape[1])"


def _weighted_dice(weight: float) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Dice in which a pixel that was not found costs ``weight`` times what a wrong one costs."""

    def dice(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        classes = torch.arange(logits.shape[1])[:, None, None, None]
        found, true = logits.argmax(dim=1) == classes, target == classes  # (num_classes, batch, height, width)
        counts = ((found & true), (found & ~true), (~found & true))
        right, wrong, missed = (each.sum(dim=(1, 2, 3)).to(logits) for each in counts)
        whole = (1 + weight) * right + wrong + weight * missed
        return torch.where(whole > 0, (1 + weight) * right / whole, 1.0)

    return dice


dice_score = Exercise(
    name="dice_score",
    reference=metrics.dice_score,
    returns=("the scores",),
    banned=("metrics.dice_score", "metrics.mean_iou", "sklearn", "f1_score", "jaccard_score"),
    lines=[
        Line(
            name="output",
            text="Dice of each class, over the whole batch",
            points=1.5,
            cases=_scores("dice_score", (2, 3, 4, 5), (3, 5, 4, 3), (3, 4, 5, 4)),
        ),
        Line(
            name="nowhere",
            text="a class that is nowhere gets 1; one that is only predicted, or never predicted, gets 0",
            points=0.5,
            cases=lambda rng: [
                *_scores("dice_score", (2, 3, 4, 5), absent=True)(rng),
                *_scores("dice_score", (2, 5, 3, 4), absent=True, missing=4)(rng),
                *_scores("dice_score", (2, 4, 4, 5), only_predicted=True)(rng),
                *_scores("dice_score", (1, 4, 5, 4), only_predicted=True, missing=3)(rng),
                *_scores("dice_score", (2, 4, 4, 5), only_there=True)(rng),
            ],
        ),
    ],
    misconceptions=[
        Misconception(
            name="iou",
            says="Your score is IoU; Dice counts the common pixels twice, above and below the line.",
            line="output",
            edits=[(DICE, "scores[number] = (p & t).sum() / (p | t).sum()")],
        ),
        Misconception(
            name="two_forgotten",
            says="Your score is half of what it should be: a perfect prediction gets 1.",
            line="output",
            edits=[(DICE, "scores[number] = (p & t).sum() / pixels")],
        ),
        Misconception(
            name="recall",
            says="You divide by the pixels of the target only; a prediction that is too large must cost, too.",
            line="output",
            edits=[(DICE, "scores[number] = (p & t).sum() / t.sum().clamp(min=1)")],
        ),
        Misconception(
            name="precision",
            says="You divide by the predicted pixels only; pixels that were not found must cost, too.",
            line="output",
            edits=[(DICE, "scores[number] = (p & t).sum() / p.sum().clamp(min=1)")],
        ),
        Misconception(
            name="union_in_the_place_of_the_sum",
            says="You divide twice the common pixels by the union; divide by the sum of both, which counts them twice.",
            line="output",
            edits=[(DICE, "scores[number] = 2 * (p & t).sum() / (p | t).sum()")],
        ),
        Misconception(
            name="mean_of_the_images",
            says="You average the scores of the images; count the pixels of the whole batch.",
            line="output",
            edits=[
                (
                    DICE,
                    "common, each = (p & t).sum(dim=(1, 2)), p.sum(dim=(1, 2)) + t.sum(dim=(1, 2))\n"
                    "            scores[number] = torch.where(each > 0, 2 * common / each, 1.0).mean()",
                )
            ],
        ),
        Misconception(
            name="smoothed",
            says="You add 1 above and below the line, which changes every score; treat the class that is nowhere by "
            "itself.",
            line="output",
            edits=[(DICE, "scores[number] = (2 * (p & t).sum() + 1) / (pixels + 1)")],
        ),
        Misconception(
            name="soft",
            says="You add up probabilities; count pixels: the predicted class is the one with the largest logit.",
            line="output",
            edits=[
                (
                    DICE,
                    "probability = logits.softmax(dim=1)[:, number]\n"
                    "            scores[number] = 2 * (probability * t).sum() / (probability.sum() + t.sum())",
                )
            ],
        ),
        Misconception(
            name="smallest_logit",
            says="You predict the class with the smallest logit.",
            line="output",
            edits=[(ARGMAX, "predicted = logits.argmin(dim=1)")],
        ),
        Misconception(
            name="nowhere_is_zero",
            says="A class that is nowhere gets 0 from you; nothing was to be found and nothing was found: 1.",
            line="nowhere",
            edits=[(ONES, "scores = torch.zeros(logits.shape[1])")],
        ),
        Misconception(
            name="only_predicted_is_one",
            says="A class that is predicted and not there gets 1 from you; all its pixels are wrong: 0.",
            line="nowhere",
            edits=[("if pixels > 0:", "if t.sum() > 0:")],
        ),
    ],
    constants=[
        Constant(
            argument="weight_of_the_true_pixels",
            plain=1,
            choices=[2, 3, 4, 5, 6, 8],
            line="output",
            reference=_weighted_dice,
            code=[("2 * (", lambda w: f"{1 + w} * ("), (" + t.sum(", lambda w: f" + {w} * t.sum(")],
            wording=[
                (r"\frac{2\,|P \cap T|}{|P| + |T|}", lambda w: rf"\frac{{{1 + w}\,|P \cap T|}}{{|P| + {w}\,|T|}}"),
                (
                    r"2 \cdot 2 / (2 + 3) = 0.8",
                    lambda w: rf"{1 + w} \cdot 2 / (2 + {w} \cdot 3) = {(1 + w) * 2 / (2 + 3 * w):.3f}",
                ),
                (
                    r"2 \cdot 1 / (2 + 1) = 0.667",
                    lambda w: rf"{1 + w} \cdot 1 / (2 + {w} \cdot 1) = {(1 + w) / (2 + w):.3f}",
                ),
                ("2 · number of pixels in both", lambda w: f"{1 + w} · number of pixels in both"),
                ("number in p + number in t", lambda w: f"number in p + {w} · number in t"),
                ("2 |P ∩ T| / (|P| + |T|)", lambda w: f"{1 + w} |P ∩ T| / (|P| + {w} |T|)"),
                ("twice", lambda w: f"{1 + w} times"),
                ("half of what", lambda w: f"1/{1 + w} of what"),
                ("2 * common", lambda w: f"{1 + w} * common"),
            ],
        )
    ],
)

UNION = "union = (p | t).sum()"
KEEP = "ious.append((p & t).sum() / union)"
MEAN = "return float(sum(ious) / len(ious))"
IF = "if union > 0:"

mean_iou = Exercise(
    name="mean_iou",
    reference=metrics.mean_iou,
    returns=("the mean",),
    banned=("metrics.dice_score", "metrics.mean_iou", "sklearn", "f1_score", "jaccard_score"),
    lines=[
        Line(
            name="output",
            text="every class occurs",
            points=1.5,
            # as many classes as rows, so that an argmax over the wrong axis runs, and can be told
            cases=_scores("mean_iou", (2, 4, 4, 5), (3, 5, 5, 4), (3, 3, 3, 5)),
        ),
        Line(
            name="absent",
            text="a class that is neither predicted nor there does not enter the mean",
            points=1,
            cases=lambda rng: [
                *_scores("mean_iou", (2, 3, 4, 5), absent=True)(rng),
                *_scores("mean_iou", (3, 5, 3, 4), absent=True, missing=4)(rng),
            ],
        ),
        Line(
            name="only_predicted",
            text="a class that is predicted and not there counts as 0, and so does one that is never predicted",
            points=0.5,
            cases=lambda rng: [
                *_scores("mean_iou", (1, 3, 4, 5), only_predicted=True)(rng),
                *_scores("mean_iou", (3, 4, 5, 4), only_predicted=True, missing=3)(rng),
                *_scores("mean_iou", (2, 4, 4, 5), only_there=True)(rng),
                *_scores("mean_iou", (1, 4, 5, 4), only_there=True, missing=3)(rng),
            ],
        ),
    ],
    misconceptions=[
        Misconception(
            name="absent_classes_as_zero",
            says="A class that is nowhere counts as 0 in your mean; leave it out.",
            line="absent",
            edits=[(MEAN, "return float(sum(ious) / logits.shape[1])")],
        ),
        Misconception(
            name="absent_classes_as_one",
            says="A class that is nowhere counts as 1 in your mean; leave it out.",
            line="absent",
            edits=[(IF, "if union == 0:\n            ious.append(torch.tensor(1.0))\n        else:")],
        ),
        Misconception(
            name="only_predicted_left_out",
            says="You leave out a class that is predicted and not there; all its pixels are wrong, so it counts as 0.",
            line="only_predicted",
            edits=[(IF, "if t.sum() > 0:")],
        ),
        Misconception(
            name="never_predicted_left_out",
            says="You leave out a class that is there and never predicted; all its pixels are missed, so it is a 0.",
            line="only_predicted",
            edits=[(IF, "if p.sum() > 0:")],
        ),
        Misconception(
            name="up_to_the_largest_label",
            says="You count the classes by the largest label; there are as many as logits at a pixel, and one that "
            "only the prediction holds counts as 0.",
            line="only_predicted",
            edits=[("for number in range(logits.shape[1]):", "for number in range(int(target.max()) + 1):")],
        ),
        Misconception(
            name="argmax_over_the_height",
            says="Your argmax runs down the image's columns; the predicted class is the largest over axis 1.",
            line="output",
            edits=[(ARGMAX, "predicted = logits.argmax(dim=2)")],
        ),
        Misconception(
            name="share_of_right_pixels",
            says="You return the share of right pixels, which the largest class decides; each class has its IoU, and "
            "all count the same.",
            line="output",
            edits=[(MEAN, "return float((predicted == target).double().mean())")],
        ),
        Misconception(
            name="dice",
            says="You average Dice; IoU divides by the union, in which a common pixel counts once.",
            line="output",
            edits=[(KEEP, "ious.append(2 * (p & t).sum() / (p.sum() + t.sum()))")],
        ),
        Misconception(
            name="sum_in_the_place_of_the_union",
            says="You divide by the sum of both numbers of pixels; in the union a common pixel counts once.",
            line="output",
            edits=[(KEEP, "ious.append((p & t).sum() / (p.sum() + t.sum()))")],
        ),
        Misconception(
            name="ground_left_out",
            says="You leave class 0 out; the ground is a class like the others.",
            line="output",
            edits=[("for number in range(logits.shape[1]):", "for number in range(1, logits.shape[1]):")],
        ),
        Misconception(
            name="mean_of_the_images",
            says="You average over the images, too; count the pixels of the whole batch.",
            line="output",
            edits=[
                (
                    KEEP,
                    "common, either = (p & t).sum(dim=(1, 2)), (p | t).sum(dim=(1, 2))\n"
                    "            ious.append((common[either > 0] / either[either > 0]).mean())",
                )
            ],
        ),
        Misconception(
            name="weighted_by_pixels",
            says="You add up the pixels of all classes before you divide; each class has its own IoU.",
            line="output",
            edits=[
                (KEEP, "ious.append(((p & t).sum(), union))"),
                (MEAN, "return float(sum(pair[0] for pair in ious) / sum(pair[1] for pair in ious))"),
            ],
        ),
    ],
)
