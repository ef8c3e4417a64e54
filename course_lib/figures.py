"""Figures that read the same on a light page, on a dark page and without colour vision.

Call `use_course_style` once in a chapter's first cell. Draw with matplotlib, then hand each figure to
`show` with the sentence that says what it shows. The figure becomes one SVG: transparent, the same bytes on
every run. Text and axes are drawn in `INK`, a mid grey that can be read on either page; the book replaces it
by the page's own text colour.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

INK = "#767676"
"""Text and axes: 4.5 : 1 on white and 4.1 : 1 on the book's dark page; no grey does much better on both."""

COLOURS: dict[str, str] = {
    "blue": "#0b94d9",
    "orange": "#bf7c30",
    "violet": "#7e39e5",
    "green": "#1d7356",
    "pink": "#f23d9d",
}
"""Five colours: 3 : 1 or more on both pages, and apart from each other for every kind of colour vision."""

SEQUENTIAL = LinearSegmentedColormap.from_list("course_sequential", ["#f4f8fc", "#6fb7e4", "#0b5a94", "#06243f"])
"""For values from a lowest to a highest, such as attention weights: the darker, the larger."""

DIVERGING = LinearSegmentedColormap.from_list(
    "course_diverging", ["#5b1fb8", "#b594ee", "#f6f4f1", "#dba86a", "#7a4507"]
)
"""For values on both sides of zero: violet below, orange above."""

_LINE_STYLES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1))]


def use_course_style() -> None:
    """Make every figure drawn from here on follow the course's style.

    Lines differ in dash as well as in colour, so that no figure needs colour to be read.
    """
    mpl.rcParams.update(
        {
            "axes.edgecolor": INK,
            "axes.facecolor": "none",
            "axes.grid": True,
            "axes.labelcolor": INK,
            "axes.prop_cycle": cycler(color=list(COLOURS.values())) + cycler(linestyle=_LINE_STYLES),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlecolor": INK,
            "axes.titlesize": 11,
            "figure.constrained_layout.use": True,
            "figure.facecolor": "none",
            "figure.figsize": (5.6, 3.4),
            "font.family": "DejaVu Sans",
            "font.size": 10.5,
            "grid.alpha": 0.25,
            "grid.color": INK,
            "legend.edgecolor": INK,
            "legend.facecolor": "none",
            "legend.framealpha": 0.0,
            "legend.labelcolor": INK,
            "lines.linewidth": 2.0,
            "patch.edgecolor": INK,
            "savefig.facecolor": "none",
            "svg.fonttype": "path",
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    )


def relative_luminance(colour: str) -> float:
    """Luminance of a colour between 0 (black) and 1 (white).

    Args:
        colour: any colour matplotlib knows, such as "#0b94d9".

    Returns:
        0.2126 R + 0.7152 G + 0.0722 B of the linear-light channels.

    Source: Web Content Accessibility Guidelines 2.2, "relative luminance".
    """
    channels = np.asarray(to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, from 1 (equal) to 21 (black on white).

    Args:
        first, second: any colours matplotlib knows, in either order.

    Returns:
        (L_lighter + 0.05) / (L_darker + 0.05).

    Source: Web Content Accessibility Guidelines 2.2, "contrast ratio".
    """
    darker, lighter = sorted((relative_luminance(first), relative_luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def heatmap(
    ax: Axes,
    matrix: ArrayLike,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    *,
    row_title: str = "",
    column_title: str = "",
    title: str = "",
    limits: tuple[float, float] | None = None,
    signed: bool = False,
    numbers: bool = True,
    decimals: int = 2,
) -> None:
    """Draw a matrix as coloured cells, with each cell's number in the colour that can be read on it.

    Args:
        ax: the axes to draw on.
        matrix: (rows, columns), an array or a tensor without gradient.
        row_labels: one for each row, such as the queries' words.
        column_labels: one for each column, such as the keys' words.
        row_title: what the rows are, such as "query".
        column_title: what the columns are, such as "key".
        title: above the matrix.
        limits: values of the lightest and of the darkest colour; by default 0 and 1, or, where `signed`,
            minus and plus the largest magnitude.
        signed: True for values on both sides of zero.
        numbers: print each value in its cell; leave it out above about 12 columns.
        decimals: digits after the point.

    Raises:
        ValueError: if `matrix` is no matrix, or the labels are not one for each row and column.
    """
    values = np.asarray(matrix, dtype=float)
    if values.ndim != 2:
        raise ValueError(f"heatmap draws a matrix (rows, columns), but this array has shape {values.shape}.")
    rows, columns = values.shape
    for name, labels, count in (("row", row_labels, rows), ("column", column_labels, columns)):
        if labels is not None and len(labels) != count:
            raise ValueError(f"heatmap needs one {name} label for each of {count} {name}s, but got {len(labels)}.")
    largest = float(np.abs(values).max()) or 1.0
    low, high = limits or ((-largest, largest) if signed else (0.0, 1.0))
    colour_map = DIVERGING if signed else SEQUENTIAL
    ax.imshow(values, cmap=colour_map, vmin=low, vmax=high, interpolation="none")
    ax.set_xticks(range(columns) if column_labels is not None else [], column_labels)
    ax.set_yticks(range(rows) if row_labels is not None else [], row_labels)
    if column_labels is not None and max(map(len, column_labels)) > 4:
        ax.tick_params(axis="x", rotation=45)
        plt.setp(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
    ax.set(xlabel=column_title, ylabel=row_title, title=title)
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    if not numbers:
        return
    for row, column in np.ndindex(rows, columns):
        fill = mpl.colors.to_hex(colour_map((float(values[row, column]) - low) / (high - low)))
        text = "#000000" if contrast("#000000", fill) >= contrast("#ffffff", fill) else "#ffffff"
        ax.text(column, row, f"{values[row, column]:.{decimals}f}", color=text, ha="center", va="center", size=9.5)


def to_svg(figure: Figure, *, alt: str) -> str:
    """Write a figure as SVG that is the same on every run and carries its own alternative text.

    Args:
        figure: a matplotlib figure.
        alt: what a reader who cannot see the figure needs to know: what is drawn, and what it shows.

    Returns:
        One `<svg role="img" aria-label="...">` element.

    Raises:
        ValueError: if `alt` is empty.
    """
    if not alt.strip():
        raise ValueError("A figure needs alternative text: pass alt='what is drawn, and what it shows'.")
    label = " ".join(alt.split())
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": hashlib.sha256(label.encode()).hexdigest()}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    body = buffer.getvalue()
    body = body[body.index("<svg") :]
    # A style sheet inside an SVG that stands in a page would style the whole page.
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    attributes = f'role="img" aria-label="{html.escape(label)}" stroke-linejoin="round" stroke-linecap="butt"'
    return body.replace("<svg", f"<svg {attributes}", 1)


def show(figure: Figure, *, alt: str) -> None:
    """Display a figure as the output of a notebook cell, and close it.

    Args:
        figure: a matplotlib figure.
        alt: alternative text, as for `to_svg`. Numbers in it come from the run: write it as an f-string.

    Raises:
        ValueError: if `alt` is empty.
    """
    bundle: dict[str, Any] = {"image/svg+xml": to_svg(figure, alt=alt), "text/plain": " ".join(alt.split())}
    plt.close(figure)
    display(bundle, raw=True)
