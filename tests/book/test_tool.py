"""The build tool says what is wrong, runs only what changed, and forgets nothing that is done."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest
from jupyter_cache import get_cache

from tools import book

HEAD = """\
---
jupytext:
  text_representation:
    format_name: myst
kernelspec:
  display_name: Python 3
  name: python3
---
# A chapter

"""


@pytest.fixture
def small_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root of its own with one chapter that imports one module of its own library."""
    for name, path in {"ROOT": ".", "BUILD": "build", "CACHE": "build/cache", "BOOK": "build/book"}.items():
        monkeypatch.setattr(book, name, (tmp_path / path).resolve())
    monkeypatch.setattr(book, "_progress", queue.Queue())
    (tmp_path / "course_lib").mkdir()
    (tmp_path / "course_lib" / "small.py").write_text("answer = 42\n")
    (tmp_path / "course_lib" / "unused.py").write_text("")
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/chapter\n")
    write_chapter(tmp_path, "import sys\nsys.path.insert(0, '../course_lib')\nimport small\nsmall.answer")
    return tmp_path


def write_chapter(root: Path, code: str) -> Path:
    path = root / "book" / "chapter.md"
    path.write_text(f"{HEAD}Text.\n\n```{{code-cell}} python\n{code}\n```\n")
    return path


def test_a_page_of_the_table_of_contents_that_is_missing_is_named(small_book: Path) -> None:
    (small_book / "book" / "chapter.md").unlink()
    with pytest.raises(book.BookError, match=r"_toc\.yml names book/chapter\.md"):
        book.find_chapters()


def test_a_page_without_code_is_not_run(small_book: Path) -> None:
    (small_book / "book" / "chapter.md").write_text("# A page\n")
    assert book.find_chapters() == []


@pytest.mark.parametrize(("missing", "message"), [("node", "`nodejs`"), ("katex", "`npm ci`")])
def test_a_missing_tool_is_named_with_its_remedy(
    small_book: Path, monkeypatch: pytest.MonkeyPatch, missing: str, message: str
) -> None:
    if missing == "node":
        monkeypatch.setattr(book.shutil, "which", lambda name: None)
    with pytest.raises(book.BookError, match=message):
        book.vendor(small_book)


def test_models_that_cannot_be_trained_stop_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book.sys, "executable", "/bin/false")
    with pytest.raises(book.BookError, match="scoreboard could not be trained"):
        book.train_scoreboard()


@pytest.mark.slow
def test_a_failing_cell_is_named_with_its_chapter_line_and_traceback(small_book: Path) -> None:
    path = write_chapter(small_book, "number = 1\nnumber / 0")
    with pytest.raises(book.BookError) as caught:
        book.run_chapter(path, small_book)
    message = str(caught.value)
    assert "book/chapter.md, line 13: the cell that starts with `number = 1` failed" in message
    assert "ZeroDivisionError: division by zero" in message
    assert "\x1b" not in message


@pytest.mark.slow
def test_a_chapter_is_run_again_only_when_something_that_it_used_changes(small_book: Path) -> None:
    path = small_book / "book" / "chapter.md"
    cache = get_cache(str(small_book / "build" / "cache"))
    assert book.find_stale([path], cache) == [path]

    book.run_stale([path], cache)
    assert book.find_stale([path], cache) == []

    path.write_text(path.read_text().replace("Text.", "Other words."))
    (small_book / "course_lib" / "unused.py").write_text("changed = True\n")
    assert book.find_stale([path], cache) == []

    (small_book / "course_lib" / "small.py").write_text("answer = 43\n")
    assert book.find_stale([path], cache) == [path]

    book.run_stale([path], cache)
    _, notebook = cache.merge_match_into_notebook(book.myst_nb_reader_plugin(str(path)))
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert [output["data"]["text/plain"] for cell in outputs for output in cell] == ["43"]


@pytest.mark.slow
def test_chapters_that_are_done_are_kept_when_another_fails(small_book: Path) -> None:
    good = small_book / "book" / "chapter.md"
    bad = small_book / "book" / "bad.md"
    bad.write_text(good.read_text().replace("small.answer", "small.missing"))
    cache = get_cache(str(small_book / "build" / "cache"))
    with pytest.raises(book.BookError, match=r"(?s)book/bad\.md, line 13.*AttributeError"):
        book.run_stale([good, bad], cache)
    assert book.find_stale([good, bad], cache) == [bad]
