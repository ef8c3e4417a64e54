"""Recurrent networks written out: plain RNN, LSTM and GRU, from one step to bidirectional stacks.

The three steps are the equations; `unroll` walks them along a padded batch; the modules stack them. Order of the
gates, form of the GRU and names of the weights are PyTorch's, so that `load_state_dict` copies both ways.
PyTorch's own torch.nn.RNN, LSTM and GRU are the fast path to the same numbers.

Sources:
    Elman, "Finding Structure in Time", 1990.
    Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; Gers, Schmidhuber and Cummins, "Learning to
        Forget", 2000 (the forget gate).
    Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014, section 2.3 (GRU).
    Schuster and Paliwal, "Bidirectional Recurrent Neural Networks", 1997.

Chapter: 01-sequences.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

State = Tensor | tuple[Tensor, Tensor]


def rnn_step(
    x: Tensor, state: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> Tensor:
    """One step of a plain recurrent network: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).

    Args:
        x: the input of this step, (batch, input_size).
        state: the previous hidden state h, (batch, hidden_size).
        weight_ih: (hidden_size, input_size).
        weight_hh: (hidden_size, hidden_size).
        bias_ih, bias_hh: (hidden_size,) each.

    Returns:
        The new hidden state h', (batch, hidden_size).

    Source: Elman 1990; the two biases are PyTorch's.
    Chapter: 01-sequences.
    """
    return torch.tanh(x @ weight_ih.T + bias_ih + state @ weight_hh.T + bias_hh)


def lstm_step(
    x: Tensor,
    state: tuple[Tensor, Tensor],
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: what to forget, what to write, what to show.

        [i f g o] = W_ih x + b_ih + W_hh h + b_hh
        c' = σ(f) ⊙ c + σ(i) ⊙ tanh(g)
        h' = σ(o) ⊙ tanh(c')

    Args:
        x: the input of this step, (batch, input_size).
        state: the previous hidden state h and cell state c, (batch, hidden_size) each.
        weight_ih: (4 * hidden_size, input_size), rows in the order input, forget, cell, output.
        weight_hh: (4 * hidden_size, hidden_size), the same order.
        bias_ih, bias_hh: (4 * hidden_size,) each, the same order.

    Returns:
        The new hidden state h' and cell state c', (batch, hidden_size) each.

    Source: Gers et al. 2000, section 3; gate order of torch.nn.LSTM.
    Chapter: 01-sequences.
    """
    h, c = state
    gates = x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh  # (batch, 4 * hidden_size)
    input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=-1)  # (batch, hidden_size) each
    c = forget_gate.sigmoid() * c + input_gate.sigmoid() * candidate.tanh()
    h = output_gate.sigmoid() * c.tanh()
    return h, c


def gru_step(
    x: Tensor, state: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> Tensor:
    """One step of a GRU: a mixture of the old state and a candidate.

        r = σ(W_ir x + b_ir + W_hr h + b_hr)
        z = σ(W_iz x + b_iz + W_hz h + b_hz)
        n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))
        h' = (1 - z) ⊙ n + z ⊙ h

    The reset gate r acts on the product W_hn h + b_hn, as in PyTorch; Cho et al. apply it to h before the product.
    Their z is also PyTorch's: where it is 1, the old state stays.

    Args:
        x: the input of this step, (batch, input_size).
        state: the previous hidden state h, (batch, hidden_size).
        weight_ih: (3 * hidden_size, input_size), rows in the order reset, update, candidate.
        weight_hh: (3 * hidden_size, hidden_size), the same order.
        bias_ih, bias_hh: (3 * hidden_size,) each, the same order.

    Returns:
        The new hidden state h', (batch, hidden_size).

    Source: Cho et al. 2014, section 2.3; form and gate order of torch.nn.GRU.
    Chapter: 01-sequences.
    """
    reset_x, update_x, candidate_x = (x @ weight_ih.T + bias_ih).chunk(3, dim=-1)  # (batch, hidden_size) each
    reset_h, update_h, candidate_h = (state @ weight_hh.T + bias_hh).chunk(3, dim=-1)
    reset = (reset_x + reset_h).sigmoid()
    update = (update_x + update_h).sigmoid()
    candidate = (candidate_x + reset * candidate_h).tanh()
    return (1 - update) * candidate + update * state


def unroll(
    step: Callable[[Tensor, State], State], x: Tensor, state: State, lengths: Tensor | None = None
) -> tuple[Tensor, State]:
    """Walk a step along a padded batch; a sequence that has ended keeps its last valid state.

    Args:
        step: takes the input of one time (batch, input_size) and the state, gives the new state. A state is h,
            or a pair (h, c), of (batch, hidden_size) each.
        x: the inputs, padded at the end, (batch, length, input_size), length >= 1.
        state: the state before the first step.
        lengths: number of valid inputs of each sequence, (batch,). None: all are valid.

    Returns:
        The hidden state h after each step, (batch, length, hidden_size), zeros where the input is padding; and
        the state after the last valid step of each sequence, of the form of `state`.

    Source: the zeros are those of torch.nn.utils.rnn.pad_packed_sequence.
    Chapter: 01-sequences.
    """
    outputs = []
    for time in range(x.shape[1]):
        new = step(x[:, time], state)
        if lengths is None:
            state = new
            outputs.append(hidden(state))
        else:
            valid = (time < lengths)[:, None]  # (batch, 1)
            state = choose(valid, new, state)
            outputs.append(hidden(state).where(valid, 0.0))
    return torch.stack(outputs, dim=1), state


def hidden(state: State) -> Tensor:
    """The part of a state that others see: h of (h, c), or the state itself."""
    return state[0] if isinstance(state, tuple) else state


def choose(condition: Tensor, new: State, old: State) -> State:
    """The new state where the condition holds, else the old one."""
    if isinstance(new, tuple):
        return new[0].where(condition, old[0]), new[1].where(condition, old[1])
    assert isinstance(old, Tensor)
    return new.where(condition, old)


def reverse_padded(x: Tensor, lengths: Tensor) -> Tensor:
    """Turn each sequence round within its own length; the padding stays at the end.

    Args:
        x: padded sequences, (batch, length, ...).
        lengths: number of valid entries of each, (batch,).

    Returns:
        The same shape as x.

    Source: Schuster and Paliwal 1997 (the backward half of a bidirectional network).
    Chapter: 01-sequences.
    """
    time = torch.arange(x.shape[1])  # (length,)
    mirrored = torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)  # (batch, length)
    return x[torch.arange(x.shape[0])[:, None], mirrored]


class _Recurrent(nn.Module):
    """A stack of recurrent layers, one or both directions, around one step.

    Args:
        input_size: width of the inputs.
        hidden_size: width of the state of one direction.
        num_layers: each layer above the first reads the outputs of the one below.
        bidirectional: run a second network from the end to the start, and put both outputs side by side.

    The weights bear PyTorch's names: weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, with l1, l2 … for
    the layers above and `_reverse` behind them for the second direction. They start out uniform between
    ±1/√hidden_size.
    """

    step: Callable[..., State]
    num_gates: int
    has_cell_state = False

    def __init__(self, *, input_size: int, hidden_size: int, num_layers: int = 1, bidirectional: bool = False) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.directions = ("", "_reverse") if bidirectional else ("",)
        bound = 1 / math.sqrt(hidden_size)
        rows = self.num_gates * hidden_size
        for layer in range(num_layers):
            width = input_size if layer == 0 else len(self.directions) * hidden_size
            for direction in self.directions:
                for name, *shape in (
                    ("weight_ih", rows, width),
                    ("weight_hh", rows, hidden_size),
                    ("bias_ih", rows),
                    ("bias_hh", rows),
                ):
                    weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
                    self.register_parameter(f"{name}_l{layer}{direction}", weight)

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Run along a padded batch.

        Args:
            x: (batch, length, input_size), padded at the end.
            state: what to start from, (num_layers * directions, batch, hidden_size), for an LSTM a pair of them.
                None: zeros.
            lengths: number of valid inputs of each sequence, (batch,). None: all are valid.

        Returns:
            The top layer's outputs, (batch, length, directions * hidden_size), zeros at padding; and the last
            valid states of all layers and directions, of the form of `state`.
        """
        if state is None:
            zeros = x.new_zeros(self.num_layers * len(self.directions), x.shape[0], self.hidden_size)
            state = (zeros, zeros) if self.has_cell_state else zeros
        last_states: list[Any] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in self.directions:
                index = len(last_states)
                start = (state[0][index], state[1][index]) if isinstance(state, tuple) else state[index]
                output, last = self._run(x, start, lengths, f"_l{layer}{direction}", backward=direction != "")
                outputs.append(output)
                last_states.append(last)
            x = torch.cat(outputs, dim=-1)
        if self.has_cell_state:
            return x, (torch.stack([h for h, _ in last_states]), torch.stack([c for _, c in last_states]))
        return x, torch.stack([hidden(last) for last in last_states])

    def _run(
        self, x: Tensor, state: State, lengths: Tensor | None, suffix: str, *, backward: bool
    ) -> tuple[Tensor, State]:
        """One layer in one direction."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = {name: self.get_parameter(name + suffix) for name in names}
        step = partial(type(self).step, **weights)
        if not backward:
            return unroll(step, x, state, lengths)
        ends = torch.full((x.shape[0],), x.shape[1]) if lengths is None else lengths
        outputs, last = unroll(step, reverse_padded(x, ends), state, lengths)
        return reverse_padded(outputs, ends), last


class RNN(_Recurrent):
    """A stack of plain recurrent layers, equal to torch.nn.RNN(..., batch_first=True). See `rnn_step`.

    Source: Elman 1990.
    Chapter: 01-sequences.
    """

    step = staticmethod(rnn_step)
    num_gates = 1


class LSTM(_Recurrent):
    """A stack of LSTM layers, equal to torch.nn.LSTM(..., batch_first=True). See `lstm_step`.

    Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000.
    Chapter: 01-sequences.
    """

    step = staticmethod(lstm_step)
    num_gates = 4
    has_cell_state = True


class GRU(_Recurrent):
    """A stack of GRU layers, equal to torch.nn.GRU(..., batch_first=True). See `gru_step`.

    Source: Cho et al. 2014, section 2.3.
    Chapter: 01-sequences.
    """

    step = staticmethod(gru_step)
    num_gates = 3


def raise_memory_bias(model: nn.Module, amount: float) -> None:
    """Let every LSTM and GRU in a model begin by remembering: add to the bias of the gate that keeps the old state.

    That is the forget gate of an LSTM and the update gate of a GRU. With the usual first weights they stand near
    1/2, so that after t steps about 2^(-t) of a state is left, and as much of its gradient.

    Args:
        model: a model that holds LSTMs or GRUs, ours or PyTorch's; other layers, a plain RNN among them, stay as
            they are.
        amount: what to add, in all layers and directions.

    Source: Gers et al. 2000, section 4; Jozefowicz et al., "An Empirical Exploration of Recurrent Network
        Architectures", 2015, section 2.2.
    Chapter: 01-sequences.
    """
    for module in model.modules():
        if not isinstance(module, LSTM | GRU | nn.LSTM | nn.GRU):
            continue
        size = module.hidden_size
        with torch.no_grad():
            for name, bias in module.named_parameters():
                if name.startswith("bias_hh"):
                    bias[size : 2 * size] += amount  # the second block: forget (i f g o), update (r z n)


def gradient_norms(network: nn.Module, x: Tensor) -> Tensor:
    """How much each input still matters at the end: the length of ∂L/∂x_t for L = ½ Σ h_T².

    Args:
        network: a recurrent network, ours or PyTorch's with batch_first=True, one direction.
        x: inputs, (batch, length, input_size).

    Returns:
        The norm of the gradient by each input, averaged over the batch, (length,). Divide by the last one to see
        how it decays with distance.

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013,
        section 2.
    Chapter: 01-sequences.
    """
    x = x.detach().requires_grad_()
    outputs, _ = network(x)
    (gradient,) = torch.autograd.grad(outputs[:, -1].square().sum() / 2, x)
    return gradient.norm(dim=-1).mean(dim=0)
