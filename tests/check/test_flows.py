"""Trained flows are measured by whoever judges: on a network of torch.nn alone that equals the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from course_lib.check.flows import MISTAUGHT, PlaneFlow, _Exam
from course_lib.check.measures import Measure
from course_lib.check.weights import Misfit
from course_lib.data.plane import gaussian_centres
from course_lib.models.flow import empirical_velocity, euler_sample
from course_lib.models.velocity import VelocityMLP

SIZES = {"hidden_size": 8, "num_layers": 2, "time_dim": 4, "max_frequency": 100.0}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def reference(seed: int = 0) -> VelocityMLP:
    torch.manual_seed(seed)
    return VelocityMLP(hidden_size=8, num_layers=2, time_dim=4)


def given(count: int = 60) -> dict[str, Any]:
    noise = torch.randn(count, 2, generator=generator())
    data = torch.randn(count, 2, generator=generator(1)) + torch.tensor([2.0, -1.0])
    return {"sizes": SIZES, "noise": noise, "data": data}


class Exact:
    """A velocity in the place of a network: what a mistake would teach at best, by the library's exact velocity."""

    def __init__(self, data: Tensor, taught: str) -> None:
        self.data, self.taught = data, taught

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        if self.taught in ("exchanged", "times reversed"):
            t = 1 - t
        t = t.clamp(max=0.9)  # it is asked at all times, and judged at the right ones
        v = empirical_velocity(x, t, data=self.data)
        t = t[:, None]
        targets = {"data": x + (1 - t) * v, "noise": x - t * v, "exchanged": -v, "velocity reversed": -v}
        return targets.get(self.taught, v)


def test_the_network_computes_and_samples_what_the_reference_does() -> None:
    model = reference()
    network = PlaneFlow(**SIZES)
    network.load_state_dict(model.state_dict())
    x, t = torch.randn(5, 2), torch.rand(5)
    torch.testing.assert_close(network(x, t), model(x, t))
    torch.testing.assert_close(network.samples(x, steps=7), euler_sample(model, x, steps=7)[-1])


@pytest.mark.parametrize("taught", ["", *MISTAUGHT])
def test_a_flow_is_nearest_to_what_it_was_taught(taught: str) -> None:
    exam = _Exam(Exact(given()["data"], taught), given()["noise"], given()["data"])  # type: ignore[arg-type]
    errors = {name: exam.error(name) for name in ("", *MISTAUGHT)}
    assert errors.pop(taught) == pytest.approx(0, abs=1e-8)
    assert min(errors.values()) > 0.1


def test_an_untrained_flow_is_told_so() -> None:
    weights = {name: 0.01 * weight for name, weight in reference().state_dict().items()}
    said = Measure("flow_is_untrained", given()).broken(weights)
    assert said is not None and "hardly any length" in said


def test_samples_far_from_the_data_fail_by_distance_and_by_clusters() -> None:
    weights = dict(reference().state_dict())
    far = Measure("flow_energy_distance", given() | {"steps": 4, "at_most": 0.05}).broken(weights)
    assert far is not None and "energy distance" in far
    goal = {"steps": 4, "centres": gaussian_centres(modes=3) + 50, "radius": 0.6, "at_least": 0.5}
    assert "0% of its share" in str(Measure("flow_clusters", given() | goal).broken(weights))


@pytest.mark.parametrize(
    ("name", "goal"),
    [("flow_velocity", {"at_most": 0.1}), ("flow_energy_distance", {"steps": 4, "at_most": 0.05})],
)
def test_weights_so_large_that_numbers_overflow_earn_nothing(name: str, goal: dict[str, float]) -> None:
    weights = {key: torch.full_like(weight, 1e30) for key, weight in reference().state_dict().items()}
    assert Measure(name, given() | goal).broken(weights) is not None


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(Misfit, match="lack"):
        Measure("flow_is_untrained", given()).broken({"output.weight": torch.zeros(2, 8)})
