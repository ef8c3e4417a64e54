"""One training loop for the whole book: batches in, updates, a history out.

The loop knows nothing of the model or its data: it asks for the next batch, for the loss on it, and updates.
All chance is the caller's: the batches come from a seeded generator, the first weights from `initialised`.

Chapters: 02-seq2seq onwards.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

Batch = TypeVar("Batch")
Model = TypeVar("Model", bound=nn.Module)
Stop = Literal["all steps done", "no more batches", "time limit", "no improvement", "interrupted"]


@dataclass
class History:
    """What happened in training, to be plotted.

    Attributes:
        losses: the loss of each step.
        seconds: the time from the start to the end of each step, evaluations left out.
        evaluations: pairs (number of steps done, value of `evaluate`).
        stopped: why training ended.
    """

    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    evaluations: list[tuple[int, float]] = field(default_factory=list)
    stopped: Stop = "all steps done"

    def smoothed(self, window: int = 20) -> list[float]:
        """The mean of the last `window` losses (of fewer, at the start), one for each step."""
        tails = (self.losses[max(0, i - window + 1) : i + 1] for i in range(len(self.losses)))
        return [sum(tail) / len(tail) for tail in tails]


def initialised(build: Callable[[], Model], *, generator: torch.Generator) -> Model:
    """Build a model whose first weights come from `generator`, and leave PyTorch's global chance as it was.

    Args:
        build: makes the model, for instance `lambda: nn.Linear(2, 3)`.
        generator: the source of chance; each call moves it on.

    Returns:
        The model.

    Chapter: 02-seq2seq.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        return build()


def linear_schedule(steps: int, *, warmup: float = 0.1, floor: float = 0.05) -> Callable[[int], float]:
    """A factor for the learning rate: up in a straight line to 1, then down in a straight line to `floor`.

    Args:
        steps: number of steps of the whole training.
        warmup: share of the steps on the way up.
        floor: the factor of the last step.

    Returns:
        A function from the step, counted from 0, to the factor.

    Chapter: 02-seq2seq.
    """
    peak = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < peak:
            return (step + 1) / peak
        return 1 - (1 - floor) * (step + 1 - peak) / max(1, steps - peak)

    return factor


def train(
    model: nn.Module,
    batches: Iterable[Batch],
    loss: Callable[[Batch], Tensor],
    *,
    optimizer: torch.optim.Optimizer,
    steps: int,
    schedule: Callable[[int], float] | None = None,
    clip_norm: float | None = 1.0,
    evaluate: Callable[[], float] | None = None,
    evaluate_every: int = 100,
    patience: int | None = None,
    time_limit: float | None = None,
    progress: bool = True,
) -> History:
    """Train: forward, loss, gradient, update, once for each batch.

    An interrupt (Ctrl-C, or the stop button of a notebook) ends training early and keeps all that was learned.
    The model comes back ready for use, in evaluation mode.

    Args:
        model: what is trained; its parameters are those of the optimiser.
        batches: the batches, one for each step; may be endless.
        loss: the loss of the model on one batch, 0-dimensional.
        optimizer: updates the parameters.
        steps: the largest number of updates.
        schedule: a factor for the optimiser's learning rate at each step, counted from 0. None: constant.
        clip_norm: gradients longer than this, all parameters together, are scaled down to it. None: never.
        evaluate: a number to follow, smaller is better; it runs without gradients, in evaluation mode.
        evaluate_every: steps between two evaluations; there is one more at the end.
        patience: stop after this many evaluations in a row without a new best, and go back to the weights of
            the best one. None: never.
        time_limit: seconds after which no further step begins. None: no limit.
        progress: show a progress bar.

    Returns:
        The history.

    Raises:
        FloatingPointError: if the loss is not a finite number.
        ValueError: if there is patience, but nothing to evaluate.

    Chapter: 02-seq2seq.
    """
    if patience is not None and evaluate is None:
        raise ValueError("patience counts evaluations without a new best: give `evaluate` as well, or no patience.")
    history = History()
    judge = _Judge(model, evaluate, history)
    rates = [group["lr"] for group in optimizer.param_groups]
    start, pauses = time.perf_counter(), 0.0
    source: Iterator[Batch] = iter(batches)
    model.train()
    bar = tqdm(range(steps), disable=not progress, mininterval=0.5, unit="step")
    try:
        for step in bar:
            if time_limit is not None and time.perf_counter() - start > time_limit:
                history.stopped = "time limit"
                break
            try:
                batch = next(source)
            except StopIteration:
                history.stopped = "no more batches"
                break
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * (schedule(step) if schedule else 1.0)
            value = _update(model, loss(batch), optimizer, clip_norm, step)
            history.losses.append(value)
            history.seconds.append(time.perf_counter() - start - pauses)
            bar.set_postfix(loss=f"{value:.3f}", refresh=False)
            if evaluate and (step + 1) % evaluate_every == 0:
                before = time.perf_counter()
                judge()
                pauses += time.perf_counter() - before
                if patience is not None and judge.since_best >= patience:
                    history.stopped = "no improvement"
                    break
        if evaluate and judge.judged_at != len(history.losses):
            judge()
    except KeyboardInterrupt:
        history.stopped = "interrupted"
    finally:
        bar.close()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        model.eval()
    if patience is not None and judge.best_weights is not None:
        model.load_state_dict(judge.best_weights)
    return history


def _update(
    model: nn.Module, loss: Tensor, optimizer: torch.optim.Optimizer, clip_norm: float | None, step: int
) -> float:
    """One update; returns the loss."""
    value = loss.item()
    if not math.isfinite(value):
        raise FloatingPointError(
            f"The loss is {value} at step {step}: lower the learning rate, clip the gradients, or look for a row "
            "in which a softmax has nothing left."
        )
    optimizer.zero_grad()
    loss.backward()
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return value


class _Judge:
    """Evaluates the model now and then, and remembers the best weights."""

    def __init__(self, model: nn.Module, evaluate: Callable[[], float] | None, history: History) -> None:
        self.model = model
        self.evaluate = evaluate
        self.history = history
        self.best = math.inf
        self.best_weights: dict[str, Tensor] | None = None
        self.since_best = 0
        self.judged_at = -1

    def __call__(self) -> None:
        assert self.evaluate is not None
        self.model.eval()
        with torch.no_grad():
            value = float(self.evaluate())
        self.model.train()
        self.judged_at = len(self.history.losses)
        self.history.evaluations.append((self.judged_at, value))
        self.since_best += 1
        if value < self.best:
            self.best, self.since_best = value, 0
            self.best_weights = deepcopy(self.model.state_dict())
