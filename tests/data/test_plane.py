"""The distributions in the plane: seeded, centred, and of the shapes that their docstrings promise."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.data.plane import DISTRIBUTIONS, checkerboard, eight_gaussians, gaussian_centres, two_moons


def drawn(name: str, seed: int, count: int = 2000) -> torch.Tensor:
    return DISTRIBUTIONS[name](count, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_same_seed_gives_the_same_points_and_another_seed_others(name: str) -> None:
    assert drawn(name, 3).shape == (2000, 2)
    torch.testing.assert_close(drawn(name, 3), drawn(name, 3), rtol=0, atol=0)
    assert not torch.equal(drawn(name, 3), drawn(name, 4))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_global_chance_is_left_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    drawn(name, 0)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_each_distribution_is_centred(name: str) -> None:
    # the standard error of each mean is at most 1.5 / 100
    assert drawn(name, 0, 10_000).mean(0).abs().max() < 0.06


def test_every_gaussian_is_drawn_equally_often_with_its_own_spread() -> None:
    points = drawn("eight Gaussians", 0, 8000)
    centres = gaussian_centres()
    nearest = torch.cdist(points, centres).argmin(-1)
    counts = nearest.bincount(minlength=8)
    assert (counts - 1000).abs().max() < 5 * 1000**0.5
    offsets = points - centres[nearest]
    assert abs(offsets.std() - 0.15) < 0.005
    torch.testing.assert_close(centres.norm(dim=-1), torch.full((8,), 2.0))
    torch.testing.assert_close(centres[0], torch.tensor([2.0, 0.0]))


@given(modes=st.integers(1, 9), radius=st.floats(0.5, 5))
@settings(max_examples=20, deadline=None)
def test_without_spread_gaussians_are_their_centres(modes: int, radius: float) -> None:
    points = eight_gaussians(50, generator=torch.Generator().manual_seed(0), modes=modes, radius=radius, sigma=0)
    centres = gaussian_centres(modes=modes, radius=radius)
    assert (points[:, None] == centres).all(-1).any(-1).all()


def test_without_noise_each_moon_is_half_a_circle() -> None:
    points = two_moons(1000, generator=torch.Generator().manual_seed(0), sigma=0)
    centre = torch.tensor([-0.75, -0.375])
    upper, lower = ((points - c).norm(dim=-1) for c in (centre, -centre))
    on_upper = (upper - 1.5).abs() < 1e-4
    on_lower = (lower - 1.5).abs() < 1e-4
    assert (on_upper | on_lower).all()
    assert (points[on_upper & ~on_lower, 1] >= -0.375 - 1e-5).all()
    assert (points[on_lower & ~on_upper, 1] <= 0.375 + 1e-5).all()
    assert 400 < on_upper.sum() < 600


def test_the_board_has_points_on_all_dark_squares_and_on_no_light_one() -> None:
    points = checkerboard(4000, generator=torch.Generator().manual_seed(0))
    assert points.min() >= -2 and points.max() <= 2
    column, row = (points + 2).floor().clamp(max=3).long().unbind(-1)
    assert ((column + row) % 2 == 0).all()
    assert len(torch.unique(torch.stack([column, row]), dim=1).T) == 8


def test_a_board_of_odd_size_is_refused() -> None:
    with pytest.raises(ValueError, match="choose even"):
        checkerboard(4, generator=torch.Generator(), squares=3)
