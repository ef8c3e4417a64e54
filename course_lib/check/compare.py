"""Compare what came back with what was expected, and say what differs first.

Order of the findings: a failure, then structure, type, shape, dtype, finiteness, values, gradients.
A finding's ``message`` names no input and no expected value, so that it may be shown for hidden
cases too; the arrays travel beside it, for the student's own notebook.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from course_lib.check.probe import Failure, Reply


@dataclass(frozen=True)
class Tolerance:
    """|actual − expected| ≤ absolute + relative · |expected|, elementwise."""

    absolute: float
    relative: float


TOLERANCES = {torch.float64: Tolerance(1e-8, 1e-6), torch.float32: Tolerance(2e-5, 1e-4)}


@dataclass(frozen=True)
class Finding:
    """The first difference between a reply and what was expected.

    Attributes:
        kind: a kind of :class:`Failure`, or ``structure``, ``type``, ``shape``, ``dtype``, ``nonfinite``,
            ``values``, ``gradient``, ``property``, ``measure``, ``banned``, ``memory``, ``not_run``.
        message: one sentence for the student that reveals no expected value.
        part: which output or gradient, in words, or "".
        expected, actual: the arrays that differ; only ever shown for public cases.
        failure: the failure with its frames, if there was one.
    """

    kind: str
    message: str
    part: str = ""
    expected: Any = None
    actual: Any = None
    failure: Failure | None = None


def compare(expected: Reply, actual: Reply, *, returns: Sequence[str] = ("the output",)) -> Finding | None:
    """The first difference between two replies, or ``None`` where they agree.

    Args:
        expected: the reference's reply. Where it is a failure of kind ``raised``, the same type of
            exception is expected.
        actual: the student's reply.
        returns: names of the outputs, in order, for the messages.
    """
    if expected.failure is not None:
        return _compare_failure(expected.failure, actual)
    if actual.failure is not None:
        return Finding(actual.failure.kind, describe_failure(actual.failure), failure=actual.failure)
    if len(returns) > 1 and isinstance(expected.output, (list, tuple)):
        # the methods of one class may return different numbers of values
        named = len(expected.output) == len(returns)
        parts = list(returns) if named else [f"return value {i + 1}" for i in range(len(expected.output))]
        finding = _compare_sequence(expected.output, actual.output, parts, "the return value")
    else:
        # of a class that names several outputs, this method gives one
        single = returns[0] if len(returns) == 1 else "the output"
        finding = _compare(expected.output, actual.output, single)
    coarse = any(leaf.dtype == torch.float32 for leaf in _tensors(actual.output))
    finding = finding or _compare_gradients(expected.gradients, actual.gradients, coarse=coarse)
    if finding is None and any(
        getattr(expected, measure) is not None and getattr(actual, measure) is None
        for measure in ("largest", "multiplications")
    ):
        return Finding("property", "what your code does on the way could not be measured.")
    return finding


def same(first: Reply, second: Reply) -> bool:
    """Whether two replies agree, failures included (two failures agree if of one kind and type)."""
    if first.failure is not None and second.failure is not None:
        return (first.failure.kind, first.failure.type) == (second.failure.kind, second.failure.type)
    if first.failure is not None or second.failure is not None:
        return False
    return compare(first, second) is None


def describe_failure(failure: Failure) -> str:
    """One sentence for a failure, in the student's terms."""
    sentences = {
        "missing": f"{failure.message}: has the cell that defines it been run without an error?",
        "not_written": "not written yet.",
        "raised": f"it raised {failure.type}: {failure.message}",
        "state": f"the weights cannot be copied into your module: {failure.message}",
        "refused": f"the return value cannot be read: {failure.message}",
        "timeout": f"stopped: {failure.message}",
        "memory": f"out of memory: {failure.message}",
        "too_large": f"it holds {failure.message}; work in parts, and let go of each before the next",
        "died": f"the process ended during the call: {failure.message}",
    }
    text = sentences.get(failure.kind, failure.message).rstrip(": ")
    return text if text.endswith((".", "?", "!")) or failure.kind == "raised" else f"{text}."


def _compare_failure(expected: Failure, actual: Reply) -> Finding | None:
    if actual.failure is None:
        return Finding("values", f"it must raise {expected.type} for these arguments, and it returned a value.")
    if actual.failure.kind != "raised" or actual.failure.type != expected.type:
        message = f"it must raise {expected.type} for these arguments; {describe_failure(actual.failure)}"
        return Finding(actual.failure.kind, message, failure=actual.failure)
    return None


def _compare(expected: Any, actual: Any, part: str) -> Finding | None:
    if expected is None:
        if actual is None:
            return None
        return Finding("type", f"{part} must be None, it is {_kind(actual)}.", part)
    if isinstance(expected, Mapping):
        if not isinstance(actual, Mapping):
            return Finding("type", f"{part} must be a dict, it is {_kind(actual)}.", part)
        if set(expected) != set(actual):
            missing, extra = sorted(set(expected) - set(actual)), sorted(set(actual) - set(expected))
            text = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"also has {', '.join(extra)}"] * bool(extra)
            return Finding("structure", f"{part} {' and '.join(text)}.", part)
        return next(
            (f for key in expected if (f := _compare(expected[key], actual[key], f"{_bare(part)}[{key!r}]"))), None
        )
    if isinstance(expected, (list, tuple)):
        return _compare_sequence(expected, actual, [f"{_bare(part)}[{i}]" for i in range(len(expected))], part)
    if isinstance(expected, str):
        if type(actual) is str and actual == expected:
            return None
        return Finding("values", f"{part} is not the expected text.", part, expected, actual)
    return _compare_numbers(expected, actual, part)


def _compare_sequence(expected: Sequence[Any], actual: Any, parts: list[str], whole: str) -> Finding | None:
    if not isinstance(actual, (list, tuple)):
        named = f" ({', '.join(parts)})" if len(parts) > 1 and "[" not in parts[0] else ""
        return Finding("structure", f"{whole} must be {len(expected)} values{named}, it is {_kind(actual)}.", whole)
    if len(actual) != len(expected):
        return Finding("structure", f"{whole} must be {len(expected)} values, there are {len(actual)}.", whole)
    triples = zip(expected, actual, parts, strict=True)
    return next((f for e, a, part in triples if (f := _compare(e, a, part))), None)


def _compare_numbers(expected: Any, actual: Any, part: str) -> Finding | None:
    if not isinstance(actual, (bool, int, float, torch.Tensor)):
        return Finding("type", f"{part} must be {_kind(expected)}, it is {_kind(actual)}.", part)
    if type(expected) is float and type(actual) is int:
        actual = float(actual)  # `return 0` is as right as `return 0.0`
    want, have = torch.as_tensor(expected), torch.as_tensor(actual)
    if want.shape != have.shape:
        message = f"the shape of {part} is {tuple(have.shape)}, expected {tuple(want.shape)}."
        return Finding("shape", message, part, want, have)
    if _family(want.dtype) != _family(have.dtype) or have.dtype in (torch.float16, torch.bfloat16):
        wanted = {"bool": "booleans", "int": "whole numbers", "float": "float32 or float64"}[_family(want.dtype)]
        return Finding("dtype", f"{part} is of {have.dtype}, expected {wanted}.", part, want, have)
    if _family(want.dtype) != "float":
        wrong = int((want != have).sum())
        return None if wrong == 0 else Finding("values", f"{_differ(part, wrong, want)}.", part, want, have)
    if not bool(torch.isfinite(have).all()) and bool(torch.isfinite(want).all()):
        count = int((~torch.isfinite(have)).sum())
        what = "NaN" if bool(torch.isnan(have).any()) else "infinite"
        message = f"{count} of {have.numel()} entries of {part} are {what}." if have.dim() else f"{part} is {what}."
        return Finding("nonfinite", message, part, want, have)
    coarse = torch.float32 in (want.dtype, have.dtype)
    tolerance = TOLERANCES[torch.float32 if coarse else torch.float64]
    want64, have64 = want.double(), have.double()
    close = torch.isclose(have64, want64, rtol=tolerance.relative, atol=tolerance.absolute, equal_nan=True)
    if bool(close.all()):
        return None
    message = f"{_differ(part, int((~close).sum()), want)}{_relative_gap(want64, have64)}."
    return Finding("values", message, part, want, have)


def _differ(part: str, wrong: int, want: torch.Tensor) -> str:
    return f"{wrong} of {want.numel()} entries of {part} differ" if want.dim() else f"{part} differs"


def _relative_gap(want: torch.Tensor, have: torch.Tensor) -> str:
    """How far off, against the largest entry; in whole percent, so that no expected value can be read from it."""
    scale = want.abs().max().item()
    ratio = (have - want).abs().max().item() / scale if scale > 0 else math.inf
    if not math.isfinite(ratio):
        return ""
    at_most, whole = ("up to ", "the largest expected entry") if want.dim() else ("", "the expected value")
    if ratio >= 10:
        return f", by {at_most}{ratio:.0f} times {whole}"
    return f", by {f'{at_most}{100 * ratio:.0f}' if ratio >= 0.01 else 'less than 1'} % of {whole}"


def _compare_gradients(expected: Mapping[str, Any], actual: Mapping[str, Any], *, coarse: bool) -> Finding | None:
    """``coarse``: the output came in float32, so its gradients passed through float32, whatever they come in."""
    for name, want in expected.items():
        part = f"the gradient with respect to {'argument ' + str(int(name) + 1) if name.isdigit() else name}"
        have = actual.get(name)
        if want is None:
            want = None if have is None else torch.zeros_like(have)
        if want is None:
            continue
        if have is None:
            if not bool(want.any()):
                continue
            return Finding("gradient", f"{part} does not reach the output: is the graph cut on the way?", part)
        finding = _compare_numbers(want, have.float() if coarse else have, part)
        if finding is not None:
            return Finding("gradient", finding.message, part, finding.expected, finding.actual)
    return None


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [leaf for item in value for leaf in _tensors(item)] if isinstance(value, (list, tuple)) else []


def _bare(part: str) -> str:
    """``the output`` becomes ``output`` before an index."""
    return part.removeprefix("the ")


def _family(dtype: torch.dtype) -> str:
    if dtype == torch.bool:
        return "bool"
    return "float" if dtype.is_floating_point else "int"


def _kind(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if value is None:
        return "None (is there a return?)"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    article = "an" if type(value).__name__[0] in "aeiou" else "a"
    return f"{article} {type(value).__name__}"
