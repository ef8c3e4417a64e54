"""Networks that learn a velocity: what they are given, what must not mix, and what is known of them at the start."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.models.flow import time_embedding
from course_lib.models.velocity import (
    Condition,
    DiTBlock,
    VelocityDiT,
    VelocityMLP,
    VelocityResidualMLP,
    VelocityUNet,
    drop_labels,
)

IMAGE_NETWORKS = [VelocityResidualMLP, VelocityUNet, VelocityDiT]


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shaken(model: nn.Module) -> nn.Module:
    """With weights away from their start, where a gate of zero would hide what lies behind it."""
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.add_(0.3 * randn(*parameter.shape, seed=number))
    return model.eval()


def test_the_plain_network_is_layers_on_position_and_embedded_time() -> None:
    model = shaken(VelocityMLP(channels=2, hidden_size=5, num_layers=2, time_dim=4))
    x, t = randn(3, 2), torch.tensor([0.1, 0.5, 0.9])
    h = torch.cat([x, time_embedding(t, dim=4)], 1)
    for layer in model.hidden:
        h = F.silu(F.linear(h, layer.weight, layer.bias))
    torch.testing.assert_close(model(x, t), h @ model.output.weight.T + model.output.bias)


@pytest.mark.parametrize("network", IMAGE_NETWORKS)
def test_the_velocity_has_the_shape_of_the_images_and_depends_on_place_time_and_class(network: type[nn.Module]) -> None:
    model = shaken(network())
    x, t, label = randn(3, 1, 8, 8), torch.tensor([0.1, 0.5, 0.9]), torch.tensor([1, 2, 3])
    with torch.no_grad():
        v = model(x, t, label)
        assert v.shape == x.shape
        for changed in (model(x + 1, t, label), model(x, t / 2, label), model(x, t, label + 1)):
            assert float((changed - v).abs().mean()) > 1e-3


@pytest.mark.parametrize("network", IMAGE_NETWORKS)
def test_no_class_is_the_label_behind_the_last_class_and_rows_do_not_mix(network: type[nn.Module]) -> None:
    model = shaken(network(num_classes=4))
    x, t = randn(3, 1, 8, 8), torch.tensor([0.2, 0.6, 0.8])
    with torch.no_grad():
        alone = model(x, t)
        torch.testing.assert_close(alone, model(x, t, torch.full((3,), 4)))
        for row in range(3):
            one = slice(row, row + 1)
            torch.testing.assert_close(model(x[one], t[one]), alone[one], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("network", IMAGE_NETWORKS)
def test_every_weight_learns(network: type[nn.Module]) -> None:
    model = shaken(network()).train()
    model(randn(4, 1, 8, 8), torch.rand(4), torch.tensor([0, 3, 9, 10])).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_the_condition_is_the_sum_of_what_time_and_class_give() -> None:
    condition = shaken(Condition(dim=6, num_classes=3))
    t = torch.tensor([0.3, 0.3])
    both = condition(t, torch.tensor([0, 2]))
    torch.testing.assert_close(both[1] - both[0], condition.label.weight[2] - condition.label.weight[0])


def test_labels_are_dropped_with_the_given_probability_and_the_others_stay() -> None:
    label = torch.arange(20_000) % 7
    dropped = drop_labels(label, share=0.3, no_class=9, generator=torch.Generator().manual_seed(0))
    assert float((dropped == 9).float().mean()) == pytest.approx(0.3, abs=0.02)
    assert torch.equal(dropped[dropped != 9], label[dropped != 9])


def test_a_block_of_the_transformer_begins_as_the_identity() -> None:
    x, condition = randn(2, 5, 8), randn(2, 8, seed=1)
    block = DiTBlock(d_model=8, num_heads=2, dim_feedforward=16)
    torch.testing.assert_close(block(x, condition), x)


def test_a_block_modulates_normalises_attends_and_gates_as_torch_s_own_layers_do() -> None:
    block = shaken(DiTBlock(d_model=8, num_heads=2, dim_feedforward=16))
    x, condition = randn(2, 5, 8), randn(2, 8, seed=1)
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    mine = block.self_attention
    parts = [mine.query_projection, mine.key_projection, mine.value_projection]
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
        attention.in_proj_bias.copy_(torch.cat([p.bias for p in parts]))
        attention.out_proj.load_state_dict(mine.output_projection.state_dict())
        b1, s1, g1, b2, s2, g2 = block.modulation(F.silu(condition)).view(2, 1, 6, 8).unbind(2)
        h = F.layer_norm(x, (8,)) * (1 + s1) + b1
        y = x + g1 * attention(h, h, h)[0]
        y = y + g2 * block.feed_forward(F.layer_norm(y, (8,)) * (1 + s2) + b2)
        torch.testing.assert_close(block(x, condition), y, atol=1e-5, rtol=1e-4)


def test_the_transformer_moves_a_patch_with_its_position() -> None:
    """Patches exchanged together with their positions give exchanged velocities: attention knows no other order."""
    model = shaken(VelocityDiT(patch_size=4))
    x, t = randn(2, 1, 8, 8), torch.rand(2)
    with torch.no_grad():
        v = model(x, t)
        model.positions.copy_(model.positions[:, [1, 0, 2, 3]])
        swapped = torch.cat([x[..., :4, 4:], x[..., :4, :4]], dim=-1)
        moved = model(torch.cat([swapped, x[..., 4:, :]], dim=-2), t)
    torch.testing.assert_close(moved[..., :4, :4], v[..., :4, 4:], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(moved[..., 4:, :], v[..., 4:, :], atol=1e-4, rtol=1e-4)
