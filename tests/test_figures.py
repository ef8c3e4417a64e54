"""The course's figures can be read on both pages, by every eye, and never change by themselves."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ElementTree

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from course_lib import figures

WHITE, DARK = "#ffffff", "#121212"

# Linear-light RGB as seen with a missing cone (Machado, Oliveira and Fernandes 2009, severity 1).
COLOUR_VISION = {
    "all cones": np.eye(3),
    "no long cone": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no medium cone": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no short cone": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def oklab(colour: str, vision: object) -> np.ndarray:
    """Perceptual coordinates of a colour as one kind of eye sees it (Ottosson 2020)."""
    channels = np.asarray(matplotlib.colors.to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    ) @ np.clip(np.asarray(vision) @ linear, 0, 1)
    return np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    ) @ np.cbrt(cones)


def two_lines() -> Figure:
    figures.use_course_style()
    figure, ax = plt.subplots()
    ax.plot([0, 1, 2], [0, 1, 4], label="square")
    ax.plot([0, 1, 2], [0, 1, 2], label="line")
    ax.set(xlabel="x", ylabel="y")
    ax.legend()
    return figure


def test_contrast_of_black_on_white_is_twenty_one_either_way_round() -> None:
    assert figures.contrast("black", "white") == pytest.approx(21)
    assert figures.contrast("white", "black") == pytest.approx(21)
    assert figures.contrast("#767676", "#767676") == 1


def test_ink_can_be_read_on_both_pages() -> None:
    assert figures.contrast(figures.INK, WHITE) >= 4.5
    assert figures.contrast(figures.INK, DARK) >= 4.1


@pytest.mark.parametrize("name", figures.COLOURS)
@pytest.mark.parametrize("page", [WHITE, DARK])
def test_every_line_colour_stands_out_on_both_pages(name: str, page: str) -> None:
    assert figures.contrast(figures.COLOURS[name], page) >= 3


@pytest.mark.parametrize("vision", COLOUR_VISION)
def test_line_colours_stay_apart_for_every_kind_of_colour_vision(vision: str) -> None:
    seen = {name: oklab(colour, COLOUR_VISION[vision]) for name, colour in figures.COLOURS.items()}
    closest = min(np.linalg.norm(seen[a] - seen[b]) for a, b in itertools.combinations(seen, 2))
    assert closest >= 0.1  # five times the difference that can just be noticed


def test_lines_differ_in_dash_as_well_as_in_colour() -> None:
    figure = two_lines()
    dashes = {line.get_linestyle() for line in figure.axes[0].lines}
    plt.close(figure)
    assert len(dashes) == 2


@pytest.mark.parametrize("colour_map", [figures.SEQUENTIAL, figures.DIVERGING])
def test_every_cell_of_a_heatmap_can_hold_a_readable_number(colour_map: matplotlib.colors.Colormap) -> None:
    for value in np.linspace(0, 1, 101):
        fill = matplotlib.colors.to_hex(colour_map(value))
        assert max(figures.contrast("#000000", fill), figures.contrast("#ffffff", fill)) >= 4.5


def test_the_sequential_scale_grows_darker_throughout() -> None:
    light = [figures.relative_luminance(matplotlib.colors.to_hex(figures.SEQUENTIAL(v))) for v in np.linspace(0, 1, 65)]
    assert all(np.diff(light) < 0)


def test_heatmap_prints_each_value_in_the_colour_that_contrasts_with_its_cell() -> None:
    figures.use_course_style()
    figure, ax = plt.subplots()
    figures.heatmap(ax, [[0.0, 1.0], [0.25, 0.75]], ["one", "two"], ["a", "b"], row_title="query")
    printed = {text.get_text(): text.get_color() for text in ax.texts}
    plt.close(figure)
    assert list(printed) == ["0.00", "1.00", "0.25", "0.75"]
    assert printed["0.00"] == "#000000"
    assert printed["1.00"] == "#ffffff"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two"]
    assert ax.get_ylabel() == "query"


def test_signed_heatmap_puts_zero_in_the_middle_of_its_colours() -> None:
    figure, ax = plt.subplots()
    figures.heatmap(ax, [[-1.0, 4.0]], signed=True, numbers=False)
    limits = ax.images[0].get_clim()
    plt.close(figure)
    assert limits == (-4.0, 4.0)


@pytest.mark.parametrize(
    ("matrix", "rows", "message"),
    [([1.0, 2.0], None, r"shape \(2,\)"), ([[1.0], [2.0]], ["only one"], "one row label for each of 2 rows")],
)
def test_heatmap_says_what_is_wrong_with_its_input(matrix: object, rows: list[str] | None, message: str) -> None:
    figure, ax = plt.subplots()
    with pytest.raises(ValueError, match=message):
        figures.heatmap(ax, matrix, rows)
    plt.close(figure)


def test_svg_is_the_same_bytes_twice_and_holds_no_date() -> None:
    first, second = two_lines(), two_lines()
    texts = {figures.to_svg(figure, alt="A square and a line.") for figure in (first, second)}
    plt.close("all")
    assert len(texts) == 1
    assert "metadata" not in texts.pop()


def test_svg_is_well_formed_and_carries_its_alternative_text() -> None:
    figure = two_lines()
    root = ElementTree.fromstring(figures.to_svg(figure, alt='A "square" & a line,\n  from 0 < x.'))
    plt.close(figure)
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'A "square" & a line, from 0 < x.'


def test_svg_brings_no_style_sheet_into_the_page() -> None:
    figure = two_lines()
    text = figures.to_svg(figure, alt="A square and a line.")
    plt.close(figure)
    assert "<style" not in text


def test_svg_leaves_the_page_behind_it_visible() -> None:
    figure = two_lines()
    text = figures.to_svg(figure, alt="A square and a line.")
    plt.close(figure)
    assert "#ffffff" not in text


def test_a_figure_without_alternative_text_is_refused() -> None:
    figure = two_lines()
    with pytest.raises(ValueError, match="alternative text"):
        figures.show(figure, alt="  ")
    plt.close(figure)


def test_show_displays_one_svg_and_closes_the_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(figures, "display", lambda bundle, raw: shown.append(bundle))
    figure = two_lines()
    figures.show(figure, alt="A square and a line.")
    assert [set(bundle) for bundle in shown] == [{"image/svg+xml", "text/plain"}]
    assert not plt.fignum_exists(figure.number)
