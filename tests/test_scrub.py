"""The figure that is scrubbed: a still that holds its own paths, and a script that asks nobody for anything."""

from __future__ import annotations

import re

import pytest
import torch
from lxml import etree

from course_lib.figures import INK
from course_lib.scrub import EDGE, HEAD, SCRIPT, SIDE, paths_svg

PATH = torch.tensor(
    [[[-2.0, 0.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 1.0]], [[2.0, -2.0], [9.0, 0.0]]]
)  # two points, two steps
SVG = "{http://www.w3.org/2000/svg}"


def drawn() -> etree._Element:
    return etree.fromstring(paths_svg({"before": PATH, "a < b": PATH}, alt="Two points move.", limit=2.0))


def test_each_point_has_its_path_and_stands_at_its_end() -> None:
    trails, dots = drawn().findall(f"{SVG}polyline"), drawn().findall(f"{SVG}circle")
    assert len(trails) == len(dots) == 4
    for trail, dot in zip(trails, dots, strict=True):
        points = trail.get("points").split(" ")
        assert len(points) == 3
        assert points[-1] == f"{dot.get('cx')},{dot.get('cy')}"


def test_the_plane_is_drawn_upwards_and_what_leaves_the_panel_is_held_at_its_edge() -> None:
    first, second, *_ = drawn().findall(f"{SVG}polyline")
    left, top = EDGE, EDGE + HEAD
    assert first.get("points").split(" ")[0] == f"{left:.1f},{top + SIDE / 2:.1f}"
    assert first.get("points").split(" ")[2] == f"{left + SIDE:.1f},{top + SIDE:.1f}"
    assert second.get("points").split(" ")[0] == f"{left + SIDE / 2:.1f},{top:.1f}"
    assert second.get("points").split(" ")[2].startswith(f"{left + SIDE:.1f},")


def test_it_says_what_it_shows_takes_the_page_s_ink_and_writes_titles_as_text() -> None:
    svg = drawn()
    assert svg.get("aria-label") == "Two points move." and svg.get("role") == "img"
    titles = svg.findall(f"{SVG}text")
    assert [title.text for title in titles] == ["before", "a < b"]
    assert {title.get("fill") for title in titles} == {INK}


def test_the_script_survives_as_part_of_a_page_and_loads_nothing() -> None:
    assert not re.search(r"[<&]|https?:|import|fetch|XMLHttp", SCRIPT)
    assert drawn().find(f"{SVG}script").text == SCRIPT


@pytest.mark.parametrize(
    ("panels", "alt", "message"), [({"p": PATH}, " ", "alternative"), ({"p": PATH[0]}, "a", "paths")]
)
def test_a_figure_without_a_text_or_without_paths_is_refused(panels: dict, alt: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paths_svg(panels, alt=alt, limit=1.0)
