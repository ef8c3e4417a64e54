"""What a source can hide is pointed out to a person, and costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from course_lib.grading import spec as specs
from course_lib.grading.grade import grade_submission
from course_lib.grading.hidden import NOTE, hidden_calls
from course_lib.grading.launcher import Launcher
from course_lib.grading.solution import answers
from course_lib.grading.spec import Assignment, Exercise, assignments
from tests.assignments.test_every_assignment import right_answers
from tests.grading.tiny import RIGHT

BANNED = ("F.scaled_dot_product_attention", "MultiheadAttention")
ANSWER = "def attend(q, k, v):\n    return {}(q, k, v)\n"
NAME = '"scaled_dot" + "_product_attention"'


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (f"getattr(F, {NAME})", "getattr with a computed name"),
        (f"(lambda look: look(F, {NAME}))(getattr)", "getattr with a computed name"),
        (f"F.__dict__[{NAME}]", "F.__dict__"),
        (f"vars(F)[{NAME}]", "vars"),
        (f"F.__getattribute__({NAME})", "F.__getattribute__"),
        (f"eval('F.' + {NAME})", "eval"),
        ("torch.ops.aten._scaled_dot_product_flash_attention", "torch.ops.aten"),
        ("torch._C._nn.something", "torch._C"),
        ("torch._scaled_dot_product_attention_math", "torch._scaled_dot_product_attention_math"),
        ("t._scaled_dot_product_attention_math", "t._scaled_dot_product_attention_math"),
        (f"sys.modules['torch'].nn.functional.softmax.__globals__[{NAME}]", "sys.modules"),
        (f"get_ipython().run_line_magic('time', 'x = F.' + {NAME})", "get_ipython"),
        ("get_ipython().run_line_magic('time', 'x = eval(y)')", "eval"),
        (f"operator.attrgetter({NAME})(F)", "operator.attrgetter"),
        (f"torch.jit.CompilationUnit('...' + {NAME}).f", "torch.jit.CompilationUnit"),
    ],
)
def test_a_way_to_hide_a_call_is_pointed_out(call: str, said: str) -> None:
    assert said in hidden_calls(ANSWER.format(call), [], BANNED)


@pytest.mark.parametrize("module", ["importlib", "ctypes", "gc", "course_lib.check.probe", "course_lib.runner.slot"])
def test_an_import_of_machinery_is_pointed_out(module: str) -> None:
    found = hidden_calls(f"import {module}\n" + ANSWER.format("own"), [], BANNED)
    assert found == [module]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (f"helper = getattr(F, {NAME})", "getattr with a computed name behind helper"),
        ("def helper(q, k, v):\n    return F.scaled_dot_product_attention(q, k, v)", "helper, which uses F.scaled"),
        ("from torch.nn.functional import scaled_dot_product_attention as helper", "helper, which uses F.scaled"),
        ("inner = F.scaled_dot_product_attention\ndef helper(*args):\n    return inner(*args)", "inner, which uses"),
        ("import course_lib.check.probe as p\np.Watcher = None", "course_lib.check.probe"),
        ("torch.attend = F.scaled_dot_product_attention", "a change of torch.attend"),
        (f"%time helper = getattr(F, {NAME})", "getattr with a computed name behind helper"),
    ],
)
def test_what_an_answer_uses_of_another_cell_is_read_too(other: str, said: str) -> None:
    assert any(text.startswith(said) for text in hidden_calls(ANSWER.format("helper"), [other], BANNED))


@pytest.mark.parametrize(
    "source",
    [
        "def attend(q):\n    return q.softmax(-1)",
        "class A(nn.Module):\n    def forward(self, x):\n        return getattr(self, f'head_{0}')(x)",
        "class A(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self._scale = 2\n"
        "        self.names = [type(m).__name__ for m in self.modules()]",
        "def attend(q):\n    return getattr(q, 'mT')",
        "from course_lib.check import check\nmodel = nn.Linear(2, 2).eval()",
        "%matplotlib inline\ndef attend(q):\n    return q",
        "def attend(q:",
    ],
)
def test_what_hides_nothing_is_left_alone(source: str) -> None:
    unused = ["def unused():\n    return getattr(F, 'a' + 'b')", "checked = F.scaled_dot_product_attention"]
    assert hidden_calls(source, unused, BANNED) == []


@pytest.mark.parametrize(
    ("spec", "exercise"),
    [pytest.param(s, e, id=f"{s.slug}-{e.name}") for s in assignments().values() for e in s.exercises if e.banned],
)
def test_no_right_answer_is_suspected(spec: Assignment, exercise: Exercise) -> None:
    solved = answers(spec.slug)
    others = [source for name, source in solved.items() if name != exercise.name]
    for source in (solved[exercise.name], *right_answers(spec).get(exercise.name, {}).values()):
        assert hidden_calls(source, others, exercise.banned) == []


def test_a_right_answer_that_hides_a_call_keeps_its_points_and_a_person_looks(
    submit: Callable[..., Path], tiny_spec: Assignment, local: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    ruled = [replace(e, banned=("torch.add",)) if e.name == "double" else e for e in tiny_spec.exercises]
    spec = replace(tiny_spec, exercises=ruled)
    monkeypatch.setattr(specs, "assignments", lambda: {spec.slug: spec})
    hiding = RIGHT | {"double": "def double(x):\n    return getattr(torch, 'ad' + 'd')(x, x)"}
    for answers_, suspected in ((hiding, True), (RIGHT, False)):
        result = grade_submission(submit(answers_), spec, secret=b"s" * 32, launcher=local)
        score = result.exercise("double")
        assert score is not None and score.earned == score.points
        assert [note.startswith(NOTE) for note in score.notes] == [True] * suspected
        assert ["getattr with a computed name" in reason for reason in result.needs_person] == [True] * suspected
        assert (NOTE in score.html) == suspected


def test_an_expression_too_deep_to_be_written_out_is_looked_through() -> None:
    deep = " + ".join(["scale"] * 2000)
    others = [f"helper = {deep} + F.scaled_dot_product_attention(q, k, v)"]
    (found,) = hidden_calls(ANSWER.format("helper"), others, BANNED)
    assert found == "helper, which uses F.scaled_dot_product_attention"
