"""What the tests of the book share: the extensions on the path, and the book itself, built when it is not fresh."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools import book

sys.path.insert(0, str(book.ROOT / "book" / "_ext"))


@pytest.fixture(scope="session")
def built_book() -> Path:
    """Folder of the rendered book; a warning anywhere in it is an error here."""
    book.build_book()
    return book.BOOK
