"""A CSV file of which single cells change and every other byte stays.

A system that reads its own file back must find its own headings, quotes and line ends in it. So nothing
is parsed and written anew: fields are kept as they stand in the file.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

DELIMITERS = (",", ";", "\t")
QUOTED = re.compile(r'"([^"]*(?:""[^"]*)*)"?')


class TableError(Exception):
    """A file that cannot be read as a table; the message says why, and what to do."""


@dataclass
class Table:
    """A table as it stands in a file.

    Attributes:
        raw: the fields of each row, with their quotes.
        ends: what ends each row: a line break, or nothing at the end of the file.
        delimiter: between fields.
        encoding: of the text.
        mark: the bytes before the text by which spreadsheets know UTF-8, or none.
    """

    raw: list[list[str]]
    ends: list[str] = field(default_factory=list)
    delimiter: str = ","
    encoding: str = "utf-8"
    mark: bytes = b""

    def value(self, row: int, column: int) -> str:
        """A cell as a reader of CSV sees it; "" where the row is shorter."""
        fields = self.raw[row]
        if column >= len(fields):
            return ""
        return _value(fields[column])

    def values(self, row: int) -> list[str]:
        """The cells of a row."""
        return [_value(text) for text in self.raw[row]]

    def put(self, row: int, column: int, text: str) -> None:
        """Write a cell: in quotes where it had some, or needs them."""
        fields = self.raw[row]
        fields += [""] * (column + 1 - len(fields))
        needs = any(sign in text for sign in (self.delimiter, '"', "\r", "\n"))
        quoted = '"' + text.replace('"', '""') + '"'
        fields[column] = quoted if needs or fields[column].startswith('"') else text

    def to_bytes(self) -> bytes:
        """The file."""
        text = "".join(self.delimiter.join(row) + end for row, end in zip(self.raw, self.ends, strict=True))
        return self.mark + text.encode(self.encoding)


def read_table(data: bytes) -> Table:
    """The table in a file. The delimiter is the one that gives the first row most fields.

    Raises:
        TableError: it is empty, or its text cannot be read.
    """
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    text, encoding = _decode(data[len(mark) :])
    if not text.strip():
        raise TableError("it is empty; download it again")
    delimiter = max(DELIMITERS, key=lambda sign: len(next(_rows(text, sign))[0]))
    rows = list(_rows(text, delimiter))
    return Table([row for row, _ in rows], [end for _, end in rows], delimiter, encoding, mark)


def _decode(data: bytes) -> tuple[str, str]:
    if b"\0" in data:
        raise TableError('it is no CSV file in UTF-8; save it as "CSV UTF-8"')
    for encoding in ("utf-8", "cp1252"):
        try:
            return data.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    raise TableError('its letters are in an unknown encoding; save it as "CSV UTF-8"')


def _rows(text: str, delimiter: str) -> Iterator[tuple[list[str], str]]:
    """Each row's fields as they stand, and what ends it."""
    plain = f"[^{re.escape(delimiter)}\r\n]*"
    part = re.compile(rf'((?:"[^"]*(?:""[^"]*)*"?)?{plain})({re.escape(delimiter)}|\r\n|\r|\n|\Z)')
    fields: list[str] = []
    place = 0
    while place < len(text) or fields:
        found = part.match(text, place)
        assert found is not None  # a field may be empty, and the text ends somewhere
        fields.append(found[1])
        place = found.end()
        if found[2] != delimiter:
            yield fields, found[2]
            fields = []


def _value(raw: str) -> str:
    found = QUOTED.match(raw)
    return raw if found is None else found[1].replace('""', '"') + raw[found.end() :]
