"""Assignment 02, greedy decoding: exercise 7."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.check.values import Code
from course_lib.data.translation import END, PAD, START
from course_lib.grading.spec import Exercise, Line, Misconception
from course_lib.models import seq2seq as reference

SPARE = 4  # words that a step writes behind the end of a sentence


def _script_step(scripts: list[list[int]], vocab_size: int, *, start: int, end: int) -> Code:
    """A step that writes one script for each sentence, if it is fed what it wrote, and else another word.

    The state is the number of steps taken. Behind the end of a script stand words that must not be written.
    """
    source = f"""
def step(token, state):
    scripts = torch.tensor({scripts})
    time = int(state[0])
    before = torch.full((len(scripts),), {start}) if time == 0 else scripts[:, time - 1]
    word = scripts[:, min(time, scripts.shape[1] - 1)]
    astray = (token != before) & ((scripts[:, :time] != {end}).all(1))
    word = torch.where(astray, 4 + (word + token) % ({vocab_size} - 4), word)
    logits = torch.linspace(-1.0, 1.0, {vocab_size}) + 3.0 * F.one_hot(word, {vocab_size})
    return logits, state + 1
"""
    return Code(source, "step")


def _decode(
    *settings: tuple[tuple[int, ...], int], specials: tuple[int, int, int] = (START, END, PAD)
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (words of each sentence with `<end>`, max_length)."""
    start, end, pad = specials

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for lengths, max_length in settings:
            vocab_size = 14
            free = [word for word in range(4, vocab_size) if word not in specials]
            rows = []
            for length in lengths:
                words = [int(word) for word in rng.choice(free, size=max(*lengths, max_length) + SPARE)]
                words[length - 1] = end
                rows.append(words)
            kwargs = {"batch_size": len(lengths), "max_length": max_length}
            if specials != (START, END, PAD):
                kwargs |= {"start": start, "end": end, "pad": pad}
            step = _script_step(rows, vocab_size, start=start, end=end)
            probes.append(Probe(target="greedy_decode", args=(step, torch.zeros(1, dtype=torch.long)), kwargs=kwargs))
        return probes

    return cases


BEGIN = "token = torch.full((batch_size,), start)"
WHILE = "while len(written) < max_length and not ended.all():"
CALL = "logits, state = step(token, state)"
CHOOSE = "token = logits.argmax(dim=-1)"
SILENCE = "token = torch.where(ended, pad, token)"
ENDED = "ended = ended | (token == end)"
RESULT = "return torch.stack(written, dim=1)"

greedy_decode = Exercise(
    name="greedy_decode",
    reference=reference.greedy_decode,
    returns=("the ids",),
    lines=[
        Line(
            name="same_length",
            text="sentences that end together: the likeliest word is written and read",
            points=1.5,
            cases=_decode(((4, 4, 4), 9), ((3, 3), 8)),
        ),
        Line(
            name="different_lengths",
            text="padding behind `<end>`, and a stop when all have ended",
            points=1.5,
            cases=_decode(((3, 6, 2), 9), ((5, 1), 8), ((2, 7, 4, 5), 10)),
        ),
        Line(
            name="max_length",
            text="a stop after max_length words",
            points=0.5,
            cases=_decode(((4, 9, 7), 6), ((8, 8), 3)),
        ),
        Line(
            name="other_specials",
            text="other ids of the special words",
            points=0.5,
            cases=_decode(((3, 5, 2), 8), specials=(7, 5, 9)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="goes_on_past_end",
            says="Your sentences go on behind `<end>`; write padding once a sentence has ended.",
            line="different_lengths",
            edits=[(SILENCE, "pass")],
        ),
        Misconception(
            name="end_overwritten",
            says="Your `<end>` is overwritten by padding; a sentence has ended only behind it.",
            line="same_length",
            edits=[
                (
                    f"        {SILENCE}\n        {ENDED}\n",
                    f"        {ENDED}\n        {SILENCE}\n",
                )
            ],
        ),
        Misconception(
            name="stops_at_the_first_end",
            says="You stop as soon as one sentence has ended; go on until all have.",
            line="different_lengths",
            edits=[("not ended.all()", "not ended.any()")],
        ),
        Misconception(
            name="never_stops_early",
            says="You always write max_length words; stop when every sentence has ended.",
            line="same_length",
            edits=[(WHILE, "while len(written) < max_length:")],
        ),
        Misconception(
            name="end_only_where_together",
            says="You look for the end in the newest words only; a sentence that has ended stays ended.",
            line="different_lengths",
            edits=[(ENDED, "ended = token == end")],
        ),
        Misconception(
            name="start_written",
            says="Your result begins with `<start>`; it is read and not written.",
            line="same_length",
            edits=[
                (RESULT, "return torch.stack([torch.full((batch_size,), start), *written], dim=1)"),
            ],
        ),
        Misconception(
            name="start_read_at_each_step",
            says="Each of your steps reads `<start>`; feed it the word that was written last.",
            line="same_length",
            edits=[(CALL, "logits, state = step(torch.full_like(token, start), state)")],
        ),
        Misconception(
            name="state_not_handed_on",
            says="Each of your steps starts from the first state; hand the new state on.",
            line="same_length",
            edits=[(CALL, "logits, _ = step(token, state)")],
        ),
        Misconception(
            name="least_likely",
            says="You take the word with the smallest logit; take the largest.",
            line="same_length",
            edits=[(CHOOSE, "token = logits.argmin(dim=-1)")],
        ),
        Misconception(
            name="one_word_too_many",
            says="You write one word more than max_length allows.",
            line="max_length",
            edits=[("len(written) < max_length", "len(written) <= max_length")],
        ),
        Misconception(
            name="one_word_too_few",
            says="You stop one word before max_length is reached.",
            line="max_length",
            edits=[("len(written) < max_length", "len(written) < max_length - 1")],
        ),
        Misconception(
            name="usual_specials",
            says="You use the ids 1, 2 and 0, whatever `start`, `end` and `pad` say.",
            line="other_specials",
            edits=[
                (BEGIN, "start, end, pad = START, END, PAD\n    token = torch.full((batch_size,), start)"),
            ],
        ),
        Misconception(
            name="steps_along_the_rows",
            says="Your rows are steps and your columns sentences; exchange the axes.",
            line="same_length",
            edits=[(RESULT, "return torch.stack(written, dim=0)")],
        ),
    ],
)
