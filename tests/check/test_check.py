"""``check`` from end to end, as a student's script or notebook calls it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from course_lib.check import cases, check, recorded, student
from course_lib.check.recorded import CheckError
from course_lib.check.student import Report, source_of
from tests.check.artificial import case, exercise, tensor


def softmax(x: Tensor) -> Tensor:
    return torch.softmax(x, -1)


class Scale(nn.Module):
    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


WRONG = {"columns": lambda x: torch.softmax(x, -2)}
NORMALISE = exercise(
    "normalise",
    [
        ("batches", 2, [case("normalise", softmax, tensor(2, 3, 4), wrong=WRONG, seconds=0.3)], []),
        ("gradients", 1, [case("normalise", softmax, tensor(3, 4), wrong=WRONG, gradients=("0",), seconds=0.3)], []),
    ],
    {"columns": "your softmax runs over the rows."},
)
SCALE = exercise(
    "Scale", [("all", 1, [case("Scale", Scale, tensor(3, 4), init={"width": 4}, state={"scale": tensor(4)})], [])]
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A student's folder with the recorded cases, and no course repository around it."""
    home = tmp_path / "home"
    home.mkdir()
    cases.save({"normalise": NORMALISE, "Scale": SCALE}, home / cases.FILE_NAME)
    monkeypatch.chdir(home)
    monkeypatch.setattr(recorded, "EXERCISES", tmp_path / "course" / "exercises")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    yield home


def normalise(answer: Any) -> Report:
    return check("04-course.normalise", answer)


def test_a_right_answer_passes_and_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    report = normalise(lambda x: x.exp() / x.exp().sum(-1, keepdim=True))
    assert (report.earned, report.points, report.passed) == (3, 3, True)
    assert capsys.readouterr().out == f"{report}\n"
    assert str(report).startswith("normalise: all 3 points")
    assert repr(report) == str(report)


def test_a_wrong_answer_is_explained_and_does_not_raise(capsys: pytest.CaptureFixture[str]) -> None:
    report = normalise(lambda x: torch.softmax(x, -2))
    assert (report.earned, report.passed) == (0, False)
    assert "A known mistake: Your softmax runs over the rows." in capsys.readouterr().out


def test_a_class_is_checked_with_the_recorded_weights() -> None:
    assert check("04-course.Scale", Scale).passed
    assert not check("04-course.Scale", type("Scale", (Scale,), {"forward": lambda self, x: x})).passed


def endless(x: Tensor) -> Tensor:
    while True:
        time.sleep(0.01)


def stubborn(x: Tensor) -> Tensor:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.01)


def swallows_all(x: Tensor) -> Tensor:
    with contextlib.suppress(BaseException):
        time.sleep(5)
    return softmax(x)


def test_a_module_that_is_being_imported_when_the_time_is_up_is_imported_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(1.0)\nwhole = True\n")
    monkeypatch.syspath_prepend(tmp_path)

    def imports(x: Tensor) -> Tensor:
        import slow_to_import

        assert slow_to_import.whole
        return endless(x)

    try:
        report = normalise(imports)
        assert "still running" in str(report)
        assert sys.modules["slow_to_import"].whole
    finally:
        sys.modules.pop("slow_to_import", None)


@pytest.mark.parametrize("answer", [endless, stubborn, swallows_all])
def test_an_answer_that_hangs_is_stopped_and_says_where(answer: Callable[..., Any]) -> None:
    start = time.monotonic()
    report = normalise(answer)
    assert time.monotonic() - start < 3
    assert report.earned == 0
    assert str(report).count("Stopped: after 0.3 s it was still running") == 1
    if answer is not swallows_all:
        assert f"of {answer.__name__}: " in str(report)


def test_another_alarm_still_rings_after_a_check() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    outer = signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        normalise(endless)
        time.sleep(0.4)
    finally:
        signal.setitimer(signal.ITIMER_REAL, *outer)
        signal.signal(signal.SIGALRM, before)
    assert rung == [signal.SIGALRM]


def test_what_the_answer_prints_is_folded_into_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    def chatty(x: Tensor) -> Tensor:
        print("shape", tuple(x.shape))
        print("a warning", file=sys.stderr)
        print("y" * 10**6)
        return softmax(x)

    report = normalise(chatty)
    captured = capsys.readouterr()
    assert report.passed
    assert captured.err == ""
    assert captured.out == f"{report}\n"
    assert "Printed meanwhile:\n    shape (2, 3, 4)\n    a warning" in captured.out
    assert len(captured.out) < 10_000


@pytest.mark.parametrize(
    ("name", "answer", "says"),
    [
        ("normalise", None, "was given None"),
        ("normalise", torch.zeros(2), "was given a tensor, as a call returns it"),
        ("normalise", (1, 2), "was given a tuple, as a call returns it"),
        ("normalise", "normalise", "was given a value of type str"),
        ("normalise", Scale, "was given a class, and the exercise is to write a function"),
        ("Scale", Scale(width=4), "was given an instance of Scale, and the exercise is to write a class"),
        ("Scale", softmax, "was given a function, and the exercise is to write a class"),
    ],
)
def test_another_thing_than_the_answer_is_named(name: str, answer: Any, says: str) -> None:
    report = check(f"04-course.{name}", answer)
    assert report.earned == 0
    assert says in str(report)
    assert f"itself: {name}, without brackets" in str(report)


def test_another_function_than_the_exercise_is_noted_when_it_is_wrong() -> None:
    def other(x: Tensor) -> Tensor:
        return x

    assert "You gave check 'other'; the exercise is 'normalise'." in str(normalise(other))
    assert "You gave check" not in str(normalise(softmax))


class EqualToAll:
    def __eq__(self, other: object) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return self

    def __bool__(self) -> bool:
        return True


class NoRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


class LyingTensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return True


class Endless(list):
    def __iter__(self) -> Iterator[int]:
        while True:
            yield 1


class EvilName(type):
    @property
    def __name__(cls) -> str:
        raise RuntimeError("no name")


class Nameless(metaclass=EvilName):
    pass


def lying() -> Tensor:
    made = torch.zeros(2, 3, 4).as_subclass(LyingTensor)
    made.shape_of = (2, 3, 4)
    return made


def patched(x: Tensor) -> Tensor:
    x.detach = lambda: softmax(torch.zeros(2, 3, 4))  # type: ignore[method-assign]
    x.softmax = True
    return x


HOSTILE: dict[str, Callable[..., Any]] = {
    "equal to everything": lambda x: EqualToAll(),
    "a list of those": lambda x: [EqualToAll()],
    "no repr": lambda x: NoRepr(),
    "tensor subclass": lambda x: lying(),
    "generator": lambda x: (row for row in x),
    "endless list": lambda x: Endless([1]),
    "nameless": lambda x: Nameless(),
    "patched tensor": patched,
    "meta tensor": lambda x: x.to("meta"),
    "sparse tensor": lambda x: softmax(x).to_sparse(),
    "expanded tensor": lambda x: torch.zeros(1).expand(2**40),
    "function": lambda x: softmax,
    "module": lambda x: torch,
    "itself": lambda x: (row := [1], row.append(row))[0],
    "NaN": lambda x: x * float("nan"),
    "nothing": lambda x: None,
    "exit": lambda x: sys.exit(0),
    "numpy objects": lambda x: x.numpy(force=True).astype(object),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_return_value_is_a_finding(name: str) -> None:
    report = normalise(HOSTILE[name])
    assert report.earned == 0
    assert all(line.finding is not None and line.finding.message for line in report.result.lines)
    assert report._repr_html_()


class HostileCallable:
    """Every question to it fails, except the call, whose answer is equal to everything."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __call__(self, x: Tensor) -> Any:
        return EqualToAll()


ANSWERS = {
    "refuses every question": HostileCallable,
    "equal to everything": EqualToAll,
    "no repr": NoRepr,
    "nameless": Nameless,
    "nameless class": lambda: Nameless,
    "tensor subclass": lambda: LyingTensor,
    "builtin": lambda: print,
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_hostile_answer_is_a_finding(name: str) -> None:
    for exercise_name in ("normalise", "Scale"):
        assert check(f"04-course.{exercise_name}", ANSWERS[name]()).earned == 0


def test_state_changed_by_an_answer_does_not_reach_the_notebook() -> None:
    before = torch.get_default_dtype(), torch.get_rng_state()

    def careless(x: Tensor) -> Tensor:
        torch.set_default_dtype(torch.float16)
        torch.manual_seed(1)
        return softmax(x)

    normalise(careless)
    assert torch.get_default_dtype() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("04-course.normalize", "Did you mean '04-course.normalise'?"),
        ("04-course.scale", "Did you mean '04-course.Scale'?"),
        ("normalise", "'normalise' lacks the assignment"),
        ("04-course.zzzzzzzzzzzz", "There are: 04-course.normalise, 04-course.Scale"),
        (3, "the first argument is the exercise's name in quotes"),
        (softmax, "the first argument is the exercise's name in quotes"),
    ],
)
def test_a_name_of_no_exercise_is_told_with_the_nearest(name: Any, says: str) -> None:
    with pytest.raises(CheckError) as error:
        check(name, softmax)
    assert says in str(error.value)
    assert error.value._render_traceback_() == [f"CheckError: {error.value}"]


def test_a_wrong_assignment_is_told_with_the_nearest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder.parent / "course" / "exercises" / "04-course"
    place.mkdir(parents=True)
    (folder / cases.FILE_NAME).rename(place / cases.FILE_NAME)
    with pytest.raises(CheckError, match=r"no exercise '05-course.normalise'. Did you mean '04-course.normalise'"):
        check("05-course.normalise", softmax)
    assert check("04-course.normalise", softmax).passed


def test_the_case_file_is_found_from_elsewhere(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = tmp_path / "clone" / "deep" / "inside"
    away.mkdir(parents=True)
    monkeypatch.chdir(away)
    with pytest.raises(CheckError) as error:
        normalise(softmax)
    assert str(away) in str(error.value)
    assert f"Put the {cases.FILE_NAME} that came with the assignment beside your notebook" in str(error.value)

    monkeypatch.setenv("JPY_SESSION_NAME", str(folder / "a.ipynb"))
    assert normalise(softmax).passed
    monkeypatch.delenv("JPY_SESSION_NAME")

    monkeypatch.setattr(sys.modules["__main__"], "__vsc_ipynb_file__", str(folder / "a.ipynb"), raising=False)
    assert normalise(softmax).passed
    monkeypatch.delattr(sys.modules["__main__"], "__vsc_ipynb_file__")

    shared = tmp_path / "clone" / "exercises" / "04-course"
    shared.mkdir(parents=True)
    (folder / cases.FILE_NAME).rename(shared / cases.FILE_NAME)
    assert normalise(softmax).passed


def test_a_case_file_of_another_assignment_does_not_stand_in_the_way(folder: Path, tmp_path: Path) -> None:
    cases.save({"Scale": SCALE}, folder / cases.FILE_NAME)
    place = tmp_path / "course" / "exercises" / "04-course"
    place.mkdir(parents=True)
    cases.save({"normalise": NORMALISE}, place / cases.FILE_NAME)
    assert normalise(softmax).passed


def test_a_damaged_case_file_says_what_to_do(folder: Path) -> None:
    (folder / cases.FILE_NAME).write_bytes(b"damaged")
    with pytest.raises(CheckError, match=r"cannot be read.*Fetch the assignment's cases.safetensors again"):
        normalise(softmax)


def test_the_source_of_functions_and_classes_is_known_where_python_knows_it() -> None:
    assert "torch.softmax(x, -1)" in str(source_of(softmax))
    assert "x * self.scale" in str(source_of(Scale))
    assert source_of(print) is None
    assert source_of(Nameless()) is None


def test_a_notebook_shows_the_report_once(folder: Path) -> None:
    """In IPython: shown when called, not again as the last expression, again when evaluated later."""
    script = """
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
shell = InteractiveShell.instance()
shell.run_cell("import torch\\nfrom course_lib.check import check", store_history=True)
shell.run_cell("def normalise(x):\\n    return torch.softmax(x, -2)", store_history=True)
call = "check('04-course.normalise', normalise)"
for source in (call, f"r = {call}", "r", f"{call}; 1", f"{call}\\n{call}", "check('04-course.normalize', 1)"):
    with capture_output() as captured:
        shell.run_cell(source, store_history=True)
    html = [o.data["text/html"] for o in captured.outputs if "text/html" in o.data]
    shown = captured.stdout.count("A known mistake")
    print(source.splitlines()[0][:9], len(html), shown, sum("A known mistake" in h for h in html))
print(captured.stdout.strip())
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env=os.environ | {"IPYTHONDIR": str(folder / "ipython"), "OMP_NUM_THREADS": "1"},
    )
    lines = run.stdout.splitlines()
    assert lines[:5] == ["check('04 1 0 1", "r = check 1 0 1", "r 1 0 1", "check('04 1 0 1", "check('04 2 0 2"], run
    assert lines[-1] == ("CheckError: there is no exercise '04-course.normalize'. Did you mean '04-course.normalise'?")
    assert "Traceback" not in run.stdout


def test_time_limits_are_left_out_where_there_are_no_signals() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(normalise, softmax).result().passed
    with student._TimeLimit(5) as limit:
        pass
    assert not limit.reached
