"""A report explains, escapes what students write, fits in a notebook, and keeps hidden cases hidden."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
import torch
from torch import Tensor

from course_lib.check.compare import Finding
from course_lib.check.judge import ExerciseCases, ExerciseResult, LineResult, Mistake, RubricLine, judge
from course_lib.check.pictures import as_html, as_text, panel
from course_lib.check.probe import Code, Failure, Frame, Probe, Reply, Seed, execute
from course_lib.check.report import describe_call, render_html, render_text
from tests.check.artificial import case, exercise, tensor

VOID = {"br", "img", "input", "meta"}
OPTIONAL_END = {"td", "th", "tr"}
HOSTILE = "<script>alert('x')</script>\"'&<img src=x onerror=alert(1)>\x1b[31m\x00\ud800"


class Page(HTMLParser):
    """Tags, attributes and text of a fragment; complains of one that is not closed properly."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(fragment)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open[-1] in OPTIONAL_END and self.open[-1] != tag:
            self.open.pop()
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] != "style":
            self.text.append(data)

    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def softmax(x: Tensor) -> Tensor:
    return torch.softmax(x, -1)


def columns(x: Tensor) -> Tensor:
    return torch.softmax(x, -2)


WRONG = {"columns": columns}
MADE = exercise(
    "normalise",
    [
        ("batches", 2, [case("normalise", softmax, tensor(2, 3, 4), wrong=WRONG)], []),
        ("matrices", 0.5, [case("normalise", softmax, tensor(3, 5), wrong=WRONG)], []),
    ],
    {"columns": "your weights equal a softmax over the queries; each query spreads its weight over the keys."},
)


def run(answer: Callable[..., Any], made: ExerciseCases = MADE) -> ExerciseResult:
    return judge(made, lambda probe: execute(probe, {probe.target: answer}))


def failing(failure: Failure, made: ExerciseCases = MADE) -> ExerciseResult:
    return judge(made, lambda probe: Reply(failure=failure))


def one_line(finding: Finding, text: str = "text", notes: str = "") -> ExerciseResult:
    line = RubricLine("line", text, 1, [])
    return ExerciseResult(ExerciseCases("f", ("the output",), [line], {}), [LineResult(line, 0.0, finding)])


def test_a_right_answer_needs_one_line_for_each_rubric_line() -> None:
    result = run(softmax)
    assert render_text(result).splitlines() == [
        "normalise: all 2.5 points",
        "  ✓ 2 of 2  it is right on batches",
        "  ✓ 0.5 of 0.5  it is right on matrices",
    ]
    page = Page(render_html(result, reveal=True))
    assert page.words() == (
        "normalise all 2.5 points ✓ it is right on batches 2 of 2 ✓ it is right on matrices 0.5 of 0.5"
    )
    assert "table" not in page.tags


@pytest.mark.parametrize("reveal", [True, False])
def test_a_known_mistake_is_explained_first(reveal: bool) -> None:
    result = run(columns)
    words = Page(render_html(result, reveal=reveal)).words()
    says = "Your weights equal a softmax over the queries;"
    assert 0 < words.index(says) < words.index("it is right on batches")
    assert words.count(says) == 1
    assert "The same mistake as above." in words
    assert says in render_text(result, reveal=reveal).splitlines()[1]


def test_arrays_stand_side_by_side_with_the_differing_entries_marked() -> None:
    def wrong(x: Tensor) -> Tensor:
        y = softmax(x)
        if y.dim() == 3:
            y[1, 2, 3] = 0.75
        return y

    html = render_html(run(wrong), reveal=True)
    page = Page(html)
    assert page.tags.count("table") == 2
    assert "expected: the output, slice [1]" in page.words()
    assert "yours: the output, slice [1]" in page.words()
    assert html.count("<b>0.75</b>") == html.count('cc-d">') == 1
    assert page.tags.count("figcaption") == 2
    assert page.attributes.count(("scope", "col")) == 8
    assert page.attributes.count(("scope", "row")) == 6
    text = render_text(run(wrong), reveal=True)
    assert text.count("*") == 1
    assert "0.75*" in text
    assert "called as normalise(<2 × 3 × 4>)" in text


def test_a_relation_is_said_for_public_and_hidden_cases() -> None:
    for reveal in (True, False):
        assert "Your values are 2.83 times the expected ones everywhere." in render_text(
            run(lambda x: softmax(x) * 8**0.5), reveal=reveal
        )


def test_an_exercise_not_written_says_so_once_without_a_traceback() -> None:
    def normalise(x: Tensor) -> Tensor:
        raise NotImplementedError

    for reveal in (True, False):
        words = Page(render_html(run(normalise), reveal=reveal)).words()
        assert words.count("Not written yet.") == 1
        assert "line" not in words.replace("outline", "")
        assert "✗ it is right on matrices 0 of 0.5" in words
    assert render_text(run(normalise)).splitlines()[:2] == ["normalise: 0 of 2.5 points", "  Not written yet."]


def test_an_earlier_exercise_not_written_is_named() -> None:
    def causal_mask(x: Tensor) -> Tensor:
        raise NotImplementedError

    def normalise(x: Tensor) -> Tensor:
        return causal_mask(x)

    assert "It calls causal_mask, which is not written yet." in render_text(run(normalise))


def test_an_error_shows_the_students_lines_and_is_told_once() -> None:
    source = "def normalise(x):\n    y = helper(x)\n    return y\n\ndef helper(x):\n    return x @ x"
    scope: dict[str, Any] = {}
    exec(compile(source, "/home/student/cell.py", "exec"), scope)
    made = ExerciseCases(MADE.name, MADE.returns, [MADE.lines[1], MADE.lines[1]], {})
    words = Page(render_html(run(scope["normalise"], made), reveal=True)).words()
    assert "It raised RuntimeError: mat1 and mat2 shapes cannot be multiplied (3x5 and 3x5)" in words
    assert "in line 2 of normalise in line 6 of helper" in words
    assert "course_lib" not in words
    assert words.count("cannot be multiplied") == 1
    assert words.count("The same error as above.") == 1


def test_an_error_at_one_place_with_other_sizes_is_the_same() -> None:
    def normalise(x: Tensor) -> Tensor:
        return x @ x

    text = render_text(run(normalise))
    assert text.count("It raised RuntimeError") == 1
    assert text.count("The same error as above.") == 1


def test_everything_from_outside_is_escaped() -> None:
    failure = Failure("raised", HOSTILE, HOSTILE, (Frame(HOSTILE, 3, HOSTILE),))
    results = [
        failing(failure),
        one_line(Finding("values", HOSTILE, HOSTILE, HOSTILE, HOSTILE), HOSTILE),
        one_line(Finding("values", "differs.", HOSTILE, tensor(2, 2), tensor(2, 2) + 1)),
        ExerciseResult(ExerciseCases(HOSTILE, (HOSTILE,), [], {"m": Mistake(HOSTILE, "a")}), []),
    ]
    for result in results:
        for reveal in (True, False):
            html = render_html(result, reveal=reveal, notes=[HOSTILE], printed=HOSTILE)
            page = Page(html)
            assert not {"script", "img"} & set(page.tags)
            assert not any(name.startswith("on") for name, _ in page.attributes)
            html.encode("utf-8")
            text = render_text(result, reveal=reveal, notes=[HOSTILE], printed=HOSTILE)
            assert not set("\x00\x1b") & set(html + text)
            text.encode("utf-8")


@pytest.mark.parametrize("answer", [softmax, columns, lambda x: x, lambda x: 1 / 0, lambda x: x[:1]])
def test_nothing_is_loaded_or_run(answer: Callable[..., Any]) -> None:
    html = render_html(run(answer), reveal=True)
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "a", "form"} & set(page.tags)
    assert not {"src", "href", "style"} & {name for name, _ in page.attributes}
    assert not re.search(r"url\(|@import|https?:|expression\(", html)


def test_a_report_stays_small_however_much_is_wrong() -> None:
    lines = [(f"part {i}", 1, [case("f", lambda x: x, tensor(4, 40, 40, seed=i))], []) for i in range(12)]
    html = render_html(run(lambda x: -3 * x + x.flip(0), exercise("f", lines)), reveal=True, printed="x" * 10**6)
    assert len(html.encode()) < 60_000
    assert Page(html).tags.count("table") >= 4
    assert "Mend what is shown above first" in html


SECRET = 7351.0625


def planted(name: str = "f") -> ExerciseCases:
    """An exercise whose inputs and expected values all hold the secret."""
    x = tensor(3, 4) * 0.01 + SECRET
    return exercise(
        name,
        [
            ("array", 1, [case(name, lambda x: x, x)], []),
            ("scalar", 1, [case(name, lambda x: x.mean(), x)], []),
            ("text", 1, [case(name, lambda x: f"{SECRET}", x)], []),
            ("keys", 1, [case(name, lambda x: {"a": x}, x)], []),
            ("seed", 1, [case(name, lambda x, by: x * by, x, kwargs={"by": SECRET})], []),
        ],
    )


def raise_all(x: Tensor, **rest: Any) -> None:
    raise ValueError(f"{x.tolist()} {x.mean():e} {int(1e5 * x.mean())} {rest}")


@pytest.mark.parametrize(
    "answer",
    [
        lambda x, **_: torch.zeros(3, 4),
        lambda x, **_: torch.zeros(()),
        lambda x, **_: x * 0.5,
        lambda x, **_: x.mT,
        lambda x, **_: None,
        lambda x, **_: {str(x.mean().item()): 1},
        lambda x, **_: str(x.mean().item()),
        lambda x, **_: [x.mean().item()],
        raise_all,
    ],
)
def test_hidden_cases_leak_no_figure(answer: Callable[..., Any]) -> None:
    result = run(answer, planted())
    assert result.earned < result.points
    shown = render_html(result, reveal=False) + render_text(result) + render_text(result, reveal=False)
    for figure in ("7351", "7.35", "7,35", "735", "73.5"):
        assert figure not in shown.replace("−", "-")


def test_a_hidden_error_keeps_the_shapes_it_tells() -> None:
    text = render_text(run(lambda x: x @ x, planted()))
    assert "mat1 and mat2 shapes cannot be multiplied (3x4 and 3x4)" in text


def test_public_cases_show_what_hidden_ones_do_not() -> None:
    assert "7351" in render_text(run(lambda x, **_: torch.zeros(3, 4), planted()), reveal=True)


def test_notes_and_prints_stand_at_the_end() -> None:
    result = run(softmax)
    assert render_text(result, notes=["handed in late"], printed="hello\nworld").splitlines()[-4:] == [
        "  Note: Handed in late.",
        "  Printed meanwhile:",
        "    hello",
        "    world",
    ]
    page = Page(render_html(result, reveal=False, notes=["handed in late"], printed="hello"))
    assert page.words().endswith("Handed in late. Printed meanwhile hello")
    assert {"details", "summary"} <= set(page.tags)


def test_a_hang_is_said_once() -> None:
    text = render_text(failing(Failure("timeout", message="after 10 s it was still running; is there a loop?")))
    assert text.count("Stopped: after 10 s it was still running; is there a loop?") == 1


def test_a_call_is_shown_as_python_with_shapes_for_arrays() -> None:
    probe = Probe(
        target="F",
        args=(tensor(2, 3), torch.ones(2, 2).bool(), [1, "a"], Code("def g(x):\n    return x", "g")),
        kwargs={"rng": Seed(3), "pair": (1.5,), "scale": torch.tensor(1.0), "none": None},
        init={"d_model": 8},
        method="generate",
    )
    made = exercise("F", [])
    line = RubricLine("a", "a", 1, [case("F", lambda x: x, tensor(1))])
    assert describe_call("F", line.cases[0]) == "F(<1>)"
    described = describe_call(made.name, type(line.cases[0])(probe, Reply()))
    assert described == (
        "F(d_model=8).generate(<2 × 3>, <2 × 2 bool>, [1, 'a'], g, "
        "rng=torch.Generator().manual_seed(3), pair=(1.5,), scale=<number>, none=None)"
    )


@pytest.mark.parametrize(
    ("shape", "place", "where"),
    [
        ((2, 3, 4), (1, 2, 0), ", slice [1]"),
        ((2, 2, 3, 4), (1, 0, 2, 0), ", slice [1, 0]"),
        ((3, 4), (0, 0), ""),
        ((5,), (4,), ""),
    ],
)
def test_the_first_differing_slice_is_shown(shape: tuple[int, ...], place: tuple[int, ...], where: str) -> None:
    want = tensor(*shape)
    have = want.clone()
    have[place] += 1
    shown = panel(want, have)
    assert shown is not None
    assert shown.where == where
    assert int(shown.wrong.sum()) == 1
    assert not shown.cut


def test_of_a_large_array_the_part_that_differs_is_shown() -> None:
    want = tensor(2, 100, 60)
    have = want.clone()
    have[1, 97, 33] += 1
    shown = panel(want, have)
    assert shown is not None
    assert shown.cut
    assert shown.want.shape == (16, 16)
    assert shown.rows <= 97 < shown.rows + 16
    assert shown.columns <= 33 < shown.columns + 16
    assert int(shown.wrong.sum()) == 1
    row = panel(want[0, 0], want[0, 0] + 1)
    assert row is not None
    assert row.want.shape == (1, 24)


def test_a_mask_is_black_and_white_with_ones_and_zeros() -> None:
    shown = panel(torch.ones(3, 3).bool().tril(), torch.ones(3, 3).bool())
    assert shown is not None
    html = as_html(shown, "the mask")
    assert html.count("cc-t") == 6 + 9
    assert html.count("cc-f") == 3
    assert html.count("cc-d") == 3
    assert as_text(shown, "the mask")[1:4] == ["  1  0  0", "  1  1  0", "  1  1  1"]


def test_entries_that_differ_never_look_the_same() -> None:
    want = tensor(3, 3)
    shown = panel(want, want + 2e-4)
    assert shown is not None
    for pair in zip(want.flatten(), (want + 2e-4).flatten(), strict=True):
        assert len({shown.text(value) for value in pair}) == 2


def test_a_single_number_is_said_in_words() -> None:
    shown = panel(torch.tensor(1200), torch.tensor(600))
    assert shown is not None
    assert Page(as_html(shown, "total")).words() == "Expected 1200 , yours is 600 ."
    assert as_text(shown, "total") == ["expected 1200, yours is 600"]


def test_numbers_that_are_none_are_readable() -> None:
    values = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.5, 0.0, 123456.0])
    shown = panel(torch.ones(6), values)
    assert shown is not None
    assert [shown.text(value) for value in values] == ["NaN", "∞", "−∞", "−0.50", "0", "1.23e+05"]
    assert "cc-p" in as_html(shown, "x")


@pytest.mark.parametrize(
    ("expected", "actual"),
    [(None, None), ("a", "b"), (tensor(2, 2), tensor(2, 3)), (tensor(2), tensor(2)), (torch.ones(0), torch.ones(0))],
)
def test_where_there_is_nothing_to_look_at_nothing_is_shown(expected: Any, actual: Any) -> None:
    assert panel(expected, actual) is None
