"""Questions for studying: `{quiz}` and `{cards}` render quiz.yml and cards.yml from the folder of their page.

The page holds everything: a choice unfolds to say whether it is right, and why, and a card's front unfolds to its
back. Where scripts run, study.js makes questions to answer of this, and cards.js a deck to learn. A file that is not
as described in `check_quiz` and `check_cards` fails the build. `{cards} all` holds the cards of every chapter, and
each deck can be taken to Anki.
"""

from __future__ import annotations

import html
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anki_deck
import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.util.docutils import SphinxDirective

SCRIPTS = ("study.js", "cards.js")
STYLE = "study.css"
DECKS = "decks"


class Tag(nodes.General, nodes.Element):
    """An element of HTML around what it holds: `tag` names it, `attributes_` are its attributes."""


def make_tag(name: str, *children: nodes.Node, **attributes: str) -> Tag:
    """A `Tag`; an underscore at an attribute's end is dropped, others become hyphens."""
    written = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    return Tag("", *children, tag=name, written=written)


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


class Study(SphinxDirective):
    """What both directives share: the file of their page's chapter, and its text as nodes."""

    file = ""

    def read(self, folder: Path) -> dict[str, Any]:
        path = folder / self.file
        self.env.note_dependency(str(path))
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        try:
            self.check(content)
        except ValueError as error:
            raise self.error(f"{path.parent.name}/{path.name}: {error}") from error
        return content

    @property
    def folder(self) -> Path:
        return Path(self.env.doc2path(self.env.docname)).parent

    def check(self, content: dict[str, Any]) -> None:
        raise NotImplementedError

    def parse(self, text: str) -> list[nodes.Node]:
        """Markdown as nodes."""
        parent = nodes.Element()
        self.state.nested_parse(StringList(text.splitlines(), source=self.file), 0, parent)
        return parent.children

    def parse_line(self, text: str) -> list[nodes.Node]:
        """Markdown of one paragraph, without the paragraph."""
        return [node for part in self.parse(text) for node in part.children]


class Quiz(Study):
    file = "quiz.yml"

    def check(self, content: dict[str, Any]) -> None:
        check_quiz(content)

    def run(self) -> list[nodes.Node]:
        quiz = self.read(self.folder)
        questions = [self.write(number, question) for number, question in enumerate(quiz["questions"], start=1)]
        return [make_tag("div", *questions, class_="quiz", data_chapter=quiz["chapter"])]

    def write(self, number: int, question: dict[str, Any]) -> Tag:
        text = self.parse(f"**{number}.** {question['question']} ({{ref}}`{question['section']}`)")
        parts: list[Tag] = [make_tag("div", *text, class_="quiz-text")]
        for choice in turned(question):
            right = bool(choice.get("right"))
            why = self.parse(f"**{'Right.' if right else 'Not this one.'}** {choice['why']}")
            parts.append(
                make_tag(
                    "details",
                    make_tag("summary", *self.parse_line(choice["text"])),
                    make_tag("div", *why, class_="quiz-why"),
                    class_="quiz-choice",
                    data_right=str(right).lower(),
                )
            )
        return make_tag("div", *parts, class_="quiz-question", data_id=question["id"])


def turned(question: dict[str, Any]) -> list[dict[str, Any]]:
    """The choices; the right one's place follows from the question, so that it is not always first."""
    choices: list[dict[str, Any]] = question["choices"]
    turn = sum(map(ord, question["id"])) % len(choices)
    return choices[turn:] + choices[:turn]


class Cards(Study):
    """`{cards}`, or `{cards} all` for the cards of every chapter."""

    file = "cards.yml"
    optional_arguments = 1

    def check(self, content: dict[str, Any]) -> None:
        check_cards(content)

    def run(self) -> list[nodes.Node]:
        folders = [self.folder]
        if self.arguments:
            if self.arguments != ["all"]:
                raise self.error(f"write {{cards}} or {{cards}} all, not {{cards}} {self.arguments[0]}")
            folders = find_decks(Path(self.env.srcdir))
        decks = [self.read(folder) for folder in folders]
        name = "all" if self.arguments else decks[0]["chapter"]
        cards = [self.write(card, deck["chapter"]) for deck in decks for card in deck["cards"]]
        summary = make_tag("summary", nodes.Text(f"All {len(cards)} flashcards"))
        target = posixpath.relpath(f"{DECKS}/{name}.apkg", posixpath.dirname(self.env.docname))
        link = f'<p><a class="cards-anki" href="{html.escape(target)}" download>Download as an Anki deck</a></p>'
        return [
            make_tag(
                "div",
                make_tag("details", summary, *cards, class_="cards-all"),
                nodes.raw("", link, format="html"),
                class_="cards",
                data_deck=name,
            )
        ]

    def write(self, card: dict[str, Any], chapter: str) -> Tag:
        return make_tag(
            "details",
            make_tag("summary", *self.parse_line(card["front"])),
            make_tag("div", *self.parse(card["back"]), class_="card-back"),
            class_="card-pair",
            data_id=str(card["id"]),
            data_chapter=chapter,
        )


def find_decks(root: Path) -> list[Path]:
    """The folders of chapters that have cards, in order."""
    return sorted(path.parent for path in root.glob("book/[0-9][0-9]-*/cards.yml"))


def visit_tag(translator: Any, node: Tag) -> None:
    attributes = "".join(f' {name}="{html.escape(value)}"' for name, value in node["written"].items())
    translator.body.append(f"<{node['tag']}{attributes}>")


def depart_tag(translator: Any, node: Tag) -> None:
    translator.body.append(f"</{node['tag']}>")


def add_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Scripts and style on the pages that have something to study, and on no other."""
    if doctree is None or not any(doctree.findall(Tag)):
        return
    for script in SCRIPTS:
        app.add_js_file(script, loading_method="defer")
    app.add_css_file(STYLE)


def write_decks(app: Sphinx, error: Exception | None) -> None:
    """Every deck as a file for Anki."""
    if error is not None or not isinstance(app.builder, StandaloneHTMLBuilder):
        return
    decks = [yaml.safe_load((folder / "cards.yml").read_text("utf-8")) for folder in find_decks(Path(app.srcdir))]
    titles = chapter_titles(Path(app.srcdir))
    folder = Path(app.outdir, DECKS)
    folder.mkdir(parents=True, exist_ok=True)
    for deck in decks:
        anki_deck.write([deck], folder / f"{deck['chapter']}.apkg", titles=titles)
    if decks:
        anki_deck.write(decks, folder / "all.apkg", titles=titles)


def chapter_titles(root: Path) -> dict[str, str]:
    """The title of each chapter that the syllabus names."""
    path = root / "book" / "syllabus.yml"
    chapters: Sequence[dict[str, Any]] = yaml.safe_load(path.read_text("utf-8"))["chapters"] if path.exists() else []
    return {chapter["slug"]: chapter["title"] for chapter in chapters}


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_node(Tag, html=(visit_tag, depart_tag))
    app.add_directive("quiz", Quiz)
    app.add_directive("cards", Cards)
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", write_decks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
