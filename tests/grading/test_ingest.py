"""A submitted notebook is read whatever it is: its answers, or a sentence that says why not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from course_lib.grading import ingest
from course_lib.grading.ingest import Added, Submission, read_submission, rebuild
from course_lib.grading.spec import Assignment
from tests.grading.tiny import RIGHT, code, notebook

Submit = Callable[..., Path]


def read(path: Path, spec: Assignment) -> Submission:
    return read_submission(path, spec=spec)


def write(tmp_path: Path, value: Any) -> Path:
    path = tmp_path / "edited.ipynb"
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    return path


def names(value: dict[str, Any]) -> list[str | None]:
    return [cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in value["cells"]]


def test_answers_are_found_by_their_ids(submit: Submit, tiny_spec: Assignment) -> None:
    found = read(submit(RIGHT | {"why": "Because."}), tiny_spec)
    assert (found.verdict, found.cells, found.written) == ("ok", RIGHT, {"why": "Because."})
    assert not found.added and not found.notes


def test_metadata_outputs_and_order_do_not_change_the_hash(root: Path, tiny_spec: Assignment, tmp_path: Path) -> None:
    plain = read(write(tmp_path, notebook(root, RIGHT)), tiny_spec)
    value = notebook(root, RIGHT)
    value["metadata"] = {"anything": [1, 2]}
    value["cells"].reverse()
    for cell in value["cells"]:
        cell["metadata"]["tags"] = ["skip-execution"]
        cell["outputs"] = [{"output_type": "stream", "text": "5/5"}]
    assert read(write(tmp_path, value), tiny_spec).sha256 == plain.sha256


def test_line_endings_do_not_change_the_hash(submit: Submit, tiny_spec: Assignment) -> None:
    windows = {name: source.replace("\n", "\r\n") for name, source in RIGHT.items()}
    assert read(submit(windows), tiny_spec).sha256 == read(submit(RIGHT), tiny_spec).sha256


@pytest.mark.parametrize("name", ["points", "grade", "solution", "locked", "cell_type"])
def test_edited_nbgrader_metadata_is_ignored(name: str, root: Path, tiny_spec: Assignment, tmp_path: Path) -> None:
    value = notebook(root, RIGHT)
    for cell in value["cells"]:
        if "nbgrader" in cell["metadata"]:
            cell["metadata"]["nbgrader"][name] = 99
    assert read(write(tmp_path, value), tiny_spec).cells == RIGHT


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (b"", "the file is empty."),
        (b" \n\0", "the file is empty."),
        (b"print('hello')\n", "the file is not a notebook: Expecting value in line 1."),
        (b"[1, 2]", "the file is JSON, but not a notebook."),
        (b"null", "the file is JSON, but not a notebook."),
        (b"{}", "the file is JSON, but not a notebook: it has no cells."),
        (b'{"cells": 3}', "the file is JSON, but not a notebook: it has no cells."),
        (b'{"worksheets": 3}', "the file is JSON, but not a notebook: it has no cells."),
        (b'{"cells": []}', "the notebook holds no answer cell of 00-tiny; is it the notebook of another assignment?"),
        (b'{"cells": ' + b"9" * 5000 + b"}", "the file is not a notebook: it holds a number that is too long."),
        (b"[" * 200_000, "the file cannot be read: it is nested too deeply or too large (RecursionError)."),
        (b"[" * 1_100_000, "the file has more parts than a notebook can have; clear its outputs."),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "the file is not a notebook: Expecting value in line 1."),
    ],
)
def test_what_is_no_notebook_gets_a_verdict(
    content: bytes, verdict: str, tiny_spec: Assignment, tmp_path: Path
) -> None:
    found = read(write(tmp_path, content), tiny_spec)
    assert found.verdict == verdict
    assert not found.cells and found.sha256


def test_a_notebook_cut_anywhere_gets_a_verdict_or_all_its_answers(
    root: Path, tiny_spec: Assignment, tmp_path: Path
) -> None:
    whole = json.dumps(notebook(root, RIGHT)).encode()
    for length in range(1, len(whole), 97):
        found = read(write(tmp_path, whole[:length]), tiny_spec)
        assert found.verdict != "ok" and not found.cells
    assert read(write(tmp_path, whole[: len(whole) // 2]), tiny_spec).verdict.startswith("the file is cut off")


def test_a_folder_a_link_a_pipe_and_nothing_get_verdicts(submit: Submit, tiny_spec: Assignment, tmp_path: Path) -> None:
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / "link.ipynb").symlink_to(submit(RIGHT))
    os.mkfifo(tmp_path / "pipe.ipynb")
    assert read(tmp_path / "folder.ipynb", tiny_spec).verdict == "this is a folder, not a notebook."
    assert "symbolic link" in read(tmp_path / "link.ipynb", tiny_spec).verdict
    assert read(tmp_path / "pipe.ipynb", tiny_spec).verdict == "this is not an ordinary file."
    assert "No such file" in read(tmp_path / "absent.ipynb", tiny_spec).verdict


def test_a_file_above_the_limit_is_not_read(
    submit: Submit, tiny_spec: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "MAX_FILE", 1000)
    assert "clear its outputs" in read(submit(RIGHT), tiny_spec).verdict


@pytest.mark.slow
def test_sixty_megabytes_of_outputs_are_read(root: Path, tiny_spec: Assignment, tmp_path: Path) -> None:
    value = notebook(root, RIGHT)
    value["cells"][2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["x" * 1000] * 60_000}]
    assert read(write(tmp_path, value), tiny_spec).cells == RIGHT


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda data: b"\xef\xbb\xbf" + data, "byte order mark"),
        (lambda data: data.decode().encode("utf-16"), "UTF-16"),
        (lambda data: data.replace(b"Text that", b"\xff\xfe"), "bytes that are no text"),
        (lambda data: data + b"\0\0", "NUL characters"),
        (lambda data: data.replace(b"return x + x", b"return x +\\u0000 x"), "NUL characters in 1 cell"),
    ],
)
def test_damaged_text_is_repaired_with_a_note(
    change: Callable[[bytes], bytes], note: str, root: Path, tiny_spec: Assignment, tmp_path: Path
) -> None:
    found = read(write(tmp_path, change(json.dumps(notebook(root, RIGHT)).encode())), tiny_spec)
    assert found.cells == RIGHT
    assert note in " ".join(found.notes)


def test_format_3_is_read(root: Path, tiny_spec: Assignment, tmp_path: Path) -> None:
    value = notebook(root, RIGHT)
    for cell in value["cells"]:
        if cell["cell_type"] == "code":
            cell["input"] = cell.pop("source")
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": value["cells"]}, 7]}
    found = read(write(tmp_path, old), tiny_spec)
    assert found.cells == RIGHT and "format 3" in " ".join(found.notes)


@pytest.mark.parametrize("wrong", [None, 5, "text", [], {}, [1, 2], {"source": 5}, {"cell_type": 1, "metadata": []}])
def test_cells_of_wrong_types_are_left_out(wrong: Any, root: Path, tiny_spec: Assignment, tmp_path: Path) -> None:
    value = notebook(root, RIGHT)
    value["cells"].insert(1, wrong)
    found = read(write(tmp_path, value), tiny_spec)
    assert found.verdict == "ok" and found.cells == RIGHT and not found.added


@pytest.mark.parametrize("field", ["metadata", "nbformat", "source", "outputs", "cell_type", "id"])
@pytest.mark.parametrize("wrong", [None, 5, "text", [[]], {"nbgrader": []}, True])
def test_no_field_of_a_wrong_type_raises(
    field: str, wrong: Any, root: Path, tiny_spec: Assignment, tmp_path: Path
) -> None:
    value = notebook(root, RIGHT)
    value[field] = wrong
    for cell in value["cells"]:
        cell[field] = wrong
    assert isinstance(read(write(tmp_path, value), tiny_spec), Submission)


def test_another_kernel_is_noted(root: Path, tiny_spec: Assignment, tmp_path: Path) -> None:
    value = notebook(root, RIGHT)
    value["metadata"] = {"kernelspec": {"name": "ir", "language": "R"}}
    found = read(write(tmp_path, value), tiny_spec)
    assert found.cells == RIGHT and "kernel for R" in " ".join(found.notes)


def test_a_split_cell_is_joined_in_order(submit: Submit, tiny_spec: Assignment) -> None:
    first, second = "def helper(x):\n    return x", "def double(x):\n    return 2 * helper(x)"
    found = read(submit(RIGHT | {"double": first}, cells=[code(second, name="double")]), tiny_spec)
    assert found.cells["double"] == f"{first}\n\n{second}"
    assert "2 cells have the id double; they were joined in their order." in found.notes


def test_copies_and_untouched_stubs_count_once(submit: Submit, root: Path, tiny_spec: Assignment) -> None:
    stub = next(c for c in notebook(root)["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == "double")
    copies = [code(RIGHT["double"], name="double"), code("".join(stub["source"]), name="double")]
    found = read(submit(RIGHT, cells=copies), tiny_spec)
    assert found.cells == RIGHT
    assert "3 cells have the id double; one was used." in found.notes


def test_a_deleted_answer_is_noted(root: Path, tiny_spec: Assignment, tmp_path: Path) -> None:
    value = notebook(root, RIGHT)
    del value["cells"][names(value).index("total")]
    found = read(write(tmp_path, value), tiny_spec)
    assert "total" not in found.cells and "lacks the cell(s) total" in " ".join(found.notes)


def test_an_answer_that_lost_its_id_is_found_by_what_it_defines(
    root: Path, tiny_spec: Assignment, tmp_path: Path
) -> None:
    value = notebook(root, RIGHT)
    value["cells"][names(value).index("total")]["metadata"] = {}
    found = read(write(tmp_path, value), tiny_spec)
    assert found.cells == RIGHT and "total had lost its id" in " ".join(found.notes)


def test_an_answer_turned_to_markdown_keeps_its_text(root: Path, tiny_spec: Assignment, tmp_path: Path) -> None:
    value = notebook(root, RIGHT)
    value["cells"][names(value).index("total")]["cell_type"] = "markdown"
    assert read(write(tmp_path, value), tiny_spec).cells == RIGHT


def test_added_and_changed_cells_are_kept_with_their_place(root: Path, tiny_spec: Assignment, tmp_path: Path) -> None:
    value = notebook(root, RIGHT)
    value["cells"][names(value).index("set-up")]["source"] = "import math"
    value["cells"].insert(names(value).index("total"), code("helper = 1"))
    found = read(write(tmp_path, value), tiny_spec)
    assert list(found.added) == [Added(None, "import math"), Added("Scale", "helper = 1")]


def test_a_changed_check_cell_is_no_added_cell(root: Path, tiny_spec: Assignment, tmp_path: Path) -> None:
    value = notebook(root, RIGHT)
    value["cells"][names(value).index("check-total")]["source"] = "import os; os._exit(0)"
    assert not read(write(tmp_path, value), tiny_spec).added


def test_an_overlong_source_is_left_out(submit: Submit, tiny_spec: Assignment) -> None:
    found = read(submit(RIGHT | {"total": "#" * (ingest.MAX_SOURCE + 1)}), tiny_spec)
    assert "total" not in found.cells and "left out" in " ".join(found.notes)


def test_the_rebuilt_notebook_is_the_released_one_with_the_answers(
    root: Path, tiny_spec: Assignment, tmp_path: Path
) -> None:
    value = notebook(root, RIGHT | {"why": "Because."}, cells=[code("print('added')")])
    for cell in value["cells"]:
        cell["metadata"]["tags"] = ["skip-execution"]
        cell["metadata"].get("nbgrader", {})["points"] = 99
    rebuilt = rebuild(read(write(tmp_path, value), tiny_spec), tiny_spec)
    expected = notebook(root, RIGHT | {"why": "Because."})
    assert [c["source"] for c in rebuilt.cells] == ["".join(c["source"]) for c in expected["cells"]]
    assert [c["metadata"] for c in rebuilt.cells] == [c["metadata"] for c in expected["cells"]]


def test_an_unreadable_notebook_is_rebuilt_as_released(root: Path, tiny_spec: Assignment, tmp_path: Path) -> None:
    rebuilt = rebuild(read(write(tmp_path, b"nothing"), tiny_spec), tiny_spec)
    assert [c["source"] for c in rebuilt.cells] == ["".join(c["source"]) for c in notebook(root)["cells"]]
