"""A small assignment that exists only in tests: three exercises and a question, with its notebooks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jupytext
import numpy as np
import torch
from torch import nn

from course_lib.check.probe import Probe
from course_lib.grading.spec import Assignment, Exercise, Line, Misconception, Written, random_state, random_tensor

SLUG = "00-tiny"
SECONDS = 2.0  # of each exercise: what hangs waits this long, several times

_SHORT = '''
# %% <set-up locked>
import torch
from torch import nn

from course_lib.check import check

# %% [markdown]
"""Text that explains."""

# %% <double answer>
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION

# %% <check-double check:2>
check("00-tiny.double", double)

# %% <Scale answer>
class Scale(nn.Module):
    def __init__(self, *, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        ### BEGIN SOLUTION
        return double(x) * self.weight
        ### END SOLUTION

# %% <check-Scale check:3>
check("00-tiny.Scale", Scale)

# %% <total answer>
def total(x):
    ### BEGIN SOLUTION
    return x.sum(dim=-1)
    ### END SOLUTION

# %% <check-total check:1>
check("00-tiny.total", total)

# %% tags=["student-only"]
print(total(torch.ones(3)))

# %% <why written:2>
"""Your answer."""
'''.lstrip()


def _header(match: re.Match[str]) -> str:
    """A cell's first line with nbgrader's metadata written out."""
    name, kind, points = match["name"], match["kind"], match["points"]
    settings = {
        "grade": kind in ("check", "written"),
        "solution": kind in ("answer", "written"),
        "locked": kind in ("check", "locked"),
        "task": False,
        "grade_id": name,
        "schema_version": 3,
        "cell_type": "markdown" if kind == "written" else "code",
    }
    if points:
        settings["points"] = int(points)
    return f"# %% {'[markdown] ' if kind == 'written' else ''}nbgrader={json.dumps(settings)}"


SOLUTION = re.sub(r"# %% <(?P<name>\S+) (?P<kind>\w+):?(?P<points>\d*)>", _header, _SHORT)


class Scale(nn.Module):
    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x * self.weight


def _plain(target: str) -> Any:
    def cases(rng: np.random.Generator) -> list[Probe]:
        return [Probe(target=target, args=(random_tensor(rng, 2, 5, 3),), seconds=SECONDS)]

    return cases


def _gradients(rng: np.random.Generator) -> list[Probe]:
    return [Probe(target="double", args=(random_tensor(rng, 4, 3),), gradients=("0",), seconds=SECONDS)]


def _scaled(rng: np.random.Generator) -> list[Probe]:
    state = random_state(Scale(width=3), rng)
    return [Probe(target="Scale", args=(random_tensor(rng, 2, 5, 3),), init={"width": 3}, state=state, seconds=SECONDS)]


TINY = Assignment(
    slug=SLUG,
    notebook="tiny",
    title="Tiny",
    exercises=[
        Exercise(
            name="double",
            reference=lambda x: 2 * x,
            lines=[
                Line(name="output", text="doubles", points=1, cases=_plain("double")),
                Line(name="gradients", text="can be differentiated", points=1, cases=_gradients),
            ],
            misconceptions=[
                Misconception(name="square", says="You squared.", line="output", edits=[("2 * x", "x * x")]),
            ],
        ),
        Exercise(
            name="Scale",
            reference=Scale,
            lines=[Line(name="output", text="scales", points=3, cases=_scaled)],
            misconceptions=[
                Misconception(
                    name="added", says="You added.", line="output", edits=[("* self.weight", "+ self.weight")]
                ),
            ],
            uses=("double",),
        ),
        Exercise(
            name="total",
            reference=lambda x: x.sum(dim=-1),
            lines=[Line(name="output", text="sums", points=1, cases=_plain("total"))],
            misconceptions=[
                Misconception(name="mean", says="You averaged.", line="output", edits=[(".sum(", ".mean(")]),
            ],
        ),
    ],
    written=[Written(name="why", points=2)],
    stand_ins={"double": "def double(x):\n    return x + x\n"},
)

RIGHT = {
    "double": "def double(x):\n    return x + x",
    "Scale": (
        "class Scale(nn.Module):\n    def __init__(self, *, width):\n        super().__init__()\n"
        "        self.weight = nn.Parameter(torch.ones(width))\n\n    def forward(self, x):\n"
        "        return double(x) * self.weight"
    ),
    "total": "def total(x):\n    return torch.einsum('...i->...', x)",
}


def write_assignment(root: Path) -> None:
    """Its solution and its released notebook below ``root``."""
    source = root / "solutions" / SLUG / "tiny.py"
    source.parent.mkdir(parents=True)
    source.write_text(SOLUTION)
    notebook = jupytext.reads(SOLUTION, fmt="py:percent")
    answer = re.compile(r"( *)### BEGIN SOLUTION.*?### END SOLUTION\n?", re.DOTALL)
    for cell in notebook.cells:
        cell.source = answer.sub(r"\1# YOUR CODE HERE\n\1raise NotImplementedError()", cell.source)
    released = root / "exercises" / SLUG / "tiny.ipynb"
    released.parent.mkdir(parents=True)
    released.write_text(jupytext.writes(notebook, fmt="ipynb"))


def notebook(
    root: Path, answers: Mapping[str, str] | None = None, *, cells: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """A submission as JSON: the released notebook with answers in it, and further cells at its end."""
    value = json.loads((root / "exercises" / SLUG / "tiny.ipynb").read_text())
    for cell in value["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id")
        if name in (answers or {}):
            cell["source"] = (answers or {})[name].splitlines(keepends=True)
    value["cells"] += list(cells)
    return value


def code(source: str, *, name: str | None = None) -> dict[str, Any]:
    """A code cell, with an nbgrader id where one is given."""
    metadata = {"nbgrader": {"grade_id": name, "solution": True, "grade": False}} if name else {}
    return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": [], "execution_count": None}
