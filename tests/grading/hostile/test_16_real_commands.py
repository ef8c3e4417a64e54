"""16. The attacks of this suite through `course grade` and `nbgrader autograde`, all in one class with two others."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from course_lib.grading.classroom import Classroom
from course_lib.grading.ingest import released
from course_lib.grading.release import register
from course_lib.grading.results import ResultStore
from course_lib.grading.solution import ROOT, answers, wrong_source
from course_lib.grading.spec import assignment
from course_lib.grading.standing import standings
from tests.grading.hostile import test_01_metadata as metadata
from tests.grading.hostile import test_02_forged_memory as memory
from tests.grading.hostile import test_02_forged_success as forged
from tests.grading.hostile import test_03_patched_comparison as patched
from tests.grading.hostile import test_04_hunting_for_answers as hunting
from tests.grading.hostile import test_08_hangs as hangs
from tests.grading.hostile import test_09_bombs as bombs
from tests.grading.hostile import test_10_sudden_ends as ends
from tests.grading.hostile import test_12_contamination as contamination
from tests.grading.hostile.conftest import PLACES, TRACE, WRONG

pytestmark = pytest.mark.slow

SLUG, ATTACKED = "04-attention-layer", "contextual_embedding"

SOURCES = {
    **{f"forged success: {name}": attack + WRONG for name, attack in forged.ATTACKS.items()},
    **{f"patched: {name}": patched.PATCHES[name] + WRONG for name in ("torch", "safetensors")},
    **{f"object: {name}": patched.OBJECTS[name] for name in ("equal to everything", "a tensor subclass")},
    **{f"hunting: {n}": hunting.TENSORS[n] + hunting.USE_CANDIDATES for n in ("garbage collector", "frames")},
    "hang: a lock": hangs.HANGS["a lock"],
    **{f"staying: {name}": hangs.STAYING[name] + WRONG for name in ("an exit hook", "an orphan")},
    **{f"bomb: {name}": bombs.BOMBS[name] for name in ("descriptors", "a large file")},
    **{f"end: {n}": f"def double(x):\n    {ends.ENDS[n]}\n" for n in ("segfault", "kill everybody", "replace itself")},
    **{f"change: {name}": contamination.CHANGES[name] + WRONG for name in ("functions", "default dtype")},
}
EDITS = (
    metadata._skip_execution,
    metadata._hundred_points,
    metadata._graded_by_hand,
    metadata._finished_outputs,
    metadata._checksums,
)

DENSE = """
def tiled_attention(query, key, value, *, tile_size):
    return (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1) @ value
"""

Scores = dict[str, dict[str, float | None]]


def renamed(source: str) -> str:
    """An attack on ``double``, turned on an exercise of the real assignment."""
    return re.sub(r"(?<![.\w])double(?!\w)", ATTACKED, source)


def write_class(room: Classroom) -> None:
    """A submission for each attack, and two neighbours."""
    spec = assignment(SLUG)
    blank = json.dumps(released(SLUG, spec.notebook))

    def hand_in(student: str, sources: dict[str, str], edit: Callable[[dict[str, Any]], None] | None = None) -> Path:
        value = json.loads(blank)
        for cell in value["cells"]:
            name = cell["metadata"].get("nbgrader", {}).get("grade_id")
            if name in sources:
                cell["source"] = sources[name]
        if edit is not None:
            edit(value)
        path = room.submitted(student, SLUG) / f"{spec.notebook}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(value))
        return path

    mistake = spec.exercise(ATTACKED).misconceptions[0]
    hand_in("right", dict(answers(SLUG)))
    hand_in("mistaken", {**answers(SLUG), ATTACKED: wrong_source(SLUG, ATTACKED, mistake)})
    for number, source in enumerate(SOURCES.values()):
        hand_in(f"attack{number:02}", {ATTACKED: renamed(source)})
    for number, edit in enumerate(EDITS):
        hand_in(f"edit{number:02}", {ATTACKED: renamed(WRONG)}, edit)
    hand_in("memory", {memory.NAME: memory.DENSE + memory.ATTACKS["a patched watcher"] + DENSE})
    cut = hand_in("cut", dict(answers(SLUG)))
    cut.write_bytes(cut.read_bytes()[:-2000])


def run(room: Classroom, *command: str) -> Scores:
    """Run a command on a class; the automatic scores of each student, by grade cell."""
    environment = os.environ | {"COURSE_CLASS": str(room.folder), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *command, SLUG], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-20_000:]
    known = standings(room, SLUG)
    return {student: {name: cell.auto for name, cell in s.cells.items()} for student, s in known.items()}


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Classroom]:
    """The same class twice, with the same secret."""
    folder = tmp_path_factory.mktemp("commands")
    first = Classroom(folder / "course")
    write_class(first)
    register(first, SLUG)
    first.secret()
    shutil.copytree(first.folder, folder / "nbgrader")
    return {"course": first, "nbgrader": Classroom(folder / "nbgrader")}


@pytest.fixture(scope="module")
def scores(classes: dict[str, Classroom]) -> dict[str, Scores]:
    """What each command gave."""
    commands = {
        "course": ("-c", "from course_lib.cli import main; main()", "grade"),
        "nbgrader": ("-m", "nbgrader", "autograde"),
    }
    with ThreadPoolExecutor() as both:  # each waits for what hangs
        futures = {name: both.submit(run, classes[name], *words) for name, words in commands.items()}
        return {name: future.result() for name, future in futures.items()}


@pytest.fixture(scope="module")
def most() -> dict[str, float]:
    """What each automatically graded cell is worth."""
    return {f"check-{exercise.name}": exercise.points for exercise in assignment(SLUG).exercises}


def earned(scores: dict[str, float | None], most: dict[str, float]) -> dict[str, float | None]:
    return {name: scores[name] for name in most}


COMMANDS = pytest.mark.parametrize("command", ["course", "nbgrader"])


@COMMANDS
def test_no_attack_and_no_edit_earns_anything(scores: dict[str, Scores], most: dict[str, float], command: str) -> None:
    found = {name: earned(scores[command][f"attack{i:02}"], most) for i, name in enumerate(SOURCES)}
    found |= {edit.__name__: earned(scores[command][f"edit{i:02}"], most) for i, edit in enumerate(EDITS)}
    assert {name: points for name, points in found.items() if points != dict.fromkeys(most, 0.0)} == {}


@COMMANDS
def test_a_hidden_table_loses_the_line_about_memory(scores: dict[str, Scores], command: str) -> None:
    assert scores[command]["memory"][f"check-{memory.NAME}"] == 3.0


@COMMANDS
def test_the_neighbours_keep_what_they_deserve(scores: dict[str, Scores], most: dict[str, float], command: str) -> None:
    assert earned(scores[command]["right"], most) == most
    assert earned(scores[command]["mistaken"], most) | {f"check-{ATTACKED}": 0.0} == most | {f"check-{ATTACKED}": 0.0}
    assert earned(scores[command]["cut"], most) == dict.fromkeys(most, 0.0)


def test_both_commands_agree_on_everybody(scores: dict[str, Scores]) -> None:
    assert scores["course"] == scores["nbgrader"]
    assert len(scores["course"]) == len(SOURCES) + len(EDITS) + 4


@COMMANDS
def test_nothing_is_left_on_the_host(scores: dict[str, Scores], classes: dict[str, Classroom], command: str) -> None:
    assert ResultStore(classes[command].results).audit() == []
    assert [str(path) for place in PLACES for path in place.glob(f"{TRACE}*")] == []
