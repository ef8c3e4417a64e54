"""Variants: an assignment whose constants and public cases one group of a class has for itself.

A variant is drawn from the group's name and a seed: the same two give the same constants, cases and bytes. Tasks,
points, rubric and known mistakes are those of the assignment. Constants of other groups are known mistakes besides.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from course_lib.grading.spec import Assignment, Constant, Exercise, Misconception, SpecError, Variant, assignment

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")


def parse(text: str) -> Variant:
    """The variant that ``GROUP`` or ``GROUP/SEED`` names.

    Raises:
        SpecError: it is not written so.
    """
    group, slash, seed = text.partition("/")
    if not WORD.fullmatch(group) or (slash and not WORD.fullmatch(seed)):
        raise SpecError(
            f"a variant is written GROUP or GROUP/SEED, such as A/2027: letters, digits, dots, dashes; not {text!r}"
        )
    return Variant(group, seed)


def find(full_name: str) -> Assignment:
    """The assignment or variant of this :attr:`~course_lib.grading.spec.Assignment.full_name`."""
    slug, _, names = full_name.partition("@")
    if not names:
        return assignment(slug)
    first, *others = map(parse, names.split("|"))
    return vary(assignment(slug), replace(first, others=tuple(others)))


def vary(spec: Assignment, variant: Variant) -> Assignment:
    """The variant of an assignment. With a group "" nothing is drawn."""
    if not variant.group:
        return replace(spec, variant=variant)
    new = {exercise.name: _put(constants_of(spec, exercise, variant)) for exercise in spec.exercises}
    return replace(
        spec,
        variant=variant,
        exercises=[_varied(spec, exercise, variant) for exercise in spec.exercises],
        stand_ins={name: new.get(name, str)(source) for name, source in spec.stand_ins.items()},
        equivalent={
            name: {new.get(name, str)(statement): why for statement, why in reasons.items()}
            for name, reasons in spec.equivalent.items()
        },
    )


def constants_of(spec: Assignment, exercise: Exercise, variant: Variant) -> dict[str, tuple[Constant, float]]:
    """What an exercise's constants are in a variant, by argument."""
    return {c.argument: (c, _drawn(spec, exercise, c, variant)) for c in exercise.constants}


def rewrite(spec: Assignment, cells: Sequence[Any]) -> None:
    """Put a variant's constants into the cells of a notebook: each exercise's text and the cell to write in.

    Raises:
        SpecError: a constant does not stand where it should.
    """
    if spec.variant is None or not spec.variant.group:
        return
    varied = {exercise.name: exercise for exercise in spec.exercises if exercise.constants}
    begin = 0
    for number, cell in enumerate(cells):
        settings = cell["metadata"].get("nbgrader", {})
        if settings.get("solution") and settings.get("grade_id") in varied:
            _rewrite_exercise(spec, varied[settings["grade_id"]], cells[begin : number + 1])
        elif settings.get("grade"):
            begin = number + 1


def _rewrite_exercise(spec: Assignment, exercise: Exercise, cells: Sequence[Any]) -> None:
    assert spec.variant is not None
    constants = constants_of(spec, exercise, spec.variant)
    text = "\n".join(cell["source"] for cell in cells)
    for constant, _ in constants.values():
        wanted = [_default(constant, constant.plain), *(write(constant.plain) for write in constant.worked)]
        if missing := [words for words in wanted if text.count(words) != 1]:
            raise SpecError(f"{spec.slug}.{exercise.name} must hold {missing[0]!r} once, for its variants change it")
    put = _put(constants)
    for cell in cells:
        cell["source"] = put(cell["source"])


def _varied(spec: Assignment, exercise: Exercise, variant: Variant) -> Exercise:
    """The exercise with the variant's constants as defaults of its reference and in the sources of its mistakes."""
    constants = constants_of(spec, exercise, variant)
    if not constants:
        return exercise
    put = _put(constants)
    known = [
        replace(
            mistake,
            says=put(mistake.says),
            edits=[(put(old), put(new)) for old, new in mistake.edits],
            source=None if mistake.source is None else put(mistake.source),
        )
        for mistake in exercise.misconceptions
    ]
    defaults = {argument: value for argument, (_, value) in constants.items()}
    return replace(
        exercise,
        reference=partial(exercise.reference, **defaults),
        misconceptions=[*known, *_values_of_others(spec, exercise, variant)],
    )


def _values_of_others(spec: Assignment, exercise: Exercise, variant: Variant) -> Iterator[Misconception]:
    """To have copied the value of the assignment without variants, or of another group of the class."""
    for argument, (constant, value) in constants_of(spec, exercise, variant).items():
        found = {"no_group": constant.plain}
        found |= {f"group_{other.group}": _drawn(spec, exercise, constant, other) for other in variant.others}
        seen = {value}
        for whose, theirs in found.items():
            if theirs in seen:
                continue
            seen.add(theirs)
            yield Misconception(
                name=f"{argument}_of_{whose}",
                says=f"Your default for {argument} is {theirs:g}, as in another group's notebook; in yours it is "
                f"{value:g}.",
                line=constant.line,
                edits=[(_default(constant, value), _default(constant, theirs))],
            )


def _drawn(spec: Assignment, exercise: Exercise, constant: Constant, variant: Variant) -> float:
    choices = [value for value in constant.choices if value != constant.plain]
    words = f"{spec.slug}\n{exercise.name}\n{constant.argument}\n{variant}"
    return choices[int.from_bytes(hashlib.sha256(words.encode()).digest()[:8]) % len(choices)]


def _default(constant: Constant, value: float) -> str:
    return f"{constant.argument}: float = {value!r}"


def _put(constants: Mapping[str, tuple[Constant, float]]) -> Callable[[str], str]:
    """Replaces constants in a text by their values in a variant: each as code and as people write it."""
    new: dict[str, str] = {}
    for constant, value in constants.values():
        new |= {f"{constant.plain:g}": f"{value:g}", repr(constant.plain): repr(value)}
        new |= {write(constant.plain): write(value) for write in constant.worked}
    if not new:
        return str
    longest_first = "|".join(re.escape(old) for old in sorted(new, key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w.])(?:{longest_first})(?!\w|\.\d)")
    return lambda text: pattern.sub(lambda match: new[match[0]], text)
