"""What an assignment's spec declares.

A spec is one module in :mod:`course_lib.grading.specs`: it holds an :class:`Assignment` named
``ASSIGNMENT``. Its case generators take a seeded NumPy generator and return probes; the reference
answers them. A misconception is an edit of the solution's source, so that the spec shows exactly
what the student did differently; it is used to diagnose answers, to test the rubric, to make
sample submissions and to count mistakes in the class report.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch

from course_lib.check.measures import Measure
from course_lib.check.probe import Probe
from course_lib.check.properties import Property

Cases = Callable[[np.random.Generator], Sequence[Probe]]
"""Draws the probes of one rubric line. NumPy's generator gives the same numbers on every machine."""


class SpecError(Exception):
    """A spec that contradicts itself or its solution; the message says where and what to change."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One rubric line: points for agreeing with the reference on every case.

    Where a property is ``follows_distribution``, the answers are drawn by chance: the properties decide, and of the
    reference's reply only shape and type count.

    Attributes:
        name: short, snake_case, unique within the exercise.
        text: what the line asks, for the student, beginning in lower case.
        points: whole or half points.
        cases: draws the probes. Batch ≠ length ≠ width ≠ heads; nothing square.
        properties: what must hold of the replies besides; either a sequence or a function of the
            probes, where a parameter depends on what was drawn.
        measures: for an exercise that returns trained weights, which no reference can equal: draws the measures
            by which alone the line is judged, with the data that they measure on. Its ``cases`` draw the same
            probe for every generator, so that chance in the grading decides nothing about the training; lines
            with the same probe share one training.
    """

    name: str
    text: str
    points: float
    cases: Cases
    properties: Sequence[Property] | Callable[[Sequence[Probe]], Sequence[Property]] = ()
    measures: Callable[[np.random.Generator], Sequence[Measure]] | None = None


@dataclass(frozen=True, kw_only=True)
class Misconception:
    """A known mistake.

    Attributes:
        name: short, snake_case, unique within the exercise; the class report counts it.
        says: one sentence for the student: what was done, and what should be.
        line: the rubric line that must catch it.
        edits: replacements in the solution cell's source (student's view, without markers), each of
            which must occur exactly once.
        source: the whole wrong cell instead, where an edit would not show the idea.
    """

    name: str
    says: str
    line: str
    edits: Sequence[tuple[str, str]] = ()
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A number of an exercise that each variant of the assignment draws for itself.

    Usually the default of an argument. With ``code`` and ``reference`` it is a number within the solution.

    Attributes:
        argument: of the exercise's object; a keyword, written ``argument: float = 0.5`` in its cell. With ``code`` only
            a name.
        plain: its value in the assignment without variants.
        choices: what variants draw from; far enough apart that the rubric tells one from another. Each is a known
            mistake of the others, so few are better than many.
        line: the rubric line that another value loses; it asks without the argument.
        worked: numbers in the exercise's text that are worked out from it: each gives the text for a value.
        code: pieces of the solution that hold it: how the plain solution writes each, and how a variant does.
        wording: how the plain text, rubric or known mistakes say it, and how a variant does.
        reference: the right object for a value, where it is no argument of the exercise's ``reference``.
        everywhere: whether the number means this constant wherever the exercise writes it.
    """

    argument: str
    plain: float
    choices: Sequence[float]
    line: str
    worked: Sequence[Callable[[float], str]] = ()
    code: Sequence[tuple[str, Callable[[float], str]]] = ()
    wording: Sequence[tuple[str, Callable[[float], str]]] = ()
    reference: Callable[[float], Callable[..., Any]] | None = None
    everywhere: bool = False

    @property
    def name(self) -> str:
        """What people call it."""
        return self.argument.replace("_", " ") if self.code else self.argument


@dataclass(frozen=True)
class Variant:
    """Which variant of an assignment: a group's name and a seed decide its constants and public cases, nothing else.

    Attributes:
        group: its name; "" for a student of whom nobody has said which group.
        seed: another one gives the same group other constants and cases.
        others: the other variants in the same class; their constants are known mistakes in this one.
        seals: what marks a notebook of each group of the class as genuine.
    """

    group: str
    seed: str = ""
    others: tuple[Variant, ...] = ()
    seals: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return f"{self.group}/{self.seed}" if self.seed else self.group


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """One exercise: the object of this name that the student writes.

    Attributes:
        name: of the object, of its solution cell (grade_id) and of the reference.
        reference: computes what is right, from ``course_lib.models`` and its like. An exercise whose lines are
            all measured is never compared with it.
        lines: the rubric.
        misconceptions: the known mistakes.
        returns: names of the outputs for messages ("the output", "the weights").
        banned: names whose use would be the exercise done by a library.
        uses: earlier exercises whose objects this one may call. Where one of them is wrong, this
            exercise is graded with the assignment's stand-in in its place, so that it is gradable alone.
        no_mutants: why no automatic mutants are made of its solution; "" where they are.
        constants: what differs between variants of the assignment.
    """

    name: str
    reference: Callable[..., Any]
    lines: Sequence[Line]
    misconceptions: Sequence[Misconception]
    returns: Sequence[str] = ("the output",)
    banned: Sequence[str] = ()
    uses: Sequence[str] = ()
    no_mutants: str = ""
    constants: Sequence[Constant] = ()

    @property
    def points(self) -> float:
        """What the exercise is worth."""
        return sum(line.points for line in self.lines)


@dataclass(frozen=True, kw_only=True)
class Written:
    """A question answered in words and graded by hand; ``name`` is its cell's grade_id."""

    name: str
    points: float


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The spec of one assignment.

    Attributes:
        slug: names the folder in book/, solutions/ and exercises/, and the nbgrader assignment.
        notebook: name of the notebook, without ending.
        title: for people.
        exercises, written: what is graded, in the notebook's order.
        stand_ins: source of a working object for each exercise that others use.
        equivalent: for an exercise, automatic mutants of its solution that are right as well: the changed
            statement's first line, and why it gives the same.
        variant: which one this is; ``None`` for the assignment as it stands in ``solutions/``.
    """

    slug: str
    notebook: str
    title: str
    exercises: Sequence[Exercise]
    written: Sequence[Written] = ()
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    equivalent: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    variant: Variant | None = None

    @property
    def full_name(self) -> str:
        """The slug and, for a variant, which one in which company: what its sources are kept under."""
        if self.variant is None:
            return self.slug
        return f"{self.slug}@{'|'.join(map(str, (self.variant, *self.variant.others)))}"

    @property
    def points(self) -> float:
        """What the assignment is worth, written questions included."""
        return sum(e.points for e in self.exercises) + sum(w.points for w in self.written)

    def exercise(self, name: str) -> Exercise:
        """The exercise of this name.

        Raises:
            SpecError: there is none; the message lists those there are.
        """
        for exercise in self.exercises:
            if exercise.name == name:
                return exercise
        known = ", ".join(exercise.name for exercise in self.exercises)
        raise SpecError(f"{self.slug} has no exercise {name!r}; it has {known}")


@cache
def assignments() -> Mapping[str, Assignment]:
    """All assignments by slug, in the order of their slugs."""
    from course_lib.grading import specs

    found = [
        importlib.import_module(f"{specs.__name__}.{module.name}").ASSIGNMENT
        for module in pkgutil.iter_modules(specs.__path__)
        if not module.name.startswith("_")
    ]
    return {assignment.slug: assignment for assignment in sorted(found, key=lambda a: a.slug)}


def assignment(slug: str) -> Assignment:
    """The assignment of this slug.

    Raises:
        SpecError: there is none; the message lists those there are.
    """
    try:
        return assignments()[slug]
    except KeyError:
        raise SpecError(f"there is no assignment {slug!r}; there are: {', '.join(assignments())}") from None


def random_tensor(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> torch.Tensor:
    """Values for a case: normal, rounded to four decimals so that they are the same on every machine."""
    return torch.from_numpy(np.round(scale * rng.standard_normal(shape), 4))


def random_state(module: torch.nn.Module, rng: np.random.Generator, *, scale: float = 0.5) -> dict[str, torch.Tensor]:
    """Random weights for each name in the module's state, for a probe's ``state``."""
    return {name: random_tensor(rng, *tensor.shape, scale=scale) for name, tensor in module.state_dict().items()}
