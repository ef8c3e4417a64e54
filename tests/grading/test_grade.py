"""A submission gets the points it deserves, with an explanation that gives nothing away."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from course_lib.grading.draw import PUBLIC_SEED, draw
from course_lib.grading.grade import grade_submission
from course_lib.grading.launcher import Launcher
from course_lib.grading.limits import Limits
from course_lib.grading.results import Result, from_json, to_json
from course_lib.grading.spec import Assignment
from tests.grading.tiny import RIGHT, TINY, code

SECRET = b"s" * 32
FULL = {"double": 2.0, "Scale": 3.0, "total": 1.0}

Grade = Callable[..., Result]


@pytest.fixture
def grade(submit: Callable[..., Path], tiny_spec: Assignment, local: Launcher) -> Grade:
    """Grade answers to the tiny assignment."""

    def run(answers: Mapping[str, str], *, secret: bytes = SECRET, limits: Limits | None = None, **more: Any) -> Result:
        path = submit(answers, **more)
        return grade_submission(path, tiny_spec, secret=secret, launcher=local, limits=limits)

    return run


def scores(result: Result) -> dict[str, float]:
    return {exercise.name: exercise.earned for exercise in result.exercises}


def lines(result: Result, exercise: str) -> dict[str, tuple[str, str]]:
    found = result.exercise(exercise)
    assert found is not None
    return {line.name: (line.kind, line.message) for line in found.lines}


def test_right_answers_get_full_marks(grade: Grade) -> None:
    result = grade(RIGHT | {"why": "Because."})
    assert (result.verdict, scores(result), result.earned, result.points) == ("graded", FULL, 6.0, 6.0)
    assert result.written == ("why",)
    assert not result.notes and not result.needs_person and not result.limits_hit


def test_an_untouched_notebook_gets_nothing(grade: Grade) -> None:
    result = grade({})
    assert result.earned == 0
    assert {kind for e in FULL for kind, _ in lines(result, e).values()} == {"not_written"}


def test_a_known_mistake_is_named(grade: Grade) -> None:
    result = grade(RIGHT | {"total": "def total(x):\n    return x.mean(-1)"})
    assert scores(result) == FULL | {"total": 0.0}
    found = result.exercise("total")
    assert found is not None and found.lines[0].mistake == "mean" and "You averaged." in found.html


def test_an_exercise_is_graded_alone(grade: Grade) -> None:
    result = grade(RIGHT | {"double": "def double(x):\n    return x * x"})
    assert scores(result) == FULL | {"double": 0.0}
    found = result.exercise("Scale")
    assert found is not None and found.notes == ("It was graded with a working double in the place of yours.",)


def test_a_stand_in_earns_nothing_for_the_exercise_it_stands_for(grade: Grade) -> None:
    wrong = "import sys\ndef double(x):\n    return sys.modules['__main__'].__dict__.get('double_', lambda x: 0 * x)(x)"
    assert scores(grade(RIGHT | {"double": wrong}))["double"] == 0


@pytest.mark.parametrize("source", ["raise ValueError('x')", "def double(x:\n", "import os; os._exit(1)", "1 / 0"])
def test_a_broken_cell_costs_its_exercise_only(grade: Grade, source: str) -> None:
    result = grade(RIGHT | {"double": source})
    assert scores(result) == FULL | {"double": 0.0}
    found = result.exercise("double")
    assert found is not None and any("did not run to its end" in note for note in found.notes)


@pytest.mark.parametrize(
    "poison",
    [
        "torch.Tensor.sum = torch.einsum = None",
        "import threading, os\nthreading.Timer(0.2, lambda: os._exit(1)).start()\nimport time\ntime.sleep(0.4)",
        "nn.Module.__init__ = None",
        "def total(x): return 0\nimport builtins\nbuiltins.__build_class__ = None",
    ],
)
def test_an_answer_that_disturbs_the_others_costs_its_own_points(grade: Grade, poison: str) -> None:
    assert scores(grade(RIGHT | {"double": f"{poison}\ndef double(x):\n    return 0 * x"})) == FULL | {"double": 0.0}


def test_a_hang_costs_its_exercise_only(grade: Grade) -> None:
    result = grade(RIGHT | {"double": "def double(x):\n    while True:\n        pass"})
    assert scores(result) == FULL | {"double": 0.0}
    assert lines(result, "double")["output"][0] == "timeout"
    assert result.limits_hit == ("timeout",) and result.needs_person


def test_a_deleted_set_up_cell_is_put_back(submit: Callable[..., Path], tiny_spec: Assignment, local: Launcher) -> None:
    path = submit(RIGHT)
    value = json.loads(path.read_text())
    value["cells"] = [c for c in value["cells"] if "set-up" not in json.dumps(c["metadata"])]
    path.write_text(json.dumps(value))
    assert scores(grade_submission(path, tiny_spec, secret=SECRET, launcher=local)) == FULL


def test_a_helper_in_an_added_cell_counts(grade: Grade) -> None:
    helper = code("def helper(x):\n    return x.sum(-1)")
    result = grade(RIGHT | {"total": "def total(x):\n    return helper(x)"}, cells=[helper])
    assert scores(result) == FULL
    found = result.exercise("total")
    assert found is not None and found.notes == ("It was graded with the cells you added or changed.",)


def test_an_added_cell_that_breaks_things_costs_nothing(grade: Grade) -> None:
    assert scores(grade(RIGHT, cells=[code("del double, Scale, total")])) == FULL


def test_an_added_cell_helps_only_where_it_does(grade: Grade) -> None:
    answers = {"double": "def double(x):\n    return helper(x)", "total": RIGHT["total"]}
    result = grade(answers, cells=[code("def helper(x):\n    return 2 * x"), code("del total")])
    assert scores(result) == {"double": 2.0, "Scale": 0.0, "total": 1.0}


def test_an_unreadable_file_has_a_verdict_and_no_points(tmp_path: Path, tiny_spec: Assignment, local: Launcher) -> None:
    (tmp_path / "broken.ipynb").write_text("nothing")
    result = grade_submission(tmp_path / "broken.ipynb", tiny_spec, secret=SECRET, launcher=local)
    assert result.verdict.startswith("the file is not a notebook")
    assert (result.earned, result.points) == (0.0, 6.0) and result.needs_person


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError('canary ' + str(x.flatten()[0].item()))",
        "raise type('canary' + str(abs(int(x.flatten()[0] * 1e4))), (Exception,), {})()",
        "return {'canary ' + str(x.flatten()[0].item()): 1}",
        "return [x, 'canary ' + str(x)]",
        "raise NotImplementedError('canary ' + str(x))",
        "import torch; raise MemoryError('canary ' + str(x))",
        "assert False, 'canary ' + str(x)",
    ],
)
def test_no_hidden_input_is_carried_out_by_an_error(grade: Grade, body: str) -> None:
    first = grade(RIGHT | {"total": f"def total(x):\n    {body}"})
    second = grade(RIGHT | {"total": f"def total(x):\n    {body}"}, secret=b"t" * 32)
    assert scores(first) == FULL | {"total": 0.0}
    # other hidden inputs, the same feedback: nothing in it can come from them
    assert first.exercise("total") == second.exercise("total")


def test_an_error_on_hidden_inputs_alone_is_not_quoted(grade: Grade) -> None:
    known = draw(TINY, TINY.exercise("total"), seed=PUBLIC_SEED).lines[0].cases[0].probe.args[0].flatten()[0].item()
    source = f"def total(x):\n    return x.sum(-1) if x.flatten()[0] == {known} else int('canary' + str(x))"
    result = grade(RIGHT | {"total": source})
    message = "it raised an error, on other inputs than those you were given."
    assert lines(result, "total")["output"] == ("raised", message)
    assert "canary" not in to_json(result)


def test_the_same_submission_gets_the_same_result(grade: Grade) -> None:
    answers = RIGHT | {"total": "import torch\ndef total(x):\n    return x.sum(-1) + torch.rand(1)"}
    assert grade(answers).scores() == grade(answers).scores()


def test_another_class_has_other_hidden_cases_and_another_key(grade: Grade) -> None:
    assert grade(RIGHT).key != grade(RIGHT, secret=b"t" * 32).key


def test_other_limits_have_another_key(grade: Grade) -> None:
    assert grade(RIGHT).key != grade(RIGHT, limits=Limits(cell_seconds=30)).key


def test_a_result_says_how_it_was_made(grade: Grade) -> None:
    result = grade(RIGHT)
    assert not result.official and result.protections == "unsafe-local"
    assert {"sources", "repairs", "spec", "grader", "environment", "runner", "limits", "class"} == set(result.hashes)
    assert {"ingest", "student", "waiting", "grading"} == set(result.seconds)
    assert from_json(to_json(result)) == result


def test_the_sandbox_gives_the_same_scores(
    submit: Callable[..., Path], tiny_spec: Assignment, local: Launcher, sandboxed: Launcher
) -> None:
    path = submit(RIGHT | {"total": "def total(x):\n    return x.mean(-1)"})
    inside = grade_submission(path, tiny_spec, secret=SECRET, launcher=sandboxed)
    outside = grade_submission(path, tiny_spec, secret=SECRET, launcher=local)
    assert inside.official and inside.exercises == outside.exercises
