"""``check``: judge a student's object on the recorded public cases, in the student's own process."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType, FunctionType
from typing import Any

import torch

from course_lib.check import probe as probing
from course_lib.check.compare import Finding
from course_lib.check.judge import ExerciseCases, ExerciseResult, LineResult, judge
from course_lib.check.probe import Failure, Probe, Reply, execute
from course_lib.check.recorded import find_cases
from course_lib.check.report import render_html, render_text
from course_lib.check.values import ValueRefused, pack, type_name, unpack

MAX_PRINTED = 20_000
AGAIN_SECONDS = 0.2


def check(name: str, answer: Any) -> Report:
    """Check your answer to an exercise and show what is right, what is not, and why.

    Args:
        name: ``'<assignment>.<exercise>'``, for example ``'04-attention-layer.causal_mask'``.
        answer: your function or class itself, not the result of a call.

    Returns:
        The report: shown here already, with ``earned``, ``points`` and ``passed``.

    Raises:
        CheckError: the name is of no exercise, or the assignment's case file is not there.
    """
    exercise = find_cases(name)
    unfit = _unfit(exercise, answer)
    if unfit is not None:
        report = Report(_all_lines(exercise, unfit))
    else:
        printed = _Clipped(MAX_PRINTED)
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            result = judge(exercise, lambda probe: _ask(probe, answer), source=source_of(answer))
        report = Report(result, _notes(result, answer), printed.getvalue())
    report.show()
    return report


@dataclass(frozen=True, repr=False)
class Report:
    """What a check found. In a notebook it shows itself once; evaluated in a later cell, it shows itself again."""

    result: ExerciseResult
    notes: Sequence[str] = ()
    printed: str = ""
    _shown: list[int] = field(default_factory=list)

    @property
    def earned(self) -> float:
        """Points earned on the public cases."""
        return self.result.earned

    @property
    def points(self) -> float:
        """Points the exercise is worth."""
        return self.result.points

    @property
    def passed(self) -> bool:
        """Whether every rubric line is right."""
        return all(line.finding is None for line in self.result.lines)

    def show(self) -> None:
        """Display in a notebook; print in a script."""
        shell = _shell()
        if shell is None:
            _print(str(self))
            return
        from IPython.display import display

        self._shown[:] = [shell.execution_count]
        display(self._repr_mimebundle_(), raw=True)

    def _ipython_display_(self) -> None:
        if _in_nbgrader():
            raise NotImplementedError  # then IPython makes the cell's result of the representations below
        shell = _shell()
        if shell is None or self._shown != [shell.execution_count]:
            self.show()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": f"{self.earned:g}" if _in_nbgrader() else str(self)}

    def _repr_html_(self) -> str:
        return render_html(self.result, reveal=True, notes=self.notes, printed=self.printed)

    def __str__(self) -> str:
        return render_text(self.result, reveal=True, notes=self.notes, printed=self.printed)

    __repr__ = __str__


def source_of(answer: Any) -> str | None:
    """The source of a function, or of the methods of a class; ``None`` where Python does not know it.

    A class made in a notebook has no file, its methods have.
    """
    try:
        methods = [item for item in vars(answer).values() if _is_function(item)] if _is_class(answer) else None
        parts = [answer] if methods is None else methods
        return "\n".join(textwrap.dedent(inspect.getsource(part)) for part in parts)
    except Exception:
        return None


def _ask(probe: Probe, answer: Any) -> Reply:
    """Answer a probe under a time limit. The reply holds plain values only, as it would in grading."""
    with _TimeLimit(probe.seconds) as limit:
        reply = execute(probe, {probe.target: answer})
    if limit.reached:
        message = f"after {probe.seconds:g} s it was still running; is there a loop that never ends?"
        return Reply(failure=Failure("timeout", message=message, frames=reply.failure.frames if reply.failure else ()))
    try:
        return Reply.from_value(unpack(pack(reply.to_value())))
    except ValueRefused as error:
        return Reply(failure=Failure("refused", "ValueRefused", str(error).replace("the value['output']", "it")))
    except Exception as error:
        return Reply(failure=Failure("refused", "ValueRefused", f"reading it ends in {type(error).__name__}"))


class _Stopped(BaseException):
    """Raised in the student's code when its time is up. Not an Exception, so that ``except Exception`` lets it pass."""


class _TimeLimit:
    """Stop what runs in this block after some seconds of wall time, where the system can.

    Signals reach the main thread only, and Windows has none of this kind; elsewhere nothing is stopped.
    The alarm repeats, for code that swallows it.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.reached = False
        self._able = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()

    def __enter__(self) -> _TimeLimit:
        if self._able:
            self._began = time.monotonic()
            self._handler = signal.signal(signal.SIGALRM, self._on_alarm)
            self._outer = signal.setitimer(signal.ITIMER_REAL, self.seconds, AGAIN_SECONDS)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._able:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._handler or signal.SIG_DFL)
            left, again = self._outer
            if left > 0:
                signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - self._began), 0.01), again)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return  # half a module would stay half for good; the alarm comes again
            if frame.f_code is probing._answer.__code__:  # never while execute tidies up
                self.reached = True
                raise _Stopped
            frame = frame.f_back


class _Clipped(io.StringIO):
    """Keeps the beginning of what is written."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def write(self, text: str) -> int:
        super().write(text[: max(self._limit - self.tell(), 0)])
        return len(text)


def _unfit(exercise: ExerciseCases, answer: Any) -> str | None:
    """Why an answer is not the kind of object that the exercise is about."""
    wants_class = exercise.lines[0].cases[0].probe.init is not None
    what = "class" if wants_class else "function"
    remedy = f"give check the {what} itself: {exercise.name}, without brackets and without quotes"
    if answer is None:
        return f"check was given None; {remedy}"
    if wants_class and not _is_class(answer):
        made = f"an instance of {exercise.name}" if type_name(type(answer)) == exercise.name else _described(answer)
        return f"check was given {made}, and the exercise is to write a class; {remedy}"
    if not wants_class and (_is_class(answer) or not callable(answer)):
        return f"check was given {_described(answer)}, and the exercise is to write a function; {remedy}"
    return None


def _described(answer: Any) -> str:
    if _is_class(answer):
        return "a class"
    if _is_function(answer):
        return "a function"
    if type(answer) in (torch.Tensor, tuple, list, dict):
        return f"a {type(answer).__name__.lower()}, as a call returns it"
    return f"a value of type {type_name(type(answer))}"


def _is_class(answer: Any) -> bool:
    """Asked of the type, which an object cannot lie about as it can about ``__class__``."""
    return issubclass(type(answer), type)


def _is_function(answer: Any) -> bool:
    return type(answer) is FunctionType


def _all_lines(exercise: ExerciseCases, message: str) -> ExerciseResult:
    finding = Finding("missing", message)
    return ExerciseResult(exercise, [LineResult(line, 0.0, finding) for line in exercise.lines])


def _notes(result: ExerciseResult, answer: Any) -> list[str]:
    name = type_name(answer) if _is_class(answer) else getattr(answer, "__name__", "") if _is_function(answer) else ""
    if name not in ("", "<lambda>", result.exercise.name) and result.earned < result.points:
        return [f"you gave check {name!r}; the exercise is {result.exercise.name!r}"]
    return []


def _in_nbgrader() -> bool:
    """Whether nbgrader's validation runs the notebook: it reads a cell's points from the plain text of its result."""
    return "NBGRADER_EXECUTION" in os.environ


def _shell() -> Any:
    """The IPython that runs this, if one does."""
    module = sys.modules.get("IPython")
    return None if module is None else module.get_ipython()


def _print(text: str) -> None:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))
