"""14. Noise and honest accidents: a right answer keeps its points, with a note of what was repaired."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from course_lib.grading.launcher import Launcher
from course_lib.grading.spec import Assignment
from tests.grading.hostile.conftest import grade_in_sandbox
from tests.grading.tiny import RIGHT, code, notebook

DOUBLE = "def double(x):\n    {}\n    return x + x\n"

ANSWERS = {
    "warnings": DOUBLE.format("import warnings; warnings.warn('slow'); import sys; print('careful', file=sys.stderr)"),
    "a warning from torch": DOUBLE.format("torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])"),
    "prints": DOUBLE.format("print(x, 'x' * 100_000)"),
    "plots": DOUBLE.format(
        "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show(); plt.figure(); plt.close('all')"
    ),
    "a progress bar": DOUBLE.format("from tqdm.auto import tqdm; list(tqdm(range(100)))"),
    "a notebook's progress bar": DOUBLE.format("from tqdm.notebook import tqdm"),
    "slow": DOUBLE.format("import time; time.sleep(1)"),
    "threads": DOUBLE.format("torch.set_num_threads(4); torch.ones(300, 300) @ torch.ones(300, 300)"),
    "float32": "def double(x):\n    return (x.float() * 2).requires_grad_(x.requires_grad)\n",
    "numpy in between": "import numpy as np\ndef double(x):\n    return x * torch.from_numpy(np.array(2.0))\n",
    "a default argument": "def double(x, factor=2):\n    return factor * x\n",
    "a method": "class Doubler:\n    def double(self, x):\n        return x + x\ndouble = Doubler().double\n",
    "a lambda": "double = lambda x: x + x\n",
    "a decorator": "import functools\n@functools.lru_cache(maxsize=None)\ndef two():\n    return 2\ndef double(x):\n    return two() * x\n",
    "magics": "%matplotlib inline\n%load_ext autoreload\n!ls\ndef double(x):\n    return x + x\ndouble?\n",
    "timed": "%%time\ndef double(x):\n    return x + x\n",
    "tests of its own": "def double(x):\n    return x + x\nassert double(1) == 2\ncheck('00-tiny.double', double)\ndouble(torch.ones(2))\n",
    "an error after it": "def double(x):\n    return x + x\nundefined_name\n",
    "windows": "def double(x):\r\n    return x + x\r\n",
    "a file of its own": "open('notes.txt', 'w').write('x')\ndef double(x):\n    return x + x + len(open('notes.txt').read()) - 1\n",
    "inference mode tried": "def double(x):\n    with torch.no_grad():\n        x.sum()\n    return x + x\n",
    "a generator of its own": "def double(x):\n    torch.manual_seed(0)\n    torch.rand(3)\n    return x + x\n",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_right_answer_keeps_its_points(
    submit: Callable[..., Path], tiny_spec: Assignment, sandboxed: Launcher, name: str
) -> None:
    result = grade_in_sandbox(submit(RIGHT | {"double": ANSWERS[name]}), tiny_spec, sandboxed)
    assert result.earned == 6, [(line.name, line.message) for e in result.exercises for line in e.lines if line.message]


def _names(value: dict[str, Any]) -> list[str]:
    return [cell["metadata"].get("nbgrader", {}).get("grade_id", "") for cell in value["cells"]]


def _duplicate(value: dict[str, Any]) -> None:
    value["cells"].append(copy.deepcopy(value["cells"][_names(value).index("double")]))


def _split(value: dict[str, Any]) -> None:
    place = _names(value).index("double")
    value["cells"][place]["source"] = "def helper(x):\n    return 2 * x"
    value["cells"].insert(place + 1, code("def double(x):\n    return helper(x)", name="double"))


def _split_without_id(value: dict[str, Any]) -> None:
    place = _names(value).index("double")
    value["cells"][place]["source"] = "def double(x):\n    return helper(x)"
    value["cells"].insert(place + 1, code("def helper(x):\n    return 2 * x"))


def _no_set_up(value: dict[str, Any]) -> None:
    del value["cells"][_names(value).index("set-up")]


def _set_up_last(value: dict[str, Any]) -> None:
    value["cells"].append(value["cells"].pop(_names(value).index("set-up")))


def _import_in_set_up(value: dict[str, Any]) -> None:
    names = _names(value)
    value["cells"][names.index("set-up")]["source"] = "import torch, operator\nfrom torch import nn"
    value["cells"][names.index("double")]["source"] = "def double(x):\n    return operator.add(x, x)"


def _reversed(value: dict[str, Any]) -> None:
    value["cells"].reverse()


def _without_ids(value: dict[str, Any]) -> None:
    for cell in value["cells"]:
        cell["metadata"] = {}


def _nul(value: dict[str, Any]) -> None:
    value["cells"][_names(value).index("double")]["source"] = "def double(x):\0\n    return x + x"


def _check_cell_broken(value: dict[str, Any]) -> None:
    value["cells"][_names(value).index("check-double")]["source"] = "check('00-tiny.double', dubble"


@pytest.mark.parametrize(
    "edit",
    [
        _duplicate,
        _split,
        _split_without_id,
        _no_set_up,
        _set_up_last,
        _import_in_set_up,
        _reversed,
        _without_ids,
        _nul,
        _check_cell_broken,
    ],
)
def test_an_accident_costs_nothing(
    root: Path, tiny_spec: Assignment, sandboxed: Launcher, tmp_path: Path, edit: Callable[[dict[str, Any]], None]
) -> None:
    value = notebook(root, RIGHT)
    edit(value)
    path = tmp_path / "sub folder" / "accident (1).ipynb"
    path.parent.mkdir()
    path.write_text(json.dumps(value))
    result = grade_in_sandbox(path, tiny_spec, sandboxed)
    assert result.earned == 6
    assert result.notes or edit not in (_duplicate, _split, _without_ids, _nul)
