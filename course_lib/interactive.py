"""Figures that a reader changes in the page: what a chapter's cell hands to them.

A cell displays an element that holds the numbers. The book's extension `course_interactive` puts a still into it, and
book/theme/interactive-NAME.js lets the reader change it; in a notebook the element shows its alternative text.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence

import numpy as np
from IPython.display import display
from numpy.typing import ArrayLike


def element(name: str, values: Mapping[str, object], *, alt: str) -> str:
    """The element of a figure.

    Args:
        name: of the figure, as in book/theme/interactive-NAME.js.
        values: what its script needs, as JSON can hold it.
        alt: what a reader who cannot see the still needs to know: what is drawn, and what it shows.

    Returns:
        One `<div data-figure="..." data-values="...">` with the text in it.

    Raises:
        ValueError: if `alt` is empty.
    """
    if not alt.strip():
        raise ValueError("A figure needs alternative text: pass alt='what is drawn, and what it shows'.")
    packed = html.escape(json.dumps(values, ensure_ascii=False, separators=(",", ":")))
    return f'<div data-figure="{html.escape(name)}" data-values="{packed}">{html.escape(" ".join(alt.split()))}</div>'


def show_weights(
    tables: Mapping[str, ArrayLike],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    *,
    row_title: str,
    column_title: str,
    alt: str,
    beside: bool = False,
) -> None:
    """Display tables of weights as two columns of words with lines between; a reader chooses a row to see its numbers.

    Args:
        tables: for each title, weights (rows, columns), arrays or tensors without gradient.
        row_labels: one for each row, the words that ask.
        column_labels: one for each column, the words that are asked.
        row_title, column_title: what rows and columns are, such as "written" and "read".
        alt: alternative text, as for `figures.show`. Numbers in it come from the run.
        beside: show all tables at once, side by side; otherwise the reader chooses one, and the first is the still.

    Raises:
        ValueError: if `alt` is empty, or a table has not one row and column for each label.
    """
    shape = (len(row_labels), len(column_labels))
    listed = []
    for title, table in tables.items():
        weights = np.asarray(table, dtype=float)
        if weights.shape != shape:
            raise ValueError(f"The table {title!r} has the shape {weights.shape} for {shape} labels.")
        listed.append({"title": title, "weights": weights.round(6).tolist()})
    values = {
        "tables": listed,
        "beside": beside,
        "rows": list(row_labels),
        "columns": list(column_labels),
        "row_title": row_title,
        "column_title": column_title,
    }
    display({"text/html": element("weights", values, alt=alt), "text/plain": " ".join(alt.split())}, raw=True)
