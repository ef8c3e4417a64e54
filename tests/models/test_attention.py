"""Attention against PyTorch's own layers with copied weights, hand-worked numbers, and the properties it promises."""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from course_lib.models.attention import (
    CrossAttention,
    MultiHeadAttention,
    RotarySelfAttention,
    SelfAttention,
    attention_cost,
    causal_mask,
    contextual_embedding,
    fused_attention,
    merge_heads,
    permutation_error,
    scaled_dot_product_attention,
    split_heads,
    tiled_attention,
)
from course_lib.models.positions import apply_rope, sinusoidal_positions


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_qkv(*leading: int, n: int, m: int, head_dim: int = 6, d_value: int = 5) -> list[Tensor]:
    shapes = [(*leading, n, head_dim), (*leading, m, head_dim), (*leading, m, d_value)]
    return [randn(*shape, seed=seed).requires_grad_() for seed, shape in enumerate(shapes)]


def random_mask(*shape: int, seed: int = 0, empty_rows: bool = False) -> Tensor:
    mask = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.6
    if empty_rows:
        mask[..., 1, :] = False
    else:
        mask[..., 0] = True
    return mask


def assert_same_gradients(found: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    """The two outputs and the gradients of one random weighted sum of them agree."""
    torch.testing.assert_close(found, expected)
    upstream = randn(*expected.shape, seed=99)
    for gradient, wanted in zip(
        torch.autograd.grad(found, inputs, upstream, retain_graph=True),
        torch.autograd.grad(expected, inputs, upstream, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(gradient, wanted)


# The parameter-free form


def test_contextual_embedding_of_two_unit_vectors_is_worked_by_hand() -> None:
    own, other = math.e / (math.e + 1), 1 / (math.e + 1)
    expected = torch.tensor([[own, other], [other, own]])
    torch.testing.assert_close(contextual_embedding(torch.eye(2)), expected)


def test_contextual_embedding_is_unscaled_attention_of_the_words_to_themselves() -> None:
    x = randn(2, 5, 4)
    torch.testing.assert_close(contextual_embedding(x), F.scaled_dot_product_attention(x, x, x, scale=1.0))


def test_contextual_embedding_loses_the_order_of_the_words() -> None:
    x, permutation = randn(2, 7, 4), torch.randperm(7)
    assert permutation_error(contextual_embedding, x, permutation) < 1e-12


# Scaled dot-product attention


def test_the_worked_example_of_money_and_bank() -> None:
    embeddings = [[2, 7], [9, 3]]
    matrices = {"q": [[2, 1], [1, 2]], "k": [[3, 4], [5, 1]], "v": [[4, 1], [2, 1]]}

    def times(x: list[int], matrix: list[list[int]]) -> list[Fraction]:
        return [sum(Fraction(x[i]) * matrix[i][j] for i in range(2)) for j in range(2)]

    query, key, value = ([times(x, matrices[name]) for x in embeddings] for name in "qkv")
    assert query == [[11, 16], [21, 15]] and key == [[41, 15], [42, 39]] and value == [[22, 9], [42, 12]]
    expected_weights, expected_output = [], []
    for q in query:
        to_money, to_bank = (float(q[0] * k[0] + q[1] * k[1]) / math.sqrt(2) for k in key)
        money = 1 / (1 + math.exp(to_bank - to_money))
        bank = 1 / (1 + math.exp(to_money - to_bank))
        expected_weights.append([money, bank])
        expected_output.append([money * float(value[0][j]) + bank * float(value[1][j]) for j in range(2)])

    x = torch.tensor(embeddings, dtype=torch.float64)
    w_q, w_k, w_v = (torch.tensor(matrices[name], dtype=torch.float64) for name in "qkv")
    output, weights = scaled_dot_product_attention(x @ w_q, x @ w_k, x @ w_v)
    torch.testing.assert_close(weights, torch.tensor(expected_weights), rtol=1e-9, atol=0.0)
    torch.testing.assert_close(output, torch.tensor(expected_output), rtol=1e-12, atol=0.0)

    layer = SelfAttention(d_model=2, head_dim=2)
    layer.load_state_dict({"qkv_projection.weight": torch.cat((w_q, w_k, w_v), dim=1).T})
    torch.testing.assert_close(layer(x[None])[0][0], output)


@pytest.mark.parametrize("attention", [lambda *inputs: scaled_dot_product_attention(*inputs)[0], fused_attention])
@pytest.mark.parametrize("mask_shape", [None, (5, 7), (2, 1, 5, 7), (2, 3, 5, 7), (1, 7), (7,)])
def test_values_and_gradients_equal_pytorch(
    attention: Callable[..., Tensor], mask_shape: tuple[int, ...] | None
) -> None:
    inputs = random_qkv(2, 3, n=5, m=7)
    mask = None if mask_shape is None else random_mask(*mask_shape)
    # PyTorch takes a mask with fewer than two axes only when it is expanded.
    full_mask = None if mask is None else mask.expand(2, 3, 5, 7)
    expected = F.scaled_dot_product_attention(*inputs, attn_mask=full_mask)
    assert_same_gradients(attention(*inputs, mask), expected, inputs)


@settings(deadline=None, max_examples=40)
@given(
    leading=st.lists(st.integers(1, 3), max_size=2),
    n=st.integers(1, 6),
    m=st.integers(1, 6),
    head_dim=st.integers(1, 5),
    d_value=st.integers(1, 5),
    tile_size=st.integers(1, 7),
    seed=st.integers(0, 1000),
)
def test_shapes_and_values_agree_for_any_sizes(
    leading: list[int], n: int, m: int, head_dim: int, d_value: int, tile_size: int, seed: int
) -> None:
    query, key, value = random_qkv(*leading, n=n, m=m, head_dim=head_dim, d_value=d_value)
    mask = torch.rand(*leading, n, m, generator=torch.Generator().manual_seed(seed)) < 0.5
    output, weights = scaled_dot_product_attention(query, key, value, mask)
    assert output.shape == (*leading, n, d_value)
    assert weights.shape == (*leading, n, m)
    assert (weights[~mask] == 0).all()
    torch.testing.assert_close(weights.sum(-1), mask.any(-1).to(weights))
    torch.testing.assert_close(fused_attention(query, key, value, mask), output)
    dense, _ = scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(tiled_attention(query, key, value, tile_size=tile_size), dense)


def test_each_row_of_the_weights_sums_to_one() -> None:
    _, weights = scaled_dot_product_attention(*random_qkv(2, 3, n=5, m=7))
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3, 5))


def test_a_query_with_nothing_allowed_gets_zeros_with_zero_gradients() -> None:
    inputs = random_qkv(2, 3, n=5, m=7)
    mask = random_mask(5, 7, empty_rows=True)
    with torch.autograd.set_detect_anomaly(True):
        output, weights = scaled_dot_product_attention(*inputs, mask)
        gradients = torch.autograd.grad(output.sum() + weights.square().sum(), inputs)
    assert (weights[..., 1, :] == 0).all()
    assert (output[..., 1, :] == 0).all()
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert (gradients[0][..., 1, :] == 0).all()


def test_other_queries_are_untouched_by_one_with_nothing_allowed() -> None:
    inputs = random_qkv(2, 3, n=5, m=7)
    mask = random_mask(5, 7, empty_rows=True)
    mask[[0, 2, 3, 4], 0] = True
    others = [0, 2, 3, 4]
    output, _ = scaled_dot_product_attention(*inputs, mask)
    query, key, value = inputs
    expected, _ = scaled_dot_product_attention(query[..., others, :], key, value, mask[others])
    assert_same_gradients(output[..., others, :], expected, inputs)


def test_fused_attention_keeps_the_convention_for_a_query_with_nothing_allowed() -> None:
    inputs = random_qkv(2, 3, n=5, m=7)
    mask = random_mask(5, 7, empty_rows=True)
    expected, _ = scaled_dot_product_attention(*inputs, mask)
    output = fused_attention(*inputs, mask)
    assert (output[..., 1, :] == 0).all()
    assert_same_gradients(output, expected, inputs)


def test_a_blocked_key_changes_nothing() -> None:
    query, key, value = random_qkv(2, n=4, m=6)
    mask = torch.ones(4, 6, dtype=torch.bool)
    mask[:, 2] = False
    output, weights = scaled_dot_product_attention(query, key, value, mask)
    other_key, other_value = key.detach().clone(), value.detach().clone()
    other_key[:, 2], other_value[:, 2] = 50.0, -50.0
    other_output, other_weights = scaled_dot_product_attention(query, other_key, other_value, mask)
    assert torch.equal(output, other_output) and torch.equal(weights, other_weights)


@pytest.mark.parametrize("attention", [scaled_dot_product_attention, fused_attention])
@pytest.mark.parametrize(
    ("shapes", "mask", "error", "message"),
    [
        ([(2, 5, 4), (2, 7, 3), (2, 7, 3)], None, ValueError, "queries are 4 wide and keys 3"),
        ([(2, 5, 4), (2, 7, 4), (2, 6, 4)], None, ValueError, "7 keys and 6 values"),
        ([(2, 3, 5, 4)] * 3, torch.ones(2, 5, 5, dtype=torch.bool), ValueError, r"\(2, 5, 5\).*mask\[:, None\]"),
        ([(5, 4)] * 3, torch.ones(2, 5, 5, dtype=torch.bool), ValueError, r"does not broadcast to \(5, 5\)"),
        ([(2, 5, 4)] * 3, torch.ones(5, 5), TypeError, "must be boolean"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_a_remedy(
    attention: Callable[..., Any],
    shapes: list[tuple[int, ...]],
    mask: Tensor | None,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        attention(*(torch.zeros(shape) for shape in shapes), mask)


# One head


def test_cross_attention_equals_pytorch_with_copied_weights() -> None:
    layer = CrossAttention(d_model=8, d_data=5, head_dim=8)
    oracle = nn.MultiheadAttention(8, 1, bias=False, kdim=5, vdim=5, batch_first=True)
    oracle.load_state_dict(
        {
            "q_proj_weight": layer.query_projection.weight.detach(),
            "k_proj_weight": layer.key_projection.weight.detach(),
            "v_proj_weight": layer.value_projection.weight.detach(),
            "out_proj.weight": torch.eye(8),
        }
    )
    queries, data = randn(2, 4, 8).requires_grad_(), randn(2, 6, 5, seed=1).requires_grad_()
    mask = random_mask(4, 6)
    output, weights = layer(queries, data, mask)
    expected, expected_weights = oracle(queries, data, data, attn_mask=~mask)
    torch.testing.assert_close(weights, expected_weights)
    assert_same_gradients(output, expected, [queries, data])


def test_self_attention_is_cross_attention_of_a_sequence_with_itself() -> None:
    layer = SelfAttention(d_model=7, head_dim=3)
    cross = CrossAttention(d_model=7, d_data=7, head_dim=3)
    parts = ["query", "key", "value"]
    weights = layer.qkv_projection.weight.detach().chunk(3)
    cross.load_state_dict({f"{part}_projection.weight": w for part, w in zip(parts, weights, strict=True)})
    x, mask = randn(2, 5, 7).requires_grad_(), random_mask(2, 5, 5)
    output, table = layer(x, mask)
    expected, expected_table = cross(x, x, mask)
    assert output.shape == (2, 5, 3) and table.shape == (2, 5, 5)
    torch.testing.assert_close(table, expected_table)
    assert_same_gradients(output, expected, [x])


def test_a_layer_names_the_input_of_the_wrong_width() -> None:
    cross = CrossAttention(d_model=4, d_data=3, head_dim=2)
    with pytest.raises(ValueError, match="queries of width 4"):
        cross(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3))
    with pytest.raises(ValueError, match="data of width 3"):
        cross(torch.zeros(1, 2, 4), torch.zeros(1, 2, 4))
    with pytest.raises(ValueError, match="x of width 4"):
        SelfAttention(d_model=4, head_dim=2)(torch.zeros(1, 2, 3))
    with pytest.raises(ValueError, match="x of width 4"):
        RotarySelfAttention(d_model=4, num_heads=2)(torch.zeros(1, 2, 3))
    heads = MultiHeadAttention(d_model=4, num_heads=2)
    for position, name in enumerate(["query", "key", "value"]):
        widths = [3 if i == position else 4 for i in range(3)]
        with pytest.raises(ValueError, match=f"{name} of width 4"):
            heads(*(torch.zeros(1, 2, width) for width in widths))


# Order


def test_permutation_error_of_a_running_sum_is_worked_by_hand() -> None:
    # F(σX) = (2, 3) and σF(X) = (3, 1).
    x, swap = torch.tensor([[[1.0], [2.0]]]), torch.tensor([1, 0])
    assert permutation_error(lambda x: x.cumsum(dim=1), x, swap).item() == 2.0


def test_permutation_error_of_a_layer_on_each_position_alone_is_zero() -> None:
    error = permutation_error(torch.tanh, randn(2, 6, 3), torch.randperm(6))
    assert error.shape == () and error == 0


@pytest.mark.parametrize("indices", [[0, 1, 1], [0, 1], [0, 1, 3]])
def test_permutation_error_refuses_what_is_not_a_permutation(indices: list[int]) -> None:
    with pytest.raises(ValueError, match=r"each of 0 \.\. 2 once"):
        permutation_error(torch.tanh, torch.zeros(1, 3, 2), torch.tensor(indices))


def test_self_attention_is_permutation_equivariant_until_positions_are_added() -> None:
    layer, x = SelfAttention(d_model=8, head_dim=4), randn(2, 9, 8)
    permutation = torch.randperm(9)
    positions = sinusoidal_positions(9, 8)
    assert permutation_error(lambda x: layer(x)[0], x, permutation) < 1e-12
    assert permutation_error(lambda x: layer(x + positions)[0], x, permutation) > 1e-2


def test_rotary_positions_break_permutation_equivariance_without_a_mask() -> None:
    def attend(x: Tensor) -> Tensor:
        return scaled_dot_product_attention(apply_rope(x), apply_rope(x), x)[0]

    x, permutation = randn(2, 9, 8), torch.randperm(9)
    assert permutation_error(lambda x: scaled_dot_product_attention(x, x, x)[0], x, permutation) < 1e-12
    assert permutation_error(attend, x, permutation) > 1e-2


def test_causal_mask_allows_itself_and_the_past() -> None:
    mask = causal_mask(4)
    assert mask.dtype == torch.bool
    assert mask.tolist() == [[key <= query for key in range(4)] for query in range(4)]


@pytest.mark.parametrize("name", ["self", "heads", "rotary"])
def test_a_causal_layer_does_not_see_the_future(name: str) -> None:
    length, mask = 8, causal_mask(8)
    self_attention = SelfAttention(d_model=8, head_dim=8)
    heads = MultiHeadAttention(d_model=8, num_heads=2)
    layers: dict[str, Callable[[Tensor], Tensor]] = {
        "self": lambda x: self_attention(x, mask)[0],
        "heads": lambda x: heads(x, x, x, mask)[0],
        "rotary": RotarySelfAttention(d_model=8, num_heads=2),
    }
    layer, x = layers[name], randn(2, length, 8)
    for now in range(length - 1):
        other = x.clone()
        other[:, now + 1 :] = randn(2, length - now - 1, 8, seed=7)
        change = (layer(other) - layer(x)).abs().amax(dim=(0, 2))  # (length,)
        assert change[: now + 1].max() < 1e-12
        assert change[now + 1 :].min() > 1e-6


# Heads


def multi_head_pair(d_model: int, num_heads: int) -> tuple[MultiHeadAttention, nn.MultiheadAttention]:
    """Our layer and PyTorch's with the same weights, biases included."""
    ours = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
    theirs = nn.MultiheadAttention(d_model, num_heads, batch_first=True)
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.copy_(randn(*parameter.shape, seed=len(name)) * d_model**-0.5)
        inputs = [ours.query_projection, ours.key_projection, ours.value_projection]
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in inputs]))
        theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in inputs]))
        theirs.out_proj.load_state_dict(ours.output_projection.state_dict())
    return ours, theirs


@pytest.mark.parametrize("masked", [False, True])
def test_without_the_weights_multi_head_attention_gives_the_same_output_and_gradients(masked: bool) -> None:
    layer = MultiHeadAttention(d_model=12, num_heads=3)
    inputs = [randn(2, length, 12, seed=seed).requires_grad_() for seed, length in enumerate((5, 7, 7))]
    mask = random_mask(2, 3, 5, 7, empty_rows=True) if masked else None
    found, weights = layer(*inputs, mask, need_weights=False)
    assert weights is None
    assert_same_gradients(found, layer(*inputs, mask)[0], [*inputs, *layer.parameters()])


@pytest.mark.parametrize("num_heads", [1, 2, 4, 8])
@pytest.mark.parametrize("masked", ["nothing", "pairs", "per head", "padding"])
def test_multi_head_attention_equals_pytorch_with_copied_weights(num_heads: int, masked: str) -> None:
    batch, n, m, d_model = 2, 4, 6, 8
    ours, theirs = multi_head_pair(d_model, num_heads)
    query, key, value = random_qkv(batch, n=n, m=m, head_dim=d_model, d_value=d_model)
    mask: Tensor | None = None
    options: dict[str, Tensor] = {}  # PyTorch's layer takes True = blocked
    if masked == "pairs":
        mask = random_mask(n, m)
        options = {"attn_mask": ~mask}
    elif masked == "per head":
        mask = random_mask(batch, num_heads, n, m)
        options = {"attn_mask": ~mask.flatten(0, 1)}
    elif masked == "padding":
        mask = torch.arange(m) < torch.tensor([6, 3])[:, None, None, None]  # (batch, 1, 1, m)
        options = {"key_padding_mask": ~mask[:, 0, 0]}
    output, weights = ours(query, key, value, mask)
    expected, expected_weights = theirs(query, key, value, need_weights=True, average_attn_weights=False, **options)
    assert weights.shape == (batch, num_heads, n, m)
    torch.testing.assert_close(weights, expected_weights)
    assert_same_gradients(output, expected, [query, key, value])

    upstream = randn(*output.shape, seed=5)
    output.backward(upstream)
    expected.backward(upstream)
    projections = [ours.query_projection, ours.key_projection, ours.value_projection]
    for name in ("weight", "bias"):
        gradient = torch.cat([getattr(projection, name).grad for projection in projections])
        torch.testing.assert_close(gradient, getattr(theirs, f"in_proj_{name}").grad)
        torch.testing.assert_close(getattr(ours.output_projection, name).grad, getattr(theirs.out_proj, name).grad)


def test_heads_are_cut_from_neighbouring_channels_and_merged_back() -> None:
    x = randn(2, 3, 8)
    heads = split_heads(x, 4)
    assert heads.shape == (2, 4, 3, 2)
    assert torch.equal(heads[:, 1], x[..., 2:4])
    assert torch.equal(merge_heads(heads), x)


@pytest.mark.parametrize("num_heads", [0, 3, 16])
def test_heads_that_do_not_share_the_channels_evenly_are_refused(num_heads: int) -> None:
    for build in (MultiHeadAttention, RotarySelfAttention):
        with pytest.raises(ValueError, match=rf"{num_heads} heads cannot share d_model = 8"):
            build(d_model=8, num_heads=num_heads)
    with pytest.raises(ValueError, match=rf"{num_heads} heads cannot share d_model = 8"):
        attention_cost(length=4, d_model=8, num_heads=num_heads)


# Tiles


@pytest.mark.parametrize(("n", "m"), [(10, 10), (7, 13), (1, 5), (5, 1)])
@pytest.mark.parametrize("tile_size", [1, 2, 3, 4, 10, 64])
def test_tiled_values_and_gradients_equal_dense_for_any_tile_size(n: int, m: int, tile_size: int) -> None:
    inputs = random_qkv(2, 2, n=n, m=m)
    expected, _ = scaled_dot_product_attention(*inputs)
    assert_same_gradients(tiled_attention(*inputs, tile_size=tile_size), expected, inputs)


@pytest.mark.parametrize("order", ["rising", "falling", "random"])
def test_tiled_attention_survives_scores_far_beyond_the_range_of_exp(order: str) -> None:
    query, key, value = (x.detach() for x in random_qkv(2, n=9, m=11))
    query[..., 0] = 1000.0
    steps = torch.arange(11.0)
    key[..., 0] = {"rising": steps, "falling": -steps, "random": 1000.0 * key[..., 0]}[order]
    tiled = tiled_attention(query, key, value, tile_size=4)
    assert tiled.isfinite().all()
    torch.testing.assert_close(tiled, scaled_dot_product_attention(query, key, value)[0])


def test_tiled_attention_passes_gradcheck() -> None:
    inputs = random_qkv(n=5, m=6, head_dim=3, d_value=2)
    assert torch.autograd.gradcheck(lambda q, k, v: tiled_attention(q, k, v, tile_size=4), inputs)


def test_tiled_attention_refuses_a_tile_without_a_query() -> None:
    with pytest.raises(ValueError, match="tile_size is 0"):
        tiled_attention(*(torch.zeros(2, 3, 4) for _ in range(3)), tile_size=0)


class LargestIntermediate(TorchDispatchMode):
    """Remembers the most entries that any one operation put out."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.numel = max([self.numel, *(output.numel() for output in outputs)])
        return result


def test_the_largest_intermediate_of_tiled_attention_grows_linearly_and_of_dense_with_the_square() -> None:
    head_dim, tile_size = 4, 16
    tiled, dense = [], []
    for length in (64, 128, 256):
        inputs = [randn(length, head_dim, seed=seed) for seed in range(3)]
        with LargestIntermediate() as largest:
            tiled_attention(*inputs, tile_size=tile_size)
        tiled.append(largest.numel)
        with LargestIntermediate() as largest:
            scaled_dot_product_attention(*inputs)
        dense.append(largest.numel)
    assert tiled == [max(tile_size**2, length * head_dim) for length in (64, 128, 256)]
    assert dense == [length**2 for length in (64, 128, 256)]


# Cost


@pytest.mark.parametrize(("length", "d_model", "num_heads"), [(10, 8, 1), (10, 8, 4), (33, 12, 3), (1, 6, 2)])
def test_attention_cost_equals_what_pytorch_counts_on_the_layer(length: int, d_model: int, num_heads: int) -> None:
    layer, x = MultiHeadAttention(d_model=d_model, num_heads=num_heads), randn(1, length, d_model)
    with FlopCounterMode(display=False) as counter:
        _, weights = layer(x, x, x)
    flops = {str(operation): count for operation, count in counter.get_flop_counts()["Global"].items()}
    cost = attention_cost(length=length, d_model=d_model, num_heads=num_heads)
    # One multiply-add is two floating-point operations.
    assert flops["aten.addmm"] == 2 * (cost["qkv_projection"] + cost["output_projection"])
    assert flops["aten.bmm"] == 2 * (cost["scores"] + cost["weighting"])
    assert counter.get_total_flops() == 2 * cost["total"]
    assert weights.numel() == cost["weight_floats"]


def test_attention_cost_of_one_head_equals_what_pytorch_counts_on_self_attention() -> None:
    layer, x = SelfAttention(d_model=8, head_dim=8), randn(1, 20, 8)
    with FlopCounterMode(display=False) as counter:
        layer(x)
    cost = attention_cost(length=20, d_model=8, num_heads=1)
    assert counter.get_total_flops() == 2 * (cost["total"] - cost["output_projection"])


# Rotary heads


def test_rotary_self_attention_equals_its_parts_written_out() -> None:
    layer, x = RotarySelfAttention(d_model=12, num_heads=3), randn(2, 7, 12).requires_grad_()
    heads = []
    for h in range(3):
        query, key, value = (
            projection(x)[..., 4 * h : 4 * h + 4]
            for projection in (layer.query_projection, layer.key_projection, layer.value_projection)
        )
        heads.append(F.scaled_dot_product_attention(apply_rope(query), apply_rope(key), value, is_causal=True))
    expected = layer.output_projection(torch.cat(heads, dim=-1))
    assert_same_gradients(layer(x), expected, [x])


def test_rotary_self_attention_does_not_depend_on_the_offset() -> None:
    layer, x = RotarySelfAttention(d_model=8, num_heads=2), randn(2, 6, 8)
    torch.testing.assert_close(layer(x, offset=37), layer(x))


def test_rotary_self_attention_tells_orders_of_the_past_apart() -> None:
    layer, x = RotarySelfAttention(d_model=8, num_heads=2), randn(1, 6, 8)
    swapped = x[:, [1, 0, 2, 3, 4, 5]]
    assert (layer(swapped) - layer(x))[:, 2:].abs().amin(dim=0).max() > 1e-3
    heads, mask = MultiHeadAttention(d_model=8, num_heads=2), causal_mask(6)
    torch.testing.assert_close(heads(swapped, swapped, swapped, mask)[0][:, 2:], heads(x, x, x, mask)[0][:, 2:])


def test_rotary_self_attention_refuses_heads_of_odd_width() -> None:
    with pytest.raises(ValueError, match="head_dim = 6 / 2 is odd"):
        RotarySelfAttention(d_model=6, num_heads=2)
