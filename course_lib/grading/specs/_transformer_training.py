"""Assignment 05, training: exercises 5 and 6."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.data.translation import PAD
from course_lib.grading.spec import Constant, Exercise, Line, Misconception, random_tensor
from course_lib.models import transformer as reference


def _loss(
    *settings: tuple[int, int, int],
    smoothing: tuple[float, ...] = (),
    padded: bool = False,
    pad: int = PAD,
    scale: float = 1.0,
    gradients: tuple[str, ...] = (),
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, length, vocab_size), each with each smoothing; without any, the usual one.

    Where there is padding, the first sentence is full and each other one is shorter by another number of words.
    """

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, length, vocab_size in settings:
            for value in smoothing or (None,):
                target = torch.from_numpy(rng.integers(vocab_size - 1, size=(batch, length)))
                target += target >= pad
                if padded:
                    missing = torch.arange(batch)[:, None]
                    target[torch.arange(length) >= length - missing] = pad
                options: dict[str, float] = {} if value is None else {"smoothing": value}
                if pad != PAD:
                    options["pad"] = pad
                logits = random_tensor(rng, batch, length, vocab_size, scale=scale)
                args = (logits, target)
                probes.append(
                    Probe(target="label_smoothed_cross_entropy", args=args, kwargs=options, gradients=gradients)
                )
        return probes

    return cases


def _worked(smoothing: float) -> str:
    """The loss of the text's example with two words."""
    right, wrong = 1 - smoothing / 2, smoothing / 2
    loss = -right * math.log(3 / 4) - wrong * math.log(1 / 4)
    return f"$-{right:g} \\ln\\tfrac34 - {wrong:g} \\ln\\tfrac14 = {loss:.3f}$"


EVEN = "even = log_probability.mean(dim=-1)"
MIX = "loss = -(1 - smoothing) * right - smoothing * even"
AVERAGE = "return (loss * valid).sum() / valid.sum()"
VALID = "valid = target != pad"

label_smoothed_cross_entropy = Exercise(
    name="label_smoothed_cross_entropy",
    reference=reference.label_smoothed_cross_entropy,
    returns=("the loss",),
    banned=("F.cross_entropy", "nn.CrossEntropyLoss", "F.nll_loss", "nn.NLLLoss"),
    lines=[
        Line(
            name="smoothed",
            text="targets without padding, for several ε",
            points=1,
            cases=_loss((2, 3, 7), (3, 2, 5), smoothing=(0.1, 0.6)),
        ),
        Line(
            name="limits",
            text="the usual ε where none is given, and ε = 0",
            points=0.5,
            cases=lambda rng: [*_loss((2, 3, 6))(rng), *_loss((3, 4, 5), smoothing=(0.0,))(rng)],
        ),
        Line(
            name="padding",
            text="padding does not count, and every word weighs the same",
            points=0.5,
            cases=lambda rng: [
                *_loss((3, 5, 6), (4, 6, 5), smoothing=(0.2,), padded=True)(rng),
                *_loss((3, 4, 6), smoothing=(0.3,), padded=True, pad=3)(rng),
            ],
        ),
        Line(
            name="large_logits",
            text="logits in the hundreds give a finite loss",
            points=0.5,
            cases=_loss((2, 3, 6), smoothing=(0.1,), scale=400.0),
        ),
        Line(
            name="gradients",
            text="the gradient by the logits",
            points=0.5,
            cases=_loss((3, 4, 5), smoothing=(0.15,), padded=True, gradients=("0",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="plain_cross_entropy",
            says="Your loss does not depend on ε; it is the cross-entropy with the whole 1 on the right word.",
            line="smoothed",
            edits=[(MIX, "loss = -right")],
        ),
        Misconception(
            name="spread_over_the_other_words",
            says="You spread ε over the wrong words only; here the right word takes part too.",
            line="smoothed",
            edits=[
                (
                    EVEN,
                    "even = (log_probability.sum(dim=-1) - right) / (log_probability.shape[-1] - 1)",
                )
            ],
        ),
        Misconception(
            name="even_share_not_divided",
            says="You give ε to each of the words; together they get ε, so divide by their number.",
            line="smoothed",
            edits=[(EVEN, "even = log_probability.sum(dim=-1)")],
        ),
        Misconception(
            name="shares_exchanged",
            says="You put ε on the right word and 1 - ε on all; it is the other way round.",
            line="smoothed",
            edits=[(MIX, "loss = -smoothing * right - (1 - smoothing) * even")],
        ),
        Misconception(
            name="right_word_not_lowered",
            says="You add the even share and leave the right word at 1; together they must be 1, so it gets 1 - ε.",
            line="smoothed",
            edits=[(MIX, "loss = -right - smoothing * even")],
        ),
        Misconception(
            name="entropy_subtracted",
            says="Your even share has the wrong sign, so the model is rewarded for being sure; both terms are "
            "-log p times a share.",
            line="smoothed",
            edits=[(MIX, "loss = -(1 - smoothing) * right + smoothing * even")],
        ),
        Misconception(
            name="sign",
            says="Your loss is negative; a loss is minus the logarithm of a probability.",
            line="smoothed",
            edits=[(MIX, "loss = (1 - smoothing) * right + smoothing * even")],
        ),
        Misconception(
            name="summed",
            says="You return the sum over the words; return their mean.",
            line="smoothed",
            edits=[(AVERAGE, "return (loss * valid).sum()")],
        ),
        Misconception(
            name="one_loss_per_word",
            says="You return a loss for each position; return their mean, one number.",
            line="smoothed",
            edits=[(AVERAGE, "return loss * valid")],
        ),
        Misconception(
            name="mean_over_the_sentences",
            says="You average within each sentence first, so words of short sentences weigh more; average over all "
            "words of the batch.",
            line="padding",
            edits=[(AVERAGE, "return ((loss * valid).sum(dim=1) / valid.sum(dim=1)).mean()")],
        ),
        Misconception(
            name="padding_counts_in_the_mean",
            says="Padding adds nothing to your sum, but counts in what you divide by; divide by the number of words.",
            line="padding",
            edits=[(AVERAGE, "return (loss * valid).mean()")],
        ),
        Misconception(
            name="padding_is_learned",
            says="Your loss asks the model to predict padding; leave those positions out.",
            line="padding",
            edits=[(AVERAGE, "return loss.mean()")],
        ),
        Misconception(
            name="padding_left_in_the_even_share",
            says="At padding you drop the right word's share and keep the even one; leave out the whole position.",
            line="padding",
            edits=[
                (MIX, "loss = -(1 - smoothing) * right * valid - smoothing * even"),
                (AVERAGE, "return loss.sum() / valid.sum()"),
            ],
        ),
        Misconception(
            name="pad_is_always_zero",
            says="You leave out the id 0 whatever `pad` is; compare with the argument.",
            line="padding",
            edits=[(VALID, "valid = target != 0")],
        ),
        Misconception(
            name="probabilities_clamped",
            says="You take the logarithm of a softmax that has gone to zero, and patch it; log_softmax gives the "
            "right number at once.",
            line="large_logits",
            edits=[("logits.log_softmax(dim=-1)", "logits.softmax(dim=-1).clamp(min=1e-12).log()")],
        ),
        Misconception(
            name="graph_cut",
            says="Your number is right and the even share gives no gradient; leave out `.detach()` and `.item()`.",
            line="gradients",
            edits=[(EVEN, "even = log_probability.detach().mean(dim=-1)")],
        ),
    ],
    constants=[
        Constant(
            argument="smoothing",
            plain=0.1,
            choices=[percent / 100 for percent in (4, 6, 8, 12, 14, 16, 20, 24, 28)],
            line="limits",
            everywhere=True,
            worked=[_worked],
        )
    ],
)


def _rates(
    *settings: tuple[tuple[int, int], int], first: int | None = None
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings ((lowest, highest step), warmup_steps); ``first`` asks for that step instead."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            Probe(
                target="warmup_schedule",
                args=(int(rng.integers(low, high + 1)) if first is None else first,),
                kwargs={"d_model": int(rng.choice([32, 48, 96, 512])), "warmup_steps": warmup_steps},
            )
            for (low, high), warmup_steps in settings
        ]

    return cases


FORMULA = "return d_model**-0.5 * min(s**-0.5, s * warmup_steps**-1.5)"

warmup_schedule = Exercise(
    name="warmup_schedule",
    reference=reference.warmup_schedule,
    returns=("the rate",),
    lines=[
        Line(
            name="warming_up",
            text="a straight line while warming up",
            points=1,
            cases=_rates(((2, 7), 40), ((5, 15), 100)),
        ),
        Line(
            name="after",
            text="the root of the steps afterwards, and the peak between",
            points=0.5,
            cases=lambda rng: [*_rates(((60, 90), 40), ((150, 300), 50))(rng), *_rates(((24, 24), 25))(rng)],
        ),
        Line(name="first_step", text="step 0 has a rate too", points=0.5, cases=_rates(((0, 0), 30), first=0)),
    ],
    misconceptions=[
        Misconception(
            name="counted_from_zero",
            says="Your step 0 has the rate that belongs before the first step; the formula counts from 1, so s is "
            "step + 1.",
            line="warming_up",
            edits=[("s = step + 1", "s = max(step, 1e-9)")],
        ),
        Misconception(
            name="maximum",
            says="Your rate is highest at the first step, as if there were no warm-up; take the smaller of the two "
            "numbers.",
            line="warming_up",
            edits=[("min(s", "max(s")],
        ),
        Misconception(
            name="warmup_to_the_minus_one",
            says="Your line ends at 1 instead of at the root's value; the power of warmup_steps is -1½.",
            line="warming_up",
            edits=[("warmup_steps**-1.5", "warmup_steps**-1")],
        ),
        Misconception(
            name="width_multiplied",
            says="Your rate grows with the width of the model; wider models take smaller steps, d_model to the power "
            "-½.",
            line="warming_up",
            edits=[("d_model**-0.5", "d_model**0.5")],
        ),
        Misconception(
            name="width_without_root",
            says="You divide by d_model; divide by its root.",
            line="warming_up",
            edits=[("d_model**-0.5", "d_model**-1")],
        ),
        Misconception(
            name="width_ignored",
            says="Your rate does not depend on d_model; multiply by d_model to the power -½.",
            line="warming_up",
            edits=[("return d_model**-0.5 * min", "return min")],
        ),
        Misconception(
            name="constant_after_warmup",
            says="Your rate stays where the warm-up ended; it falls with the root of the steps.",
            line="after",
            edits=[(FORMULA, FORMULA.replace("min(s**-0.5", "min(warmup_steps**-0.5"))],
        ),
        Misconception(
            name="falls_too_fast",
            says="After the warm-up your rate falls with the steps themselves; it falls with their root.",
            line="after",
            edits=[(FORMULA, FORMULA.replace("min(s**-0.5", "min(warmup_steps**0.5 / s"))],
        ),
        Misconception(
            name="never_falls",
            says="Your rate only rises; after warmup_steps it falls with the root of the steps.",
            line="after",
            edits=[(FORMULA, "return d_model**-0.5 * s * warmup_steps**-1.5")],
        ),
    ],
)
