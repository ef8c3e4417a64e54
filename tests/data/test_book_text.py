"""The book's text holds its prose and nothing else, and keeps sections aside."""

from pathlib import Path

import pytest

from course_lib.data.book_text import book_text, prose_sections

PAGE = """---
kernelspec:
  name: python3
---
# A title

**Who** bites *whom*? See [the table](some-label) of `words` {cite}`someone2020`. It says so.

```{code-cell} python
:tags: [hide-input]
print("code")
```

(a-label)=
## A section

A word is $d$ wide. It has $\\sqrt{d}$ of something. We found {glue:text}`number:.2f` here.
The last one stays, on
two lines.

$$
y = x
$$

| a | table |
|---|---|

::::{admonition} Predict, then look
:class: tip
What happens?

:::{dropdown} Compare with an answer
Nothing happens.
:::
::::

- One item.
- Another “item”.
"""


def test_prose_stays_and_everything_else_goes() -> None:
    assert prose_sections(PAGE) == [
        "A title\n\nWho bites whom? See the table of words. It says so.\n\n",
        "A section\n\nA word is d wide. The last one stays, on two lines.\n\nPredict, then look\n\nWhat happens?\n\n",
        'Compare with an answer\n\nNothing happens.\n\nOne item.\n\nAnother "item".\n\n',
    ]


def test_every_tenth_section_is_held_out(tmp_path: Path) -> None:
    for chapter, count in (("01-a", 12), ("02-b", 9)):
        (tmp_path / chapter).mkdir()
        page = "\n\n".join(f"## {chapter} {number}\n\nText." for number in range(count))
        (tmp_path / chapter / "chapter.md").write_text(page, encoding="utf-8")
    text = book_text(tmp_path)
    assert text.held_out == "01-a 9\n\nText.\n\n02-b 7\n\nText.\n\n"
    assert text.train.count("Text.") == 19 and text.train.startswith("01-a 0\n\n")


def test_the_books_own_text_is_readable_and_the_same_each_time() -> None:
    text = book_text()
    assert text == book_text()
    assert text.train.isascii() and text.held_out.isascii()
    assert len(text.train) > 30_000 and 0.03 < len(text.held_out) / len(text.train) < 0.25
    for sign in ("```", "{cite", "{glue", "$$", "import torch", ":class:"):
        assert sign not in text.train + text.held_out


def test_held_out_sections_are_not_in_the_training_text() -> None:
    text = book_text()
    long = [paragraph for paragraph in text.held_out.split("\n\n") if len(paragraph) > 80]
    assert long and not any(paragraph in text.train for paragraph in long)


def test_a_folder_without_chapters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no chapter\.md"):
        book_text(tmp_path)
