"""The report of a term: how the class gets on, what is hard, and who needs help first. One page that loads nothing."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from course_lib.grading.pages import as_code, percent, points, render
from course_lib.grading.report import share as percent_of
from course_lib.grading.term.attention import who_needs_help
from course_lib.grading.term.deadline import spans
from course_lib.grading.term.drawings import draw_spans, draw_term, draw_trend
from course_lib.grading.term.items import Item, items
from course_lib.grading.term.mistakes import commonest
from course_lib.grading.term.similar import COMMON, LEAST, Pair, similar_pairs
from course_lib.grading.term.term import Term, Work

MISTAKES_SHOWN = 12
PAIRS_SHOWN = 12
HELP_SHOWN = 10
HARD, UNCLEAR, CLEAR = 0.4, 0.1, 0.5
"""Below the first share of points an exercise is marked as hard, below the second correlation as unclear; it is named
as worth a look where chance alone would not bring it up to the third."""


def term_report(term: Term, folder: Path) -> str:
    """The page, for a file in ``folder``: links to other pages are relative to it."""
    names = {person.student: person.name for person in term.people}
    found = [(work, items(work)) for work in term.works]
    pairs = [pair for work in term.works for pair in similar_pairs(work.spec, work.answers or {})]
    pairs.sort(key=lambda pair: (-pair.characters, pair.slug, pair.students))
    times, unknown = spans(term.works)
    helps = [
        {"name": item.person.name, "reasons": item.reasons, "link": _link(term, item.person.student, folder)}
        for item in who_needs_help(term)
    ]
    return render(
        "term.html.j2",
        facts=_facts(term, len(helps)),
        first=helps[:HELP_SHOWN],
        then=helps[HELP_SHOWN:],
        progress=draw_term([(f"{work.spec.slug[:2]}", work.totals()) for work in term.works]),
        assignments=[_assignment(work, folder) for work in term.works],
        students=[_student(term, person.student, person.name, folder) for person in term.people],
        concepts=_concepts(term),
        mistakes=[
            {
                "share": percent_of(m.count, m.students),
                "count": m.count,
                "students": m.students,
                "says": m.says,
                "where": f"{m.slug}, {m.exercise}",
                "example": as_code(m.example) if m.example else "",
            }
            for m in commonest(term, MISTAKES_SHOWN)
        ],
        items=[_item(work, item) for work, listed in found for item in listed],
        chance=_chance(found),
        look=_look(found),
        deadline=draw_spans(times),
        no_time=unknown,
        pairs=[_pair(pair, names) for pair in pairs[:PAIRS_SHOWN]],
        more_pairs=max(0, len(pairs) - PAIRS_SHOWN),
        least=LEAST,
        several=COMMON[0],
        tenth=percent(COMMON[1]),
    )


def _facts(term: Term, helps: int) -> list[tuple[str, str]]:
    last = term.works[-1]
    totals = last.totals()
    handed_in = sum(len(work.entries) for work in term.works)
    facts = [
        (str(len(term.works)), "assignments"),
        (str(len(term.people)), "students"),
        (percent_of(handed_in, len(term.works) * len(term.people)), "of all work handed in"),
    ]
    if totals:
        facts.append((percent(statistics.median(totals)), f"median of {last.spec.slug}"))
    return [*facts, (str(helps), "to help first")]


def _assignment(work: Work, folder: Path) -> dict[str, Any]:
    totals = work.totals()
    return {
        "slug": work.spec.slug,
        "number": work.spec.slug[:2],
        "title": work.spec.title,
        "link": quote(f"{work.spec.slug}.html") if (folder / f"{work.spec.slug}.html").exists() else "",
        "count": len(work.entries),
        "absent": len(work.seen.absent),
        "late": sum(entry.late > 0 or entry.marked_late for entry in work.seen.entries),
        "median": percent(statistics.median(totals)) if totals else "–",
        "mean": percent(statistics.mean(totals)) if totals else "–",
    }


def _student(term: Term, student: str, name: str, folder: Path) -> dict[str, Any]:
    totals = [work.total(student) for work in term.works]
    known = [total for total in totals if total is not None]
    mean = statistics.mean(known) if known else None
    return {
        "name": name,
        "cells": [_percent(total) for total in [*totals, mean]],
        "trend": draw_trend(totals),
    }


def _percent(value: float | None) -> dict[str, Any]:
    if value is None:
        return {"text": "–", "sort": "-1", "weak": False}
    return {"text": percent(value), "sort": f"{value:.4f}", "weak": value < 0.5}


def _concepts(term: Term) -> list[dict[str, Any]]:
    """The concepts by chapter, each with what the class has of its exercise."""
    groups = []
    for work in term.works:
        parts = {part.name: part for part in work.parts}
        rows = []
        for concept in term.concepts:
            if concept.slug != work.spec.slug or concept.exercise not in parts:
                continue
            part = parts[concept.exercise]
            shares = [s for student in work.entries if (s := work.share(student, part)) is not None]
            if shares:
                mean, below = statistics.mean(shares), sum(s < 0.5 for s in shares)
                text = f"{percent(mean)} of the points; {below} of {len(shares)} students have less than half"
                rows.append(
                    {"name": concept.name, "exercise": part.name, "width": f"{100 * mean:.1f}", "mean": percent(mean)}
                    | {"below": below, "label": text, "weak": mean < 0.5}
                )
        if rows:
            groups.append({"slug": work.spec.slug, "title": work.spec.title, "rows": rows})
    return groups


def _item(work: Work, item: Item) -> dict[str, Any]:
    r = item.discrimination
    return {
        "slug": work.spec.slug,
        "name": Markup("_<wbr>").join(item.name.split("_")),
        "sort": f"{work.spec.slug} {item.name}",
        "points": points(item.points),
        "share": _percent(item.share) | {"weak": item.share < HARD},
        "r": {"text": "–", "sort": "-2", "weak": False}
        if r is None
        else {"text": f"{r:.2f}".replace("-", "−"), "sort": f"{r:.4f}", "weak": r < UNCLEAR},
        "students": item.students,
    }


def _chance(found: Sequence[tuple[Work, list[Item]]]) -> str:
    """How far chance alone moves a correlation in a class of this size."""
    sizes = [item.students for _, listed in found for item in listed]
    fewest = min(sizes, default=0)
    if fewest < 3:
        return "Too few students have handed in for these numbers to mean anything."
    return f"With {fewest} students, chance alone moves a correlation by about ±{2 / fewest**0.5:.1f}: " + (
        "read nothing into small differences." if fewest >= 30 else "take these numbers as hints, no more."
    )


def _look(found: Sequence[tuple[Work, list[Item]]]) -> str:
    named = [
        f"{item.name} ({work.spec.slug})"
        for work, listed in found
        for item in listed
        if item.discrimination is not None
        and item.discrimination < UNCLEAR
        and item.discrimination + 2 / item.students**0.5 < CLEAR
        and 0.05 < item.share < 0.95
    ]
    if not named:
        return ""
    return (
        f"Worth a look: {', '.join(named)}. There those who do well elsewhere lose points as often as others. The "
        "task may be unclear, or it asks for something else than the rest does."
    )


def _pair(pair: Pair, names: dict[str, str]) -> dict[str, Any]:
    one, other = (names.get(student, student) for student in pair.students)
    return {
        "slug": pair.slug,
        "names": (one, other),
        "characters": pair.characters,
        "shares": [percent(share) for share in pair.shares],
        "passages": [as_code(passage) for passage in pair.passages],
    }


def _link(term: Term, student: str, folder: Path) -> str:
    """The student's last feedback page."""
    pages = [e.page for work in term.works if (e := work.entries.get(student)) and e.page]
    return quote(os.path.relpath(pages[-1], folder)) if pages else ""
