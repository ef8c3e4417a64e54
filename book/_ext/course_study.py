"""Questions for studying: `{quiz}` and `{cards}` render quiz.yml and cards.yml from the folder of their page.

Every choice of a quiz unfolds to say whether it is right, and why. A card's front unfolds to its back. A file
that is not as described in `check_quiz` and `check_cards` fails the build.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def check_quiz(quiz: dict[str, Any]) -> None:
    """Raise ValueError unless each question has an id, a section, and choices that all say why, one of them right."""
    seen: set[str] = set()
    for question in quiz["questions"]:
        name = question["id"]
        if name in seen:
            raise ValueError(f"Two questions have the id {name}: give each its own.")
        seen.add(name)
        if not question.get("section") or not question.get("question"):
            raise ValueError(f"Question {name} needs `question` and `section`, the label that it belongs to.")
        if sum(bool(choice.get("right")) for choice in question["choices"]) != 1:
            raise ValueError(f"Question {name} needs exactly one choice with `right: true`.")
        for choice in question["choices"]:
            if not choice.get("text") or not choice.get("why"):
                raise ValueError(f"A choice of question {name} lacks `text` or `why`: every choice is explained.")


def check_cards(cards: dict[str, Any]) -> None:
    """Raise ValueError unless each card has an id of its own, a front and a back."""
    seen: set[str] = set()
    for card in cards["cards"]:
        if not card.get("front") or not card.get("back"):
            raise ValueError(f"Card {card.get('id')} lacks `front` or `back`.")
        if card["id"] in seen:
            raise ValueError(f"Two cards have the id {card['id']}: give each its own.")
        seen.add(card["id"])


def write_quiz(quiz: dict[str, Any]) -> list[str]:
    """The quiz as lines of MyST. The right choice's place follows from the question, so that it is not always first."""
    lines: list[str] = []
    for number, question in enumerate(quiz["questions"], start=1):
        lines += [f"**{number}.** {question['question']} ({{ref}}`{question['section']}`)", ""]
        choices = question["choices"]
        turn = sum(map(ord, question["id"])) % len(choices)
        for letter, choice in zip("abcdef", choices[turn:] + choices[:turn], strict=False):
            verdict = "Right." if choice.get("right") else "Not this one."
            lines += [f":::{{dropdown}} {letter}) {choice['text']}", f"**{verdict}** {choice['why']}", ":::", ""]
    return lines


def write_cards(cards: dict[str, Any]) -> list[str]:
    """The cards as lines of MyST, all in one fold."""
    lines = [f"::::{{dropdown}} {len(cards['cards'])} flashcards"]
    for card in cards["cards"]:
        lines += [f":::{{dropdown}} {card['front']}", card["back"], ":::", ""]
    return [*lines, "::::"]


class Study(SphinxDirective):
    """What both directives do: read, check, write, parse."""

    file = ""

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.doc2path(self.env.docname)).with_name(self.file)
        self.env.note_dependency(str(path))
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        try:
            lines = self.write(content)
        except ValueError as error:
            raise self.error(f"{path.name}: {error}") from error
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source=str(path)), 0, container)
        return container.children

    def write(self, content: dict[str, Any]) -> list[str]:
        raise NotImplementedError


class Quiz(Study):
    file = "quiz.yml"

    def write(self, content: dict[str, Any]) -> list[str]:
        check_quiz(content)
        return write_quiz(content)


class Cards(Study):
    file = "cards.yml"

    def write(self, content: dict[str, Any]) -> list[str]:
        check_cards(content)
        return write_cards(content)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("quiz", Quiz)
    app.add_directive("cards", Cards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
