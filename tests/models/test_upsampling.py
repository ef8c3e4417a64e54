"""Upsampling: PyTorch's own layers agree, and the transposed convolution is the transpose."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from course_lib.models.upsampling import (
    bed_of_nails,
    bilinear_upsample,
    conv_transpose2d,
    convolution_matrix,
    max_unpool,
    nearest_upsample,
    receptive_field,
)

sizes = st.integers(1, 5)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), sizes, sizes, st.integers(1, 4))
def test_nearest_and_bilinear_equal_interpolation(
    batch: int, channels: int, height: int, width: int, scale: int
) -> None:
    x = random(batch, channels, height, width)
    assert torch.equal(nearest_upsample(x, scale=scale), F.interpolate(x, scale_factor=scale, mode="nearest"))
    expected = F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
    assert torch.allclose(bilinear_upsample(x, scale=scale), expected)


def test_bilinear_keeps_the_type_of_the_image() -> None:
    assert bilinear_upsample(random(1, 1, 3, 2).float(), scale=2).dtype == torch.float32


@settings(max_examples=25, deadline=None)
@given(sizes, sizes, st.integers(1, 4))
def test_a_bed_of_nails_is_a_transposed_convolution_with_a_single_one(height: int, width: int, scale: int) -> None:
    x = random(2, 1, height, width)
    nail = torch.zeros(1, 1, scale, scale, dtype=torch.float64)
    nail[0, 0, 0, 0] = 1
    assert torch.equal(bed_of_nails(x, scale=scale), F.conv_transpose2d(x, nail, stride=scale))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), sizes, sizes, st.integers(1, 3), st.booleans())
def test_max_unpool_equals_pytorchs_layer(channels: int, height: int, width: int, kernel: int, odd: bool) -> None:
    x = random(2, channels, height * kernel + odd, width * kernel)
    values, indices = F.max_pool2d(x, kernel, return_indices=True)
    other = random(*values.shape, seed=1)
    expected = nn.MaxUnpool2d(kernel)(other, indices, output_size=x.shape[-2:])
    assert torch.equal(max_unpool(other, indices, output_size=(x.shape[-2], x.shape[-1])), expected)


def test_gradients_of_max_unpool_reach_the_values_only_where_they_stand() -> None:
    x = random(1, 2, 4, 6)
    values, indices = F.max_pool2d(x, 2, return_indices=True)
    values.requires_grad_()
    given_back = random(1, 2, 4, 6, seed=1)
    (max_unpool(values, indices, output_size=(4, 6)) * given_back).sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad.flatten(2), given_back.flatten(2).gather(-1, indices.flatten(2)))


@st.composite
def transposed(draw: st.DrawFn) -> tuple[Tensor, Tensor, int, int]:
    """An image, a weight, a stride and a padding that leave at least one pixel."""
    in_channels, out_channels, height, width = (draw(st.integers(1, 4)) for _ in range(4))
    kernel_height, kernel_width, stride = (draw(st.integers(1, 4)) for _ in range(3))
    shortest = min((height - 1) * stride + kernel_height, (width - 1) * stride + kernel_width)
    padding = draw(st.integers(0, (shortest - 1) // 2))
    x = random(2, in_channels, height, width, seed=draw(st.integers(0, 9)))
    return x, random(in_channels, out_channels, kernel_height, kernel_width, seed=1), stride, padding


@settings(max_examples=60, deadline=None)
@given(transposed())
def test_the_transposed_convolution_equals_pytorchs_layer(case: tuple[Tensor, Tensor, int, int]) -> None:
    x, weight, stride, padding = case
    kernel = (weight.shape[2], weight.shape[3])
    layer = nn.ConvTranspose2d(
        weight.shape[0], weight.shape[1], kernel, stride, padding, bias=False, dtype=torch.float64
    )
    layer.weight.data = weight
    assert torch.allclose(conv_transpose2d(x, weight, stride=stride, padding=padding), layer(x))


@settings(max_examples=60, deadline=None)
@given(transposed())
def test_the_transposed_convolution_is_the_adjoint_of_the_convolution(case: tuple[Tensor, Tensor, int, int]) -> None:
    y, weight, stride, padding = case
    back = conv_transpose2d(y, weight, stride=stride, padding=padding)
    x = random(*back.shape, seed=2)
    forth = F.conv2d(x, weight, stride=stride, padding=padding)
    assert torch.allclose((forth * y).sum(), (x * back).sum())


def test_gradients_of_the_transposed_convolution_are_right() -> None:
    x, weight = random(2, 2, 3, 2).requires_grad_(), random(2, 3, 3, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w: conv_transpose2d(x, w, stride=2, padding=1), (x, weight))


@settings(max_examples=30, deadline=None)
@given(sizes, sizes, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_the_matrix_is_the_convolution_and_its_transpose_the_transposed_one(
    more_rows: int, more_columns: int, kernel_height: int, kernel_width: int, stride: int
) -> None:
    weight = random(kernel_height, kernel_width)
    height, width = kernel_height + (more_rows - 1) * stride, kernel_width + (more_columns - 1) * stride
    matrix = convolution_matrix(weight, height=height, width=width, stride=stride)
    x = random(height, width, seed=1)
    y = nn.Conv2d(1, 1, (kernel_height, kernel_width), stride, bias=False, dtype=torch.float64)
    y.weight.data = weight[None, None]
    convolved = y(x[None, None])[0, 0]
    assert torch.allclose((matrix @ x.flatten()).reshape(convolved.shape), convolved)
    back = conv_transpose2d(convolved[None, None], weight[None, None], stride=stride)[0, 0]
    assert torch.allclose((matrix.T @ convolved.flatten()).reshape(height, width), back)


def test_rows_and_columns_that_the_kernel_does_not_reach_are_zero_in_the_matrix() -> None:
    matrix = convolution_matrix(torch.ones(2, 2), height=5, width=4, stride=2)
    assert matrix.shape == (4, 20)
    assert not matrix[:, 16:].any()


@pytest.mark.parametrize("layers", [[], [(3, 1)], [(3, 1), (3, 1)], [(3, 2), (3, 1)], [(5, 1), (2, 2), (3, 1), (3, 3)]])
def test_the_receptive_field_is_how_many_inputs_have_a_gradient(layers: list[tuple[int, int]]) -> None:
    size = 40
    x = torch.zeros(1, 1, size, requires_grad=True)
    h: Tensor = x
    for kernel, stride in layers:
        h = F.conv1d(h, torch.ones(1, 1, kernel), stride=stride)
    (gradient,) = torch.autograd.grad(h[0, 0, h.shape[-1] // 2], x)
    assert int((gradient != 0).sum()) == receptive_field(layers)
