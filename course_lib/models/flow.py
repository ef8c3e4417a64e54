"""Rectified flow: straight paths from noise to data, the velocity along them, and the solvers that follow it.

Read it from top to bottom: the path and its target, the loss, the solvers, guidance, reflow, and at the end two cases
in which the velocity that a network must learn is known exactly. Time t = 0 is noise, t = 1 is data. A velocity is
any function of positions (batch, ...) and times (batch,) that returns an arrow for each position, (batch, ...).

Sources:
    Liu, Gong and Liu, "Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow", 2022.
    Lipman et al., "Flow Matching for Generative Modeling", 2022.
    Ho and Salimans, "Classifier-Free Diffusion Guidance", 2022, section 3.2.
    Esser et al., "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis", 2024, section 3.1.

Chapter: 11-rectified-flow.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]
"""Takes positions (batch, ...) and times (batch,); gives the velocity at each, (batch, ...)."""

ConditionalVelocity = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Takes a class for each position, (batch,), as well."""


def over_batch(t: Tensor, x: Tensor) -> Tensor:
    """One time for each row of x, with axes of size 1 so that it broadcasts: (batch,) to (batch, 1, ..., 1)."""
    if t.shape != x.shape[:1]:
        raise ValueError(
            f"There must be one time for each of {len(x)} rows, but the times have shape {tuple(t.shape)}."
        )
    return t.reshape(-1, *[1] * (x.dim() - 1))


def interpolate(x0: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """The point at time t of the straight path from noise to data: x_t = (1 - t) x_0 + t x_1.

    Args:
        x0: noise, (batch, ...).
        x1: data, of the same shape.
        t: a time for each row, (batch,), from 0 to 1.

    Returns:
        The points, (batch, ...).

    Raises:
        ValueError: if the shapes do not fit together.

    Source: Liu et al. 2022, section 2.1, equation 1.
    Chapter: 11-rectified-flow.
    """
    _check_pairs(x0, x1)
    t = over_batch(t, x0)
    return (1 - t) * x0 + t * x1


def velocity_target(x0: Tensor, x1: Tensor) -> Tensor:
    """The velocity along the straight path, the same at every time: x_1 - x_0.

    Args:
        x0: noise, (batch, ...).
        x1: data, of the same shape.

    Returns:
        The velocities, (batch, ...).

    Raises:
        ValueError: if the shapes do not fit together.

    Source: Liu et al. 2022, section 2.1, equation 1.
    Chapter: 11-rectified-flow.
    """
    _check_pairs(x0, x1)
    return x1 - x0


def flow_matching_loss(velocity: Velocity, x0: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """The mean of (v(x_t, t) - (x_1 - x_0))² over all numbers of the batch.

    The velocity that makes it smallest is the mean of x_1 - x_0 over all paths that pass through x_t at time t. Which
    noise goes with which data is the caller's choice: drawn independently at first, pairs of a flow for reflow.

    Args:
        velocity: what is trained.
        x0: noise, (batch, ...).
        x1: data, of the same shape.
        t: a time for each row, (batch,).

    Returns:
        The loss, 0-dimensional.

    Raises:
        ValueError: if the shapes do not fit together.

    Source: Liu et al. 2022, section 2.1, equation 1; Lipman et al. 2022, section 3.2.
    Chapter: 11-rectified-flow.
    """
    error = velocity(interpolate(x0, x1, t), t) - velocity_target(x0, x1)
    return error.square().mean()


def logit_normal_times(count: int, *, generator: torch.Generator, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Times that favour the middle of the path: t = 1 / (1 + exp(-z)) with z drawn from N(mean, std²).

    Args:
        count: number of times.
        generator: the source of chance.
        mean: above 0 favours data, below 0 noise.
        std: the smaller, the closer to the middle.

    Returns:
        Times between 0 and 1, (count,).

    Source: Esser et al. 2024, section 3.1.
    Chapter: 11-rectified-flow.
    """
    return (mean + std * torch.randn(count, generator=generator)).sigmoid()


def time_embedding(t: Tensor, *, dim: int, max_frequency: float = 100.0) -> Tensor:
    """Sines and cosines of each time: channel 2i is sin(ω_i t), channel 2i + 1 is cos(ω_i t).

        ω_i = max_frequency^(2i / dim)

    It is the formula of the sinusoidal positions with the sign of the exponent turned: positions reach far above 1, so
    their frequencies fall from 1; times stay between 0 and 1, so theirs rise from 1.

    Args:
        t: times, (batch,).
        dim: number of channels, even.
        max_frequency: what the frequencies rise towards, in radians per unit of time.

    Returns:
        One vector for each time, (batch, dim).

    Raises:
        ValueError: if dim is odd.

    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.5, for positions.
    Chapter: 11-rectified-flow.
    """
    if dim % 2:
        raise ValueError(f"Sines and cosines come in pairs of channels, but dim is {dim}: choose an even one.")
    pairs = torch.arange(0, dim, 2, dtype=t.dtype)  # (dim / 2,), the values 2i
    angles = t[:, None] * max_frequency ** (pairs / dim)  # (batch, dim / 2)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(start_dim=-2)


def euler_sample(velocity: Velocity, x0: Tensor, *, steps: int) -> Tensor:
    """Follow the velocity from t = 0 to t = 1 in equal steps: x ← x + h v(x, t), h = 1 / steps.

    Args:
        velocity: the field to follow.
        x0: where to start, (batch, ...).
        steps: number of steps; each asks the velocity once.

    Returns:
        The whole path, (steps + 1, batch, ...): x0 first, the samples last.

    Raises:
        ValueError: if there is not at least one step.

    Source: Liu et al. 2022, section 2.2.
    Chapter: 11-rectified-flow.
    """
    _check_steps(steps)
    x, path = x0, [x0]
    for step in range(steps):
        x = x + velocity(x, _time(x, step / steps)) / steps
        path.append(x)
    return torch.stack(path)


def heun_sample(velocity: Velocity, x0: Tensor, *, steps: int) -> Tensor:
    """Follow the velocity with the mean of the slopes at both ends of each step.

        k_1 = v(x, t),  k_2 = v(x + h k_1, t + h),  x ← x + h (k_1 + k_2) / 2,  h = 1 / steps

    Args:
        velocity: the field to follow.
        x0: where to start, (batch, ...).
        steps: number of steps; each asks the velocity twice.

    Returns:
        The whole path, (steps + 1, batch, ...): x0 first, the samples last.

    Raises:
        ValueError: if there is not at least one step.

    Source: Hairer, Nørsett and Wanner, "Solving Ordinary Differential Equations I", 1993, section II.1.
    Chapter: 11-rectified-flow.
    """
    _check_steps(steps)
    x, path = x0, [x0]
    for step in range(steps):
        first = velocity(x, _time(x, step / steps))
        second = velocity(x + first / steps, _time(x, (step + 1) / steps))
        x = x + (first + second) / (2 * steps)
        path.append(x)
    return torch.stack(path)


def guided_velocity(
    velocity: ConditionalVelocity, x: Tensor, t: Tensor, label: Tensor, *, weight: float, no_class: int
) -> Tensor:
    """Classifier-free guidance: v_uncond + w (v_cond - v_uncond), so that w = 1 means no guidance.

    Args:
        velocity: a model that was trained with and without classes.
        x: positions, (batch, ...).
        t: times, (batch,).
        label: the class that each position is led to, (batch,).
        weight: w; 0 ignores the class, above 1 exaggerates it.
        no_class: the label that stands for "no class".

    Returns:
        The velocities, (batch, ...).

    Source: Ho and Salimans 2022, equation 6, whose w is ours minus 1.
    Chapter: 11-rectified-flow.
    """
    with_class = velocity(x, t, label)
    without = velocity(x, t, torch.full_like(label, no_class))
    return without + weight * (with_class - without)


@torch.no_grad()
def reflow_pairs(velocity: Velocity, x0: Tensor, *, steps: int) -> tuple[Tensor, Tensor]:
    """Pair each noise with the sample that the flow makes of it; a second flow is trained on these pairs.

    Args:
        velocity: a trained field.
        x0: noise, (batch, ...).
        steps: number of Euler steps.

    Returns:
        x0 itself and the samples, (batch, ...) each, without gradients.

    Raises:
        ValueError: if there is not at least one step.

    Source: Liu et al. 2022, section 2.1, "reflow".
    Chapter: 11-rectified-flow.
    """
    return x0, euler_sample(velocity, x0, steps=steps)[-1]


def straightness(path: Tensor) -> Tensor:
    """How far a path is from straight: mean |v_k - (x_1 - x_0)|² over mean |x_1 - x_0|².

    v_k is the velocity of step k, steps (x_{k+1} - x_k). It is 0 where every step goes straight to the end at the
    same speed. Means run over the batch and, for v_k, over the steps.

    Args:
        path: points at equal steps of time, (steps + 1, batch, ...).

    Returns:
        A number, 0-dimensional.

    Raises:
        ValueError: if the path has no step.

    Source: Liu et al. 2022, section 2.2, S(Z); divided here by the mean squared length, so that scale does not matter.
    Chapter: 11-rectified-flow.
    """
    if len(path) < 2:
        raise ValueError(f"A path has a point before and after each step, but this one has {len(path)} points.")
    velocities = (path[1:] - path[:-1]) * (len(path) - 1)  # (steps, batch, ...)
    whole = path[-1] - path[0]  # (batch, ...)
    return (velocities - whole).square().mean() / whole.square().mean()


def gaussian_velocity(x: Tensor, t: Tensor, *, mean: Tensor, std: Tensor) -> Tensor:
    """The exact velocity where data is N(mean, diag(std²)) and noise is N(0, 1) in each channel.

        E[x_1 - x_0 | x_t = x] = μ + (t σ² - (1 - t)) / (t² σ² + (1 - t)²) · (x - t μ)

    Args:
        x: positions, (batch, channels).
        t: times, (batch,).
        mean: μ, (channels,).
        std: σ, above 0, (channels,).

    Returns:
        The velocities, (batch, channels).

    Source: the conditional mean of jointly Gaussian variables; Liu et al. 2022, section 2.1, for why it is asked for.
    Chapter: 11-rectified-flow.
    """
    t = over_batch(t, x)
    covariance = t * std**2 - (1 - t)  # of x_1 - x_0 with x_t, (batch, channels)
    variance = (t * std) ** 2 + (1 - t) ** 2  # of x_t
    return mean + covariance / variance * (x - t * mean)


def empirical_velocity(x: Tensor, t: Tensor, *, data: Tensor) -> Tensor:
    """The exact velocity where data is one of finitely many points, each as likely as the others.

        v(x, t) = (Σ_j w_j d_j - x) / (1 - t),   w = softmax_j(-|x - t d_j|² / (2 (1 - t)²))

    It is attention: the position asks, the data points are keys and values.

    Args:
        x: positions, (batch, ...).
        t: times below 1, (batch,).
        data: the points, (count, ...).

    Returns:
        The velocities, (batch, ...).

    Raises:
        ValueError: if a time is not below 1, where the points are all that is left and the velocity has no limit.

    Source: the conditional mean of x_1 - x_0 given x_t by Bayes' rule; Lipman et al. 2022, section 3.1.
    Chapter: 11-rectified-flow.
    """
    if bool((t >= 1).any()):
        raise ValueError("The velocity towards single points is not defined at t = 1: ask for times below 1.")
    rows, points, left = x.flatten(1), data.flatten(1), 1 - t[:, None]
    squares = (rows[:, None] - t[:, None, None] * points).square().sum(-1)  # (batch, count)
    weights = (-squares / (2 * left**2)).softmax(dim=-1)
    return ((weights @ points - rows) / left).reshape(x.shape)


def _time(x: Tensor, t: float) -> Tensor:
    """The same time for each row of x, (batch,)."""
    return torch.full(x.shape[:1], t, dtype=x.dtype)


def _check_pairs(x0: Tensor, x1: Tensor) -> None:
    if x0.shape != x1.shape:
        raise ValueError(f"Noise and data need one shape, but they have {tuple(x0.shape)} and {tuple(x1.shape)}.")


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"A path from noise to data has at least one step, not {steps}.")
