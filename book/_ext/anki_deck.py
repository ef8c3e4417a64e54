"""Flashcards as a deck for Anki: the same file for the same cards, and notes that keep what a reader has learned.

A note's identity is its card's id. Whoever imports a newer deck keeps the schedule of every card that was there.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import genanki
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

COURSE = "Attention, transformers and flow models"
STYLE = """
.card { font-family: sans-serif; font-size: 1.2em; text-align: center; max-width: 34em; margin: 1em auto; }
code { font-size: 0.95em; }
"""
MODEL = genanki.Model(
    1834207561,  # fixed for ever: Anki knows a note's kind by it
    COURSE,
    fields=[{"name": "Front"}, {"name": "Back"}],
    templates=[{"name": "Card", "qfmt": "{{Front}}", "afmt": '{{FrontSide}}<hr id="answer">{{Back}}'}],
    css=STYLE,
)

_MARKDOWN = MarkdownIt("commonmark").use(dollarmath_plugin)
_MARKDOWN.add_render_rule("math_inline", lambda self, tokens, i, *_: rf"\({_escaped(tokens[i].content)}\)")
_MARKDOWN.add_render_rule("math_block", lambda self, tokens, i, *_: rf"\[{_escaped(tokens[i].content)}\]")


def _escaped(formula: str) -> str:
    """Anki reads the field as HTML before it typesets the formula."""
    return formula.strip().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def to_html(text: str) -> str:
    """A card's Markdown as Anki shows it, with formulas in its own brackets."""
    return str(_MARKDOWN.render(text)).strip()


def write(decks: Sequence[Mapping[str, Any]], path: Path, *, titles: Mapping[str, str]) -> None:
    """Write chapters' cards into one file, a subdeck for each chapter.

    Args:
        decks: contents of cards.yml files.
        path: of the `.apkg` file.
        titles: of the chapters, by slug.
    """
    made = []
    for deck in decks:
        slug = deck["chapter"]
        name = f"{COURSE}::{slug[:2]} {titles.get(slug, slug[3:])}"
        subdeck = genanki.Deck(zlib.crc32(slug.encode()) | 1 << 31, name)  # the same number on every build
        for card in deck["cards"]:
            fields = [to_html(card["front"]), to_html(card["back"])]
            note = genanki.Note(MODEL, fields, guid=genanki.guid_for(str(card["id"])), tags=[slug])
            subdeck.add_note(note)
        made.append(subdeck)
    with tempfile.TemporaryDirectory() as place, _files_in(place):
        genanki.Package(made).write_to_file(path, timestamp=0)


@contextmanager
def _files_in(place: str) -> Iterator[None]:
    """Temporary files stand in this folder meanwhile: genanki leaves its database behind."""
    before, tempfile.tempdir = tempfile.tempdir, place
    try:
        yield
    finally:
        tempfile.tempdir = before
