"""The recorded public cases of an assignment: one file beside the student's notebook."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from course_lib.check.judge import Case, ExerciseCases, Mistake, RubricLine
from course_lib.check.measures import Measure
from course_lib.check.probe import Probe, Reply
from course_lib.check.properties import Property
from course_lib.check.values import ValueRefused, pack, unpack

FILE_NAME = "cases.safetensors"
FORMAT = 1


def save(exercises: Mapping[str, ExerciseCases], path: Path) -> None:
    """Write the cases of an assignment's exercises. The same cases give the same bytes."""
    value = {"format": FORMAT, "exercises": {name: _to_value(cases) for name, cases in exercises.items()}}
    path.write_bytes(pack(value, trusted=True))


def load(path: Path) -> dict[str, ExerciseCases]:
    """Read what :func:`save` wrote.

    Raises:
        ValueRefused: the file is damaged or of another version of the course.
    """
    value = unpack(path.read_bytes(), trusted=True)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ValueRefused("it is not a case file of this version of the course")
    try:
        return {name: _from_value(item) for name, item in value["exercises"].items()}
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueRefused("it is a damaged case file") from error


def _to_value(exercise: ExerciseCases) -> dict[str, Any]:
    return {
        "name": exercise.name,
        "returns": list(exercise.returns),
        "banned": list(exercise.banned),
        "mistakes": {name: [mistake.says, mistake.line] for name, mistake in exercise.mistakes.items()},
        "lines": [
            {
                "name": line.name,
                "text": line.text,
                "points": line.points,
                "properties": [{"name": p.name, "parameters": dict(p.parameters)} for p in line.properties],
                **(_measures(line) if line.measures else {}),
                "cases": [
                    {
                        "probe": case.probe.to_value(),
                        "expected": case.expected.to_value(),
                        "mistakes": {name: reply.to_value() for name, reply in case.mistakes.items()},
                    }
                    for case in line.cases
                ],
            }
            for line in exercise.lines
        ],
    }


def _measures(line: RubricLine) -> dict[str, Any]:
    return {
        "measures": [{"name": m.name, "parameters": dict(m.parameters), "mistake": m.mistake} for m in line.measures]
    }


def _from_value(value: Any) -> ExerciseCases:
    lines = [
        RubricLine(
            name=line["name"],
            text=line["text"],
            points=line["points"],
            properties=[Property(p["name"], p["parameters"]) for p in line["properties"]],
            measures=[Measure(**m) for m in line.get("measures", [])],
            cases=[
                Case(
                    Probe.from_value(case["probe"]),
                    Reply.from_value(case["expected"]),
                    {name: Reply.from_value(reply) for name, reply in case["mistakes"].items()},
                )
                for case in line["cases"]
            ],
        )
        for line in value["lines"]
    ]
    mistakes = {name: Mistake(*pair) for name, pair in value["mistakes"].items()}
    return ExerciseCases(value["name"], value["returns"], lines, mistakes, value["banned"])
