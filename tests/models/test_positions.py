"""Sinusoidal and rotary positions against their closed forms and the properties that define them."""

import cmath
import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from course_lib.models.positions import apply_rope, sinusoidal_positions


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("base", [10000.0, 50.0])
def test_sinusoidal_positions_are_the_closed_form_element_by_element(base: float) -> None:
    length, d_model = 40, 12
    positions = sinusoidal_positions(length, d_model, base=base)
    for p in range(length):
        for i in range(d_model // 2):
            angle = p / base ** (2 * i / d_model)
            assert positions[p, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-12)
            assert positions[p, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-12)


def test_a_shift_of_sinusoidal_positions_is_one_rotation_for_every_position() -> None:
    length, d_model, shift = 30, 8, 7
    positions = sinusoidal_positions(length + shift, d_model)
    turn = shift / 10000.0 ** (torch.arange(0, d_model, 2) / d_model)
    sin, cos = positions[:length, 0::2], positions[:length, 1::2]
    shifted_sin = sin * turn.cos() + cos * turn.sin()
    shifted_cos = cos * turn.cos() - sin * turn.sin()
    torch.testing.assert_close(positions[shift:, 0::2], shifted_sin)
    torch.testing.assert_close(positions[shift:, 1::2], shifted_cos)


def test_sinusoidal_positions_keep_their_precision_far_out_in_the_default_dtype() -> None:
    torch.set_default_dtype(torch.float32)
    far = sinusoidal_positions(50_001, 4)[50_000]
    assert far.dtype == torch.float32
    assert far[0].item() == pytest.approx(math.sin(50_000), abs=1e-6)


@pytest.mark.parametrize("offset", [0, 11])
def test_apply_rope_is_multiplication_by_a_unit_complex_number(offset: int) -> None:
    length, head_dim, base = 9, 6, 100.0
    x = randn(length, head_dim)
    rotated = apply_rope(x, base=base, offset=offset)
    for p in range(length):
        for i in range(head_dim // 2):
            turn = cmath.exp(1j * (p + offset) / base ** (2 * i / head_dim))
            expected = complex(x[p, 2 * i].item(), x[p, 2 * i + 1].item()) * turn
            found = complex(rotated[p, 2 * i].item(), rotated[p, 2 * i + 1].item())
            assert abs(found - expected) < 1e-12


@settings(deadline=None, max_examples=30)
@given(
    leading=st.lists(st.integers(1, 3), max_size=3),
    length=st.integers(0, 9),
    pairs=st.integers(1, 5),
    offset=st.integers(0, 1000),
)
def test_apply_rope_keeps_shape_and_norm(leading: list[int], length: int, pairs: int, offset: int) -> None:
    x = randn(*leading, length, 2 * pairs)
    rotated = apply_rope(x, offset=offset)
    assert rotated.shape == x.shape
    torch.testing.assert_close(rotated.norm(dim=-1), x.norm(dim=-1))


def test_a_rotated_dot_product_depends_on_the_distance_only() -> None:
    query, key = randn(8, seed=1), randn(8, seed=2)
    length = 20
    scores = apply_rope(query.expand(length, 8)) @ apply_rope(key.expand(length, 8)).T  # (length, length)
    for distance in range(-length + 1, length):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    assert (scores[0] - scores[0, 0]).abs().max() > 0.1


def test_an_offset_is_a_slice_of_a_longer_sequence() -> None:
    x = randn(2, 3, 15, 8)
    torch.testing.assert_close(apply_rope(x)[..., 6:, :], apply_rope(x[..., 6:, :], offset=6))


def test_apply_rope_at_position_zero_changes_nothing() -> None:
    x = randn(2, 1, 8)
    assert torch.equal(apply_rope(x), x)


def test_apply_rope_keeps_the_dtype_and_passes_gradients_back_by_the_inverse_rotation() -> None:
    assert apply_rope(torch.ones(3, 4, dtype=torch.float32)).dtype == torch.float32
    x = randn(5, 4).requires_grad_()
    upstream = randn(5, 4, seed=3)
    (gradient,) = torch.autograd.grad(apply_rope(x), x, upstream)
    torch.testing.assert_close(apply_rope(gradient), upstream)


def test_an_odd_width_is_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match="width is 5: choose an even one"):
        sinusoidal_positions(3, 5)
    with pytest.raises(ValueError, match="width is 5: choose an even one"):
        apply_rope(torch.zeros(3, 5))
