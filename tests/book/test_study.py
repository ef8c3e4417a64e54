"""The study material of every chapter is complete, and library code is quoted without its docstrings."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from course_source import drop_docstrings
from course_study import check_cards, check_quiz, turned

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted(path.parent for path in ROOT.glob("book/[0-9][0-9]-*/quiz.yml"))


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("folder", CHAPTERS, ids=lambda folder: folder.name)
def test_quiz_and_cards_are_complete_and_name_their_chapter(folder: Path) -> None:
    quiz, cards = read(folder / "quiz.yml"), read(folder / "cards.yml")
    check_quiz(quiz)
    check_cards(cards)
    assert quiz["chapter"] == cards["chapter"] == folder.name
    assert len(quiz["questions"]) >= 8 and len(cards["cards"]) >= 15


@pytest.mark.parametrize("folder", CHAPTERS, ids=lambda folder: folder.name)
def test_the_right_choice_is_not_always_in_the_same_place(folder: Path) -> None:
    questions = read(folder / "quiz.yml")["questions"]
    places = {[bool(choice.get("right")) for choice in turned(question)].index(True) for question in questions}
    assert len(places) >= 3


def test_a_choice_without_a_reason_is_refused() -> None:
    choices = [{"text": "yes", "right": True, "why": "it is"}, {"text": "no"}]
    with pytest.raises(ValueError, match="every choice is explained"):
        check_quiz({"questions": [{"id": "q", "section": "s", "question": "?", "choices": choices}]})


@pytest.mark.parametrize("rights", [0, 2])
def test_a_question_with_no_or_two_right_choices_is_refused(rights: int) -> None:
    choices = [{"text": "a", "why": "b", "right": number < rights} for number in range(3)]
    with pytest.raises(ValueError, match="exactly one choice"):
        check_quiz({"questions": [{"id": "q", "section": "s", "question": "?", "choices": choices}]})


def test_two_cards_with_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="Two cards have the id c"):
        check_cards({"cards": [{"id": "c", "front": "a", "back": "b"}] * 2})


def test_docstrings_are_dropped_and_the_code_stays() -> None:
    source = (
        'class A:\n    """About A.\n\n    More.\n    """\n\n    def f(self):\n        """About f."""\n'
        '        # a reason\n        return "kept"\n'
    )
    assert drop_docstrings(source) == 'class A:\n    def f(self):\n        # a reason\n        return "kept"\n'


def test_a_function_that_is_only_a_docstring_keeps_it() -> None:
    source = 'def f():\n    """Nothing else."""\n'
    assert drop_docstrings(source) == source


def test_a_method_shown_alone_begins_at_the_margin() -> None:
    source = '    def f(self):\n        """Said above."""\n        return 1\n'
    assert drop_docstrings(source) == "def f(self):\n    return 1\n"
