"""Assignment 01, along a padded batch: exercise 8 and the larger piece."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.check.values import Code
from course_lib.grading.spec import Exercise, Line, Misconception, random_state, random_tensor
from course_lib.models import reader, recurrent


def _lengths(rng: np.random.Generator, batch: int, length: int) -> torch.Tensor:
    """Lengths from 1 to ``length`` in random order: one sequence is full, one has a single word, none is empty."""
    lengths = rng.integers(2, length, size=batch)
    lengths[:2] = length, 1
    return torch.from_numpy(rng.permutation(lengths))


def _plain_step(rng: np.random.Generator, hidden_size: int) -> Code:
    """A step whose state is a tensor; its numbers are drawn."""
    a, b = np.round(rng.uniform(0.4, 0.9, size=2), 3)
    source = f"def step(x, state):\n    return torch.tanh({a} * x[:, :{hidden_size}] + {b} * state.roll(1, -1) + 0.2)\n"
    return Code(source, "step")


def _pair_step(rng: np.random.Generator, hidden_size: int) -> Code:
    """A step whose state is a pair."""
    a, b = np.round(rng.uniform(0.4, 0.9, size=2), 3)
    source = (
        "def step(x, state):\n"
        "    h, c = state\n"
        f"    c = {a} * c + torch.tanh(x[:, :{hidden_size}] + {b} * h.roll(1, -1))\n"
        "    return torch.tanh(c) * torch.sigmoid(x[:, -1:]), c\n"
    )
    return Code(source, "step")


def _walk(
    *settings: tuple[int, int, int, int],
    pair: bool = False,
    padded: bool = True,
    gradients: tuple[str, ...] = (),
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, length, input_size, hidden_size); the padding holds numbers like any others."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, length, input_size, hidden_size in settings:
            h = random_tensor(rng, batch, hidden_size)
            state = (h, random_tensor(rng, batch, hidden_size)) if pair else h
            make = _pair_step if pair else _plain_step
            args = [make(rng, hidden_size), random_tensor(rng, batch, length, input_size), state]
            if padded:
                args.append(_lengths(rng, batch, length))
            probes.append(Probe(target="unroll", args=tuple(args), gradients=gradients))
        return probes

    return cases


VALID = "valid = (time < lengths)[:, None]"
PLAIN = "state = torch.where(valid, new, state)"
PAIR = "state = (torch.where(valid, new[0], state[0]), torch.where(valid, new[1], state[1]))"
APPEND = "outputs.append(torch.where(valid, h, 0.0))"
STACK = "return torch.stack(outputs, dim=1), state"

unroll = Exercise(
    name="unroll",
    reference=recurrent.unroll,
    returns=("the output", "the last state"),
    lines=[
        Line(
            name="full",
            text="sequences of the same length, for any step",
            points=1,
            cases=_walk((2, 5, 4, 3), (3, 7, 5, 2), padded=False),
        ),
        Line(
            name="padded",
            text="shorter sequences keep their last valid state, and their outputs end in zeros",
            points=1.5,
            cases=_walk((4, 6, 5, 3), (3, 7, 4, 2)),
        ),
        Line(
            name="pair",
            text="a state that is a pair (h, c)",
            points=1,
            cases=_walk((4, 6, 5, 3), (3, 7, 4, 2), pair=True),
        ),
        Line(
            name="gradients",
            text="the gradients by the inputs and the first state; padding gets none",
            points=0.5,
            cases=_walk((4, 6, 5, 3), gradients=("1", "2")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="last_state_after_padding",
            says="Your last state has gone on through the padding; a sequence that has ended keeps its last valid "
            "state.",
            line="padded",
            edits=[(PLAIN, "state = new"), (PAIR, "state = new")],
        ),
        Misconception(
            name="last_output_returned",
            says="Your last state is the output at the last position, which is zero where that is padding; return "
            "the last valid state.",
            line="padded",
            edits=[
                (
                    STACK,
                    "last = outputs[-1]\n    return torch.stack(outputs, dim=1), (last, state[1]) if pair else last",
                )
            ],
        ),
        Misconception(
            name="lengths_ignored",
            says="Your result is the one without lengths; steps over padding must change nothing.",
            line="padded",
            edits=[(VALID, "valid = torch.ones(len(x), 1, dtype=torch.bool)")],
        ),
        Misconception(
            name="one_step_too_many",
            says="Each of your sequences takes one step into its padding; positions count from 0, so position t is "
            "valid where t < length.",
            line="padded",
            edits=[(VALID, "valid = (time <= lengths)[:, None]")],
        ),
        Misconception(
            name="one_step_too_few",
            says="Each of your sequences stops one step early; positions count from 0, so the last valid one is "
            "length - 1.",
            line="full",
            edits=[(VALID, "valid = (time < lengths - 1)[:, None]")],
        ),
        Misconception(
            name="outputs_at_padding_repeat",
            says="Your states are right, and your outputs repeat the last one over the padding; they are zeros there.",
            line="padded",
            edits=[(APPEND, "outputs.append(h)")],
        ),
        Misconception(
            name="stops_at_the_shortest",
            says="All your sequences stop where the shortest one ends; each has its own length.",
            line="padded",
            edits=[(VALID, "valid = (time < lengths.min()).expand(len(x), 1)")],
        ),
        Misconception(
            name="starts_from_zeros",
            says="Your walk starts from zeros; it starts from the state that is given.",
            line="full",
            edits=[
                (
                    "    outputs = []\n",
                    "    outputs = []\n    state = tuple(part * 0 for part in state) if pair else state * 0\n",
                )
            ],
        ),
        Misconception(
            name="state_before_the_step",
            says="Your outputs come one position late: you note the state before the step; note it after.",
            line="full",
            edits=[
                (
                    "        new = step(x[:, time], state)\n",
                    "        h = state[0] if pair else state\n        new = step(x[:, time], state)\n",
                ),
                ("        h = state[0] if pair else state\n        outputs", "        outputs"),
            ],
        ),
        Misconception(
            name="state_not_handed_on",
            says="Each of your steps starts from the first state; hand the new state on to the next step.",
            line="full",
            edits=[
                ("    outputs = []\n", "    outputs, first = [], state\n"),
                ("step(x[:, time], state)", "step(x[:, time], first)"),
            ],
        ),
        Misconception(
            name="only_h_stops",
            says="The hidden state of a sequence that has ended stays, and its cell state goes on; both parts of a "
            "pair must stop.",
            line="pair",
            edits=[("torch.where(valid, new[1], state[1])", "new[1]")],
        ),
        Misconception(
            name="only_h_returned",
            says="You return h where the state is a pair; the last state has the form of the first one.",
            line="pair",
            edits=[(STACK, "return torch.stack(outputs, dim=1), state[0] if pair else state")],
        ),
        Misconception(
            name="graph_cut",
            says="Your numbers are right and no gradient passes from step to step; leave out `.detach()` and `.data`.",
            line="gradients",
            edits=[
                (
                    "step(x[:, time], state)",
                    "step(x[:, time], tuple(s.detach() for s in state) if pair else state.detach())",
                )
            ],
        ),
    ],
)


def _reader_probe(
    rng: np.random.Generator,
    batch: int,
    length: int,
    d_model: int,
    hidden_size: int,
    *,
    padded: bool = True,
    gradients: tuple[str, ...] = (),
) -> Probe:
    init = {"vocab_size": 11, "d_model": d_model, "hidden_size": hidden_size}
    lengths = _lengths(rng, batch, length) if padded else torch.full((batch,), length)
    return Probe(
        target="BidirectionalReader",
        init=init,
        state=random_state(reader.BidirectionalReader(**init), rng),
        args=(torch.from_numpy(rng.integers(11, size=(batch, length))), lengths),
        gradients=gradients,
    )


def _read(
    *settings: tuple[int, int, int, int], padded: bool = True, gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, length, d_model, hidden_size)."""
    return lambda rng: [_reader_probe(rng, *setting, padded=padded, gradients=gradients) for setting in settings]


def _other_padding(rng: np.random.Generator) -> list[Probe]:
    """The same sentences, with other words in the padding."""
    first = _reader_probe(rng, 4, 6, 5, 3)
    ids, lengths = first.args
    changed = torch.where(torch.arange(6) < lengths[:, None], ids, (ids + 1 + int(rng.integers(9))) % 11)
    return [first, replace(first, args=(changed, lengths))]


TURN = "places = torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)"
READ_BACK = "unroll(self.backward_cell, x[rows, places], start, lengths)"
TURN_BACK = "backward = backward[rows, places]"
SIDE_BY_SIDE = "outputs = torch.cat([forward, backward], dim=-1)"
SUMMARY = "summary = torch.cat([forward_last, backward_last], dim=-1)"

bidirectional_reader = Exercise(
    name="BidirectionalReader",
    reference=reader.BidirectionalReader,
    returns=("the output", "the summary"),
    banned=("nn.GRU",),
    uses=("embedding_lookup", "gru_step", "unroll"),
    lines=[
        Line(
            name="full",
            text="sentences of the same length: both directions, side by side",
            points=2,
            cases=_read((2, 5, 4, 3), (3, 6, 2, 5), padded=False),
        ),
        Line(
            name="padded",
            text="sentences of different length: each is turned round within its own",
            points=1.5,
            cases=_read((4, 6, 5, 3), (3, 7, 4, 2)),
        ),
        Line(
            name="padding",
            text="what stands in the padding changes nothing",
            points=0.5,
            cases=_other_padding,
            properties=[
                Property("same_output", {"what": "the words in the padding", "part": 0}),
                Property("same_output", {"what": "the words in the padding", "part": 1}),
            ],
        ),
        Line(
            name="gradients",
            text="the gradients by the table and both cells",
            points=1,
            cases=_read((4, 6, 5, 3), gradients=("state",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="padding_turned_to_the_front",
            says="You turn the whole row round, so the backward direction starts with the padding; turn each sentence "
            "round within its own length.",
            line="padded",
            edits=[(TURN, "places = (length - 1 - time).expand(batch, length)")],
        ),
        Misconception(
            name="backward_outputs_not_turned_back",
            says="Your backward half is in the order in which it was read; turn it round again, so that each position "
            "holds what is known there.",
            line="full",
            edits=[(TURN_BACK, "pass")],
        ),
        Misconception(
            name="backward_reads_forward",
            says="Your second cell reads from the left as well; it reads from the last word to the first.",
            line="full",
            edits=[(READ_BACK, "unroll(self.backward_cell, x, start, lengths)"), (TURN_BACK, "pass")],
        ),
        Misconception(
            name="one_cell_for_both",
            says="Both your directions use the forward cell; the backward direction has its own weights.",
            line="full",
            edits=[("unroll(self.backward_cell", "unroll(self.forward_cell")],
        ),
        Misconception(
            name="backward_first",
            says="Your halves are exchanged; the forward states stand first.",
            line="full",
            edits=[
                (SIDE_BY_SIDE, "outputs = torch.cat([backward, forward], dim=-1)"),
                (SUMMARY, "summary = torch.cat([backward_last, forward_last], dim=-1)"),
            ],
        ),
        Misconception(
            name="summary_from_the_last_word",
            says="Your summary is the output at the last word, where the backward direction has read that word only; "
            "it ends at the first word.",
            line="full",
            edits=[(SUMMARY, "summary = outputs[torch.arange(batch), lengths - 1]")],
        ),
        Misconception(
            name="backward_starts_where_forward_ended",
            says="Your backward direction starts from the forward direction's last state; both start from zeros.",
            line="full",
            edits=[(READ_BACK, "unroll(self.backward_cell, x[rows, places], forward_last, lengths)")],
        ),
        Misconception(
            name="lengths_ignored",
            says="Your result is the one for sentences without padding; hand the lengths to unroll, and turn each "
            "sentence round within its own.",
            line="padded",
            edits=[
                (
                    "        x = self.embedding(ids)",
                    "        lengths = torch.full_like(lengths, ids.shape[1])\n        x = self.embedding(ids)",
                )
            ],
        ),
    ],
)
