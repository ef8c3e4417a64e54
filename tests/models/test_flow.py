"""Rectified flow against closed forms, the orders of the solvers, and SciPy's solver of differential equations."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from torch import Tensor

from course_lib.models.flow import (
    empirical_velocity,
    euler_sample,
    flow_matching_loss,
    gaussian_velocity,
    guided_velocity,
    heun_sample,
    interpolate,
    logit_normal_times,
    reflow_pairs,
    straightness,
    time_embedding,
    velocity_target,
)
from course_lib.models.positions import sinusoidal_positions


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


MEAN, STD = torch.tensor([[1.5, -0.5], [0.4, 1.7]], dtype=torch.float64)


def towards_gaussian(x: Tensor, t: Tensor) -> Tensor:
    return gaussian_velocity(x, t, mean=MEAN, std=STD)


def gaussian_flow(x0: Tensor) -> Tensor:
    """Where the flow to N(MEAN, STD²) takes each noise: it keeps how many standard deviations a point is away."""
    return MEAN + STD * x0


# Paths and the loss


@given(st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_a_path_leads_from_noise_to_data_in_a_straight_line_for_each_row(times: list[float]) -> None:
    t = torch.tensor(times, dtype=torch.float64)
    x0, x1 = (torch.randn(len(times), 2, 3, 2, dtype=torch.float64) for _ in range(2))
    x = interpolate(x0, x1, t)
    for row, time in enumerate(times):
        torch.testing.assert_close(x[row], torch.lerp(x0[row], x1[row], time))
    torch.testing.assert_close(interpolate(x0, x1, torch.zeros_like(t)), x0)
    torch.testing.assert_close(interpolate(x0, x1, torch.ones_like(t)), x1)


def test_the_target_is_the_derivative_of_the_path_by_time() -> None:
    x0, x1, t = randn(3, 4, seed=1), randn(3, 4, seed=2), torch.tensor([0.1, 0.5, 0.9])
    _, slope = torch.func.jvp(lambda t: interpolate(x0, x1, t), (t,), (torch.ones(3),))
    torch.testing.assert_close(velocity_target(x0, x1), slope)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [(((3, 2), (2, 2), (3,)), "one shape"), (((3, 2), (3, 2), (2,)), "each of 3 rows"), (((3, 2), (3, 2), ()), "rows")],
)
def test_shapes_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        interpolate(*(torch.zeros(shape) for shape in shapes))


def test_the_loss_is_zero_for_the_velocity_of_a_single_pair_and_its_mean_square_otherwise() -> None:
    x0, x1, t = randn(5, 2, 3), randn(5, 2, 3, seed=1), torch.rand(5)
    assert flow_matching_loss(lambda x, t: x1 - x0, x0, x1, t) == 0
    off = flow_matching_loss(lambda x, t: x1 - x0 + 3, x0, x1, t)
    assert off.item() == pytest.approx(9)


def test_of_all_velocities_of_a_family_the_loss_is_smallest_at_the_conditional_mean() -> None:
    x0, z, t = randn(20_000, 2, seed=3), randn(20_000, 2, seed=4), torch.rand(20_000)
    x1 = MEAN + STD * z
    family = [
        (lambda x, t, a=a, b=b: a + b * towards_gaussian(x, t)) for a in (-0.2, 0.0, 0.2) for b in (0.8, 1.0, 1.2)
    ]
    losses = [flow_matching_loss(velocity, x0, x1, t).item() for velocity in family]
    assert losses.index(min(losses)) == 4  # a = 0, b = 1


def test_least_squares_on_paths_at_one_time_finds_the_closed_form() -> None:
    """The conditional mean is linear in x here, so a regression of the targets on x_t must give its two numbers."""
    x0, z = randn(200_000, 1, seed=5), randn(200_000, 1, seed=6)
    mean, std = torch.tensor([0.7]), torch.tensor([0.5])
    x1, t = mean + std * z, torch.full((200_000,), 0.3)
    x = interpolate(x0, x1, t)
    fitted = torch.linalg.lstsq(torch.cat([x, torch.ones_like(x)], 1), velocity_target(x0, x1)).solution
    points = torch.tensor([[-1.0], [2.0]])
    exact = gaussian_velocity(points, t[:2], mean=mean, std=std)
    torch.testing.assert_close(torch.cat([points, torch.ones(2, 1)], 1) @ fitted, exact, atol=0.02, rtol=0)


# Time


def test_the_embedding_is_sines_and_cosines_of_rising_frequencies_element_by_element() -> None:
    t = torch.tensor([0.0, 0.37, 1.0])
    embedded = time_embedding(t, dim=6, max_frequency=50.0)
    for row, time in enumerate(t.tolist()):
        for i in range(3):
            angle = 50.0 ** (2 * i / 6) * time
            assert embedded[row, 2 * i].item() == pytest.approx(math.sin(angle))
            assert embedded[row, 2 * i + 1].item() == pytest.approx(math.cos(angle))


def test_with_the_exponent_turned_it_is_the_embedding_of_positions() -> None:
    positions = torch.arange(5.0)
    torch.testing.assert_close(
        time_embedding(positions, dim=8, max_frequency=1e-4), sinusoidal_positions(5, 8, base=1e4)
    )


def test_an_odd_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        time_embedding(torch.zeros(2), dim=5)


def test_logit_normal_times_have_normal_logits_and_favour_the_middle() -> None:
    t = logit_normal_times(50_000, mean=0.5, std=0.8, generator=torch.Generator().manual_seed(0))
    z = t.logit()
    assert z.mean().item() == pytest.approx(0.5, abs=0.02)
    assert z.std().item() == pytest.approx(0.8, abs=0.02)
    middle = logit_normal_times(50_000, generator=torch.Generator().manual_seed(0))
    assert ((middle > 0.25) & (middle < 0.75)).double().mean() > 0.65


# Solvers

SAMPLERS: list[tuple[Callable[..., Tensor], int]] = [(euler_sample, 1), (heun_sample, 2)]


@pytest.mark.parametrize(("sampler", "order"), SAMPLERS)
def test_the_error_falls_with_the_order_of_the_solver(sampler: Callable[..., Tensor], order: int) -> None:
    x0 = randn(6, 2)
    steps = [16, 32, 64, 128]
    errors = [(sampler(towards_gaussian, x0, steps=n)[-1] - gaussian_flow(x0)).norm().item() for n in steps]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(-order, abs=0.12)


@pytest.mark.parametrize(("sampler", "order"), SAMPLERS)
def test_the_solvers_agree_with_scipy_on_a_field_without_a_closed_form(
    sampler: Callable[..., Tensor], order: int
) -> None:
    def swirl(x: Tensor, t: Tensor) -> Tensor:
        return torch.stack([torch.sin(3 * x[:, 1]) + t, x[:, 0] * torch.cos(2 * t)], dim=1)

    x0 = randn(4, 2, seed=7)
    exact = solve_ivp(
        lambda t, x: swirl(torch.from_numpy(x).view(4, 2), torch.full((4,), t)).flatten().numpy(),
        (0, 1),
        x0.flatten().numpy(),
        rtol=1e-10,
        atol=1e-12,
    )
    ours = sampler(swirl, x0, steps=800)[-1]
    np.testing.assert_allclose(ours.flatten(), exact.y[:, -1], atol=2e-2 / 40 ** (order - 1))


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_on_a_linear_field_euler_multiplies_by_one_plus_h_and_heun_by_two_terms_more_of_the_exponential(
    steps: int,
) -> None:
    x0, rate = randn(3, 2), -1.3
    h = rate / steps
    last = euler_sample(lambda x, t: rate * x, x0, steps=steps)[-1]
    torch.testing.assert_close(last, x0 * (1 + h) ** steps)
    last = heun_sample(lambda x, t: rate * x, x0, steps=steps)[-1]
    torch.testing.assert_close(last, x0 * (1 + h + h**2 / 2) ** steps)


def test_heun_is_exact_where_the_velocity_is_a_straight_line_in_time() -> None:
    x0 = randn(4, 3)
    path = heun_sample(lambda x, t: (2 * t - 0.5)[:, None].expand_as(x), x0, steps=3)
    for step in range(4):
        t = step / 3
        torch.testing.assert_close(path[step], x0 + t**2 - 0.5 * t)


@pytest.mark.parametrize(("sampler", "asked"), [(euler_sample, 1), (heun_sample, 2)])
def test_a_path_has_a_point_more_than_steps_and_asks_at_the_times_of_the_steps(
    sampler: Callable[..., Tensor], asked: int
) -> None:
    times: list[float] = []

    def field(x: Tensor, t: Tensor) -> Tensor:
        assert t.shape == (2,) and t.dtype == x.dtype
        times.append(t[0].item())
        return torch.ones_like(x)

    x0 = randn(2, 1, 3)
    path = sampler(field, x0, steps=4)
    assert path.shape == (5, 2, 1, 3)
    torch.testing.assert_close(path[0], x0)
    torch.testing.assert_close(path[-1], x0 + 1)
    assert len(times) == 4 * asked
    assert times[0] == 0 and max(times) == (0.75 if asked == 1 else 1.0)
    with pytest.raises(ValueError, match="at least one step"):
        sampler(field, x0, steps=0)


# Guidance


def conditional(x: Tensor, t: Tensor, label: Tensor) -> Tensor:
    return x * label[:, None] + t[:, None]


def test_guidance_of_one_is_the_class_of_zero_is_no_class_and_between_and_beyond_it_is_linear() -> None:
    x, t, label = randn(4, 3), torch.rand(4), torch.tensor([0, 1, 2, 1])
    guided = {w: guided_velocity(conditional, x, t, label, weight=w, no_class=3) for w in (0.0, 1.0, 2.5)}
    torch.testing.assert_close(guided[1.0], conditional(x, t, label))
    torch.testing.assert_close(guided[0.0], conditional(x, t, torch.full((4,), 3)))
    torch.testing.assert_close(guided[2.5], guided[0.0] + 2.5 * (guided[1.0] - guided[0.0]))


# Reflow and straightness


def test_pairs_keep_their_noise_and_hold_where_the_flow_takes_it_without_gradients() -> None:
    x0 = randn(5, 2)
    scale = torch.ones((), requires_grad=True)
    noise, samples = reflow_pairs(lambda x, t: scale * towards_gaussian(x, t), x0, steps=4)
    assert noise is x0
    assert not samples.requires_grad
    torch.testing.assert_close(samples, euler_sample(towards_gaussian, x0, steps=4)[-1])


def test_straightness_is_zero_for_a_straight_path_at_constant_speed_and_known_for_a_parabola() -> None:
    x0 = randn(4, 3)
    straight = euler_sample(lambda x, t: torch.full_like(x, 0.7), x0, steps=5)
    assert straightness(straight).item() == pytest.approx(0, abs=1e-20)
    steps = 2000
    t = torch.linspace(0, 1, steps + 1)[:, None, None]
    parabola = t**2 * torch.ones(1, 2, 3)  # velocity 2t, mean square of 2t - 1 is 1/3
    assert straightness(parabola).item() == pytest.approx(1 / 3, rel=1e-3)


def test_straightness_does_not_depend_on_the_scale_and_refuses_a_single_point() -> None:
    path = randn(6, 4, 2)
    torch.testing.assert_close(straightness(path), straightness(10 * path))
    with pytest.raises(ValueError, match="1 points"):
        straightness(path[:1])


def test_pairs_that_are_joined_by_straight_lines_that_do_not_cross_are_learned_without_an_error() -> None:
    """Behind a perfect flow, the pairs (x_0, mean + std x_0) leave the regression nothing uncertain."""
    x0, t = randn(50, 2), torch.rand(50) * 0.9
    pairs = (x0, gaussian_flow(x0))

    def straight(x: Tensor, t: Tensor) -> Tensor:
        start = (x - t[:, None] * MEAN) / (1 - t[:, None] + t[:, None] * STD)
        return MEAN + (STD - 1) * start

    assert flow_matching_loss(straight, *pairs, t).item() < 1e-20
    assert flow_matching_loss(towards_gaussian, *pairs, t).item() > 0.01


# Exact velocities


def test_the_flow_of_the_gaussian_velocity_carries_noise_to_the_gaussian() -> None:
    x0 = randn(5, 2)
    torch.testing.assert_close(heun_sample(towards_gaussian, x0, steps=400)[-1], gaussian_flow(x0), atol=1e-4, rtol=0)


def test_at_the_start_it_points_to_the_mean_and_where_data_is_noise_it_vanishes_on_average() -> None:
    x = randn(4, 2)
    torch.testing.assert_close(towards_gaussian(x, torch.zeros(4)), MEAN - x)
    torch.testing.assert_close(
        gaussian_velocity(x, torch.full((4,), 0.5), mean=torch.zeros(2), std=torch.ones(2)), torch.zeros(4, 2)
    )


def test_towards_a_single_point_the_empirical_velocity_is_the_way_that_is_left_over_the_time_that_is_left() -> None:
    x, t, point = randn(6, 2, 3), torch.rand(6), randn(1, 2, 3, seed=8)
    torch.testing.assert_close(empirical_velocity(x, t, data=point), (point - x) / (1 - t)[:, None, None])


def test_the_empirical_velocity_is_the_conditional_mean_by_bayes_rule_written_out() -> None:
    data, x, t = randn(7, 2, seed=9), randn(5, 2, seed=10), torch.tensor([0.0, 0.2, 0.5, 0.7, 0.9])
    for row in range(5):
        s = t[row].item()
        noises = (x[row] - s * data) / (1 - s)  # the noise that each data point would need to be here now
        density = torch.distributions.Normal(0.0, 1.0).log_prob(noises).sum(-1).exp()
        expected = (density[:, None] * (data - noises)).sum(0) / density.sum()
        torch.testing.assert_close(empirical_velocity(x[row : row + 1], t[row : row + 1], data=data)[0], expected)


def test_many_points_of_a_gaussian_have_nearly_its_velocity() -> None:
    data = MEAN + STD * randn(200_000, 2, seed=11)
    x, t = randn(4, 2), torch.tensor([0.1, 0.3, 0.5, 0.7])
    torch.testing.assert_close(empirical_velocity(x, t, data=data), towards_gaussian(x, t), atol=0.05, rtol=0)


def test_the_empirical_flow_ends_at_the_data_points_themselves() -> None:
    data = torch.tensor([[2.0, 0.0], [-2.0, 1.0], [0.0, -3.0]])
    ends = euler_sample(lambda x, t: empirical_velocity(x, t, data=data), randn(50, 2), steps=64)[-1]
    nearest = torch.cdist(ends, data).min(1)
    assert nearest.values.max() < 1e-6
    assert set(nearest.indices.tolist()) == {0, 1, 2}


def test_the_empirical_velocity_has_no_value_at_the_end() -> None:
    with pytest.raises(ValueError, match="below 1"):
        empirical_velocity(randn(2, 2), torch.tensor([0.5, 1.0]), data=randn(3, 2))
