"""The term report's drawings: SVG in the page's colours, each with what it shows in words."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup, escape

from course_lib.grading.pages import percent
from course_lib.grading.term.deadline import Span

WIDTH = 640


def draw_term(columns: Sequence[tuple[str, Sequence[float]]]) -> Markup:
    """For each assignment the middle half of the class as a box, its median as a line, and everyone as a dot.

    Args:
        columns: a name and the shares of points.
    """
    left, top, height, foot = 44, 10, 200, 24
    step = (WIDTH - left) / max(len(columns), 1)

    def y(value: float) -> float:
        return top + (1 - min(max(value, 0.0), 1.0)) * (height - top - foot)

    parts = [
        f'<line x1="{left}" x2="{WIDTH}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="var(--line)"/>'
        f'<text x="{left - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{percent(v)}</text>'
        for v in (0.0, 0.5, 1.0)
    ]
    told = []
    for number, (name, shares) in enumerate(columns):
        middle = left + (number + 0.5) * step
        wide = min(30.0, 0.3 * step)
        parts.append(f'<text x="{middle:.1f}" y="{height - 6}" text-anchor="middle">{escape(name)}</text>')
        if not shares:
            continue
        low, half, high = _quartiles(shares)
        told.append(f"{name}: median {percent(half)}, middle half {percent(low)} to {percent(high)}")
        parts.append(
            f'<rect x="{middle - wide:.1f}" y="{y(high):.1f}" width="{2 * wide:.1f}" '
            f'height="{max(y(low) - y(high), 1):.1f}" fill="var(--well)" stroke="var(--line)"/>'
            f'<line x1="{middle - wide:.1f}" x2="{middle + wide:.1f}" y1="{y(half):.1f}" y2="{y(half):.1f}" '
            'stroke="var(--bar)" stroke-width="3"/>'
        )
        for place, share in enumerate(sorted(shares)):
            aside = ((place % 7) - 3) * wide / 5
            parts.append(
                f'<circle cx="{middle + aside:.1f}" cy="{y(share):.1f}" r="2.4" fill="var(--soft)" fill-opacity=".75"/>'
            )
    return _svg(WIDTH, height, f"Share of points by assignment. {'; '.join(told)}", parts)


def draw_spans(spans: Sequence[Span]) -> Markup:
    """A bar for each span of time, as long as the number of submissions."""
    line, label = 26, 168
    most = max([span.count for span in spans] + [1])
    parts, told = [], []
    for number, span in enumerate(spans):
        y = number * line
        wide = (WIDTH - label - 130) * span.count / most
        mean = "" if span.mean is None else f", mean {percent(span.mean)}"
        parts.append(
            f'<text x="{label - 8}" y="{y + 16}" text-anchor="end">{escape(span.name)}</text>'
            f'<rect x="{label}" y="{y + 4}" width="{wide:.1f}" height="{line - 10}" rx="2" fill="var(--bar)"/>'
            f'<text x="{label + wide + 6:.1f}" y="{y + 16}">{span.count}{mean}</text>'
        )
        told.append(f"{span.name}: {span.count}{mean}")
    return _svg(WIDTH, line * len(spans), f"Submissions by time to the deadline. {'; '.join(told)}", parts)


def draw_trend(shares: Sequence[float | None]) -> Markup:
    """A student's shares as a small line; a gap where nothing was handed in. The table beside it says the same."""
    width, height = 14 * max(len(shares), 2), 22
    points: list[tuple[float, float] | None] = [
        None if share is None else (7 + 14 * number, 3 + (1 - min(max(share, 0.0), 1.0)) * (height - 6))
        for number, share in enumerate(shares)
    ]
    parts = [
        f'<line x1="{a[0]}" y1="{a[1]:.1f}" x2="{b[0]}" y2="{b[1]:.1f}" stroke="var(--bar)" stroke-width="1.5"/>'
        for a, b in pairwise(points)
        if a and b
    ]
    parts += [f'<circle cx="{p[0]}" cy="{p[1]:.1f}" r="2.2" fill="var(--bar)"/>' for p in points if p]
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )


def _quartiles(shares: Sequence[float]) -> tuple[float, float, float]:
    if len(shares) == 1:
        return shares[0], shares[0], shares[0]
    low, half, high = statistics.quantiles(shares, n=4, method="inclusive")
    return low, half, high


def _svg(width: int, height: int, label: str, parts: Sequence[str]) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
