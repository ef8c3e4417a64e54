"""Assignment 05, translating: exercise 7."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.check.values import Code
from course_lib.data.translation import END
from course_lib.grading.spec import Exercise, Line, Misconception
from course_lib.models import transformer as reference

WORDS = 9


def _toy_model(rng: np.random.Generator, *, stop_at: tuple[int, ...] | None, once: bool) -> tuple[Code, Code]:
    """An encoder and a decoder that are no networks: what each position says depends on all words up to it.

    Args:
        rng: draws their numbers.
        stop_at: sentence i writes <end> as its word number ``stop_at[i]``, counted from 1. None: none ever does.
        once: whether a second call of the encoder gives something else.
    """
    a, b, c = np.round(rng.uniform(0.7, 2.9, size=3), 3)
    encode = (
        "calls = []\n\n"
        "def encode(source, lengths=None):\n"
        f"    again = len(calls) * {float(once)}\n"
        "    calls.append(1)\n"
        "    known = torch.ones_like(source) if lengths is None else torch.arange(source.shape[1]) < lengths[:, None]\n"
        f"    return torch.sin({a} * source.double()) + known.double().sum(1, keepdim=True) + again\n"
    )
    ends = "torch.full((len(tokens), 1), 99)" if stop_at is None else f"torch.tensor({list(stop_at)})[:, None]"
    decode = (
        "def decode(tokens, memory, lengths=None):\n"
        "    places = torch.arange(1, tokens.shape[1] + 1)\n"
        "    known = torch.ones_like(memory) if lengths is None else torch.arange(memory.shape[1]) < lengths[:, None]\n"
        f"    read = (torch.cos({b} * tokens) * places).cumsum(1) + (memory * known).sum(1, keepdim=True)\n"
        f"    logits = torch.sin(read[..., None] * torch.arange(1, {WORDS + 1}) + {c})\n"
        "    logits[..., :3] = -5.0\n"
        f"    logits[..., {END}] = torch.where(places == {ends}, 5.0, -4.0)\n"
        "    return logits\n"
    )
    return Code(encode, "encode"), Code(decode, "decode")


def _translations(
    *settings: tuple[int, int, tuple[int, ...] | None], max_length: int, padded: bool = False, once: bool = False
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, source length, when each sentence ends)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, length, stop_at in settings:
            encode, decode = _toy_model(rng, stop_at=stop_at, once=once)
            args = [encode, decode, torch.from_numpy(rng.integers(3, WORDS, size=(batch, length)))]
            if padded:
                args.append(torch.from_numpy(rng.permutation(length)[:batch] + 1))
            probes.append(Probe(target="translate", args=tuple(args), kwargs={"max_length": max_length}))
        return probes

    return cases


APPEND = "written = torch.cat([written, token[:, None]], dim=1)"
LAST = "return logits[:, -1], written"
DECODE = "greedy_decode(step, source[:, :0], batch_size=len(source), max_length=max_length)"


def _loop(
    *,
    first: str = "torch.full((len(source), 1), START)",
    choose: str = "token = logits[:, -1].argmax(dim=-1)",
    pad: str = "token = token.masked_fill(ended, PAD)",
    stop: str = "if ended.all():\n            break",
    steps: str = "max_length",
    result: str = "written[:, 1:]",
) -> str:
    """The exercise with a loop of its own, changed in one place."""
    return f"""def translate(encode, decode, source, lengths=None, *, max_length):
    memory = encode(source, lengths)
    written = {first}
    ended = torch.zeros(len(source), dtype=torch.bool)
    for _ in range({steps}):
        logits = decode(written, memory, lengths)
        {choose}
        {pad}
        ended = ended | (token == END)
        written = torch.cat([written, token[:, None]], dim=1)
        {stop}
    return {result}
"""


translate = Exercise(
    name="translate",
    reference=reference.translate,
    returns=("the translation",),
    lines=[
        Line(
            name="words",
            text="the likeliest word at each step, read at the next one with all before it",
            points=1.5,
            cases=_translations((3, 4, (6, 6, 6)), (2, 5, (5, 5)), max_length=9),
        ),
        Line(
            name="ends",
            text="sentences that end at different times, PAD behind each end",
            points=1,
            cases=_translations((4, 5, (2, 6, 4, 1)), (3, 4, (3, 1, 5)), max_length=9),
        ),
        Line(
            name="limit",
            text="at most max_length words",
            points=0.5,
            cases=_translations((3, 4, None), (3, 5, (2, 8, 12)), max_length=7),
        ),
        Line(
            name="lengths",
            text="the lengths of the sources reach encoder and decoder",
            points=0.5,
            cases=_translations((3, 5, (6, 6, 6)), (2, 4, (5, 5)), max_length=8, padded=True),
        ),
        Line(
            name="once",
            text="the source is encoded once (here a second call gives something else)",
            points=0.5,
            cases=_translations((3, 4, (5, 3, 4)), max_length=6, once=True),
        ),
    ],
    misconceptions=[
        Misconception(
            name="only_the_last_word_read",
            says="Your decoder reads the last word alone; it has no other memory, so give it all words so far.",
            line="words",
            edits=[(APPEND, "written = token[:, None]")],
        ),
        Misconception(
            name="first_position_taken",
            says="You take the logits of the first position at each step; the next word's are those of the last one.",
            line="words",
            edits=[(LAST, "return logits[:, 0], written")],
        ),
        Misconception(
            name="words_in_front",
            says="You put each new word in front of the others; it comes behind them.",
            line="words",
            edits=[(APPEND, "written = torch.cat([token[:, None], written], dim=1)")],
        ),
        Misconception(
            name="without_start",
            says="Your decoder does not read <start> at the first step; its sequence begins with START.",
            line="words",
            source=_loop(first="torch.full((len(source), 1), PAD)"),
        ),
        Misconception(
            name="starts_with_the_source",
            says="Your decoder reads the first word of the source instead of <start>.",
            line="words",
            source=_loop(first="source[:, :1]"),
        ),
        Misconception(
            name="start_returned",
            says="<start> stands in front of your translations; it is read and never written.",
            line="words",
            source=_loop(result="written"),
        ),
        Misconception(
            name="least_likely_word",
            says="You take the least likely word; take the largest logit.",
            line="words",
            source=_loop(choose="token = logits[:, -1].argmin(dim=-1)"),
        ),
        Misconception(
            name="words_after_the_end",
            says="Your sentences go on after their end, until all have ended; behind END there is only PAD.",
            line="ends",
            source=_loop(pad="pass"),
        ),
        Misconception(
            name="end_repeated",
            says="You fill up with END; behind the end of a sentence stands PAD.",
            line="ends",
            source=_loop(pad="token = token.masked_fill(ended, END)"),
        ),
        Misconception(
            name="stops_with_the_first",
            says="You stop when one sentence has ended; stop when all have.",
            line="ends",
            source=_loop(stop="if ended.any():\n            break"),
        ),
        Misconception(
            name="never_stops",
            says="You go on to max_length although all sentences have ended; stop when all have.",
            line="words",
            source=_loop(stop="pass"),
        ),
        Misconception(
            name="one_word_too_many",
            says="You write one word more than max_length allows; it counts the words written, END included.",
            line="limit",
            source=_loop(steps="max_length + 1"),
        ),
        Misconception(
            name="start_counted",
            says="You write one word less than max_length allows; <start> is read and does not count.",
            line="limit",
            source=_loop(steps="max_length - 1"),
        ),
        Misconception(
            name="lengths_dropped",
            says="Your result is the one without lengths; hand them to encode and to decode.",
            line="lengths",
            edits=[
                ("encode(source, lengths)", "encode(source, None)"),
                ("decode(written, memory, lengths)", "decode(written, memory, None)"),
            ],
        ),
        Misconception(
            name="lengths_only_encoded",
            says="Your encoder knows the lengths and your decoder does not; it must not look at padding either.",
            line="lengths",
            edits=[("decode(written, memory, lengths)", "decode(written, memory, None)")],
        ),
        Misconception(
            name="encoded_at_every_step",
            says="You encode the source again at every step; it does not change, so do it once, before the loop.",
            line="once",
            edits=[(APPEND, "memory = encode(source, lengths)\n        " + APPEND)],
        ),
    ],
)
