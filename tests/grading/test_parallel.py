"""Many submissions at once: the same scores as one by one, nothing twice, nothing lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from course_lib.grading import launcher as launchers
from course_lib.grading.launcher import Launcher
from course_lib.grading.parallel import Outcome, grade_many
from course_lib.grading.results import ResultStore
from course_lib.grading.spec import Assignment
from tests.grading.tiny import RIGHT

SECRET = b"s" * 32
ANSWERS: dict[str, Mapping[str, str]] = {
    "right": RIGHT,
    "stub": {},
    "mean": RIGHT | {"total": "def total(x):\n    return x.mean(-1)"},
    "square": RIGHT | {"double": "def double(x):\n    return x * x"},
    "dies": RIGHT | {"double": "import os\ndef double(x):\n    os._exit(0)"},
    "random": RIGHT | {"total": "def total(x):\n    return x.sum(-1) + torch.rand(1)"},
    "poison": RIGHT | {"total": "torch.set_default_dtype(torch.float16)\ntorch.sum = None\ndel torch.nn.functional"},
}

Run = Callable[..., dict[str, Outcome]]


@pytest.fixture
def run(submit: Callable[..., Path], tiny_spec: Assignment, tmp_path: Path) -> Run:
    paths = {name: submit(answers) for name, answers in ANSWERS.items()}

    def grade(
        launcher: Launcher, *, jobs: int = 2, folder: str = "results", order: Callable[[list[str]], list[str]] = list
    ) -> dict[str, Outcome]:
        chosen = {name: paths[name] for name in order(list(paths))}
        store = ResultStore(tmp_path / folder)
        found = grade_many(chosen, tiny_spec, secret=SECRET, launcher=launcher, store=store, jobs=jobs)
        return {outcome.name: outcome for outcome in found}

    return grade


def scores(outcomes: dict[str, Outcome]) -> dict[str, object]:
    return {name: o.result.scores() for name, o in sorted(outcomes.items()) if o.result is not None}


def test_scores_do_not_depend_on_order_or_jobs(run: Run, local: Launcher) -> None:
    one = run(local, jobs=1, folder="one")
    many = run(local, jobs=4, folder="many", order=lambda names: names[::-1])
    assert len(one) == len(ANSWERS) and scores(one) == scores(many)


def test_equal_answers_in_a_repaired_file_keep_their_own_notes(
    submit: Callable[..., Path], tiny_spec: Assignment, tmp_path: Path, local: Launcher
) -> None:
    clean, repaired = submit(RIGHT), submit(RIGHT)
    repaired.write_bytes(b"\xef\xbb\xbf" + repaired.read_bytes())
    store = ResultStore(tmp_path / "results")
    pair = {"clean": clean, "repaired": repaired}
    found = grade_many(pair, tiny_spec, secret=SECRET, launcher=local, store=store, jobs=1)
    notes = {o.name: o.result.notes for o in found if o.result is not None}
    assert notes["clean"] == () and "byte order mark" in notes["repaired"][0]


def test_a_second_run_computes_nothing(run: Run, local: Launcher) -> None:
    first = run(local)
    closed = launchers.local()
    closed.close()
    second = run(closed)
    assert not any(o.cached for o in first.values()) and all(o.cached for o in second.values())
    assert scores(first) == scores(second)


def test_a_machine_that_cannot_run_anything_gives_no_score(run: Run, tmp_path: Path) -> None:
    outcomes = run(Launcher(["/bin/false"], environment={}, name="unsafe-local"))
    assert all(o.result is None and "does not start" in o.fault for o in outcomes.values())
    assert ResultStore(tmp_path / "results").log() == []


def test_a_run_that_is_left_keeps_what_it_had_and_can_be_resumed(
    submit: Callable[..., Path], tiny_spec: Assignment, tmp_path: Path, run: Run, local: Launcher
) -> None:
    store = ResultStore(tmp_path / "results")
    paths = {name: submit(answers) for name, answers in ANSWERS.items()}
    with launchers.local() as launcher:
        graded = grade_many(paths, tiny_spec, secret=SECRET, launcher=launcher, store=store, jobs=1)
        first = next(graded)
        graded.close()
    assert first.name in {entry["submission"] for entry in store.log()}
    assert len(store.log()) < len(ANSWERS) and store.audit() == []
    resumed = run(local)
    assert resumed[first.name].cached and scores(resumed) == scores(run(local, folder="undisturbed"))
