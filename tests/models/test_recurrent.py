"""Recurrent networks against torch.nn.RNN, LSTM and GRU with copied weights, and against numbers worked by hand."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils._pytree import tree_leaves

from course_lib.models.recurrent import (
    GRU,
    LSTM,
    RNN,
    gradient_norms,
    gru_step,
    lstm_step,
    raise_memory_bias,
    reverse_padded,
    rnn_step,
    unroll,
)

OURS: dict[str, Any] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
THEIRS: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
CELLS: dict[str, Any] = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}
STEPS: dict[str, Callable[..., Any]] = {"rnn": rnn_step, "lstm": lstm_step, "gru": gru_step}


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def some_state(kind: str, *shape: int) -> Any:
    h, c = (randn(*shape, seed=seed).requires_grad_() for seed in (7, 8))
    return (h, c) if kind == "lstm" else h


def assert_same(found: Any, expected: Any, inputs: list[Tensor]) -> None:
    """Two trees of tensors agree, and so do the gradients of one random weighted sum of all their entries."""
    found, expected = tree_leaves(found), tree_leaves(expected)
    gradients = []
    for leaves in (found, expected):
        total = sum((leaf * randn(*leaf.shape, seed=seed)).sum() for seed, leaf in enumerate(leaves))
        gradients.append(torch.autograd.grad(total, inputs, retain_graph=True))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", OURS)
def test_a_step_equals_pytorchs_cell_in_values_and_gradients(kind: str) -> None:
    cell = CELLS[kind](5, 3)
    x, state = randn(4, 5).requires_grad_(), some_state(kind, 4, 3)
    weights = dict(cell.named_parameters())
    inputs = [x, *tree_leaves(state), *weights.values()]
    assert_same(STEPS[kind](x, state, **weights), cell(x, state), inputs)


def test_an_lstm_step_with_one_unit_is_worked_by_hand() -> None:
    # Gates before their functions: input 0, forget ln 3, cell atanh(1/2), output -ln 3.
    bias = torch.tensor([0.0, math.log(3), math.atanh(0.5), -math.log(3)])
    zeros = torch.zeros(4, 1)
    h, c = lstm_step(torch.ones(1, 1), (torch.ones(1, 1), torch.full((1, 1), 2.0)), zeros, zeros, bias, torch.zeros(4))
    assert c.item() == pytest.approx(3 / 4 * 2 + 1 / 2 * 1 / 2)
    assert h.item() == pytest.approx(1 / 4 * math.tanh(1.75))


def test_a_gru_with_an_open_update_gate_keeps_its_state_and_with_a_closed_one_forgets_it() -> None:
    x, state = randn(2, 3), randn(2, 4, seed=1)
    weight_ih, weight_hh = torch.zeros(12, 3), torch.zeros(12, 4)
    for update, expected in ((50.0, state), (-50.0, torch.zeros(2, 4))):
        bias = torch.cat([torch.zeros(4), torch.full((4,), update), torch.zeros(4)])
        torch.testing.assert_close(gru_step(x, state, weight_ih, weight_hh, bias, torch.zeros(12)), expected)


def test_a_gru_resets_the_product_and_not_the_state() -> None:
    bias_hh = torch.tensor([-50.0, -50.0, 3.0])  # reset and update closed: nothing of the hidden product is left
    found = gru_step(torch.zeros(1, 1), torch.ones(1, 1), torch.zeros(3, 1), torch.ones(3, 1), torch.zeros(3), bias_hh)
    assert abs(found.item()) < 1e-12


def pair_of(kind: str, num_layers: int, bidirectional: bool) -> tuple[nn.Module, nn.Module]:
    sizes = {"input_size": 5, "hidden_size": 3, "num_layers": num_layers, "bidirectional": bidirectional}
    ours, theirs = OURS[kind](**sizes), THEIRS[kind](**sizes, batch_first=True)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize(("num_layers", "bidirectional"), [(1, False), (1, True), (3, False), (2, True)])
@pytest.mark.parametrize("given_state", [False, True])
def test_a_stack_equals_pytorchs_with_copied_weights(
    kind: str, num_layers: int, bidirectional: bool, given_state: bool
) -> None:
    ours, theirs = pair_of(kind, num_layers, bidirectional)
    x = randn(4, 6, 5).requires_grad_()
    state = some_state(kind, num_layers * (1 + bidirectional), 4, 3) if given_state else None
    found, expected = ours(x, state), theirs(x, state)
    assert_same(found, expected, [x, *(tree_leaves(state) if given_state else [])])
    for module, result in ((ours, found), (theirs, expected)):
        sum(leaf.square().sum() for leaf in tree_leaves(result)).backward()
        assert all(parameter.grad is not None for parameter in module.parameters())
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name).grad, parameter.grad)


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize(("num_layers", "bidirectional"), [(1, False), (2, True)])
def test_lengths_do_what_pytorchs_packing_does(kind: str, num_layers: int, bidirectional: bool) -> None:
    ours, theirs = pair_of(kind, num_layers, bidirectional)
    x, lengths = randn(4, 6, 5).requires_grad_(), torch.tensor([3, 6, 1, 4])
    state = some_state(kind, num_layers * (1 + bidirectional), 4, 3)
    packed, last = theirs(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False), state)
    expected = (pad_packed_sequence(packed, batch_first=True)[0], last)
    assert_same(ours(x, state, lengths), expected, [x, *tree_leaves(state)])


@pytest.mark.parametrize("kind", OURS)
def test_weights_copy_back_to_pytorch_and_start_within_its_bounds(kind: str) -> None:
    _, theirs = pair_of(kind, 2, True)
    fresh = OURS[kind](input_size=5, hidden_size=3, num_layers=2, bidirectional=True)
    theirs.load_state_dict(fresh.state_dict())
    x = randn(2, 4, 5)
    torch.testing.assert_close(fresh(x)[0], theirs(x)[0])
    largest = max(parameter.abs().max().item() for parameter in fresh.parameters())
    assert 0.9 / math.sqrt(3) < largest <= 1 / math.sqrt(3)


@pytest.mark.parametrize("kind", OURS)
def test_unroll_takes_the_last_valid_state_whatever_the_padding_holds(kind: str) -> None:
    cell = CELLS[kind](5, 3)
    weights = dict(cell.named_parameters())

    def step(x: Tensor, state: Any) -> Any:
        return STEPS[kind](x, state, **weights)

    x, lengths, start = randn(3, 7, 5), torch.tensor([7, 2, 4]), some_state(kind, 3, 3)
    other = x.clone()
    for row, length in enumerate(lengths):
        other[row, length:] = torch.nan
    outputs, last = unroll(step, other, start, lengths)
    for row, length in enumerate(lengths.tolist()):
        start_row = tuple(part[row : row + 1] for part in start) if kind == "lstm" else start[row : row + 1]
        alone, alone_last = unroll(step, x[row : row + 1, :length], start_row)
        torch.testing.assert_close(outputs[row, :length], alone[0])
        assert (outputs[row, length:] == 0).all()
        for part, alone_part in zip(tree_leaves(last), tree_leaves(alone_last), strict=True):
            torch.testing.assert_close(part[row], alone_part[0])


def test_unroll_walks_any_step() -> None:
    x = torch.tensor([[[1.0], [2.0], [4.0]], [[8.0], [16.0], [99.0]]])
    outputs, last = unroll(lambda x, state: state + x, x, torch.zeros(2, 1), torch.tensor([3, 2]))
    assert outputs.squeeze(-1).tolist() == [[1, 3, 7], [8, 24, 0]]
    assert last.tolist() == [[7], [24]]


def test_reversing_keeps_the_padding_at_the_end() -> None:
    x = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0], [7, 0, 0, 0]])
    lengths = torch.tensor([4, 2, 1])
    assert reverse_padded(x, lengths).tolist() == [[4, 3, 2, 1], [6, 5, 0, 0], [7, 0, 0, 0]]
    assert torch.equal(reverse_padded(reverse_padded(x, lengths), lengths), x)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("networks", [OURS, THEIRS])
def test_raising_the_memory_bias_makes_a_state_last(kind: str, networks: dict[str, Any]) -> None:
    layout = {"batch_first": True} if networks is THEIRS else {}
    network = networks[kind](input_size=5, hidden_size=3, num_layers=2, **layout)
    model = nn.Sequential(nn.Linear(5, 5), network)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    raise_memory_bias(model, 60.0)
    for name, parameter in model.named_parameters():
        raised = torch.zeros_like(parameter)
        if "bias_hh" in name:
            raised[3:6] = 60.0
        torch.testing.assert_close(parameter, before[name] + raised)
    if kind == "lstm":  # close the input gates as well, so that nothing new is written
        with torch.no_grad():
            for layer in range(2):
                network.get_parameter(f"bias_hh_l{layer}")[:3] -= 60.0
    state = some_state(kind, 2, 1, 3)
    _, last = network(torch.zeros(1, 50, 5), state)
    torch.testing.assert_close(last[1] if kind == "lstm" else last, state[1] if kind == "lstm" else state)


def test_gradient_norms_are_those_of_a_network_worked_by_hand() -> None:
    network = RNN(input_size=1, hidden_size=1)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_({"weight_ih_l0": 2.0, "weight_hh_l0": 0.5}.get(name, 0.0))
    x = torch.tensor([[[0.1], [-0.3]]])
    first = math.tanh(2 * 0.1)
    last = math.tanh(2 * -0.3 + first / 2)
    by_last = abs(last) * (1 - last**2) * 2
    expected = torch.tensor([by_last / 2 * (1 - first**2), by_last])
    torch.testing.assert_close(gradient_norms(network, x), expected)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gradients_vanish_in_a_plain_network_and_last_with_open_gates(seed: int) -> None:
    torch.manual_seed(seed)
    x = randn(4, 51, 16, seed=seed)
    decay = {}
    for kind, amount in (("rnn", 0.0), ("lstm", 0.0), ("lstm", 3.0), ("gru", 3.0)):
        network = THEIRS[kind](16, 16, batch_first=True)
        raise_memory_bias(network, amount)
        norms = gradient_norms(network, x)
        decay[kind, amount] = (norms[0] / norms[-1]).item()
    assert decay["rnn", 0.0] < 1e-9 and decay["lstm", 0.0] < 1e-6
    assert decay["lstm", 3.0] > 1e-2 and decay["gru", 3.0] > 1e-3
