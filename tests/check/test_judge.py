"""Every rubric line is judged, known mistakes are named, ruled-out calls are seen, and a hang ends the exercise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from course_lib.check import cases
from course_lib.check.judge import FINAL, ExerciseCases, ExerciseResult, Mistake, find_banned, judge
from course_lib.check.probe import Failure, Probe, Reply, execute
from course_lib.check.properties import Property
from course_lib.check.values import Seed, ValueRefused
from tests.check.artificial import case, exercise, tensor


def softmax(x: Tensor) -> Tensor:
    return torch.softmax(x, -1)


def columns(x: Tensor) -> Tensor:
    return torch.softmax(x, -2)


def unscaled(x: Tensor) -> Tensor:
    return torch.exp(x)


def run(made: ExerciseCases, answer: Callable[..., Any], source: str | None = None) -> ExerciseResult:
    return judge(made, lambda probe: execute(probe, {probe.target: answer}), source=source)


@pytest.fixture
def normalise() -> ExerciseCases:
    wrong = {"columns": columns, "unscaled": unscaled}
    return exercise(
        "normalise",
        [
            ("small", 2, [case("normalise", softmax, tensor(2, 3, 4), wrong=wrong)], []),
            ("large", 1, [case("normalise", softmax, tensor(i, 4, 5) * i, wrong=wrong) for i in (2, 3)], []),
            ("rows", 0.5, [case("normalise", softmax, tensor(3, 4))], [Property("rows_sum_to_one")]),
        ],
        {"columns": "your softmax runs over the rows.", "unscaled": "the division by the sum is missing."},
    )


def test_a_right_answer_earns_all_points(normalise: ExerciseCases) -> None:
    result = run(normalise, lambda x: (x - x.max()).exp() / (x - x.max()).exp().sum(-1, keepdim=True))
    assert (result.earned, result.points, result.mistakes) == (3.5, 3.5, [])
    assert all(line.finding is None for line in result.lines)


def test_every_line_is_judged_after_a_wrong_one(normalise: ExerciseCases) -> None:
    def wrong_for_small(x: Tensor) -> Tensor:
        return softmax(x) + (1 if x.shape == (2, 3, 4) else 0)

    result = run(normalise, wrong_for_small)
    assert [line.earned for line in result.lines] == [0, 1, 0.5]
    assert [line.finding is None for line in result.lines] == [False, True, True]


def test_a_line_needs_all_its_cases_and_says_which_differs(normalise: ExerciseCases) -> None:
    calls: list[Tensor] = []

    def forgets(x: Tensor) -> Tensor:
        calls.append(x)
        return softmax(x) if len(calls) != 3 else columns(x)

    result = run(normalise, forgets)
    assert [line.earned for line in result.lines] == [2, 0, 0.5]
    assert result.lines[1].case == 1


def test_a_known_mistake_is_named(normalise: ExerciseCases) -> None:
    result = run(normalise, lambda x: x.exp() / x.exp().sum(-2, keepdim=True))
    assert result.mistakes == ["columns"]
    assert [line.mistake for line in result.lines] == ["columns", "columns", None]
    assert run(normalise, unscaled).mistakes == ["unscaled"]
    assert run(normalise, lambda x: x).mistakes == []


def test_a_mistake_that_gives_the_right_replies_is_never_named() -> None:
    made = exercise(
        "normalise",
        [("line", 1, [case("normalise", softmax, tensor(3, 3), wrong={"none": softmax})], [])],
        {"none": "this is right."},
    )
    assert run(made, columns).mistakes == []


def test_the_mistake_that_the_line_must_catch_is_named_first() -> None:
    wrong = {"first": columns, "second": columns}
    made = exercise(
        "normalise",
        [("a", 1, [case("normalise", softmax, tensor(3, 4), wrong=wrong)], [])],
        {"first": "one.", "second": "two."},
    )
    elsewhere = ExerciseCases(
        made.name, made.returns, made.lines, {"first": Mistake("one.", "b"), "second": Mistake("two.", "a")}
    )
    assert run(elsewhere, columns).mistakes == ["second"]


def test_where_two_mistakes_agree_the_one_named_before_is_meant() -> None:
    def mirrored(x: Tensor) -> Tensor:
        return softmax(x.mT).mT if x.dim() == 3 else x

    both = {"mirrored": mirrored, "columns": columns}
    made = exercise(
        "normalise",
        [
            (name, 1, [case("normalise", softmax, x, wrong=both)], [])
            for name, x in (("a", tensor(3, 4)), ("b", tensor(2, 3, 4)))
        ],
        {"mirrored": "one.", "columns": "two."},
    )
    assert [line.mistake for line in run(made, columns).lines] == ["columns", "columns"]
    assert [line.mistake for line in run(made, mirrored).lines] == ["mirrored", "mirrored"]


def test_an_error_is_no_evidence_for_a_mistake() -> None:
    def raises(x: Tensor) -> Tensor:
        raise RuntimeError("a shape")

    made = exercise(
        "normalise",
        [("line", 1, [case("normalise", softmax, tensor(3, 4), wrong={"raises": raises})], [])],
        {"raises": "you did something else."},
    )
    result = run(made, raises)
    assert result.mistakes == []
    assert result.lines[0].finding is not None
    assert result.lines[0].finding.kind == "raised"


def test_a_property_explains_better_than_the_difference(normalise: ExerciseCases) -> None:
    only_rows = ExerciseCases(normalise.name, normalise.returns, normalise.lines[2:], {})
    finding = run(only_rows, unscaled).lines[0].finding
    assert finding is not None
    assert finding.kind == "property"
    assert finding.message.startswith("each row of the weights must sum to 1.")
    assert "12 of 12 entries" in finding.message
    assert not finding.message.endswith(".)")
    assert finding.expected is not None


def test_a_missing_output_is_said_before_a_property_of_it() -> None:
    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        return x, softmax(x)

    rows = [("rows", 1, [case("both", both, tensor(2, 3, 4))], [Property("rows_sum_to_one", {"part": 1})])]
    made = replace(exercise("both", rows), returns=("the output", "the weights"))
    assert run(made, both).earned == 1
    finding = run(made, lambda x: both(x)[0]).lines[0].finding
    assert finding is not None
    assert finding.kind == "structure"
    assert finding.message.startswith("the return value must be 2 values")


def coin(generator: torch.Generator, bias: float = 0.5) -> Tensor:
    return (torch.rand(2000, generator=generator) < bias).long()


def biased(generator: torch.Generator) -> Tensor:
    return coin(generator, 0.8)


def test_what_is_drawn_is_judged_by_its_distribution_and_a_known_mistake_by_its_draws() -> None:
    fair = {"outcomes": [torch.tensor([[0], [1]])], "probabilities": [torch.tensor([0.5, 0.5])]}
    tosses = case("coin", coin, Seed(1), wrong={"biased": biased})
    made = exercise(
        "coin", [("draws", 1, [tosses], [Property("follows_distribution", fair)])], {"biased": "your coin is biased."}
    )
    assert run(made, lambda generator: 1 - coin(generator)).earned == 1
    assert run(made, lambda generator: torch.randint(2, (2000,), generator=generator)).earned == 1
    assert run(made, biased).mistakes == ["biased"]
    (line,) = run(made, lambda generator: 1 - biased(generator)).lines
    assert line.earned == 0 and line.mistake is None and "far more or far less often" in str(line.finding)
    (line,) = run(made, lambda generator: coin(generator)[:5]).lines
    assert line.finding and line.finding.kind == "shape"


def test_a_broken_property_alone_costs_the_line() -> None:
    def large(x: Tensor) -> Tensor:
        return softmax((x[:, :, None] * torch.ones(50)).mean(-1))

    made = exercise(
        "normalise",
        [
            (
                "memory",
                1,
                [case("normalise", softmax, tensor(3, 4), watch=True)],
                [Property("largest_tensor", {"limit": 50})],
            )
        ],
    )
    assert run(made, softmax).earned == 1
    finding = run(made, large).lines[0].finding
    assert finding is not None
    assert finding.kind == "property"
    assert "600 elements" in finding.message


@pytest.mark.parametrize("kind", sorted(FINAL))
@pytest.mark.parametrize("at", [0, 1, 2])
def test_what_would_only_repeat_is_not_asked_again(normalise: ExerciseCases, kind: str, at: int) -> None:
    asked: list[Probe] = []

    def ask(probe: Probe) -> Reply:
        asked.append(probe)
        if len(asked) == at + 1:
            return Reply(failure=Failure(kind, message="so it is"))
        return execute(probe, {"normalise": softmax})

    result = judge(normalise, ask)
    assert len(asked) == at + 1
    assert [line.earned for line in result.lines] == ([0, 0, 0] if at == 0 else [2, 0, 0])
    assert result.lines[-1].finding is not None
    assert result.lines[-1].finding.kind == kind


@pytest.mark.parametrize("kind", ["raised", "state", "refused"])
def test_after_other_failures_the_next_lines_are_asked(normalise: ExerciseCases, kind: str) -> None:
    asked: list[Probe] = []

    def ask(probe: Probe) -> Reply:
        asked.append(probe)
        return Reply(failure=Failure(kind, "E", "so it is"))

    assert judge(normalise, ask).earned == 0
    assert len(asked) == 4


BANNED = ("F.softmax", "nn.MultiheadAttention")


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    return F.softmax(x)",
        "def f(x):\n    return torch.softmax(x)",
        "def f(x):\n    return x.softmax(-1)",
        "from torch.nn.functional import softmax as innocent\ndef f(x):\n    return innocent(x)",
        "import torch.nn.functional.softmax",
        "def f(x):\n    return getattr(torch, 'softmax')(x)",
        "softmax = 3\nprint(softmax)",
        "def softmax(x):\n    return torch.softmax(x, -1)",
    ],
)
def test_a_ruled_out_name_is_found_in_the_source(source: str) -> None:
    assert find_banned(source, BANNED) == "F.softmax"


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    '''Without softmax.'''\n    return x.exp()  # no softmax",
        "def softmax(x):\n    return x.exp()\n\ndef f(x):\n    return softmax(x)",
        "class A:\n    def f(self, x):\n        return self.softmax(x)",
        "def f(x:",
        "def f(x):\n    log_softmax = 'softmax'\n    return log_softmax",
        "\x00",
        "(" * 5000,
    ],
)
def test_what_only_looks_like_it_is_left_alone(source: str) -> None:
    assert find_banned(source, BANNED) is None


def with_ban(banned: Sequence[str], *, watch: bool) -> ExerciseCases:
    q = tensor(1, 2, 4, 3)

    def attend(x: Tensor) -> Tensor:
        return torch.softmax(x @ x.mT / 3**0.5, -1) @ x

    made = exercise("attend", [(name, 1, [case("attend", attend, q, watch=watch)], []) for name in "ab"])
    return ExerciseCases(made.name, made.returns, made.lines, {}, banned)


def fused(x: Tensor) -> Tensor:
    return torch.nn.functional.scaled_dot_product_attention(x, x, x)


def test_a_ruled_out_call_costs_the_lines_though_its_values_are_right() -> None:
    made = with_ban(["F.scaled_dot_product_attention"], watch=True)
    assert run(with_ban([], watch=True), fused).earned == 2
    for watch, source in ((True, None), (False, "def attend(x):\n    return F.scaled_dot_product_attention(x, x, x)")):
        made = with_ban(["F.scaled_dot_product_attention"], watch=watch)
        result = run(made, fused, source)
        assert result.earned == 0
        for line in result.lines:
            assert line.finding is not None
            assert line.finding.kind == "banned"
            assert "F.scaled_dot_product_attention" in line.finding.message


def test_recorded_cases_judge_as_the_drawn_ones(normalise: ExerciseCases, tmp_path: Path) -> None:
    path = tmp_path / cases.FILE_NAME
    cases.save({"normalise": normalise}, path)
    again = cases.load(path)["normalise"]
    for answer in (softmax, columns, unscaled, lambda x: x, lambda x: None):
        first, second = run(normalise, answer), run(again, answer)
        assert (first.earned, first.mistakes) == (second.earned, second.mistakes)
        assert [line.finding and line.finding.message for line in first.lines] == [
            line.finding and line.finding.message for line in second.lines
        ]
    cases.save({"normalise": again}, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("damage", [b"", b"\x00" * 40, None])
def test_a_damaged_case_file_is_refused(normalise: ExerciseCases, tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / cases.FILE_NAME
    cases.save({"normalise": normalise}, path)
    path.write_bytes(path.read_bytes()[:-9] if damage is None else damage)
    with pytest.raises(ValueRefused):
        cases.load(path)
