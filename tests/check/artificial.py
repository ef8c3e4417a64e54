"""Small exercises made for the tests of checking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from course_lib.check.judge import Case, ExerciseCases, Mistake, RubricLine
from course_lib.check.probe import Probe, execute
from course_lib.check.properties import Property

Line = tuple[str, float, Sequence[Case], Sequence[Property]]


def tensor(*shape: int, seed: int = 0) -> Tensor:
    """The same normal numbers each time, in float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def case(
    name: str, right: Any, *args: Any, wrong: Mapping[str, Callable[..., Any]] | None = None, **settings: Any
) -> Case:
    """A case with the replies of a right object and of wrong ones."""
    probe = Probe(target=name, args=args, **settings)
    replies = {mistake: execute(probe, {name: answer}) for mistake, answer in (wrong or {}).items()}
    return Case(probe, execute(probe, {name: right}), replies)


def exercise(name: str, lines: Sequence[Line], mistakes: Mapping[str, str] | None = None) -> ExerciseCases:
    """An exercise whose first line must catch all its mistakes."""
    made = [RubricLine(line, f"it is right on {line}", points, c, properties) for line, points, c, properties in lines]
    known = {mistake: Mistake(says, made[0].name) for mistake, says in (mistakes or {}).items()}
    return ExerciseCases(name, ("the output",), made, known)
