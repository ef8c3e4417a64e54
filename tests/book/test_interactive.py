"""Stills of interactive figures: drawn by the figures' own code, and what the build refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from course_interactive import THEME, draw

from tools.book import ROOT

CONFIG = """
import sys
sys.path.insert(0, {extensions!r})
extensions = ["myst_nb", "course_figures", "course_interactive"]
"""
TILES = {"scores": [1, 3], "values": [10, 20]}
SCRIPTS = sorted(THEME.glob("interactive*.js"))


def test_a_still_is_drawn_from_its_values_alone_and_the_same_each_time() -> None:
    still = draw("tiles", json.dumps(TILES))
    assert still == draw("tiles", json.dumps(TILES))
    assert still != draw("tiles", json.dumps(TILES | {"values": [10, 30]}))
    assert still["width"] > 0 and still["height"] > 0
    assert "dense" in still["body"]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("tilse", "{}", "No interactive figure is called tilse: write one of .*tiles"),
        ("tiles", "{}", "cannot draw.*TypeError"),
    ],
)
def test_what_cannot_be_drawn_is_an_error_that_says_why(name: str, values: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(name, values)


def test_the_scripts_ask_nobody_for_anything_and_move_nothing_by_themselves() -> None:
    assert len(SCRIPTS) > 5
    for path in SCRIPTS:
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"https?:|import\b|fetch|XMLHttp|setTimeout|setInterval|requestAnimationFrame|animate", text
        ), path


REFUSED = {
    ":alt: a\n:values: {}\n\nA caption.": "cannot draw its values",
    f":alt: a\n:values: {json.dumps(TILES)}": "The interactive figure tiles has no caption",
    f":values: {json.dumps(TILES)}\n\nA caption.": "A figure needs alternative text",
    ":alt: a\n:values: {a\n\nA caption.": "Expecting property name",
}


def test_a_figure_without_what_it_needs_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text(CONFIG.format(extensions=str(ROOT / "book" / "_ext")))
    figures = [f"```{{interactive}} tiles\n{lines}\n```\n" for lines in REFUSED]
    (tmp_path / "index.md").write_text("\n".join(["# A page\n", *figures]))
    made = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(tmp_path), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode != 0
    assert [message for message in REFUSED.values() if message not in made.stderr] == []
