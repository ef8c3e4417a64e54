"""The kill table: proof that a rubric lets right answers pass and wrong ones not.

For each exercise the solution must earn all points and the blank stub none; each known misconception must lose
the rubric line that is meant to catch it, and be recognised there by name; each automatic mutant of the
solution must lose a line, unless the spec lists it as equivalent.

This judges the course's own sources in this process. Mutants may loop or fill the memory, so each of them
runs in a fork with limits.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from course_lib.check.judge import Ask, ExerciseCases, ExerciseResult, judge
from course_lib.check.probe import Failure, Probe, Reply, execute
from course_lib.check.values import ValueRefused, pack, unpack
from course_lib.grading.draw import PUBLIC_SEED, draw, public_seed, wrong_namespace
from course_lib.grading.mutants import Mutant, mutants
from course_lib.grading.solution import answers, namespace, stub, wrong_source
from course_lib.grading.spec import Assignment, Exercise

SEEDS = (PUBLIC_SEED, b"kill table 1", b"kill table 2")
MUTANT_SECONDS = 20.0
MUTANT_BYTES = 1 << 30
KEPT_SECONDS = 1.0
_LONG_REPLIES: dict[tuple[Any, bytes], Reply] = {}


@dataclass(frozen=True)
class Kill:
    """What became of one misconception, over all seeds.

    Attributes:
        name, says: as in the spec.
        intended: the rubric line that must catch it.
        caught_by: the lines that lost their points with every seed, in rubric order.
        named: whether the intended line recognised it with every seed.
        earned: the most that an answer with this mistake earned.
    """

    name: str
    says: str
    intended: str
    caught_by: tuple[str, ...]
    named: bool
    earned: float

    @property
    def holds(self) -> bool:
        """Whether it was caught where it should be, and recognised."""
        return self.named and self.intended in self.caught_by


@dataclass(frozen=True)
class MutantKill:
    """What became of one automatic mutant with the public cases.

    Attributes:
        mutant: the change.
        caught_by: the lines that lost their points; empty if it survived.
        stopped: why it was stopped, if it was ("after 20 s"); this counts as caught.
        equivalent: why it is as right as the solution, if the spec says so.
    """

    mutant: Mutant
    caught_by: tuple[str, ...]
    stopped: str = ""
    equivalent: str = ""

    @property
    def survived(self) -> bool:
        """Whether it earned full marks."""
        return not self.caught_by and not self.stopped

    @property
    def holds(self) -> bool:
        """Whether it was caught, or is equivalent and was not."""
        return self.survived == bool(self.equivalent)


@dataclass(frozen=True)
class ExerciseKills:
    """The rows of one exercise.

    Attributes:
        name, points: of the exercise.
        solution: the least that the solution earned with any seed.
        blank: the most that the blank stub earned with any seed.
        blank_says: what its author is told.
        misconceptions: one row each, in the spec's order.
        mutants: one row each, in the order of the changed lines; empty where none were made.
        no_mutants: why none are made of this exercise, if so.
    """

    name: str
    points: float
    solution: float
    blank: float
    blank_says: str
    misconceptions: tuple[Kill, ...]
    mutants: tuple[MutantKill, ...] = ()
    no_mutants: str = ""

    @property
    def survivors(self) -> tuple[MutantKill, ...]:
        """Mutants that are not listed as equivalent and earned full marks."""
        return tuple(m for m in self.mutants if m.survived and not m.equivalent)

    @property
    def holds(self) -> bool:
        """Whether everything about this exercise is as it must be."""
        rows = [row.holds for row in self.misconceptions] + [row.holds for row in self.mutants]
        return self.solution == self.points and self.blank == 0 and all(rows)


@dataclass(frozen=True)
class KillTable:
    """The kill table of one assignment."""

    slug: str
    title: str
    seeds: int
    exercises: tuple[ExerciseKills, ...] = field(default_factory=tuple)

    @property
    def holds(self) -> bool:
        """Whether every row is as it must be."""
        return all(exercise.holds for exercise in self.exercises)


def kill_table(
    spec: Assignment,
    *,
    seeds: Sequence[bytes] = SEEDS,
    with_mutants: bool = False,
    mutants_at_most: int | None = None,
    exercises: Sequence[str] = (),
    progress: Callable[[str], object] = lambda message: None,
) -> KillTable:
    """Put the solution, the blank stub, each misconception and each mutant to the rubric.

    Args:
        spec: the assignment.
        seeds: of the cases; the first is used for mutants. The public cases of a variant are its own.
        with_mutants: also make automatic mutants of each solution, which takes about a minute.
        mutants_at_most: how many of an exercise, spread over its source; None makes all.
        exercises: names of the exercises to do; empty means all.
        progress: told what is being done, for a progress bar.

    Returns:
        One row for each exercise, misconception and mutant.
    """
    seeds = [public_seed(spec) if seed == PUBLIC_SEED else seed for seed in seeds]
    title = spec.title if spec.variant is None else f"{spec.title}, variant {spec.variant}"
    rows = []
    for exercise in spec.exercises:
        if exercises and exercise.name not in exercises:
            continue
        progress(exercise.name)
        rows.append(_exercise_kills(spec, exercise, seeds, with_mutants, mutants_at_most, progress))
    return KillTable(spec.slug, title, len(seeds), tuple(rows))


def ask_here(scope: Mapping[str, Any]) -> Ask:
    """Answer probes from these objects in this process; the replies are what would come over the wire.

    A reply that took long is kept: the same sources are asked to train again for every draw of sentences to measure
    the weights on, and would return the same weights.
    """

    def ask(probe: Probe) -> Reply:
        key = (scope.get("__sources__"), pack(probe.to_value(), trusted=True))
        if key in _LONG_REPLIES:
            return _LONG_REPLIES[key]
        started = time.perf_counter()
        try:
            reply = Reply.from_value(unpack(pack(execute(probe, scope).to_value())))
        except ValueRefused as error:
            reply = Reply(failure=Failure("refused", "ValueRefused", str(error)))
        if key[0] is not None and time.perf_counter() - started > KEPT_SECONDS:
            _LONG_REPLIES[key] = reply
        return reply

    return ask


def judge_source(spec: Assignment, cases: ExerciseCases, source: str) -> ExerciseResult:
    """Judge a source in the place of an exercise's answer; all other answers are the solution's.

    A source that cannot even be run defines nothing.
    """
    try:
        scope = namespace(spec.full_name, replace={cases.name: source})
    except Exception:
        scope = {}
    return judge(cases, ask_here(scope), source=source)


def _exercise_kills(
    spec: Assignment,
    exercise: Exercise,
    seeds: Sequence[bytes],
    with_mutants: bool,
    at_most: int | None,
    progress: Callable[[str], object],
) -> ExerciseKills:
    drawn = [draw(spec, exercise, seed=seed) for seed in seeds]
    solution = [judge_source(spec, cases, answers(spec.full_name)[exercise.name]) for cases in drawn]
    blank = [judge_source(spec, cases, stub(spec.full_name, exercise.name)) for cases in drawn]
    says = next((line.finding.message for line in blank[0].lines if line.finding), "")
    rows = []
    for misconception in exercise.misconceptions:
        source = wrong_source(spec.full_name, exercise.name, misconception)
        scope = wrong_namespace(spec.full_name, exercise.name, misconception.name)
        results = [judge(cases, ask_here(scope), source=source) for cases in drawn]
        named = all(
            line.mistake == misconception.name
            for result in results
            for line in result.lines
            if line.line.name == misconception.line
        )
        rows.append(
            Kill(
                misconception.name,
                misconception.says,
                misconception.line,
                _lost(results),
                named,
                max(result.earned for result in results),
            )
        )
    return ExerciseKills(
        exercise.name,
        exercise.points,
        min(result.earned for result in solution),
        max(result.earned for result in blank),
        says,
        tuple(rows),
        _mutant_kills(spec, exercise, drawn[0], at_most, progress) if with_mutants and not exercise.no_mutants else (),
        exercise.no_mutants,
    )


def _lost(results: Sequence[ExerciseResult]) -> tuple[str, ...]:
    """The rubric lines that lost their points in every result."""
    names = [line.line.name for line in results[0].lines]
    return tuple(name for i, name in enumerate(names) if all(not result.lines[i].earned for result in results))


def _mutant_kills(
    spec: Assignment,
    exercise: Exercise,
    cases: ExerciseCases,
    at_most: int | None,
    progress: Callable[[str], object],
) -> tuple[MutantKill, ...]:
    nameless = replace(cases, mistakes={})  # to recognise known mistakes takes longer than all else
    equivalent = spec.equivalent.get(exercise.name, {})
    rows = []
    made = list(mutants(answers(spec.full_name)[exercise.name]))
    for mutant in made[:: 1 if at_most is None else math.ceil(len(made) / at_most)]:
        progress(f"{exercise.name}: {mutant.description}")
        caught_by, stopped = _in_a_fork(partial(_lines_lost, spec, nameless, mutant.source))
        rows.append(MutantKill(mutant, caught_by, stopped, equivalent.get(mutant.after, "")))
    return tuple(rows)


def _lines_lost(spec: Assignment, cases: ExerciseCases, source: str) -> tuple[str, ...]:
    return _lost([judge_source(spec, cases, source)])


def _in_a_fork(work: Callable[[], tuple[str, ...]]) -> tuple[tuple[str, ...], str]:
    """What ``work`` returns, or why it was stopped. It runs in a fork with limited time and memory."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_limited, args=(work, sender))
    process.start()
    sender.close()
    try:
        if receiver.poll(MUTANT_SECONDS):
            return receiver.recv(), ""
        return (), f"after {MUTANT_SECONDS:g} s"
    except EOFError:
        return (), "its process ended"
    finally:
        process.kill()
        process.join()
        receiver.close()


def _limited(work: Callable[[], tuple[str, ...]], sender: Any) -> None:
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(MUTANT_SECONDS),) * 2)
    statm = Path("/proc/self/statm")
    if statm.exists():  # Linux
        used = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MUTANT_BYTES,) * 2)
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        sender.send(work())
