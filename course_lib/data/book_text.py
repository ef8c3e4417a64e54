"""The book's own prose as a text to learn from: what its chapters say, without code, directives and mathematics.

The text is as long as the book is, and changes when the book does. Of every ten sections one is held out, so that a
model is measured on sections that it never read.

Chapter: 06-language-models.
"""

import re
from dataclasses import dataclass
from pathlib import Path

BOOK = Path(__file__).resolve().parents[2] / "book"
FILES = ("chapter.md", "questions.md")  # a chapter includes its questions

_CODE_FENCE = re.compile(r"^ *`{3,}")
_DROPPED_LINE = re.compile(r"^\s*(\||\([\w-]+\)=$|:[\w-]+:)")  # a row of a table, a label, a directive's option
_DIRECTIVE = re.compile(r"^\s*:{3,}(?:\{([\w-]+)\})?\s*(.*)$")
_START = re.compile(r"^(#+|[-*]|\d+\.) +")  # of a heading or of an item
_TYPOGRAPHY = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "…": "..."})
_SENTENCE_END = re.compile(r'(?<=[.?!]) +|(?<=[.?!]["\)]) +')


@dataclass(frozen=True)
class BookText:
    """The book's prose in two parts.

    Attributes:
        train: the sections to learn from.
        held_out: every tenth section, to measure on.
    """

    train: str
    held_out: str


def book_text(folder: Path = BOOK) -> BookText:
    """Read the prose of all chapters, in the order of their folders' names.

    Args:
        folder: holds one folder for each chapter, with a `chapter.md` in it.

    Returns:
        Training and held-out text, in printable ASCII. A paragraph is one line, with an empty line behind it.

    Raises:
        FileNotFoundError: if there is no chapter.

    Chapter: 06-language-models.
    """
    chapters = sorted(folder.glob("*/chapter.md"))
    if not chapters:
        raise FileNotFoundError(
            f"There is no chapter.md below {folder}: run this in a checkout of the course, or pass the book's folder."
        )
    paths = [chapter.parent / name for chapter in chapters for name in FILES]
    sections = [s for path in paths if path.exists() for s in prose_sections(path.read_text(encoding="utf-8"))]
    train = [section for number, section in enumerate(sections) if number % 10 != 9]
    return BookText(train="".join(train), held_out="".join(sections[9::10]))


def prose_sections(source: str) -> list[str]:
    """The prose of one page, cut before each heading and each question.

    Args:
        source: the page in MyST Markdown.

    Returns:
        For each section that says something, its heading and its paragraphs, each followed by an empty line. Code,
        tables, labels and displayed formulas are left out, and so are sentences that hold a formula of more than
        one sign or a number from the run.
    """
    sections: list[list[str]] = [[]]
    for paragraph, begins_section in _paragraphs(source):
        if begins_section:
            sections.append([])
        text = _plain(paragraph)
        if text:
            sections[-1].append(text)
    return ["".join(f"{text}\n\n" for text in section) for section in sections if len(section) > 1]


def _paragraphs(source: str) -> list[tuple[str, bool]]:
    """Each paragraph, item and heading as one line, and whether a section begins with it."""
    found: list[tuple[str, bool]] = []
    current: list[str] = []
    for line in (*_prose_lines(source), ""):
        if (not line or _START.match(line)) and current:
            found.append((" ".join(current), False))
            current = []
        directive = _DIRECTIVE.match(line)
        if directive:
            if directive[2]:
                found.append((directive[2], directive[1] == "dropdown"))
        elif line.startswith("#"):
            found.append((line, True))
        elif line:
            current.append(line)
    return found


def _prose_lines(source: str) -> list[str]:
    """The stripped lines of a page; what is no prose is an empty line."""
    lines = source.splitlines()
    if lines and lines[0] == "---":
        lines = lines[lines.index("---", 1) + 1 :]
    kept, fence, formula = [], "", False
    for line in map(str.strip, lines):
        ticks = _CODE_FENCE.match(line)
        if fence:
            fence = "" if line == fence else fence
            kept.append("")
        elif ticks:
            fence = ticks[0]
            kept.append("")
        elif line.startswith("$$"):
            formula = not formula if line.count("$$") == 1 else formula
            kept.append("")
        else:
            kept.append("" if formula or _DROPPED_LINE.match(line) else line)
    return kept


def _plain(paragraph: str) -> str:
    """A paragraph without markup and without the sentences that cannot be read without their formulas."""
    text = _START.sub("", paragraph).translate(_TYPOGRAPHY)
    text = re.sub(r" *\{cite[\w:]*\}`[^`]*`", "", text)
    text = re.sub(r"\{[\w:-]+\}`[^`]*`", "$", text)  # a number or a reference that the build fills in
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", lambda link: link[1] or "$", text)
    text = re.sub(r"\$(\w)\$", r"\1", text)
    text = re.sub(r"\*+|`", "", text)
    sentences = [sentence for sentence in _SENTENCE_END.split(text) if sentence.isascii() and "$" not in sentence]
    return " ".join(sentences)
