"""Draw an exercise's cases: probes from a seed, the right replies from the reference, and the
replies of the known mistakes.

Public cases are drawn once from a fixed seed and recorded beside the student's notebook. Hidden
cases are drawn afresh for each submission. Both come from the same generators.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch

from course_lib.check.judge import Case, ExerciseCases, Mistake, RubricLine
from course_lib.check.probe import Probe, Reply, execute
from course_lib.grading.solution import namespace, wrong_source
from course_lib.grading.spec import Assignment, Exercise, Line, SpecError
from course_lib.grading.variant import find

PUBLIC_SEED = b"public cases"
SIGNIFICANT_DIGITS = 10


def hidden_seed(secret: bytes, *, slug: str, exercise: str, submission: str) -> bytes:
    """The seed of a submission's hidden cases: a function of the class secret and what was submitted."""
    return hmac.digest(secret, f"{slug}\n{exercise}\n{submission}".encode(), "sha256")


def public_seed(spec: Assignment) -> bytes:
    """The seed of the public cases: one for all classes, and one for each variant."""
    return PUBLIC_SEED if spec.variant is None else PUBLIC_SEED + f" of {spec.variant}".encode()


def draw(spec: Assignment, exercise: Exercise, *, seed: bytes) -> ExerciseCases:
    """The cases of an exercise for a seed. Replies of mistakes are computed when they are asked for.

    Raises:
        SpecError: the reference itself fails on a case, other than by raising on purpose.
    """
    lines = [_draw_line(spec, exercise, line, seed) for line in exercise.lines]
    mistakes = {m.name: Mistake(m.says, m.line) for m in exercise.misconceptions}
    return ExerciseCases(exercise.name, tuple(exercise.returns), lines, mistakes, tuple(exercise.banned))


def public_cases(spec: Assignment) -> dict[str, ExerciseCases]:
    """The recorded cases of every exercise, rounded so that each machine records the same bytes."""
    return {e.name: _rounded(draw(spec, e, seed=public_seed(spec))) for e in spec.exercises}


def _draw_line(spec: Assignment, exercise: Exercise, line: Line, seed: bytes) -> RubricLine:
    digest = hashlib.sha256(seed + f"\n{exercise.name}\n{line.name}".encode()).digest()
    rng = np.random.default_rng(list(digest))
    probes = list(line.cases(rng))
    if not probes:
        raise SpecError(f"{spec.slug}.{exercise.name}: rubric line {line.name!r} has no cases")
    if line.measures is not None:
        measured = [Case(probe, Reply()) for probe in probes]
        return RubricLine(line.name, line.text, line.points, measured, measures=tuple(line.measures(rng)))
    properties = line.properties(probes) if callable(line.properties) else line.properties
    cases = []
    for probe in probes:
        expected = _answer(probe, {exercise.name: exercise.reference})
        if expected.failure is not None and expected.failure.kind != "raised":
            raise SpecError(f"{spec.slug}.{exercise.name}.{line.name}: the reference fails: {expected.failure}")
        cases.append(Case(probe, replace(expected, operations=()), _Mistakes(spec, exercise, probe)))
    return RubricLine(line.name, line.text, line.points, cases, tuple(properties))


def _answer(probe: Probe, scope: Mapping[str, Any]) -> Reply:
    """The reply of a source of ours, unwatched. What is asked in float32 is computed in float64 and rounded once.

    The last digits of a sum in float32 depend on the machine; computed so they do not, and recorded cases are
    the same bytes everywhere.
    """
    if probe.dtype != "float32" and not any(_is_single(value) for value in probe.args):
        return execute(replace(probe, watch=False), scope)
    args = tuple(value.double() if _is_single(value) else value for value in probe.args)
    reply = execute(replace(probe, args=args, dtype="float64", watch=False), scope)
    gradients = {name: _single(gradient) for name, gradient in reply.gradients.items()}
    return replace(reply, output=_single(reply.output), gradients=gradients)


def _is_single(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype == torch.float32


def _single(value: Any) -> Any:
    """The value with its tensors of float64 in float32, rounded in decimals before, where all machines agree."""
    if isinstance(value, torch.Tensor) and value.dtype == torch.float64:
        return _round(value).float()
    if isinstance(value, (list, tuple)):
        return type(value)(_single(item) for item in value)
    if isinstance(value, dict):
        return {name: _single(item) for name, item in value.items()}
    return value


class _Mistakes(Mapping[str, Reply]):
    """The replies of an exercise's known mistakes to one probe, each computed at first need."""

    def __init__(self, spec: Assignment, exercise: Exercise, probe: Probe) -> None:
        self._spec, self._exercise, self._probe = spec, exercise, probe
        self._replies: dict[str, Reply] = {}

    def __getitem__(self, name: str) -> Reply:
        if name not in self._replies:
            scope = wrong_namespace(self._spec.full_name, self._exercise.name, name)
            self._replies[name] = _answer(self._probe, scope)
        return self._replies[name]

    def __iter__(self) -> Iterator[str]:
        return (m.name for m in self._exercise.misconceptions)

    def __len__(self) -> int:
        return len(self._exercise.misconceptions)


@cache
def wrong_namespace(slug: str, exercise: str, misconception: str) -> Mapping[str, Any]:
    """What the solution notebook defines with one misconception in it. ``slug`` may be a variant's full name."""
    found = next(m for m in find(slug).exercise(exercise).misconceptions if m.name == misconception)
    return namespace(slug, replace={exercise: wrong_source(slug, exercise, found)})


def _rounded(exercise: ExerciseCases) -> ExerciseCases:
    lines = [
        replace(
            line,
            cases=[
                Case(c.probe, _round_reply(c.expected), {name: _round_reply(r) for name, r in c.mistakes.items()})
                for c in line.cases
            ],
        )
        for line in exercise.lines
    ]
    return replace(exercise, lines=lines)


def _round_reply(reply: Reply) -> Reply:
    failure = None if reply.failure is None else replace(reply.failure, frames=())
    gradients = {name: _round(gradient) for name, gradient in reply.gradients.items()}
    return replace(reply, output=_round(reply.output), gradients=gradients, failure=failure, operations=())


def _round(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.dtype == torch.float64:
        array = value.numpy()
        finite = np.isfinite(array) & (array != 0)
        exponent = np.zeros_like(array)
        np.log10(np.abs(array), out=exponent, where=finite)
        scale = 10.0 ** (SIGNIFICANT_DIGITS - 1 - np.floor(exponent))
        rounded = np.where(np.abs(array) < 1e-12, 0.0, np.round(array * scale) / scale)
        return torch.from_numpy(np.where(finite, rounded, array))
    if isinstance(value, (list, tuple)):
        return type(value)(_round(item) for item in value)
    if isinstance(value, dict):
        return {name: _round(item) for name, item in value.items()}
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
