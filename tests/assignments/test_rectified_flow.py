"""Assignment 11: what is ruled out there, and what the trained flow is measured on."""

from __future__ import annotations

import pytest
import torch

from course_lib.check.flows import PlaneFlow
from course_lib.grading.draw import PUBLIC_SEED, draw
from course_lib.grading.kill_table import judge_source
from course_lib.grading.solution import answers, namespace
from course_lib.grading.spec import assignment
from course_lib.grading.specs import _rectified_flow_training as training

SPEC = assignment("11-rectified-flow")


def lost(name: str, source: str) -> dict[str, str]:
    """The rubric lines that an answer loses, each with what the student is told."""
    result = judge_source(SPEC, draw(SPEC, SPEC.exercise(name), seed=PUBLIC_SEED), source)
    return {line.line.name: line.finding.message for line in result.lines if line.finding}


def test_an_interpolation_by_the_library_earns_nothing() -> None:
    source = "def interpolate(x0, x1, t):\n    return torch.lerp(x0, x1, t.view(-1, *[1] * (x0.dim() - 1)))\n"
    told = lost("interpolate", source)
    assert set(told) == {line.name for line in SPEC.exercise("interpolate").lines}
    assert all("does the exercise's work" in message for message in told.values())


@pytest.mark.parametrize("cut", ["velocity(x, t) - target.detach()", "velocity(x.detach(), t) - target"])
def test_a_loss_through_whose_velocity_alone_gradients_pass_is_right(cut: str) -> None:
    source = answers(SPEC.slug)["flow_matching_loss"]
    assert source.count("velocity(x, t) - target") == 1
    assert lost("flow_matching_loss", source.replace("velocity(x, t) - target", cut)) == {}


@pytest.mark.parametrize("exercise", ["euler_sample", "heun_sample"])
@pytest.mark.parametrize("time", ["torch.tensor(number / steps)", "torch.full((1,), number / steps)"])
def test_the_velocity_is_asked_with_a_time_for_each_row(exercise: str, time: str) -> None:
    source = answers(SPEC.slug)[exercise]
    given = "torch.full((len(x),), number / steps, dtype=x.dtype)"
    assert source.count(given) == 1
    told = lost(exercise, source.replace(given, time))
    assert set(told) == {"path", "one_step"}
    assert "one time for each row" in told["path"]


@pytest.mark.parametrize("label", ["no_class", "torch.tensor(no_class)"])
def test_the_velocity_is_asked_with_a_class_for_each_row(label: str) -> None:
    source = answers(SPEC.slug)["guided_velocity"]
    assert source.count("torch.full_like(label, no_class)") == 1
    told = lost("guided_velocity", source.replace("torch.full_like(label, no_class)", label))
    assert set(told) == {"weights", "zero_and_one"}
    assert "one class for each row" in told["weights"]


# The trained flow


def test_every_draw_asks_for_the_same_training_and_measures_with_other_noise_and_data() -> None:
    drawn = [draw(SPEC, SPEC.exercise("train_flow"), seed=seed) for seed in (PUBLIC_SEED, b"one", b"two")]
    probes = [case.probe for cases in drawn for line in cases.lines for case in line.cases]
    assert all(probe == probes[0] for probe in probes)
    for name in ("noise", "data"):
        given = [line.measures[-1].parameters[name] for cases in drawn for line in cases.lines]
        assert all(not torch.equal(a, b) for i, a in enumerate(given) for b in given[:i])


def test_the_network_that_is_measured_is_the_one_that_the_notebook_gives() -> None:
    given = namespace(SPEC.slug)["VelocityMLP"]()
    measured = PlaneFlow(**training.SIZES)
    measured.load_state_dict(given.state_dict())
    x, t = torch.randn(6, 2), torch.rand(6)
    torch.testing.assert_close(measured(x, t), given(x, t))


@pytest.mark.parametrize(
    ("what", "old", "new"),
    [
        ("gradients never set to zero", "        optimizer.zero_grad()\n", ""),
        ("always the time 1/2", "t = torch.rand(len(x1))", "t = torch.full((len(x1),), 0.5)"),
        (
            "always the same 256 points",
            "x1 = draw_data(256)",
            "x1 = x1 if number else draw_data(256)[:3].repeat(86, 1)",
        ),
    ],
)
def test_a_training_that_cannot_work_loses_points_without_a_wrong_name(what: str, old: str, new: str) -> None:
    source = answers(SPEC.slug)["train_flow"]
    assert source.count(old) == 1
    result = judge_source(SPEC, draw(SPEC, SPEC.exercise("train_flow"), seed=PUBLIC_SEED), source.replace(old, new))
    assert result.earned < result.points, what
    assert result.mistakes == []
