"""Downloads are complete and the same on every build; remote links are right once a repository is named."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import course_downloads
import jupytext
import nbformat
import pytest
from course_downloads import Repository

from tools.book import ROOT

NOTEBOOK = "exercises/04-attention-layer/attention-layer.ipynb"


def test_without_a_repository_there_are_no_remote_links() -> None:
    assert Repository("").remote_links(NOTEBOOK, source=NOTEBOOK, colab_branch="main") == []


@pytest.mark.parametrize("url", ["https://github.com/owner/name", "https://github.com/owner/name.git/"])
def test_with_a_repository_each_link_leads_to_the_file(url: str) -> None:
    links = Repository(url).remote_links(NOTEBOOK, source="book/page.md", colab_branch="gh-pages")
    assert dict(links) == {
        "Open in Colab": f"https://colab.research.google.com/github/owner/name/blob/gh-pages/{NOTEBOOK}",
        "Open in Binder": f"https://mybinder.org/v2/gh/owner/name/main?urlpath=lab/tree/{NOTEBOOK}",
        "View source": "https://github.com/owner/name/blob/main/book/page.md",
    }


def test_binder_makes_the_notebook_that_a_chapter_s_link_opens(tmp_path: Path) -> None:
    folder = tmp_path / "book" / "04-attention-layer"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "book" / "04-attention-layer" / "chapter.md", folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    script = str(ROOT / "binder" / "postBuild")
    subprocess.run(["bash", script], cwd=tmp_path, env={**os.environ, "PATH": path}, check=True)
    assert (folder / "04-attention-layer.ipynb").is_file()


def test_the_repository_is_the_one_that_the_configuration_names(tmp_path: Path) -> None:
    text = (ROOT / "_config.yml").read_text(encoding="utf-8")
    named = re.sub(r'(?m)^  url: ".*"$', '  url: "https://github.com/owner/name"', text)
    (tmp_path / "_config.yml").write_text(named)
    found = course_downloads.read_repository(SimpleNamespace(srcdir=tmp_path))
    assert found == Repository("https://github.com/owner/name", "main")


def test_links_of_the_bar_to_files_of_the_build_are_downloads() -> None:
    links = [("Here", "a.zip"), ("There", "https://example.invalid/a.ipynb"), ("Symbols", "../notation.html#n")]
    bar = course_downloads.make_bar("Elsewhere", links).astext()
    assert '<a href="a.zip" download>' in bar
    assert '<a href="https://example.invalid/a.ipynb">' in bar
    assert '<a href="../notation.html#n">' in bar


@pytest.fixture
def chapter() -> str:
    return (ROOT / "book" / "04-attention-layer" / "chapter.md").read_text(encoding="utf-8")


def test_chapter_notebook_holds_all_code_of_the_chapter_and_no_output(chapter: str) -> None:
    notebook = course_downloads.make_notebook(chapter, Repository(""))
    nbformat.validate(notebook)
    written = [cell.source for cell in jupytext.reads(chapter, fmt="md:myst").cells if cell.cell_type == "code"]
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert written
    assert [cell.source for cell in cells] == written
    assert not any(cell.outputs for cell in cells)


def test_chapter_notebook_is_the_same_twice(chapter: str) -> None:
    first, second = (nbformat.writes(course_downloads.make_notebook(chapter, Repository(""))) for _ in range(2))
    assert first == second


def test_chapter_notebook_installs_the_library_from_the_repository_where_there_is_one(chapter: str) -> None:
    notebook = course_downloads.make_notebook(chapter, Repository("https://github.com/owner/name"))
    assert notebook.cells[1].source.endswith('"course-lib @ git+https://github.com/owner/name@main"')


def test_archive_holds_each_released_file_and_is_the_same_twice(tmp_path: Path) -> None:
    folder = tmp_path / "04-attention-layer"
    (folder / ".ipynb_checkpoints").mkdir(parents=True)
    (folder / ".ipynb_checkpoints" / "old.ipynb").write_text("{}")
    (folder / "work.ipynb").write_text("{}")
    (folder / "cases.safetensors").write_bytes(b"\0\1")
    archives = [tmp_path / "first.zip", tmp_path / "second.zip"]
    for target in archives:
        course_downloads.write_archive(folder, target)
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with zipfile.ZipFile(archives[0]) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert contents == {"04-attention-layer/work.ipynb": b"{}", "04-attention-layer/cases.safetensors": b"\0\1"}


def test_the_table_of_exercises_adds_up_to_the_points_of_the_notebook() -> None:
    path = ROOT / NOTEBOOK
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    points = [cell["metadata"].get("nbgrader", {}).get("points", 0) for cell in cells]
    rows = course_downloads.list_exercises(path)
    assert len(rows) == sum(point > 0 for point in points) + 3  # two lines of head, one of sums
    assert re.findall(r"\*\*(\d+)\*\*", rows[-1])[-1] == f"{sum(points):g}"
