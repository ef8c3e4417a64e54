"""The class report: one page that says how an assignment went and where a person is needed."""

from __future__ import annotations

import os
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from course_lib.grading.overview import REMEDIES, UNOFFICIAL, Entry, Overview
from course_lib.grading.pages import points, render
from course_lib.grading.results import ExerciseScore
from course_lib.grading.spec import Exercise

BINS = 10
MISTAKES_SHOWN = 4
NOT_WRITTEN = {"not_written", "not_run"}


@dataclass(frozen=True)
class Bin:
    """A range of scores with the number of students in it; the last includes its end."""

    low: float
    high: float
    count: int


def class_report(seen: Overview, folder: Path) -> str:
    """The page, for a file in ``folder``: links to feedback are relative to it."""
    spec, graded = seen.spec, seen.graded
    groups, grouped = seen.matters(), any(entry.group for entry in seen.entries)
    unofficial = len(groups.get(UNOFFICIAL, ()))
    scores = [entry.standing.score for entry in graded if entry.standing]
    bins = histogram(scores, spec.points)
    return render(
        "report.html.j2",
        title=spec.title,
        summary=f"Assignment {spec.slug}, {points(spec.points)} points.",
        unofficial=f"{unofficial} of {len(graded)} results were made without the sandbox and are not official."
        if unofficial
        else "",
        facts=_facts(seen, scores),
        histogram=_draw(bins),
        histogram_caption=_describe(bins, scores),
        attention=[
            {"what": kind, "remedy": REMEDIES[kind], "people": [_person(e, detail, folder) for e, detail in group]}
            for kind, group in groups.items()
        ],
        exercises=[_exercise(exercise, graded) for exercise in spec.exercises],
        columns=[
            "Student",
            *["Group"] * grouped,
            "Total",
            *(e.name for e in spec.exercises),
            *(w.name for w in spec.written),
        ],
        level_columns=2 + grouped,
        students=[_student(seen, entry, folder, grouped=grouped) for entry in seen.entries],
        students_note=_absence(seen),
    )


def histogram(scores: list[float], most: float) -> list[Bin]:
    """How many scores lie in each tenth of the points."""
    width = most / BINS
    counts = Counter(min(int(score / width), BINS - 1) for score in scores)
    return [Bin(i * width, (i + 1) * width, counts[i]) for i in range(BINS)]


def share(part: int, whole: int) -> str:
    """A share for people; small ones are not rounded to nothing."""
    percent = 100 * part / whole if whole else 0.0
    return "under 1 %" if 0 < percent < 1 else f"{percent:.0f} %"


def _facts(seen: Overview, scores: list[float]) -> list[tuple[str, str]]:
    facts = [(str(len(seen.entries)), "handed in"), (str(len(scores)), "graded")]
    if scores:
        facts.append((points(statistics.mean(scores)), "mean"))
        facts.append((points(statistics.median(scores)), "median"))
    matters = {entry.person.student for group in seen.matters().values() for entry, _ in group}
    return [*facts, (str(len(matters)), "to look at")]


def _draw(bins: list[Bin]) -> Markup:
    """The histogram as SVG, in the page's colours."""
    width, height, foot = 640, 190, 34
    step, tallest = width / len(bins), max([b.count for b in bins] + [1])
    parts = []
    for number, item in enumerate(bins):
        x, tall = number * step, (height - foot - 18) * item.count / tallest
        y = height - foot - tall
        parts.append(
            f'<rect x="{x + 2:.1f}" y="{y:.1f}" width="{step - 4:.1f}" height="{tall:.1f}" rx="2" fill="var(--bar)"/>'
        )
        if item.count:
            parts.append(f'<text x="{x + step / 2:.1f}" y="{y - 5:.1f}" text-anchor="middle">{item.count}</text>')
        parts.append(f'<text x="{x:.1f}" y="{height - foot + 16}" text-anchor="middle">{points(item.low)}</text>')
    parts.append(f'<text x="{width}" y="{height - foot + 16}" text-anchor="middle">{points(bins[-1].high)}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 2}" text-anchor="middle">points</text>')
    parts.append(
        f'<line x1="0" x2="{width}" y1="{height - foot}" y2="{height - foot}" stroke="var(--line)" stroke-width="1"/>'
    )
    label = "; ".join(f"{points(b.low)} to {points(b.high)} points: {b.count}" for b in bins)
    return Markup(
        f'<svg viewBox="-14 0 {width + 28} {height}" width="{width + 28}" height="{height}" role="img" '
        f'aria-label="Number of students by points. {label}">{"".join(parts)}</svg>'
    )


def _describe(bins: list[Bin], scores: list[float]) -> str:
    if not scores:
        return "No one has been graded yet."
    top = max(bins, key=lambda b: b.count)
    return (
        f"Number of students by points, {len(scores)} in all. Most, {top.count}, lie between {points(top.low)} and "
        f"{points(top.high)}. Answers in words count once they are graded."
    )


def _exercise(exercise: Exercise, graded: list[Entry]) -> dict[str, Any]:
    scores = [s for entry in graded if entry.result and (s := entry.result.exercise(exercise.name))]
    count = len(scores)
    kinds = Counter(_kind(score) for score in scores)
    said = {m.name: m.says for m in exercise.misconceptions}
    mistakes = Counter(name for score in scores for name in {line.mistake for line in score.lines if line.mistake})
    lines = [
        {
            "text": line.text[:1].upper() + line.text[1:],
            "share": share(
                sum(1 for s in scores for x in s.lines if x.name == line.name and x.earned == x.points), count
            ),
        }
        for line in exercise.lines
    ]
    full, blank = kinds["full"], kinds["blank"]
    sentence = f"{share(full, count)} have full marks."
    if blank:
        sentence += f" {share(blank, count)} have not written it."
    gone = sum(1 for s in scores if s.lines[0].kind == "missing")
    if gone:
        sentence += f" {share(gone, count)} left it undefined: the cell crashed, or it is gone."
    unnamed = sum(map(_nameless, scores))
    if unnamed:
        sentence += f" {share(unnamed, count)} went wrong in a way that has no name yet."
    return {
        "name": Markup("_<wbr>").join(exercise.name.split("_")),
        "points": exercise.points,
        "mean": statistics.mean(s.earned for s in scores) if scores else 0.0,
        "bar": [(kind, kinds[kind] / count) for kind in ("full", "part", "none") if count],
        "label": f"{full} full marks, {kinds['part']} some points, {kinds['none']} none, {blank} not written",
        "sentence": sentence if count else "No results yet.",
        "mistakes": [
            {"share": share(number, count), "count": number, "says": said.get(name, name.replace("_", " "))}
            for name, number in sorted(mistakes.items(), key=lambda item: (-item[1], item[0]))[:MISTAKES_SHOWN]
        ],
        "lines": lines if count else [],
    }


def _nameless(score: ExerciseScore) -> bool:
    """Whether it lost points for something that is neither a known mistake nor nothing at all."""
    lost = [line for line in score.lines if line.earned < line.points]
    return bool(lost) and not any(line.mistake or line.kind in {*NOT_WRITTEN, "missing"} for line in lost)


def _kind(score: ExerciseScore) -> str:
    if score.earned >= score.points:
        return "full"
    if score.earned > 0:
        return "part"
    return "blank" if all(line.kind in NOT_WRITTEN for line in score.lines) else "none"


def _person(entry: Entry, detail: str, folder: Path) -> dict[str, str]:
    return {"name": entry.person.name, "detail": detail, "link": _link(entry, folder)}


def _student(seen: Overview, entry: Entry, folder: Path, *, grouped: bool) -> dict[str, Any]:
    standing = entry.standing
    cells = [{"text": entry.group or "–", "sort": entry.group, "weak": False}] * grouped
    cells += [_cell(standing.score if standing else None)]
    names = [*(seen.cells[e.name] for e in seen.spec.exercises), *(w.name for w in seen.spec.written)]
    for name in names:
        grade = standing.cells.get(name) if standing else None
        cells.append(_cell(None if grade is None or grade.ungraded else grade.score))
    return {"name": entry.person.name, "sort": entry.person.name, "link": _link(entry, folder), "cells": cells}


def _cell(value: float | None) -> dict[str, Any]:
    if value is None:
        return {"text": "–", "sort": "-1", "weak": False}
    return {"text": points(value), "sort": f"{value:g}", "weak": value == 0}


def _link(entry: Entry, folder: Path) -> str:
    return quote(os.path.relpath(entry.page, folder)) if entry.page else ""


def _absence(seen: Overview) -> str:
    if not seen.absent:
        return "Everyone in the gradebook handed in something."
    names = "; ".join(person.name for person in seen.absent)
    return f"Nothing was handed in by {len(seen.absent)}: {names}."
