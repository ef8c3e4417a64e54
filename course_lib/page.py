"""What a chapter's cell needs beside models and figures: seeded chance, times, and numbers and tables for its page.

`record` keeps a number of the run under a name; the text quotes it as {glue:text}`name:.2f`, so that text and
run cannot disagree. `show_table` displays rows that the run made. `spread` and `short` write numbers for it.
"""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Sequence

import torch
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


def generator(seed: int) -> torch.Generator:
    """A source of chance of its own, so that each cell can be run alone."""
    return torch.Generator().manual_seed(seed)


def best_time(run: Callable[[], object], *, repeats: int = 5) -> float:
    """The shortest of several runs after one that warms up, in milliseconds."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def spread(values: Sequence[float], *, digits: int = 2) -> str:
    """The mean of several seeds, with the lowest and the highest: "0.93 (0.91 to 0.95)"."""
    low, high, mean = min(values), max(values), sum(values) / len(values)
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def short(value: float) -> str:
    """Two digits, or one digit and a power of ten: "0.42", "3·10⁻⁷"."""
    if 0.01 <= value < 100:
        return f"{value:.2g}"
    digit, power = f"{value:.0e}".split("e")
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f"{digit}·10{str(int(power)).translate(raised)}"
