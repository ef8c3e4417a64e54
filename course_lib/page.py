"""What a chapter's cell hands to its page beside figures: numbers for the prose, and tables.

`record` keeps a number of the run under a name; the text quotes it as {glue:text}`name:.2f`, so that text and
run cannot disagree. `show_table` displays rows that the run made.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from IPython.display import display

_RECORD = "application/papermill.record/"


def record(**values: float | str) -> None:
    """Keep values under their names for the chapter's text; the notebook shows nothing.

    Args:
        values: numbers, 0-dimensional arrays or tensors, or texts, each under a name that the page uses once.

    Raises:
        ValueError: if a value is neither a text nor one number.
    """
    for name, value in values.items():
        if not isinstance(value, str):
            try:
                value = float(value)
            except (TypeError, ValueError, RuntimeError):
                raise ValueError(f"record takes one number or a text as {name}, not {type(value).__name__}.") from None
        text = value if isinstance(value, str) else repr(value)
        display(
            {f"{_RECORD}text/plain": text}, raw=True, metadata={"scrapbook": {"name": name, "mime_prefix": _RECORD}}
        )


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Display a table whose first column names the rows.

    Args:
        columns: the heading of each column.
        rows: the cells of each row as texts, the row's name first.

    Raises:
        ValueError: if a row has not one cell for each column.
    """
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"The row {list(row)} has {len(row)} cells for {len(columns)} columns.")
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in columns)
    body = "".join(
        f'<tr><th scope="row">{html.escape(row[0])}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    markup = f'<table class="dataframe table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    widths = [max(len(row[number]) for row in (columns, *rows)) for number in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (columns, *rows)]
    display({"text/html": markup, "text/plain": "\n".join(line.rstrip() for line in lines)}, raw=True)
