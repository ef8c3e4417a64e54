"""Attacks that fool stock nbgrader, each tried there in a real kernel, earn nothing here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbgrader.api import Gradebook

from course_lib.grading.grade import grade_submission
from course_lib.grading.launcher import Launcher
from course_lib.grading.spec import Assignment
from tests.grading import tiny

pytestmark = pytest.mark.slow

SLUG = "stock"
SECRET = b"s" * 32
POINTS = {"double": 2.0, "total": 1.0}

CELLS = {
    "set-up": "import numpy as np",
    "double": "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION",
    "test-double": (
        "assert double(4) == 8\n### BEGIN HIDDEN TESTS\nassert double(3.5) == 7.0\nassert double(0) == 0\n"
        "### END HIDDEN TESTS"
    ),
    "total": "def total(x):\n    ### BEGIN SOLUTION\n    return x.sum(axis=-1)\n    ### END SOLUTION",
    "test-total": (
        "np.testing.assert_allclose(total(np.ones(3)), 3)\n### BEGIN HIDDEN TESTS\n"
        "np.testing.assert_allclose(total(np.array([1.0, 2.5])), 3.5)\n### END HIDDEN TESTS"
    ),
}


@dataclass(frozen=True)
class Attack:
    """A submission with a wrong answer, and what it does besides.

    Attributes:
        exercise: the one whose points it is after.
        answer: source of its cell.
        tags: of each grade cell.
        files: what is handed in beside the notebook.
    """

    exercise: str
    answer: str
    tags: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


WRONG = {"double": "def double(x):\n    return x - 1000", "total": "def total(x):\n    return x[0] - 1000"}
HONEST = {"double": "def double(x):\n    return x + x", "total": "def total(x):\n    return x.sum(-1)"}

SHADOW = """
class testing:
    assert_allclose = staticmethod(lambda *_, **__: None)
ones = array = lambda *_: [0]
"""

ATTACKS = {
    "skipped_tests": Attack("double", WRONG["double"], tags=("skip-execution",)),
    "early_result": Attack(
        "double", "import sys\ndef double(x):\n    sys.displayhook(2)\n    raise ValueError('too late')"
    ),
    "shell_that_never_fails": Attack(
        "double",
        f"""{WRONG["double"]}
shell = get_ipython()
async def run_code(code, result=None, **_):
    try:
        exec(code, shell.user_ns)
    except BaseException:
        pass
    return False
shell.run_code = run_code""",
    ),
    "tests_rewritten_before_they_run": Attack(
        "double", f"{WRONG['double']}\nget_ipython().input_transformers_post.append(lambda lines: [])"
    ),
    "patched_comparison": Attack(
        "total",
        f"""{WRONG["total"]}
import sys, numpy.testing
for module in (sys.modules.get("numpy.testing"), sys.modules.get("torch"), sys.modules.get("torch.testing")):
    for comparison in {{"allclose", "equal", "assert_allclose", "assert_close"}} & set(dir(module)):
        setattr(module, comparison, lambda *_, **__: True)""",
    ),
    "equal_to_everything": Attack(
        "double",
        """
class Equal:
    __eq__ = __ge__ = __le__ = lambda self, other: True
    __hash__ = None
    __array__ = lambda self, *_, **__: None
def double(x):
    return Equal()""".strip(),
    ),
    "hidden_tests_read": Attack(
        "double",
        """
import re
def double(x):
    tests = get_ipython().user_ns["In"][-1]
    return dict((float(a), float(b)) for a, b in re.findall(r"double\\((.*?)\\) == (.*)", tests))[float(x)]""".strip(),
    ),
    "shadow_module": Attack("total", WRONG["total"], files={"numpy.py": SHADOW, "torch.py": SHADOW}),
}

WARNS = "import warnings\ndef double(x):\n    warnings.warn('this is slow')\n    return 2 * x"


def submission(blank: dict[str, Any], answers: Mapping[str, str], tags: tuple[str, ...] = ()) -> str:
    """A notebook with these answers, its grade cells tagged."""
    notebook = json.loads(json.dumps(blank))
    for cell in notebook["cells"]:
        settings = cell["metadata"].get("nbgrader", {})
        if settings.get("grade_id") in answers:
            cell["source"] = answers[settings["grade_id"]]
        elif settings.get("grade") and tags:
            cell["metadata"]["tags"] = list(tags)
    return json.dumps(notebook)


def run_nbgrader(folder: Path, *arguments: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", "nbgrader", *arguments, SLUG, f"--course-dir={folder}"]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """What stock nbgrader gives each submission, by exercise: its own settings, a kernel for each."""
    folder = tmp_path_factory.mktemp("stock")
    (folder / "nbgrader_config.py").write_text("c = get_config()\n")
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    for name, source in CELLS.items():
        test = name.startswith("test-")
        settings = {
            "grade": test,
            "solution": name in POINTS,
            "locked": name not in POINTS,
            "task": False,
            "grade_id": name,
            "schema_version": 3,
            **({"points": POINTS[name.removeprefix("test-")]} if test else {}),
        }
        notebook.cells.append(nbformat.v4.new_code_cell(source, metadata={"nbgrader": settings}))
    (folder / "source" / SLUG).mkdir(parents=True)
    nbformat.write(notebook, folder / "source" / SLUG / "task.ipynb")
    run_nbgrader(folder, "generate_assignment")
    blank = json.loads((folder / "release" / SLUG / "task.ipynb").read_text())
    handed_in = {name: (WRONG | {a.exercise: a.answer}, a.tags, a.files) for name, a in ATTACKS.items()}
    handed_in |= {"honest": (HONEST, (), {}), "wrong": (WRONG, (), {}), "warns": (HONEST | {"double": WARNS}, (), {})}
    for student, (answers, tags, files) in handed_in.items():
        own = folder / "submitted" / student / SLUG
        own.mkdir(parents=True)
        (own / "task.ipynb").write_text(submission(blank, answers, tags))
        for name, text in files.items():
            (own / name).write_text(text)
    run_nbgrader(folder, "autograde")
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        return {
            student: {
                name: gradebook.find_grade(f"test-{name}", "task", SLUG, student).auto_score or 0.0 for name in POINTS
            }
            for student in handed_in
        }


Earn = Callable[..., dict[str, float]]


@pytest.fixture
def earn(submit: Callable[..., Path], tiny_spec: Assignment, local: Launcher) -> Earn:
    """What our grader gives the same answers, by exercise."""

    def run(answers: Mapping[str, str], *, tags: tuple[str, ...] = (), files: Mapping[str, str] | None = None) -> Any:
        path = submit({})
        path.write_text(submission(json.loads(path.read_text()), answers, tags))
        for name, text in (files or {}).items():
            (path.parent / name).write_text(text)
        result = grade_submission(path, tiny_spec, secret=SECRET, launcher=local)
        return {exercise.name: exercise.earned for exercise in result.exercises}

    return run


@pytest.mark.parametrize("name", ATTACKS)
def test_stock_nbgrader_gives_an_attack_full_points_and_this_course_gives_it_none(
    name: str, stock: dict[str, dict[str, float]], earn: Earn
) -> None:
    attack = ATTACKS[name]
    assert stock[name][attack.exercise] == POINTS[attack.exercise]
    ours = earn(WRONG | {attack.exercise: attack.answer}, tags=attack.tags, files=attack.files)
    assert ours["double"] == ours["total"] == 0


def test_a_warning_costs_a_right_answer_its_points_in_stock_nbgrader_only(
    stock: dict[str, dict[str, float]], earn: Earn
) -> None:
    assert stock["warns"] == {"double": 0.0, "total": 1.0}
    ours = earn(HONEST | {"double": WARNS})
    assert ours["double"] == sum(line.points for line in tiny.TINY.exercise("double").lines)


def test_without_an_attack_both_tell_right_from_wrong(stock: dict[str, dict[str, float]], earn: Earn) -> None:
    assert stock["honest"] == POINTS
    assert stock["wrong"] == dict.fromkeys(POINTS, 0.0)
    assert earn(HONEST)["double"] == 2.0 and earn(HONEST)["total"] == 1.0
    assert earn(WRONG) == dict.fromkeys(earn(WRONG), 0.0)
