"""When the pictures of the instructor's pages are drawn, and what stands there where they cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import course_instructor
import pytest
from PIL import Image
from sphinx.testing.util import SphinxTestApp

from course_lib.grading.classroom import Classroom
from tools import instructor_pictures
from tools.instructor_pictures import MADE, NAMES, CannotDraw, make_class, refresh

PAGE = """
# Page

```{screen} report
:alt: A histogram of points.

The top of a report.
```
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pictures are kept; a small grey one is drawn in the place of each."""

    def draw_all(room: Classroom) -> None:
        for name in NAMES:
            Image.new("RGB", (30, 15), "grey").save(tmp_path / "pictures" / f"{name}.png")

    monkeypatch.setattr(instructor_pictures, "PICTURES", tmp_path / "pictures")
    monkeypatch.setattr(instructor_pictures, "make_class", lambda folder: None)
    monkeypatch.setattr(instructor_pictures, "draw_all", draw_all)
    monkeypatch.setattr(course_instructor, "PICTURES", tmp_path / "pictures")
    return tmp_path / "pictures"


def test_pictures_are_drawn_once_and_again_when_what_they_show_has_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refresh() == "was drawn anew"
    (folder / "report.png").write_bytes(b"as it was")
    assert refresh() == "is up to date"
    assert (folder / "report.png").read_bytes() == b"as it was"
    monkeypatch.setattr(instructor_pictures, "key", lambda: "of other code")
    assert refresh() == "was drawn anew"
    assert json.loads((folder / MADE).read_text())["drawn"] == sorted(f"{name}.png" for name in NAMES)


def test_a_machine_that_cannot_draw_is_asked_again_the_next_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as there, pytest.raises(CannotDraw, match="install the Debian package chromium"):
        there.setattr(instructor_pictures.shutil, "which", lambda name: None)
        make_class(folder)

    def cannot(folder: Path) -> None:
        raise CannotDraw("there is no sandbox")

    with monkeypatch.context() as now:
        now.setattr(instructor_pictures, "make_class", cannot)
        assert refresh() == "was not drawn: there is no sandbox"
        assert refresh() == "was not drawn: there is no sandbox"
    assert refresh() == "was drawn anew"


def build(root: Path) -> str:
    """The page as HTML."""
    source = root / "source"
    source.mkdir(exist_ok=True)
    (source / "conf.py").write_text(
        f"import sys; sys.path.insert(0, {str(Path(course_instructor.__file__).parent)!r})\n"
        'extensions = ["myst_parser", "course_instructor"]\n'
    )
    (source / "index.md").write_text(PAGE)
    app = SphinxTestApp("html", srcdir=source, builddir=root / "made", freshenv=True, warningiserror=True)
    try:
        app.build()
        return (Path(app.outdir) / "index.html").read_text()
    finally:
        app.cleanup()


def test_where_nothing_was_drawn_the_page_says_what_the_picture_would_show(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(folder: Path) -> None:
        raise CannotDraw("there is no sandbox")

    monkeypatch.setattr(instructor_pictures, "make_class", cannot)
    refresh()
    page = build(tmp_path)
    assert "It shows: a histogram of points." in page
    assert "<img" not in page
