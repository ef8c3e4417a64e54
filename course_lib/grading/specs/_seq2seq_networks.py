"""Assignment 02, the two networks: exercises 5 and 6."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
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
