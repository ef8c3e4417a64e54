"""Reading a file of sentence pairs, and what a reader is told when it is wrong."""

from pathlib import Path

import pytest

from course_lib.data.bilingual import BilingualFileError, BilingualLine, read_bilingual, split_words, to_pairs
from course_lib.data.translation import TranslationData, written

OURS = Path(__file__).parent / "pairs.tsv"


def refusal(tmp_path: Path, content: bytes) -> str:
    """What the loader says of a file with this content."""
    path = tmp_path / "mine.tsv"
    path.write_bytes(content)
    with pytest.raises(BilingualFileError) as caught:
        read_bilingual(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_each_line_gives_a_pair_with_its_attribution() -> None:
    lines = read_bilingual(OURS)
    assert len(lines) == 6
    assert lines[1] == BilingualLine("Where is the key?", "Dov'è la chiave?", "Written for this course.")
    assert lines[4] == BilingualLine("We open the window.", "Apriamo la finestra.", "")


def test_a_file_becomes_a_task_of_words_that_can_be_written_back() -> None:
    pairs = to_pairs(read_bilingual(OURS))
    assert pairs[3].source == ("i", "don'", "t", "see", "the", "friend", ".")
    assert pairs[3].target == ("non", "vedo", "l'", "amico", ".")
    assert not pairs[3].sure
    data = TranslationData.from_pairs(pairs[:4], pairs[4:])
    batch = data.collate(data.train)
    assert written(data.target_vocabulary.decode(batch.target[3])) == "non vedo l'amico."
    assert written(data.source_vocabulary.decode(batch.source[3])) == "i don't see the friend."


def test_windows_line_ends_a_byte_order_mark_and_empty_lines_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "windows.tsv"
    path.write_bytes(b"\xef\xbb\xbfGo.\tVai.\tme\r\n\r\nRun.\tCorri.\r\n\n")
    assert read_bilingual(path) == [BilingualLine("Go.", "Vai.", "me"), BilingualLine("Run.", "Corri.")]


def test_a_wrong_encoding_is_named_with_its_line_and_remedy(tmp_path: Path) -> None:
    said = refusal(tmp_path, "Go.\tVai.\nCity.\tCittà.\n".encode("latin-1"))
    assert "line 2: the byte 0xe0 is not UTF-8. Save the file as UTF-8" in said


def test_a_line_without_a_tab_is_named(tmp_path: Path) -> None:
    said = refusal(tmp_path, b"Go.\tVai.\n\nRun.  Corri.\n")
    assert "line 3: there is no tab in 'Run.  Corri.'. Separate the two sentences by one tab" in said


def test_a_line_with_too_many_tabs_is_named(tmp_path: Path) -> None:
    assert "line 1: there are 3 tabs in 'a\\tb\\tc\\td', where at most two may stand" in refusal(
        tmp_path, b"a\tb\tc\td"
    )


@pytest.mark.parametrize(
    ("line", "side"), [("\tVai.\tme", "source"), ("Go.\t \tme", "target"), ("Go.\t", "target"), (" \tVai.", "source")]
)
def test_an_empty_side_is_named(tmp_path: Path, line: str, side: str) -> None:
    said = refusal(tmp_path, f"Run.\tCorri.\n{line}\n".encode())
    assert f"line 2: the {side} sentence is empty. Write it, or delete the line." in said


def test_a_line_of_tabs_is_named(tmp_path: Path) -> None:
    assert "line 2: it holds only tabs" in refusal(tmp_path, b"Go.\tVai.\n\t\t\n")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_a_pair_says_what_to_write(tmp_path: Path, content: bytes) -> None:
    assert "holds no pair. Write one pair a line: source TAB target TAB attribution." in refusal(tmp_path, content)


def test_a_missing_file_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_bilingual(tmp_path / "nowhere.tsv")


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("L'amico dorme.", "l' amico dorme ."),
        ("Perché? C’è un'isola!", "perché ? c' è un' isola !"),
        ("  two   spaces ", "two spaces"),
    ],
)
def test_sentences_are_cut_into_words_and_signs(sentence: str, words: str) -> None:
    assert split_words(sentence) == tuple(words.split())
