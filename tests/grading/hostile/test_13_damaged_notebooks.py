"""13. Damaged notebooks: one clear verdict each, and the rest of the class is graded. (Reading them: test_ingest.py.)"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from course_lib.grading.launcher import Launcher
from course_lib.grading.parallel import grade_many
from course_lib.grading.results import ResultStore
from course_lib.grading.spec import Assignment
from tests.grading.hostile.conftest import LIMITS, SECRET
from tests.grading.tiny import RIGHT, code, notebook


def test_a_class_of_damaged_notebooks_is_graded_to_its_end(
    submit: Callable[..., Path], root: Path, tiny_spec: Assignment, sandboxed: Launcher, tmp_path: Path
) -> None:
    whole = json.dumps(notebook(root, RIGHT)).encode()
    old = json.loads(whole)
    for cell in old["cells"]:
        cell["input"] = cell["source"]
    contents = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"I could not do it, sorry.",
        "another": json.dumps({"cells": [code("print(1)")]}).encode(),
        "deep": b"[" * 100_000,
        "mark": b"\xef\xbb\xbf" + whole,
        "sixteen": whole.decode().encode("utf-16"),
        "three": json.dumps({"nbformat": 3, "worksheets": [{"cells": old["cells"]}]}).encode(),
        "twice": json.dumps(notebook(root, RIGHT, cells=notebook(root, RIGHT)["cells"])).encode(),
        "kernel": json.dumps(
            json.loads(whole) | {"metadata": {"kernelspec": {"name": "julia", "language": "julia"}}}
        ).encode(),
    }
    paths = {"right": submit(RIGHT)}
    for name, content in contents.items():
        paths[name] = tmp_path / f"{name}.ipynb"
        paths[name].write_bytes(content)
    paths["link"], paths["folder"] = tmp_path / "link.ipynb", tmp_path / "folder.ipynb"
    paths["link"].symlink_to(paths["right"])
    paths["folder"].mkdir()

    store = ResultStore(tmp_path / "results")
    outcomes = grade_many(paths, tiny_spec, secret=SECRET, launcher=sandboxed, store=store, limits=LIMITS, jobs=2)
    results = {o.name: o.result for o in outcomes if o.result is not None}
    assert set(results) == set(paths)
    earned = {name: result.earned for name, result in results.items()}
    readable = {"right", "mark", "sixteen", "three", "twice", "kernel"}
    assert earned == {name: 6.0 if name in readable else 0.0 for name in paths}
    for name, result in results.items():
        assert (result.verdict == "graded") == (name in readable)
        assert bool(result.needs_person) == (name not in readable)
        assert name == "right" or result.notes or result.verdict != "graded"
    verdicts = [result.verdict for name, result in results.items() if name not in readable]
    assert len(set(verdicts)) == len(verdicts) and all(verdict.endswith((".", "?")) for verdict in verdicts)
