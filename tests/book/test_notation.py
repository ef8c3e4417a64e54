"""What the numbered equations of a chapter are written with stands in the notation, where the chapter's link leads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.book import ROOT

GREEK = "alpha|beta|gamma|delta|varepsilon|eta|theta|lambda|mu|omega|sigma|tau|phi|psi|ell|nabla"
SYMBOL = re.compile(rf"\\(?:{GREEK})\b|(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])")
WORDS = re.compile(r"\\(?:text|operatorname|mathrm|begin|end)\*?\{[^{}]*\}|\{glue:text\}`[^`]*`")
STYLE = re.compile(r"\\(?:mathbf|boldsymbol|mathcal|mathbb|tilde|hat|bar) *")
INDEX = re.compile(r"[_^](?:\{(?:[^{}]|\{[^{}]*\})*\}|\\?\w)")
EQUATION = re.compile(r"^\$\$\n(?P<text>(?:(?!\$\$).*\n)+)\$\$ \((?P<label>eq-[\w-]+)\)", re.MULTILINE)
INLINE = re.compile(r"(?<!\$)\$([^$\n]+)\$(?!\$)")
CHAPTERS = sorted(ROOT.glob("book/[0-9]*/chapter.md"))


def find_symbols(formula: str) -> set[str]:
    """Letters of a formula, without words and indices."""
    return set(SYMBOL.findall(INDEX.sub(" ", STYLE.sub(" ", WORDS.sub(" ", formula)))))


def read_notation() -> dict[str, set[str]]:
    """The symbols of each section, by the number of its chapter; those of the sections for all chapters by "all"."""
    text = (ROOT / "book" / "notation.md").read_text(encoding="utf-8")
    known: dict[str, set[str]] = {}
    parts = re.split(r"^(?:\(notation-(\d\d)\)=\n)?## ", text, flags=re.MULTILINE)
    for number, section in zip(parts[1::2], parts[2::2], strict=True):
        found = {symbol for formula in INLINE.findall(section) for symbol in find_symbols(formula)}
        known.setdefault(number or "all", set()).update(found)
    return known


def test_letters_are_taken_from_formulas_without_words_and_indices() -> None:
    assert find_symbols(r"\mathbf{x}_{t-1} = \operatorname{softmax}(W_{ih} \alpha^2) \text{ is } y_i") == {
        "x",
        "W",
        r"\alpha",
        "y",
    }


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.parent.name)
def test_symbols_of_numbered_equations_stand_in_the_notation(path: Path) -> None:
    known = read_notation()
    known_here = known["all"] | known["04"] | known[path.parent.name[:2]]
    equations = list(EQUATION.finditer(path.read_text(encoding="utf-8")))
    assert equations
    unknown = {found["label"]: find_symbols(found["text"]) - known_here for found in equations}
    assert {label: symbols for label, symbols in unknown.items() if symbols} == {}
