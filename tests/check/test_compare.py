"""The first difference is named, in a fixed order, within tolerances, and without any expected value."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from course_lib.check.compare import compare, describe_failure, same
from course_lib.check.probe import Failure, Reply

WANT = torch.tensor([[0.5, -1.25], [2.0, 3.75], [-0.125, 1.0]], dtype=torch.float64)
NAN = torch.tensor(float("nan"))


def found(expected: Any, actual: Any, **settings: Any) -> tuple[str, str]:
    finding = compare(Reply(expected), Reply(actual), **settings)
    return ("", "") if finding is None else (finding.kind, finding.message)


def test_equal_up_to_round_off_is_no_difference() -> None:
    assert compare(Reply(WANT), Reply(WANT * (1 + 1e-9))) is None
    assert compare(Reply(WANT), Reply(WANT.float())) is None
    assert compare(Reply({"a": 3, "b": [True, "x"]}), Reply({"b": [True, "x"], "a": 3})) is None
    assert compare(Reply(2.5), Reply(torch.tensor(2.5))) is None
    assert compare(Reply(0.0), Reply(0)) is None
    assert compare(Reply((WANT, WANT)), Reply([WANT, WANT]), returns=("the output", "the weights")) is None


def test_a_single_output_is_not_called_by_the_first_name_of_several() -> None:
    finding = compare(Reply(WANT), Reply(WANT + 1), returns=("the reconstruction", "the mean"))
    assert finding is not None and "of the output differ" in finding.message


@pytest.mark.parametrize(("dtype", "slight", "clear"), [(torch.float64, 1e-7, 1e-5), (torch.float32, 2e-5, 1e-3)])
def test_each_dtype_has_its_tolerance(dtype: torch.dtype, slight: float, clear: float) -> None:
    assert found(WANT.to(dtype), WANT.to(dtype) * (1 + slight)) == ("", "")
    assert found(WANT.to(dtype), WANT.to(dtype) * (1 + clear))[0] == "values"


@pytest.mark.parametrize(
    ("actual", "kind", "says"),
    [
        (None, "type", "None (is there a return?)"),
        ("text", "type", "it is a str"),
        ((WANT, WANT), "type", "a tuple of 2"),
        (NAN.expand(2, 2), "shape", "the shape of the output is (2, 2), expected (3, 2)"),
        (NAN.expand(3, 2).to(torch.float16), "dtype", "float16"),
        (WANT.to(torch.int64), "dtype", "expected float32 or float64"),
        (WANT.bool(), "dtype", "torch.bool"),
        (torch.where(WANT > 3, NAN, WANT + 1), "nonfinite", "1 of 6 entries of the output are NaN"),
        (torch.where(WANT > 1, torch.inf, WANT), "nonfinite", "2 of 6 entries of the output are infinite"),
        (torch.where(WANT > 1, WANT + 0.3, WANT), "values", "2 of 6 entries of the output differ, by up to 8 %"),
        (WANT * 100, "values", "99 times the largest"),
        (WANT * 1.001, "values", "by less than 1 %"),
    ],
)
def test_type_then_shape_then_dtype_then_finiteness_then_values(actual: Any, kind: str, says: str) -> None:
    assert found(WANT, actual)[0] == kind
    assert says in found(WANT, actual)[1]


@pytest.mark.parametrize(
    ("actual", "says"),
    [
        (1.0, "the output differs, by 50 % of the expected value."),
        (42.0, "the output differs, by 20 times the expected value."),
        (2.002, "the output differs, by less than 1 % of the expected value."),
        (math.nan, "the output is NaN."),
    ],
)
def test_a_single_number_has_no_entries(actual: float, says: str) -> None:
    assert found(torch.tensor(2.0), torch.tensor(actual))[1] == says


def test_structure_comes_first_and_names_the_parts() -> None:
    returns = ("the output", "the weights")
    assert found((WANT, WANT), WANT, returns=returns) == (
        "structure",
        "the return value must be 2 values (the output, the weights), it is a tensor of shape (3, 2).",
    )
    assert found((WANT, WANT), (WANT,) * 3, returns=returns)[0] == "structure"
    assert "the weights" in found((WANT, WANT), (WANT, -WANT), returns=returns)[1]
    assert found({"a": 1}, {"b": 1})[1] == "the output lacks a and also has b."
    assert found({"a": 1}, [1])[0] == "type"
    assert found({"a": 1}, {"a": 2})[1] == "output['a'] differs."


def test_another_number_of_values_than_is_named_is_counted() -> None:
    returns = ("the logits", "the new state", "the weights")
    assert found((WANT, WANT), (WANT, WANT + 1), returns=returns)[1].startswith(
        "6 of 6 entries of return value 2 differ"
    )
    assert found((WANT, WANT), WANT, returns=returns)[0] == "structure"


def test_other_values_differ_plainly() -> None:
    assert found(None, WANT)[0] == "type"
    assert found(None, None) == ("", "")
    assert found("yes", "no")[0] == "values"
    assert found(True, 1)[0] == "dtype"
    assert found(torch.tensor([1, 2]), torch.tensor([1, 3]))[1] == "1 of 2 entries of the output differ."
    assert found(torch.zeros(3), torch.ones(3))[1] == "3 of 3 entries of the output differ."
    assert found(torch.tensor(torch.inf), torch.tensor(torch.inf)) == ("", "")
    assert found(torch.tensor(torch.inf), torch.tensor(1.0))[0] == "values"
    assert found(torch.tensor([torch.inf, 1.0]), torch.tensor([torch.nan, 1.0]))[0] == "values"


def test_gradients_are_compared_after_the_output() -> None:
    def with_gradient(gradient: Any, output: Any = WANT) -> Reply:
        return Reply(output, {"1": gradient, "w": WANT})

    def finding(expected: Reply, actual: Reply) -> tuple[str, str]:
        first = compare(expected, actual)
        return ("", "") if first is None else (first.kind, first.message)

    want = with_gradient(WANT)
    assert finding(want, with_gradient(WANT)) == ("", "")
    assert finding(want, with_gradient(WANT + 1, WANT + 1))[0] == "values"
    assert finding(want, with_gradient(None)) == (
        "gradient",
        "the gradient with respect to argument 2 does not reach the output: is the graph cut on the way?",
    )
    assert "with respect to argument 2" in finding(want, with_gradient(WANT + 1))[1]
    assert finding(with_gradient(None), with_gradient(torch.zeros(3, 2))) == ("", "")
    assert finding(with_gradient(None), with_gradient(WANT))[0] == "gradient"
    assert finding(with_gradient(torch.zeros(3, 2)), with_gradient(None)) == ("", "")


def test_an_expected_error_must_come_and_be_of_its_type() -> None:
    expected = Reply(failure=Failure("raised", "ValueError", "secret text"))
    assert compare(expected, Reply(failure=Failure("raised", "ValueError", "other text"))) is None
    returned, other, stopped = (
        compare(expected, reply)
        for reply in (
            Reply(WANT),
            Reply(failure=Failure("raised", "TypeError", "x")),
            Reply(failure=Failure("timeout", message="after 10 s")),
        )
    )
    assert returned is not None
    assert other is not None
    assert stopped is not None
    assert "must raise ValueError" in returned.message
    assert (other.kind, stopped.kind) == ("raised", "timeout")
    assert "secret" not in returned.message + other.message + stopped.message


@pytest.mark.parametrize("kind", ["missing", "not_written", "raised", "state", "refused", "timeout", "memory", "died"])
def test_each_failure_is_a_sentence(kind: str) -> None:
    text = describe_failure(Failure(kind, "KeyError", "its text"))
    assert text.endswith((".", "?", "its text"))
    assert text == "not written yet." or "its text" in text


def test_two_replies_are_the_same_if_they_agree_failures_included() -> None:
    broken, other = Reply(failure=Failure("raised", "ValueError", "a")), Reply(failure=Failure("raised", "KeyError"))
    assert same(Reply(WANT), Reply(WANT.clone()))
    assert same(broken, Reply(failure=Failure("raised", "ValueError", "b")))
    assert not same(broken, other)
    assert not same(broken, Reply(WANT))
    assert not same(Reply(WANT), broken)


SECRET = 7351.0625
SECRETS = ("7351", "7.35", "7,35", "73.5")


@pytest.mark.parametrize(
    "actual",
    [
        None,
        0.0,
        torch.zeros(2, 2),
        torch.zeros(2, 3),
        torch.tensor([[SECRET, 1], [1, 0]]),
        torch.full((2, 2), NAN),
        "a",
    ],
)
def test_no_message_tells_an_expected_value(actual: Any) -> None:
    expected = torch.tensor([[SECRET, 0.0], [SECRET, 1.0]], dtype=torch.float64)
    for want in (expected, {"a": expected}, (expected, expected), SECRET, "7351"):
        message = found(want, actual)[1]
        assert message
        assert not any(secret in message for secret in SECRETS)


@pytest.mark.parametrize("measure", ["largest", "multiplications"])
def test_a_reply_without_the_measure_that_was_asked_for_is_not_right(measure: str) -> None:
    expected = Reply(torch.ones(2), **{measure: 5})
    assert compare(expected, Reply(torch.ones(2), **{measure: 0})) is None
    assert "could not be measured" in str(compare(expected, Reply(torch.ones(2))))
