"""The modern block against PyTorch's own layers with copied weights, closed forms, and what it promises."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmarks.models.twins import ModernTwin, pre_norm_twin
from course_lib.models.attention import causal_mask
from course_lib.models.modern import (
    BlockLM,
    GELUFeedForward,
    MixtureOfExperts,
    PreNormBlock,
    RMSNorm,
    SwiGLU,
    load_balance_loss,
    parameter_counts,
    recorded_routing,
    rms_norm,
    top_k_routing,
)
from course_lib.models.transformer import EncoderBlock, FeedForward


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def spread_out(module: nn.Module) -> Any:
    """The module with weights that leave nothing at its first value, norms included."""
    for seed, parameter in enumerate(module.parameters()):
        parameter.data = 0.4 * randn(*parameter.shape, seed=seed)
    return module.eval()


def assert_same_gradients(found: Tensor, expected: Tensor, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    """The two outputs agree, and so do the gradients of one random weighted sum of them by each pair of inputs."""
    torch.testing.assert_close(found, expected)
    upstream = randn(*expected.shape, seed=99)
    for gradient, wanted in zip(
        torch.autograd.grad(found, ours, upstream), torch.autograd.grad(expected, theirs, upstream), strict=True
    ):
        torch.testing.assert_close(gradient, wanted)


SIZES: dict[str, Any] = {"d_model": 12, "num_heads": 3, "dim_feedforward": 20}


# Norm


def test_rms_norm_of_two_numbers_is_worked_by_hand() -> None:
    x = torch.tensor([1.0, 7.0])  # mean square (1 + 49) / 2 = 25
    torch.testing.assert_close(rms_norm(x, torch.ones(2), eps=0.0), torch.tensor([0.2, 1.4]))
    torch.testing.assert_close(rms_norm(x, torch.tensor([10.0, 5.0]), eps=0.0), torch.tensor([2.0, 7.0]))


@settings(deadline=None, max_examples=30)
@given(
    leading=st.lists(st.integers(1, 3), max_size=3),
    width=st.integers(1, 8),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    eps=st.sampled_from([1e-5, 1e-2]),
    seed=st.integers(0, 1000),
)
def test_rms_norm_equals_pytorch_in_values_and_gradients(
    leading: list[int], width: int, scale: float, eps: float, seed: int
) -> None:
    x, weight = (scale * randn(*leading, width, seed=seed)).requires_grad_(), randn(width, seed=1).requires_grad_()
    layer, theirs = RMSNorm(width, eps=eps), nn.RMSNorm(width, eps=eps)
    layer.weight.data, theirs.weight.data = weight.data.clone(), weight.data.clone()
    assert_same_gradients(layer(x), theirs(x), [x, layer.weight], [x, theirs.weight])
    torch.testing.assert_close(rms_norm(x, weight, eps=eps), theirs(x))


def test_rms_norm_knows_the_direction_of_a_vector_and_not_its_length() -> None:
    x = randn(3, 5)
    ones = torch.ones(5)
    torch.testing.assert_close(rms_norm(x, ones, eps=0.0), rms_norm(7.0 * x, ones, eps=0.0))
    torch.testing.assert_close(rms_norm(x, ones, eps=0.0).square().mean(-1), torch.ones(3))


def test_where_the_mean_is_zero_the_two_norms_agree() -> None:
    x = randn(4, 6)
    x = x - x.mean(-1, keepdim=True)
    torch.testing.assert_close(rms_norm(x, torch.ones(6)), F.layer_norm(x, (6,)))


# Networks


def test_swiglu_is_its_equation_for_each_position_alone() -> None:
    layer: SwiGLU = spread_out(SwiGLU(d_model=3, dim_feedforward=5))
    x = randn(2, 4, 3)
    found = layer(x)
    for row in range(2):
        for position in range(4):
            z = layer.gate_projection.weight @ x[row, position]
            gated = z / (1 + (-z).exp()) * (layer.value_projection.weight @ x[row, position])
            torch.testing.assert_close(found[row, position], layer.output_projection.weight @ gated)
    with pytest.raises(ValueError, match="expects x of width 3"):
        layer(randn(2, 4, 5))


def test_a_closed_gate_lets_nothing_pass_and_a_wide_open_one_multiplies() -> None:
    layer = SwiGLU(d_model=1, dim_feedforward=1)
    for parameter in layer.parameters():
        parameter.data.fill_(1.0)
    x = torch.tensor([[-40.0], [0.0], [40.0]])
    torch.testing.assert_close(layer(x), torch.tensor([[0.0], [0.0], [1600.0]]))


def test_swiglu_of_two_thirds_of_the_width_has_as_many_weights_as_the_network_of_2017() -> None:
    swiglu, plain = SwiGLU(d_model=6, dim_feedforward=16), FeedForward(d_model=6, dim_feedforward=24)
    assert sum(p.numel() for p in swiglu.parameters()) == sum(p.numel() for p in plain.parameters() if p.dim() == 2)


def test_gelu_is_the_number_times_the_share_of_a_normal_distribution_below_it() -> None:
    layer: GELUFeedForward = spread_out(GELUFeedForward(d_model=3, dim_feedforward=5))
    x = randn(4, 3)
    z = layer.linear1(x)
    below = torch.distributions.Normal(0.0, 1.0).cdf(z)
    torch.testing.assert_close(layer(x), layer.linear2(z * below))
    with pytest.raises(ValueError, match="expects x of width 3"):
        layer(randn(4, 5))


# Block


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("network", [FeedForward, GELUFeedForward])
def test_a_pre_norm_block_of_layer_norms_equals_pytorchs_with_the_norm_first(
    network: type[FeedForward], masked: bool
) -> None:
    block: PreNormBlock = spread_out(PreNormBlock(**SIZES, norm=nn.LayerNorm, feed_forward=network))
    theirs = pre_norm_twin(block)
    x = randn(2, 5, 12, seed=50).requires_grad_()
    mask = causal_mask(5) if masked else None
    found = block(x, mask)
    expected = theirs(x, src_mask=None if mask is None else ~mask)
    named = dict(block.named_parameters())
    ours = [x, named["norm1.weight"], named["norm2.bias"], named["feed_forward.linear1.weight"]]
    pytorchs = [x, theirs.norm1.weight, theirs.norm2.bias, theirs.linear1.weight]
    assert_same_gradients(found, expected, ours, pytorchs)


def test_the_block_of_today_equals_one_built_from_pytorchs_layers() -> None:
    block: PreNormBlock = spread_out(PreNormBlock(**SIZES))
    theirs = ModernTwin(block)
    x, mask = randn(2, 5, 12, seed=50).requires_grad_(), causal_mask(5)
    named = dict(block.named_parameters())
    ours = [x, named["norm1.weight"], named["norm2.weight"], named["feed_forward.gate_projection.weight"]]
    pytorchs = [x, theirs.norm1.weight, theirs.norm2.weight, theirs.gate_projection.weight]
    assert_same_gradients(block(x, mask), theirs(x, src_mask=~mask), ours, pytorchs)


def test_a_block_whose_sub_layers_give_zeros_is_the_identity() -> None:
    block = PreNormBlock(**SIZES)
    for name, parameter in block.named_parameters():
        if "output_projection" in name:
            parameter.data.zero_()
    x = randn(2, 5, 12)
    assert torch.equal(block(x), x)


def test_sub_layers_see_the_direction_of_their_input_only() -> None:
    block: PreNormBlock = spread_out(PreNormBlock(**SIZES, norm=partial(RMSNorm, eps=0.0)))
    block.feed_forward = spread_out(SwiGLU(d_model=12, dim_feedforward=20))
    for parameter in block.feed_forward.parameters():
        parameter.data.zero_()
    x = randn(2, 5, 12)
    torch.testing.assert_close(block(100 * x) - 100 * x, block(x) - x)


def test_heads_that_do_not_share_the_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="5 heads cannot share"):
        PreNormBlock(d_model=12, num_heads=5, dim_feedforward=4)


# Routing


def test_routing_of_four_logits_is_worked_by_hand() -> None:
    weights, experts = top_k_routing(torch.tensor([math.log(2), 0.0, math.log(6), 0.0]), num_active=2)
    assert experts.tolist() == [2, 0]
    torch.testing.assert_close(weights, torch.tensor([6 / 8, 2 / 8]))


@settings(deadline=None, max_examples=30)
@given(
    leading=st.lists(st.integers(1, 3), max_size=2),
    num_experts=st.integers(1, 6),
    data=st.data(),
    seed=st.integers(0, 1000),
)
def test_routing_is_the_softmax_over_all_experts_renormalised_over_the_chosen(
    leading: list[int], num_experts: int, data: st.DataObject, seed: int
) -> None:
    num_active = data.draw(st.integers(1, num_experts))
    logits = randn(*leading, num_experts, seed=seed)
    weights, experts = top_k_routing(logits, num_active=num_active)
    chosen = logits.softmax(-1).gather(-1, experts)
    torch.testing.assert_close(weights, chosen / chosen.sum(-1, keepdim=True))
    assert (chosen.diff(dim=-1) <= 0).all()
    left_out = logits.scatter(-1, experts, -torch.inf)
    assert (left_out.amax(-1) <= logits.gather(-1, experts).amin(-1)).all()


@pytest.mark.parametrize("num_active", [0, 4])
def test_more_experts_than_there_are_or_none_are_refused(num_active: int) -> None:
    with pytest.raises(ValueError, match="choose 1 to 3"):
        top_k_routing(randn(2, 3), num_active=num_active)
    with pytest.raises(ValueError, match="choose 1 to 3"):
        parameter_counts(d_model=2, dim_feedforward=3, num_experts=3, num_active=num_active)


# Mixture of experts

MIXTURE: dict[str, int] = {"d_model": 6, "dim_feedforward": 5, "num_experts": 4, "num_active": 2}


def test_with_all_experts_active_a_mixture_is_the_weighted_sum_of_all() -> None:
    layer: MixtureOfExperts = spread_out(MixtureOfExperts(**{**MIXTURE, "num_active": 4}))
    x = randn(2, 3, 6, seed=50).requires_grad_()
    weights = layer.router(x).softmax(-1)
    expected = sum(weights[..., e, None] * expert(x) for e, expert in enumerate(layer.experts))
    assert isinstance(expected, Tensor)
    parameters = list(layer.parameters())
    assert_same_gradients(layer(x), expected, [x, *parameters], [x, *parameters])


@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 3, 6), (2, 1, 3, 6)])
@pytest.mark.parametrize("num_active", [1, 2, 3])
def test_a_mixture_treats_each_position_alone(shape: tuple[int, ...], num_active: int) -> None:
    layer: MixtureOfExperts = spread_out(MixtureOfExperts(**{**MIXTURE, "num_active": num_active}))
    x = randn(*shape, seed=50)
    rows = []
    for vector in x.reshape(-1, 6):
        weights, experts = top_k_routing(layer.router(vector), num_active=num_active)
        parts = [weight * layer.experts[int(e)](vector) for weight, e in zip(weights, experts, strict=True)]
        rows.append(torch.stack(parts).sum(0))
    torch.testing.assert_close(layer(x), torch.stack(rows).view(shape))


def test_an_expert_that_nobody_chose_plays_no_part() -> None:
    layer: MixtureOfExperts = spread_out(MixtureOfExperts(**MIXTURE))
    layer.router.weight.data = torch.eye(4, 6)
    x = randn(3, 5, 6, seed=50)
    x[..., 3] = -100.0
    expected = layer(x)
    for parameter in layer.experts[3].parameters():
        parameter.data.fill_(torch.nan)
    assert torch.equal(layer(x), expected)


def test_with_one_active_expert_the_task_gives_the_router_no_gradient() -> None:
    layer: MixtureOfExperts = spread_out(MixtureOfExperts(**{**MIXTURE, "num_active": 1}))
    layer(randn(3, 5, 6)).square().sum().backward()
    gradient = layer.router.weight.grad
    assert gradient is not None and gradient.abs().max() == 0


def test_a_mixture_of_the_wrong_width_is_refused() -> None:
    with pytest.raises(ValueError, match="expects x of width 6"):
        MixtureOfExperts(**MIXTURE)(randn(2, 5))


# Load


def test_the_balance_loss_of_three_positions_is_worked_by_hand() -> None:
    probability = torch.tensor([[0.8, 0.2], [0.7, 0.3], [0.3, 0.7]])  # chosen: 0, 0, 1; mean probability 0.6, 0.4
    expected = torch.tensor(2 * (2 / 3 * 0.6 + 1 / 3 * 0.4))
    torch.testing.assert_close(load_balance_loss(probability.log(), num_active=1), expected)


def test_evenly_used_experts_have_a_balance_loss_of_one_and_a_single_one_has_the_most() -> None:
    logits = torch.stack([randn(4).roll(shift) for shift in range(4)])  # each expert has each logit once
    for num_active in (1, 2, 3, 4):
        torch.testing.assert_close(load_balance_loss(logits, num_active=num_active), torch.tensor(1.0))
    alone = torch.tensor([[50.0, 0.0, 0.0, 0.0]]).expand(3, -1)
    torch.testing.assert_close(load_balance_loss(alone, num_active=1), torch.tensor(4.0))
    both = torch.tensor([[50.0, 50.1, 0.0, 0.0]]).expand(3, -1)
    torch.testing.assert_close(load_balance_loss(both, num_active=2), torch.tensor(2.0))


def test_the_balance_loss_counts_all_leading_axes_as_positions() -> None:
    logits = randn(2, 3, 5, 4)
    torch.testing.assert_close(
        load_balance_loss(logits, num_active=2), load_balance_loss(logits.view(-1, 4), num_active=2)
    )
    one = logits[0, 0, 0]
    _, experts = top_k_routing(one, num_active=2)
    torch.testing.assert_close(load_balance_loss(one, num_active=2), 4 * one.softmax(-1)[experts].sum() / 2)


def test_following_the_balance_loss_evens_out_the_load() -> None:
    logits = (randn(200, 4) + torch.tensor([1.5, 0.5, 0.0, -0.5])).requires_grad_()
    shared = torch.zeros(4, requires_grad=True)
    losses = []
    for _ in range(200):
        loss = load_balance_loss(logits.detach() + shared, num_active=1)
        (gradient,) = torch.autograd.grad(loss, shared)
        shared.data -= 0.3 * gradient
        losses.append(loss.item())
    counts = top_k_routing(logits + shared, num_active=1)[1].flatten().bincount(minlength=4)
    assert losses[0] > 1.2 and abs(losses[-1] - 1) < 0.02
    assert counts.min() > 30


def test_routing_is_recorded_only_while_asked_for() -> None:
    block = partial(PreNormBlock, **SIZES, feed_forward=partial(MixtureOfExperts, num_experts=4, num_active=2))
    model = BlockLM(vocab_size=9, d_model=12, num_layers=2, max_length=5, block=block)
    ids = torch.randint(9, (3, 5), generator=torch.Generator().manual_seed(0))
    with recorded_routing(model) as logits:
        first = model(ids)
    assert torch.equal(model(ids), first)
    assert [tuple(one.shape) for one in logits] == [(15, 4), (15, 4)]
    loss = sum((load_balance_loss(one, num_active=2) for one in logits), torch.zeros(()))
    loss.backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if "router" in name)


# Counts


@settings(deadline=None, max_examples=20)
@given(num_heads=st.integers(1, 3), head_dim=st.integers(1, 4), width=st.integers(1, 5), experts=st.integers(1, 4))
def test_parameter_counts_are_those_of_the_block(num_heads: int, head_dim: int, width: int, experts: int) -> None:
    d_model = num_heads * head_dim
    for active in range(1, experts + 1):
        mixture = partial(MixtureOfExperts, num_experts=experts, num_active=active)
        block = PreNormBlock(d_model=d_model, num_heads=num_heads, dim_feedforward=width, feed_forward=mixture)
        counts = parameter_counts(d_model=d_model, dim_feedforward=width, num_experts=experts, num_active=active)
        assert counts["total"] == sum(p.numel() for p in block.parameters())


def test_active_parameters_are_those_outside_the_experts_that_rest() -> None:
    sizes = {"dim_feedforward": 5, "num_experts": 4, "num_active": 2}
    mixture = partial(MixtureOfExperts, num_experts=4, num_active=2)
    block: PreNormBlock = spread_out(PreNormBlock(d_model=6, num_heads=2, dim_feedforward=5, feed_forward=mixture))
    x = randn(1, 1, 6)
    expected = block(x)
    counts = [0, 0]
    with recorded_routing(block) as logits:
        block(x)
    chosen = top_k_routing(logits[0], num_active=2)[1].flatten().tolist()
    for name, parameter in block.named_parameters():
        rests = "experts." in name and int(name.split("experts.")[1].split(".")[0]) not in chosen
        counts[rests] += parameter.numel()
        if rests:
            parameter.data.fill_(torch.nan)
    assert torch.equal(block(x), expected)
    assert parameter_counts(d_model=6, **sizes) == {"total": sum(counts), "active": counts[0]}


# The model around a block


def small_model(block: Any, **options: Any) -> BlockLM:
    model: BlockLM = spread_out(BlockLM(vocab_size=9, d_model=12, num_layers=3, max_length=6, block=block, **options))
    return model


@pytest.mark.parametrize("block", [partial(PreNormBlock, **SIZES), partial(EncoderBlock, **SIZES)])
def test_no_position_of_the_model_sees_the_future(block: Any) -> None:
    model = small_model(block)
    ids = torch.randint(9, (2, 6), generator=torch.Generator().manual_seed(1))
    other = ids.clone()
    other[:, 3:] = (other[:, 3:] + 1) % 9
    first, second = model(ids), model(other)
    torch.testing.assert_close(first[:, :3], second[:, :3])
    assert ((first - second)[:, 3:].abs().amax(-1) > 1e-6).all()


def test_the_model_is_its_blocks_between_embeddings_norm_and_linear_layer() -> None:
    model = small_model(partial(PreNormBlock, **SIZES))
    ids = torch.randint(9, (2, 4), generator=torch.Generator().manual_seed(1))
    x = model.token_embedding(ids) + model.position_embedding(torch.arange(4))
    for block in model.blocks:
        x = ModernTwin(block)(x, src_mask=~causal_mask(4))  # type: ignore[arg-type]
    expected = F.linear(F.rms_norm(x, (12,), model.norm.weight, 1e-5), model.output.weight, model.output.bias)  # type: ignore[arg-type]
    torch.testing.assert_close(model(ids), expected)
    with pytest.raises(ValueError, match="knows 6 positions"):
        model(torch.zeros(1, 7, dtype=torch.long))


def test_the_stream_of_a_pre_norm_model_grows_and_that_of_a_post_norm_model_keeps_its_size() -> None:
    sizes = []
    for block in (partial(PreNormBlock, **SIZES), partial(EncoderBlock, **SIZES)):
        model = small_model(block)
        seen: list[float] = []
        for one in model.blocks:
            for name, parameter in one.named_parameters():
                if "norm" in name:
                    parameter.data.fill_(float("weight" in name))
            one.register_forward_hook(lambda _b, _i, output, seen=seen: seen.append(output.square().mean().item()))
        model(torch.arange(6)[None])
        sizes.append(seen)
    assert all(after > before + 1 for before, after in pairwise(sizes[0]))
    assert all(abs(size - 1) < 1e-3 for size in sizes[1])
