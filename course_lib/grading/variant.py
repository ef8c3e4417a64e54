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
SOLVED = "### BEGIN SOLUTION"
NUMBER = r"-?\d+(?:\.\d*)?(?:e-?\d+)?"


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
    text, answer = "\n".join(cell["source"] for cell in cells), cells[-1]["source"]
    for constant, _ in constants.values():
        wanted = [write(constant.plain) for write in constant.worked]
        missing = [words for words in wanted if words not in text]
        if SOLVED in answer:
            missing += [code for code, _ in constant.code if answer.count(code) != 1]
        if not constant.code and len(_default_of(constant).findall(answer)) != 1:
            missing.append(_default(constant, constant.plain))
        if missing:
            raise SpecError(f"{spec.slug}.{exercise.name} must hold {missing[0]!r}, for its variants change it")
    put = _put(constants)
    for cell in cells:
        cell["source"] = put(cell["source"])
    task = [cell for cell in cells if cell["cell_type"] == "markdown"][-1]
    task["source"] = _announced(task["source"], constants)


def _announced(text: str, constants: Mapping[str, tuple[Constant, float]]) -> str:
    """An exercise's text that says at the end of its task, before the help, which constants this notebook has."""
    items = [
        f"{constant.name} = {value:g}" if constant.code else f"`{argument}` = {value:g} where nothing else is said"
        for argument, (constant, value) in constants.items()
    ]
    task, help_begins, help_for_it = text.partition("\n<details>")
    return f"{task.rstrip()}\n\n**In this notebook:** {'; '.join(items)}.\n{help_begins}{help_for_it}"


def _varied(spec: Assignment, exercise: Exercise, variant: Variant) -> Exercise:
    """The exercise with the variant's constants in its reference, its rubric and the sources of its mistakes."""
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
    reference = exercise.reference
    for argument, (constant, value) in constants.items():
        reference = constant.reference(value) if constant.reference else partial(reference, **{argument: value})
    return replace(
        exercise,
        reference=reference,
        lines=[replace(line, text=put(line.text)) for line in exercise.lines],
        misconceptions=[*known, *_other_values(spec, exercise, variant)],
    )


def _other_values(spec: Assignment, exercise: Exercise, variant: Variant) -> Iterator[Misconception]:
    """To have another value: that of the assignment without variants, of another group of the class, or of any."""
    for argument, (constant, value) in constants_of(spec, exercise, variant).items():
        found = [("of_no_group", constant.plain)]
        found += [(f"of_group_{other.group}", _drawn(spec, exercise, constant, other)) for other in variant.others]
        found += [(f"is_{choice:g}", choice) for choice in constant.choices]
        seen = {value}
        for whose, theirs in found:
            if theirs in seen:
                continue
            seen.add(theirs)
            edits = [(new(value), old if theirs == constant.plain else new(theirs)) for old, new in constant.code]
            name = constant.name
            yield Misconception(
                name=f"{argument}_{whose}",
                says=f"This is the answer for {name} {theirs:g}; the notebook of your group says {name} {value:g}.",
                line=constant.line,
                edits=edits or [(_default(constant, value), _default(constant, theirs))],
            )


def _drawn(spec: Assignment, exercise: Exercise, constant: Constant, variant: Variant) -> float:
    choices = [value for value in constant.choices if value != constant.plain]
    words = f"{spec.slug}\n{exercise.name}\n{constant.argument}\n{variant}"
    return choices[int.from_bytes(hashlib.sha256(words.encode()).digest()[:8]) % len(choices)]


def _default(constant: Constant, value: float) -> str:
    return f"{constant.argument}: {type(constant.plain).__name__} = {value!r}"


def _default_of(constant: Constant) -> re.Pattern[str]:
    """A default of the argument in a signature, annotated or not, with what stands before the number in a group."""
    return re.compile(rf"(?<!\w)({constant.argument}(?:: (?:int|float) = |=))({NUMBER})(?![\w.])")


def _put(constants: Mapping[str, tuple[Constant, float]]) -> Callable[[str], str]:
    """Replaces constants in a text by their values in a variant: as code, in numbers and in words."""
    new: dict[str, str] = {}
    for constant, value in constants.values():
        if constant.everywhere:
            new |= {f"{constant.plain:g}": f"{value:g}", repr(constant.plain): repr(value)}
        new |= {write(constant.plain): write(value) for write in constant.worked}
        new |= {plain: write(value) for plain, write in (*constant.code, *constant.wording)}
    longest_first = "|".join(_as_a_whole(old) for old in sorted(new, key=len, reverse=True))

    def put(text: str) -> str:
        if new:
            text = re.sub(longest_first, lambda match: new[match[0]], text)
        for constant, value in constants.values():
            text = _put_default(text, constant, value)
        return text

    return put


def _put_default(text: str, constant: Constant, value: float) -> str:
    return _default_of(constant).sub(
        lambda match: match[1] + repr(value) if float(match[2]) == constant.plain else match[0], text
    )


def _as_a_whole(words: str) -> str:
    """A pattern for words that are no part of a longer word or number."""
    before = r"(?<![\w.])" if re.match(r"\w", words) else ""
    after = r"(?!\w|\.\d)" if re.search(r"\w$", words) else ""
    return before + re.escape(words) + after
