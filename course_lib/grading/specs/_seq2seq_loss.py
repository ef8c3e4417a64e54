"""Assignment 02, what the decoder reads and its loss: exercises 3 and 4."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.data.translation import PAD
from course_lib.grading.spec import Exercise, Line, Misconception, random_tensor
from course_lib.models import seq2seq as reference


def _targets(rng: np.random.Generator, batch: int, length: int) -> torch.Tensor:
    """Rows of words, `<end>` and padding; one row has no padding, one has most."""
    lengths = rng.integers(2, length, size=batch)
    lengths[:2] = length, 2
    target = rng.integers(4, 30, size=(batch, length))
    for row, own in zip(target, rng.permutation(lengths), strict=True):
        row[own - 1] = 2
        row[own:] = PAD
    return torch.from_numpy(target)


def _shifted(*settings: tuple[int, int], starts: tuple[int, ...] = ()) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, length); ``starts`` gives each case a `<start>` of its own."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            Probe(
                target="shift_right",
                args=(_targets(rng, *setting),),
                kwargs={"start": starts[number]} if starts else {},
            )
            for number, setting in enumerate(settings)
        ]

    return cases


FIRST = "first = torch.full_like(target[:, :1], start)"
PUT = "return torch.cat([first, target[:, :-1]], dim=1)"

shift_right = Exercise(
    name="shift_right",
    reference=reference.shift_right,
    lines=[
        Line(
            name="output",
            text="`<start>`, then the target without its last column",
            points=1.5,
            cases=_shifted((3, 5), (4, 6), (2, 7)),
        ),
        Line(
            name="other_start",
            text="another id of `<start>`",
            points=0.5,
            cases=_shifted((3, 5), (2, 4), starts=(50, 3)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="not_shifted",
            says="The decoder would read the very word that it must write; shift by one place to the right.",
            line="output",
            edits=[(PUT, "return target")],
        ),
        Misconception(
            name="last_column_kept",
            says="You put `<start>` in front and keep the last column, so there is one column too many.",
            line="output",
            edits=[(PUT, "return torch.cat([first, target], dim=1)")],
        ),
        Misconception(
            name="rolled_round",
            says="The last column comes round to the front, as `torch.roll` does it; `<start>` stands there.",
            line="output",
            edits=[(PUT, "return target.roll(1, dims=1)")],
        ),
        Misconception(
            name="shifted_left",
            says="You shift to the left: the decoder would read the word after the one that it must write.",
            line="output",
            edits=[(PUT, "return torch.cat([target[:, 1:], first], dim=1)")],
        ),
        Misconception(
            name="first_word_overwritten",
            says="You write `<start>` over the first word; all words move one place to the right.",
            line="output",
            edits=[(PUT, "return torch.cat([first, target[:, 1:]], dim=1)")],
        ),
        Misconception(
            name="end_left_out",
            says="You replace `<end>` by padding. It does no harm, but the exercise asks for a plain shift.",
            line="output",
            edits=[
                (
                    PUT,
                    "shifted = torch.cat([first, target[:, :-1]], dim=1)\n"
                    "    return torch.where(shifted == END, PAD, shifted)",
                )
            ],
        ),
        Misconception(
            name="shifted_by_two",
            says="You shift by two places; word i is written from word i - 1.",
            line="output",
            edits=[(PUT, "return torch.cat([first, first, target[:, :-2]], dim=1)")],
        ),
        Misconception(
            name="always_one",
            says="You put 1 in front, whatever `start` says.",
            line="other_start",
            edits=[(FIRST, "first = torch.full_like(target[:, :1], START)")],
        ),
    ],
)


def _losses(
    *settings: tuple[int, int, int],
    padded: bool = True,
    pads: tuple[int, ...] = (),
    gradients: tuple[str, ...] = (),
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, length, vocab_size)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for number, (batch, length, vocab_size) in enumerate(settings):
            pad = pads[number] if pads else PAD
            target = torch.from_numpy(rng.integers(1, vocab_size, size=(batch, length)))
            target[target == pad] = 1 if pad != 1 else 2
            if padded:
                lengths = rng.integers(2, length, size=batch)
                lengths[:2] = length, 1
                for row, own in enumerate(rng.permutation(lengths)):
                    target[row, own:] = pad
            probes.append(
                Probe(
                    target="masked_cross_entropy",
                    args=(random_tensor(rng, batch, length, vocab_size, scale=1.5), target),
                    kwargs={"pad": pad} if pads else {},
                    gradients=gradients,
                )
            )
        return probes

    return cases


VALID = "valid = target != pad"
LOGARITHM = "log_probability = logits.log_softmax(dim=-1)"
TOTAL = "total = (chosen * valid).sum()"
MEAN = "return -total / valid.sum()"

masked_cross_entropy = Exercise(
    name="masked_cross_entropy",
    reference=reference.masked_cross_entropy,
    returns=("the loss",),
    banned=("F.cross_entropy", "F.nll_loss", "nn.CrossEntropyLoss", "nn.NLLLoss"),
    lines=[
        Line(
            name="no_padding",
            text="sentences of the same length",
            points=1,
            cases=_losses((2, 4, 6), (3, 5, 7), padded=False),
        ),
        Line(
            name="padded",
            text="padding counts nothing, each word the same",
            points=1.5,
            cases=_losses((3, 5, 6), (4, 6, 7)),
        ),
        Line(
            name="other_pad",
            text="another id for padding",
            points=0.5,
            cases=_losses((3, 5, 8), (4, 6, 7), pads=(3, 5)),
        ),
        Line(
            name="gradients",
            text="the gradients by the logits; padding gets none",
            points=1,
            cases=_losses((3, 5, 6), (4, 4, 7), gradients=("0",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="padding_counted",
            says="Your loss counts padding as if it were words; leave it out of the sum and of the number.",
            line="padded",
            edits=[(VALID, "valid = torch.ones_like(target)")],
        ),
        Misconception(
            name="mean_over_all_positions",
            says="You leave padding out of the sum and divide by all positions; divide by the number of words.",
            line="padded",
            edits=[(MEAN, "return -total / target.numel()")],
        ),
        Misconception(
            name="mean_of_sentences",
            says="You average each sentence, then the sentences, so words of short sentences weigh more; average over "
            "all words at once.",
            line="padded",
            edits=[(MEAN, "return -((chosen * valid).sum(dim=1) / valid.sum(dim=1)).mean()")],
        ),
        Misconception(
            name="sum_of_sentences",
            says="You average each sentence and add the sentences up; average over all words at once.",
            line="no_padding",
            edits=[(MEAN, "return -((chosen * valid).sum(dim=1) / valid.sum(dim=1)).sum()")],
        ),
        Misconception(
            name="divided_by_sentences",
            says="You divide by the number of sentences; divide by the number of words.",
            line="no_padding",
            edits=[(MEAN, "return -total / target.shape[0]")],
        ),
        Misconception(
            name="sum",
            says="You add up the losses of the words; divide by how many there are.",
            line="no_padding",
            edits=[(MEAN, "return -total")],
        ),
        Misconception(
            name="sign",
            says="Your loss is negative: it is minus the logarithm of a probability.",
            line="no_padding",
            edits=[(MEAN, "return total / valid.sum()")],
        ),
        Misconception(
            name="softmax_twice",
            says="You take a softmax of the softmax, which flattens it; take the log-softmax of the logits.",
            line="no_padding",
            edits=[(LOGARITHM, "log_probability = logits.softmax(dim=-1).log_softmax(dim=-1)")],
        ),
        Misconception(
            name="no_softmax",
            says="You take the logits themselves for logarithms of probabilities; a log-softmax makes them so.",
            line="no_padding",
            edits=[(LOGARITHM, "log_probability = logits")],
        ),
        Misconception(
            name="softmax_over_positions",
            says="Your softmax runs over the positions of the sentence; it runs over the words of the vocabulary.",
            line="no_padding",
            edits=[(LOGARITHM, "log_probability = logits.log_softmax(dim=1)")],
        ),
        Misconception(
            name="log_base_2",
            says="Your logarithm is to base 2; take the natural one.",
            line="no_padding",
            edits=[(LOGARITHM, f"{LOGARITHM} / math.log(2)")],
        ),
        Misconception(
            name="always_zero",
            says="You leave out the id 0, whatever `pad` says.",
            line="other_pad",
            edits=[(VALID, "valid = target != PAD")],
        ),
        Misconception(
            name="graph_cut",
            says="Your loss is right and no gradient comes back; leave out `.detach()`, `.item()` and `.data`.",
            line="gradients",
            edits=[(MEAN, "return (-total / valid.sum()).detach()")],
        ),
    ],
)
