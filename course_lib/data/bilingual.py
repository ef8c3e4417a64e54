"""Read a file of a real language pair: one pair a line, `source TAB target TAB attribution`, in UTF-8.

This is the format in which the sentence pairs of the Tatoeba project are commonly passed on. The attribution
may be missing; empty lines are skipped; all else that is wrong is said with the line it stands on.

Chapter: 02-seq2seq.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from course_lib.data.grammar import SentencePair


class BilingualFileError(ValueError):
    """A file of sentence pairs that cannot be read: the message names the file, the line and the remedy."""


@dataclass(frozen=True)
class BilingualLine:
    """One line of the file: a sentence, its translation, and whom to thank."""

    source: str
    target: str
    attribution: str = ""


def read_bilingual(path: str | Path) -> list[BilingualLine]:
    """Read all pairs of a file.

    Args:
        path: a text file in UTF-8, one pair a line, the parts separated by tabs.

    Returns:
        The pairs in the order of the file.

    Raises:
        FileNotFoundError: if there is no such file.
        BilingualFileError: if the file is not UTF-8, if a line has no tab or more than two, if a side is empty,
            or if the file holds no pair at all.

    Chapter: 02-seq2seq.
    """
    path = Path(path)
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BilingualFileError(
            f"{path}, line {line}: the byte 0x{raw[error.start]:02x} is not UTF-8. Save the file as UTF-8 (if it was "
            f'written on an older system, try text = path.read_text(encoding="cp1252") and write it back).'
        ) from None
    lines = []
    for number, line_text in enumerate(text.split("\n"), start=1):
        if not line_text.strip():
            if "\t" not in line_text:
                continue
            raise BilingualFileError(f"{path}, line {number}: it holds only tabs. Write both sentences, or delete it.")
        lines.append(_parse(line_text, f"{path}, line {number}"))
    if not lines:
        raise BilingualFileError(f"{path} holds no pair. Write one pair a line: source TAB target TAB attribution.")
    return lines


def _parse(line: str, where: str) -> BilingualLine:
    parts = [part.strip() for part in line.split("\t")]
    if len(parts) == 1:
        raise BilingualFileError(
            f"{where}: there is no tab in {_quoted(line)}. Separate the two sentences by one tab, not by spaces."
        )
    if len(parts) > 3:
        raise BilingualFileError(
            f"{where}: there are {len(parts) - 1} tabs in {_quoted(line)}, where at most two may stand. Remove the "
            "tabs inside a sentence."
        )
    for part, side in zip(parts, ("source", "target"), strict=False):
        if not part:
            raise BilingualFileError(f"{where}: the {side} sentence is empty. Write it, or delete the line.")
    return BilingualLine(*parts)


def _quoted(line: str) -> str:
    return repr(line if len(line) <= 40 else f"{line[:37]}...")


def split_words(sentence: str) -> tuple[str, ...]:
    """Cut a sentence into lower-case words and signs; an apostrophe stays with the letters before it.

    `split_words("L'amico dorme.")` is `("l'", "amico", "dorme", ".")`.

    Chapter: 02-seq2seq.
    """
    return tuple(re.findall(r"\w+'?|[^\w\s]", sentence.lower().replace("’", "'")))


def to_pairs(lines: Iterable[BilingualLine]) -> list[SentencePair]:
    """The lines as sentence pairs, cut into words; a real corpus comes without links between the words.

    Chapter: 02-seq2seq.
    """
    return [SentencePair(split_words(line.source), split_words(line.target)) for line in lines]
