"""Assignment 02, the two networks and decoding: exercises 5 to 7."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.check.values import Code
from course_lib.data.translation import END, PAD, START
from course_lib.grading.spec import Exercise, Line, Misconception, random_state, random_tensor
from course_lib.models import seq2seq as reference

VOCAB_SIZE = 11


def _lengths(rng: np.random.Generator, batch: int, length: int) -> torch.Tensor:
    """Lengths from 1 to ``length`` that are not in order: one sentence is full, one has a single word."""
    lengths = rng.permutation(np.concatenate([[length, 1], rng.integers(2, length, size=batch - 2)]))
    if (np.diff(lengths) <= 0).all():
        lengths = lengths[::-1].copy()
    return torch.from_numpy(lengths)


def _encoder_probe(
    rng: np.random.Generator,
    batch: int,
    length: int,
    d_model: int,
    hidden_size: int,
    *,
    num_layers: int = 1,
    padded: bool = True,
    wider: int = 0,
    gradients: tuple[str, ...] = (),
) -> Probe:
    """``wider``: columns of padding that no sentence of the batch reaches."""
    init: dict[str, Any] = {"vocab_size": VOCAB_SIZE, "d_model": d_model, "hidden_size": hidden_size}
    init |= {"num_layers": num_layers} if num_layers > 1 else {}
    lengths = _lengths(rng, batch, length) if padded else torch.full((batch,), length)
    return Probe(
        target="Encoder",
        init=init,
        state=random_state(reference.Encoder(**init), rng),
        args=(torch.from_numpy(rng.integers(4, VOCAB_SIZE, size=(batch, length + wider))), lengths),
        gradients=gradients,
    )


def _encoder(
    *settings: tuple[int, int, int, int],
    num_layers: int = 1,
    padded: bool = True,
    wider: int = 0,
    gradients: tuple[str, ...] = (),
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, length, d_model, hidden_size)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            _encoder_probe(rng, *s, num_layers=num_layers, padded=padded, wider=wider, gradients=gradients)
            for s in settings
        ]

    return cases


def _other_padding(rng: np.random.Generator) -> list[Probe]:
    """The same sentences, with other words in the padding."""
    first = _encoder_probe(rng, 4, 6, 5, 3)
    source, lengths = first.args
    words = VOCAB_SIZE - 4
    changed = torch.where(torch.arange(6) < lengths[:, None], source, (source - 3) % words + 4)
    return [first, replace(first, args=(changed, lengths))]


PACK = "packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)"
RUN = "packed_states, last = self.rnn(packed)"
UNPACK = "states, _ = pad_packed_sequence(packed_states, batch_first=True, total_length=source.shape[1])"
BACK = "return states, last"
PLAIN = f"        {PACK}\n        {RUN}\n        {UNPACK}\n"

encoder = Exercise(
    name="Encoder",
    reference=reference.Encoder,
    returns=("the states", "the last state"),
    lines=[
        Line(
            name="full",
            text="sentences of the same length",
            points=0.5,
            cases=_encoder((2, 5, 4, 3), (3, 6, 2, 5), padded=False),
        ),
        Line(
            name="padded",
            text="shorter sentences: zeros at padding, and the state after the last word",
            points=1,
            cases=_encoder((4, 6, 5, 3), (3, 7, 2, 4)),
        ),
        Line(
            name="wider",
            text="a table that is wider than the longest sentence",
            points=0.5,
            cases=_encoder((3, 5, 4, 2), (4, 3, 2, 5), wider=2),
        ),
        Line(
            name="layers",
            text="two and three layers",
            points=0.5,
            cases=lambda rng: [
                _encoder_probe(rng, 4, 6, 5, 3, num_layers=2),
                _encoder_probe(rng, 3, 5, 2, 4, num_layers=3),
            ],
        ),
        Line(
            name="padding",
            text="what stands in the padding changes nothing",
            points=0.5,
            cases=_other_padding,
            properties=[Property("same_output", {"what": "the words in the padding", "part": 0})],
        ),
    ],
    misconceptions=[
        Misconception(
            name="padding_read",
            says="Your LSTM reads on over the padding, so the last state is not that of the last word; pack the "
            "sequence.",
            line="padded",
            edits=[(PLAIN, "        states, last = self.rnn(x)\n")],
        ),
        Misconception(
            name="padding_read_and_hidden",
            says="Your states are zero at padding, and the last state has still read it; pack the sequence.",
            line="padded",
            edits=[
                (
                    PLAIN,
                    "        states, last = self.rnn(x)\n"
                    "        states = states * (torch.arange(source.shape[1]) < lengths[:, None])[..., None]\n",
                )
            ],
        ),
        Misconception(
            name="states_at_padding_kept",
            says="Your last state is right, and the states behind it are not zero; leave padding at zero.",
            line="padded",
            edits=[(UNPACK, f"{UNPACK}\n        states, _ = self.rnn(x)")],
        ),
        Misconception(
            name="cut_to_the_longest",
            says="Your states are only as wide as the longest sentence; they are as wide as the source.",
            line="wider",
            edits=[(", total_length=source.shape[1]", "")],
        ),
        Misconception(
            name="left_in_sorted_order",
            says="Your sentences come out in the order of their lengths; bring them back into the order given.",
            line="padded",
            edits=[
                (
                    PACK,
                    "order = lengths.argsort(descending=True)\n"
                    "        packed = pack_padded_sequence(x[order], lengths[order], batch_first=True)",
                )
            ],
        ),
        Misconception(
            name="only_h",
            says="Your last state is h alone; an LSTM's state is the pair (h, c).",
            line="full",
            edits=[(BACK, "return states, last[0]")],
        ),
        Misconception(
            name="top_layer_only",
            says="Your last state is that of the top layer; return those of all layers.",
            line="layers",
            edits=[(BACK, "return states, (last[0][-1:], last[1][-1:])")],
        ),
        Misconception(
            name="pair_exchanged",
            says="Your pair is (c, h); the hidden state h stands first.",
            line="full",
            edits=[(BACK, "return states, (last[1], last[0])")],
        ),
        Misconception(
            name="lengths_one_short",
            says="Each of your sentences ends one word early; lengths count words, not last places.",
            line="full",
            edits=[("pack_padded_sequence(x, lengths,", "pack_padded_sequence(x, (lengths - 1).clamp(min=1),")],
        ),
        Misconception(
            name="read_backwards",
            says="Your encoder reads the source from its end; read it as it is given.",
            line="full",
            edits=[("x = self.embedding(source)", "x = self.embedding(source.flip(1))")],
        ),
    ],
)


def _decoder(
    *settings: tuple[int, int, int, int], num_layers: int = 1, gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, d_model, hidden_size, d_context)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, d_model, hidden_size, d_context in settings:
            init: dict[str, Any] = {"vocab_size": VOCAB_SIZE, "d_model": d_model, "hidden_size": hidden_size}
            init |= {"d_context": d_context} | ({"num_layers": num_layers} if num_layers > 1 else {})
            shape = (num_layers, batch, hidden_size)
            probes.append(
                Probe(
                    target="DecoderStep",
                    init=init,
                    state=random_state(reference.DecoderStep(**init), rng),
                    args=(
                        torch.from_numpy(rng.integers(VOCAB_SIZE, size=batch)),
                        (random_tensor(rng, *shape), random_tensor(rng, *shape)),
                        random_tensor(rng, batch, d_context),
                    ),
                    gradients=gradients,
                )
            )
        return probes

    return cases


JOIN = "x = torch.cat([word, context], dim=-1)"
STEP = "output, new_state = self.rnn(x[:, None], state)"
LOGITS = "logits = self.output(output.squeeze(1))"
HAND_BACK = "return logits, new_state"

decoder_step = Exercise(
    name="DecoderStep",
    reference=reference.DecoderStep,
    returns=("the logits", "the new state"),
    lines=[
        Line(
            name="step",
            text="logits and new state from the previous state, the previous word and the context",
            points=2,
            cases=_decoder((2, 4, 3, 5), (4, 3, 5, 3), (3, 2, 6, 4)),
        ),
        Line(
            name="layers",
            text="two and three layers",
            points=1,
            cases=lambda rng: [*_decoder((3, 4, 2, 5), num_layers=2)(rng), *_decoder((2, 3, 4, 3), num_layers=3)(rng)],
        ),
        Line(
            name="gradients",
            text="the gradients by the context and all weights",
            points=1,
            cases=_decoder((2, 4, 3, 5), gradients=("2", "state")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="context_first",
            says="The context stands in front of the word; the word's embedding comes first.",
            line="step",
            edits=[(JOIN, "x = torch.cat([context, word], dim=-1)")],
        ),
        Misconception(
            name="context_left_out",
            says="Your step does not use the context; put it beside the word's embedding.",
            line="step",
            edits=[(JOIN, "x = torch.cat([word, torch.zeros_like(context)], dim=-1)")],
        ),
        Misconception(
            name="starts_from_zeros",
            says="Each of your steps starts from zeros; start from the state that is given.",
            line="step",
            edits=[("self.rnn(x[:, None], state)", "self.rnn(x[:, None])")],
        ),
        Misconception(
            name="old_state_returned",
            says="You return the state that you were given; return the new one.",
            line="step",
            edits=[(HAND_BACK, "return logits, state")],
        ),
        Misconception(
            name="softmax_taken",
            says="Your logits are probabilities: you have taken a softmax, which the loss takes once more.",
            line="step",
            edits=[(HAND_BACK, "return logits.softmax(dim=-1), new_state")],
        ),
        Misconception(
            name="log_softmax_taken",
            says="Your logits are logarithms of probabilities; return the linear layer's outputs as they are.",
            line="step",
            edits=[(HAND_BACK, "return logits.log_softmax(dim=-1), new_state")],
        ),
        Misconception(
            name="cell_state_to_output",
            says="Your logits are made from the cell state c; they are made from the hidden state h.",
            line="step",
            edits=[(LOGITS, "logits = self.output(new_state[1][-1])")],
        ),
        Misconception(
            name="previous_state_to_output",
            says="Your logits are made from the previous state; they are made from the new one.",
            line="step",
            edits=[(LOGITS, "logits = self.output(state[0][-1])")],
        ),
        Misconception(
            name="bottom_layer_to_output",
            says="Your logits are made from the bottom layer's state; they are made from the top layer's.",
            line="layers",
            edits=[(LOGITS, "logits = self.output(new_state[0][0])")],
        ),
        Misconception(
            name="step_kept_as_an_axis",
            says="Your logits keep the axis of the one step; take the step out, so that they are (batch, vocab_size).",
            line="step",
            edits=[(LOGITS, "logits = self.output(output)")],
        ),
        Misconception(
            name="context_cut_off",
            says="Your logits are right and no gradient reaches the context, so the encoder could not learn from it; "
            "leave out `.detach()`.",
            line="gradients",
            edits=[(JOIN, "x = torch.cat([word, context.detach()], dim=-1)")],
        ),
    ],
)

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
