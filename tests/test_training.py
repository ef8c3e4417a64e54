"""The training loop: what it updates, when it stops, what it remembers."""

import math
from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from course_lib.training import History, initialised, linear_schedule, train


class Point(nn.Module):
    """A model that is one number."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))
        self.modes: list[bool] = []

    def away_from(self, target: float) -> Tensor:
        self.modes.append(self.training)
        return (self.value - target).square() / 2


def endless(value: float) -> Iterator[float]:
    while True:
        yield value


def test_training_follows_gradient_descent_step_by_step() -> None:
    model = Point()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    history = train(model, endless(8.0), model.away_from, optimizer=optimizer, steps=3, clip_norm=None, progress=False)
    assert history.losses == [32.0, 8.0, 2.0]
    assert model.value.item() == 7.0
    assert history.stopped == "all steps done"
    assert history.seconds == sorted(history.seconds) and len(history.seconds) == 3


def test_long_gradients_are_scaled_down() -> None:
    model = Point()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    train(model, endless(8.0), model.away_from, optimizer=optimizer, steps=2, clip_norm=1.5, progress=False)
    assert model.value.item() == pytest.approx(3.0, abs=1e-4)


def test_the_schedule_scales_the_rate_and_the_rate_comes_back() -> None:
    model = Point()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    options = {"optimizer": optimizer, "schedule": [0.0, 1.0, 2.0].__getitem__, "clip_norm": None, "progress": False}
    history = train(model, endless(8.0), model.away_from, steps=3, **options)
    assert history.losses == [32.0, 32.0, 8.0] and model.value.item() == 8.0
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_training_ends_with_its_batches() -> None:
    model = Point()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    history = train(model, [1.0, 2.0], model.away_from, optimizer=optimizer, steps=9, progress=False)
    assert len(history.losses) == 2 and history.stopped == "no more batches"


def test_no_step_begins_after_the_time_limit() -> None:
    model = Point()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    history = train(model, endless(1.0), model.away_from, optimizer=optimizer, steps=9, time_limit=-1, progress=False)
    assert history.losses == [] and history.stopped == "time limit" and not model.training


def test_an_interrupt_keeps_what_was_learned() -> None:
    model = Point()

    def interrupted() -> Iterator[float]:
        yield 8.0
        yield 8.0
        raise KeyboardInterrupt

    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    options = {"optimizer": optimizer, "clip_norm": None, "progress": False}
    history = train(model, interrupted(), model.away_from, steps=9, **options)
    assert history.losses == [32.0, 8.0] and model.value.item() == 6.0
    assert history.stopped == "interrupted" and not model.training


def test_training_stops_without_a_new_best_and_goes_back_to_the_best_weights() -> None:
    model = Point()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    targets = [5.0, 3.0, 4.0, 6.0, 9.0, 9.0, 9.0]
    history = train(
        model,
        targets,
        model.away_from,
        optimizer=optimizer,
        steps=7,
        clip_norm=None,
        evaluate=lambda: abs(model.value.item() - 3),
        evaluate_every=1,
        patience=3,
        progress=False,
    )
    assert history.evaluations == [(1, 2.0), (2, 0.0), (3, 1.0), (4, 3.0), (5, 6.0)]
    assert history.stopped == "no improvement" and model.value.item() == 3.0


def test_evaluations_come_at_their_steps_and_at_the_end_without_gradients() -> None:
    model, seen = Point(), []

    def evaluate() -> float:
        seen.append((model.training, torch.is_grad_enabled()))
        return 1.0

    options = {"evaluate": evaluate, "evaluate_every": 2, "progress": False}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    history = train(model, endless(1.0), model.away_from, optimizer=optimizer, steps=5, **options)
    assert [step for step, _ in history.evaluations] == [2, 4, 5]
    assert seen == [(False, False)] * 3 and model.modes == [True] * 5 and not model.training


def test_the_last_evaluation_is_not_repeated() -> None:
    model = Point()
    options = {"evaluate": lambda: 0.0, "evaluate_every": 2, "progress": False}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    history = train(model, endless(1.0), model.away_from, optimizer=optimizer, steps=4, **options)
    assert [step for step, _ in history.evaluations] == [2, 4]


def test_patience_without_an_evaluation_is_refused() -> None:
    model = Point()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="give `evaluate` as well"):
        train(model, endless(1.0), model.away_from, optimizer=optimizer, steps=2, patience=1)


def test_a_loss_that_is_not_finite_is_named_with_its_step() -> None:
    model = Point()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(FloatingPointError, match="The loss is nan at step 1: lower the learning rate"):
        train(model, [1.0, math.nan], model.away_from, optimizer=optimizer, steps=2, progress=False)
    assert model.value.isfinite()


def test_the_progress_bar_shows_only_when_asked(capfd: pytest.CaptureFixture[str]) -> None:
    for progress in (False, True):
        model = Point()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        train(model, endless(1.0), model.away_from, optimizer=optimizer, steps=3, progress=progress)
        assert ("3/3" in capfd.readouterr().err) == progress


def test_first_weights_come_from_the_generator_and_leave_the_global_chance_alone() -> None:
    def build() -> nn.Linear:
        return nn.Linear(3, 2)

    state = torch.random.get_rng_state()
    generator = torch.Generator().manual_seed(4)
    first, second = (initialised(build, generator=generator) for _ in range(2))
    again = initialised(build, generator=torch.Generator().manual_seed(4))
    assert torch.equal(first.weight, again.weight) and not torch.equal(first.weight, second.weight)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_linear_schedule_rises_to_one_and_falls_to_its_floor() -> None:
    factor = linear_schedule(20, warmup=0.2, floor=0.1)
    values = [factor(step) for step in range(20)]
    assert values[:4] == [0.25, 0.5, 0.75, 1.0]
    assert values[3:] == sorted(values[3:], reverse=True) and values[-1] == pytest.approx(0.1)
    steps = [a - b for a, b in pairwise(values[3:])]
    assert max(steps) - min(steps) < 1e-12


def test_the_smoothed_curve_is_a_running_mean() -> None:
    assert History(losses=[1.0, 3.0, 5.0, 10.0]).smoothed(2) == [1.0, 2.0, 4.0, 7.5]
