"""U-Net and its loss: PyTorch's layers with the same weights agree; what the skips bring and what a condition does."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.models.unet import DoubleConv, FullyConvolutional, UNet, pixel_cross_entropy
from course_lib.models.upsampling import receptive_field
from course_lib.training import initialised


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def image(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=chance(seed), dtype=torch.float64)


def unet(**options: int | bool | None) -> UNet:
    sizes = {"in_channels": 2, "out_channels": 3, "channels": 4, "depth": 2} | options
    return initialised(lambda: UNet(**sizes), generator=chance()).double()  # type: ignore[arg-type]


def test_a_fully_convolutional_network_is_its_convolutions_in_a_row() -> None:
    network = FullyConvolutional(in_channels=2, out_channels=3, channels=5, num_layers=2).double()
    x = image(2, 2, 6, 7)
    h = x
    for layer in network.layers:
        assert isinstance(layer, nn.Conv2d)
        h = F.conv2d(h, layer.weight, layer.bias, padding=1).relu()
    expected = F.conv2d(h, network.head.weight, network.head.bias)
    assert torch.allclose(network(x), expected)


def test_an_unpadded_network_gives_on_an_image_what_it_gives_on_each_window() -> None:
    network = FullyConvolutional(in_channels=1, out_channels=3, channels=4, num_layers=3, padded=False).double()
    x = image(1, 1, 12, 10)
    window = receptive_field(3 * [(3, 1)])
    whole = network(x)
    windows = x.unfold(2, window, 1).unfold(3, window, 1)  # (1, 1, rows, columns, window, window)
    each = network(windows.reshape(-1, 1, window, window))  # (rows · columns, 3, 1, 1)
    assert torch.allclose(whole[0].flatten(1).T, each[:, :, 0, 0])


@pytest.mark.parametrize("num_groups", [None, 2])
def test_a_double_convolution_is_two_convolutions_each_normalised(num_groups: int | None) -> None:
    block = DoubleConv(3, 8, num_groups=num_groups).double()
    x = image(2, 3, 5, 6)

    def normalised(h: Tensor) -> Tensor:
        """Mean 0 and variance 1 over the batch, or over each group of channels of each image."""
        groups = h if num_groups is None else h.unflatten(1, (num_groups, -1))
        axes = (0, 2, 3) if num_groups is None else (2, 3, 4)
        centred = groups - groups.mean(axes, keepdim=True)
        return (centred / (centred.square().mean(axes, keepdim=True) + 1e-5).sqrt()).reshape(h.shape)

    h = normalised(F.conv2d(x, block.conv1.weight, padding=1)).relu()
    assert torch.allclose(block(x), normalised(F.conv2d(h, block.conv2.weight, padding=1)).relu())


def test_with_group_normalisation_an_image_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    x, other = image(2, 2, 8, 8), image(1, 2, 8, 8, seed=1)
    for num_groups in (None, 2):
        network = unet(num_groups=num_groups)
        alone = torch.allclose(network(x)[0], network(torch.cat([x[:1], other]))[0])
        assert alone == (num_groups is not None)


def test_the_unet_is_the_network_written_out_for_two_levels() -> None:
    network = unet()
    x = image(2, 2, 8, 12)
    first = network.down[0](x)
    second = network.down[1](F.max_pool2d(first, 2))
    bottom = network.bottom(F.max_pool2d(second, 2))
    wide = network.merge[0](torch.cat([second, network.up[0](bottom)], dim=1))
    full = network.merge[1](torch.cat([first, network.up[1](wide)], dim=1))
    assert torch.allclose(network(x), network.head(full))


def test_each_level_has_half_the_resolution_and_twice_the_channels() -> None:
    network = unet(depth=3)
    shapes = []
    for block in [*network.down, network.bottom]:
        block.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape[1:])))
    network(image(1, 2, 16, 24))
    assert shapes == [(4, 16, 24), (8, 8, 12), (16, 4, 6), (32, 2, 3)]


def test_without_skips_the_image_reaches_the_output_through_the_bottom_only() -> None:
    for skips in (True, False):
        network = unet(skips=skips)
        network.bottom.register_forward_hook(lambda _, __, out: torch.zeros_like(out))
        same = torch.allclose(network(image(1, 2, 8, 8)), network(image(1, 2, 8, 8, seed=1)))
        assert same == (not skips)


def test_a_depth_of_zero_is_a_block_and_a_head() -> None:
    network = unet(depth=0)
    x = image(1, 2, 3, 5)
    assert torch.allclose(network(x), network.head(network.bottom(x)))


def test_an_image_that_cannot_be_halved_so_often_is_refused() -> None:
    with pytest.raises(ValueError, match="10 × 8 pixels and is halved 2 times: make height and width multiples of 4"):
        unet()(image(1, 2, 10, 8))


def test_a_condition_changes_the_output_of_each_image_by_itself() -> None:
    network = unet(d_condition=5, num_groups=2)
    x = image(2, 2, 8, 8)
    condition = image(2, 5, seed=1)
    other = torch.stack([condition[0], condition[1] + 1])
    assert torch.allclose(network(x, condition)[0], network(x, other)[0])
    assert not torch.allclose(network(x, condition)[1], network(x, other)[1])


def test_every_block_takes_the_condition() -> None:
    network = unet(d_condition=5)
    network(image(1, 2, 8, 8), image(1, 5, seed=1)).square().sum().backward()
    blocks = [module for module in network.modules() if isinstance(module, DoubleConv)]
    assert len(blocks) == 5
    assert all(block.condition is not None and block.condition.weight.grad is not None for block in blocks)


def test_without_a_condition_a_conditioned_network_is_the_plain_one_with_the_same_weights() -> None:
    network = unet(d_condition=5)
    plain = unet()
    plain.load_state_dict({name: weight for name, weight in network.state_dict().items() if ".condition." not in name})
    x = image(1, 2, 8, 8)
    assert torch.allclose(network(x), plain(x))


def test_the_loss_equals_pytorchs() -> None:
    logits = 3 * image(2, 4, 3, 5).requires_grad_()
    target = torch.randint(-1, 4, (2, 3, 5), generator=chance())
    assert (target == -1).any()
    ours, theirs = pixel_cross_entropy(logits, target), F.cross_entropy(logits, target, ignore_index=-1)
    assert torch.allclose(ours, theirs)
    gradients = [torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (ours, theirs)]
    assert torch.allclose(gradients[0], gradients[1])
    other = pixel_cross_entropy(logits, target.where(target >= 0, 2), ignore=2)
    assert torch.allclose(other, F.cross_entropy(logits, target.where(target >= 0, 2), ignore_index=2))


def test_the_loss_of_no_labelled_pixel_is_zero() -> None:
    assert pixel_cross_entropy(image(1, 3, 2, 2), torch.full((1, 2, 2), -1)) == 0
