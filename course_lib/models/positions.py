"""Positions for attention, which by itself cannot tell one order of its inputs from another.

Two ways to say where a vector stands: add a vector of sines and cosines to it, or rotate query and key.

Sources:
    Vaswani et al., "Attention Is All You Need", 2017, section 3.5 (sinusoidal).
    Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021, section 3 (rotary).

Chapter: 04-attention-layer.
"""

import torch
from torch import Tensor


def position_angles(length: int, width: int, *, base: float, offset: int = 0) -> Tensor:
    """The angle of each position in each channel pair: (p + offset) / base^(2i / width).

    Args:
        length: number of positions, p = 0 .. length - 1.
        width: number of channels, even; pair i = 0 .. width / 2 - 1 holds channels 2i and 2i + 1.
        base: the slowest pair turns about this many times slower than the fastest.
        offset: added to every position.

    Returns:
        Angles in radians, (length, width / 2), float64: at position 10000 a float32 angle is off by 0.001.

    Raises:
        ValueError: if width is odd.

    Source: Vaswani et al. 2017, section 3.5; Su et al. 2021, section 3.2.2.
    Chapter: 04-attention-layer.
    """
    if width % 2:
        raise ValueError(f"Positions come in pairs of channels, but the width is {width}: choose an even one.")
    positions = torch.arange(offset, offset + length, dtype=torch.float64)  # (length,)
    pairs = torch.arange(0, width, 2, dtype=torch.float64)  # (width / 2,), the values 2i
    return positions[:, None] / base ** (pairs / width)  # (length, width / 2)


def sinusoidal_positions(length: int, d_model: int, *, base: float = 10000.0) -> Tensor:
    """Sinusoidal positions: channel 2i is sin(p / base^(2i / d_model)), channel 2i + 1 the cosine of it.

    Args:
        length: number of positions.
        d_model: number of channels, even.
        base: sets the longest wavelength, about 2π · base positions.

    Returns:
        One vector per position, (length, d_model), in PyTorch's default dtype.

    Raises:
        ValueError: if d_model is odd.

    Source: Vaswani et al. 2017, section 3.5.
    Chapter: 04-attention-layer.
    """
    angles = position_angles(length, d_model, base=base)  # (length, d_model / 2)
    pairs = torch.stack((angles.sin(), angles.cos()), dim=-1)  # (length, d_model / 2, 2)
    return pairs.flatten(start_dim=-2).to(torch.get_default_dtype())  # (length, d_model)


def apply_rope(x: Tensor, *, base: float = 10000.0, offset: int = 0) -> Tensor:
    """Rotary positions: turn each channel pair (2i, 2i + 1) by an angle that grows with the position p.

        θ = (p + offset) / base^(2i / head_dim)
        (a, b) -> (a cos θ - b sin θ, a sin θ + b cos θ)

    A rotation keeps lengths, and the dot product of a rotated query and a rotated key depends on their
    distance only.

    Args:
        x: queries or keys, (..., length, head_dim), head_dim even.
        base: sets the longest wavelength, about 2π · base positions.
        offset: the position of the first vector, for a sequence that continues an earlier one.

    Returns:
        The rotated vectors, (..., length, head_dim), in the dtype of x.

    Raises:
        ValueError: if head_dim is odd.

    Source: Su et al. 2021, sections 3.2.2 and 3.4.2.
    Chapter: 04-attention-layer.
    """
    length, head_dim = x.shape[-2:]
    angles = position_angles(length, head_dim, base=base, offset=offset)  # (length, head_dim / 2)
    cos, sin = angles.cos().to(x), angles.sin().to(x)
    even, odd = x[..., 0::2], x[..., 1::2]  # (..., length, head_dim / 2) each
    rotated = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return rotated.flatten(start_dim=-2)  # (..., length, head_dim)
