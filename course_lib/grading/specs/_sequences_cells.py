"""Assignment 01, one step of each recurrent cell: exercises 5 to 7."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from course_lib.check.probe import Probe
from course_lib.grading.spec import Exercise, Line, Misconception, random_tensor
from course_lib.models import recurrent as reference

SIZES = ((2, 5, 3), (4, 2, 5), (3, 6, 4))  # (batch, input_size, hidden_size)
SCALE = 0.5  # of the weights: gates and states stay away from saturation


def _step(
    target: str,
    gates: int,
    *settings: tuple[int, int, int],
    pair: bool = False,
    gradients: tuple[str, ...] = (),
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, input_size, hidden_size), with all weights and both biases random."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, input_size, hidden_size in settings:
            rows = gates * hidden_size
            h = random_tensor(rng, batch, hidden_size, scale=0.6)
            args = (
                random_tensor(rng, batch, input_size),
                (h, random_tensor(rng, batch, hidden_size)) if pair else h,
                random_tensor(rng, rows, input_size, scale=SCALE),
                random_tensor(rng, rows, hidden_size, scale=SCALE),
                random_tensor(rng, rows, scale=SCALE),
                random_tensor(rng, rows, scale=SCALE),
            )
            probes.append(Probe(target=target, args=args, gradients=gradients))
        return probes

    return cases


rnn_step = Exercise(
    name="rnn_step",
    reference=reference.rnn_step,
    returns=("the new state",),
    banned=("nn.RNNCell", "nn.RNN", "rnn_tanh_cell", "rnn_tanh"),
    lines=[
        Line(
            name="output",
            text="the new state of a batch",
            points=1.5,
            cases=_step("rnn_step", 1, *SIZES),
        ),
        Line(
            name="gradients",
            text="the gradients by the input, the state, the weights and the biases",
            points=0.5,
            cases=_step("rnn_step", 1, (2, 5, 3), gradients=("0", "1", "2", "3", "4", "5")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="recurrent_weight_not_transposed",
            says="You multiply the state by weight_hh as it is; a row is multiplied by the transposed weight. It is "
            "square, so nothing complains.",
            line="output",
            edits=[("weight_hh.T", "weight_hh")],
        ),
        Misconception(
            name="sigmoid",
            says="You use a sigmoid; a plain recurrent network uses tanh.",
            line="output",
            edits=[("torch.tanh(", "torch.sigmoid(")],
        ),
        Misconception(
            name="relu",
            says="You use a ReLU; a plain recurrent network uses tanh.",
            line="output",
            edits=[("torch.tanh(", "torch.relu(")],
        ),
        Misconception(
            name="no_nonlinearity",
            says="Your new state is the sum itself; tanh must be taken of it.",
            line="output",
            edits=[("torch.tanh(from_input + from_state)", "from_input + from_state")],
        ),
        Misconception(
            name="two_tanhs",
            says="You take tanh of both parts and add them; add first, then take tanh.",
            line="output",
            edits=[("torch.tanh(from_input + from_state)", "torch.tanh(from_input) + torch.tanh(from_state)")],
        ),
        Misconception(
            name="second_bias_forgotten",
            says="bias_hh is missing; both biases are added.",
            line="output",
            edits=[("weight_hh.T + bias_hh", "weight_hh.T")],
        ),
        Misconception(
            name="first_bias_forgotten",
            says="bias_ih is missing; both biases are added.",
            line="output",
            edits=[("weight_ih.T + bias_ih", "weight_ih.T")],
        ),
        Misconception(
            name="state_ignored",
            says="Your new state does not depend on the old one; the recurrent part is missing.",
            line="output",
            edits=[("from_input + from_state", "from_input")],
        ),
        Misconception(
            name="old_state_added",
            says="You add the old state to the new one; the old state enters through weight_hh only.",
            line="output",
            edits=[
                ("return torch.tanh(from_input + from_state)", "return torch.tanh(from_input + from_state) + state")
            ],
        ),
    ],
)

CUT = "i, f, g, o = gates.chunk(4, dim=-1)"
CELL = "new_c = f.sigmoid() * c + i.sigmoid() * g.tanh()"
SHOW = "new_h = o.sigmoid() * new_c.tanh()"

lstm_step = Exercise(
    name="lstm_step",
    reference=reference.lstm_step,
    returns=("the hidden state", "the cell state"),
    banned=("nn.LSTMCell", "nn.LSTM", "lstm_cell", "lstm"),
    lines=[
        Line(
            name="output",
            text="the new hidden state and the new cell state of a batch",
            points=3,
            cases=_step("lstm_step", 4, *SIZES, pair=True),
        ),
        Line(
            name="gradients",
            text="the gradients by the input, the weights and the biases",
            points=1,
            cases=_step("lstm_step", 4, (2, 5, 3), pair=True, gradients=("0", "2", "3", "4", "5")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="order_forget_first",
            says="You take the forget gate from the first quarter and the input gate from the second; the order is "
            "input, forget, candidate, output.",
            line="output",
            edits=[(CUT, CUT.replace("i, f, g, o", "f, i, g, o"))],
        ),
        Misconception(
            name="order_candidate_last",
            says="You take the output gate from the third quarter and the candidate from the last; the order is "
            "input, forget, candidate, output.",
            line="output",
            edits=[(CUT, CUT.replace("i, f, g, o", "i, f, o, g"))],
        ),
        Misconception(
            name="order_candidate_second",
            says="Your order is input, candidate, forget, output, as in some older libraries; here it is input, "
            "forget, candidate, output.",
            line="output",
            edits=[(CUT, CUT.replace("i, f, g, o", "i, g, f, o"))],
        ),
        Misconception(
            name="every_fourth_channel",
            says="You give every fourth channel to the input gate; the first hidden_size channels are the input "
            "gate, the next the forget gate, and so on.",
            line="output",
            edits=[(CUT, "i, f, g, o = gates.unflatten(-1, (-1, 4)).unbind(-1)")],
        ),
        Misconception(
            name="no_tanh_on_the_cell",
            says="Your cell is right and your hidden state lacks the tanh: h' = σ(o) ⊙ tanh(c').",
            line="output",
            edits=[(SHOW, "new_h = o.sigmoid() * new_c")],
        ),
        Misconception(
            name="no_tanh_on_the_candidate",
            says="The candidate goes into your cell as it is; tanh must be taken of it first.",
            line="output",
            edits=[("g.tanh()", "g")],
        ),
        Misconception(
            name="sigmoid_on_the_candidate",
            says="You take a sigmoid of the candidate; only the three gates have one, the candidate has tanh.",
            line="output",
            edits=[("g.tanh()", "g.sigmoid()")],
        ),
        Misconception(
            name="gates_without_sigmoid",
            says="Your gates are not between 0 and 1; each of the three goes through a sigmoid.",
            line="output",
            edits=[(CELL, "new_c = f * c + i * g.tanh()"), (SHOW, "new_h = o * new_c.tanh()")],
        ),
        Misconception(
            name="old_cell_shown",
            says="You show the old cell; the hidden state is σ(o) ⊙ tanh(c') with the new one.",
            line="output",
            edits=[(SHOW, "new_h = o.sigmoid() * c.tanh()")],
        ),
        Misconception(
            name="gates_coupled",
            says="You write with 1 - σ(f), as if forgetting and writing were one gate; the input gate decides on its "
            "own.",
            line="output",
            edits=[("i.sigmoid() * g.tanh()", "(1 - f.sigmoid()) * g.tanh()")],
        ),
        Misconception(
            name="forget_gate_inverted",
            says="Your forget gate works the wrong way round; where σ(f) is 1, the old cell stays.",
            line="output",
            edits=[("f.sigmoid() * c", "(1 - f.sigmoid()) * c")],
        ),
        Misconception(
            name="states_exchanged",
            says="You return the cell state first; return the hidden state, then the cell state.",
            line="output",
            edits=[("return new_h, new_c", "return new_c, new_h")],
        ),
        Misconception(
            name="state_unpacked_the_wrong_way_round",
            says="You take the pair of states as (c, h); it is (h, c).",
            line="output",
            edits=[("h, c = state", "c, h = state")],
        ),
        Misconception(
            name="second_bias_forgotten",
            says="bias_hh is missing; both biases are added.",
            line="output",
            edits=[(" + bias_hh", "")],
        ),
    ],
)

RESET = "candidate = (candidate_x + reset * candidate_h).tanh()"
MIX = "return (1 - update) * candidate + update * state"


def _gru_order(order: tuple[str, str, str]) -> list[tuple[str, str]]:
    """The three thirds taken in another order, from both products."""
    right = ("reset", "update", "candidate")
    return [
        tuple(", ".join(f"{part}_{source}" for part in parts) + " =" for parts in (right, order))  # type: ignore[misc]
        for source in ("x", "h")
    ]


gru_step = Exercise(
    name="gru_step",
    reference=reference.gru_step,
    returns=("the new state",),
    banned=("nn.GRUCell", "nn.GRU", "gru_cell", "gru"),
    lines=[
        Line(
            name="output",
            text="the new state of a batch",
            points=2,
            cases=_step("gru_step", 3, *SIZES),
        ),
        Line(
            name="gradients",
            text="the gradients by the input, the state, the weights and the biases",
            points=1,
            cases=_step("gru_step", 3, (2, 5, 3), gradients=("0", "1", "2", "3", "4", "5")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="reset_before_the_product",
            says="Your reset gate multiplies the state before the product with W_hn; here it multiplies the product, "
            "W_hn h + b_hn.",
            line="output",
            edits=[
                (
                    RESET,
                    "weight_hn, bias_hn = weight_hh.chunk(3)[2], bias_hh.chunk(3)[2]\n"
                    "    candidate = (candidate_x + (reset * state) @ weight_hn.T + bias_hn).tanh()",
                )
            ],
        ),
        Misconception(
            name="bias_outside_the_reset",
            says="Your reset gate multiplies W_hn h and leaves b_hn outside; it multiplies their sum.",
            line="output",
            edits=[
                (
                    RESET,
                    "bias_hn = bias_hh.chunk(3)[2]\n"
                    "    candidate = (candidate_x + reset * (candidate_h - bias_hn) + bias_hn).tanh()",
                )
            ],
        ),
        Misconception(
            name="reset_on_everything",
            says="Your reset gate multiplies the part from the input too; it acts on the part from the state only.",
            line="output",
            edits=[("candidate_x + reset * candidate_h", "reset * (candidate_x + candidate_h)")],
        ),
        Misconception(
            name="no_reset",
            says="Your reset gate does nothing; it multiplies the part of the candidate that comes from the state.",
            line="output",
            edits=[("reset * candidate_h", "candidate_h")],
        ),
        Misconception(
            name="update_inverted",
            says="Your update gate works the wrong way round, as in some papers; where z is 1, the old state stays.",
            line="output",
            edits=[(MIX, "return update * candidate + (1 - update) * state")],
        ),
        Misconception(
            name="order_update_first",
            says="You take the update gate from the first third and the reset gate from the second; the order is "
            "reset, update, candidate.",
            line="output",
            edits=_gru_order(("update", "reset", "candidate")),
        ),
        Misconception(
            name="order_candidate_first",
            says="You take the candidate from the first third; the order is reset, update, candidate.",
            line="output",
            edits=_gru_order(("candidate", "reset", "update")),
        ),
        Misconception(
            name="every_third_channel",
            says="You give every third channel to the reset gate; the first hidden_size channels are the reset "
            "gate, the next the update gate, the last the candidate.",
            line="output",
            edits=[
                ("bias_ih).chunk(3, dim=-1)", "bias_ih).unflatten(-1, (-1, 3)).unbind(-1)"),
                ("bias_hh).chunk(3, dim=-1)", "bias_hh).unflatten(-1, (-1, 3)).unbind(-1)"),
            ],
        ),
        Misconception(
            name="no_tanh_on_the_candidate",
            says="Your candidate lacks the tanh.",
            line="output",
            edits=[(RESET, "candidate = candidate_x + reset * candidate_h")],
        ),
        Misconception(
            name="sigmoid_on_the_candidate",
            says="You take a sigmoid of the candidate; the two gates have one, the candidate has tanh.",
            line="output",
            edits=[(RESET, RESET.replace("tanh", "sigmoid"))],
        ),
        Misconception(
            name="old_state_dropped",
            says="Your new state is the weighted candidate alone; what the update gate keeps of the old state is "
            "added.",
            line="output",
            edits=[(MIX, "return (1 - update) * candidate")],
        ),
        Misconception(
            name="second_bias_forgotten",
            says="bias_hh is missing; both biases are added.",
            line="output",
            edits=[("weight_hh.T + bias_hh", "weight_hh.T")],
        ),
    ],
)
