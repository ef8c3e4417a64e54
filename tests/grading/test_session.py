"""A session answers every probe, whatever the student's code does; only the machine's own faults raise."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
import torch

from course_lib.check.probe import Failure, Probe, Reply
from course_lib.grading import launcher as launchers
from course_lib.grading import session as sessions
from course_lib.grading.launcher import Launcher, RunnerFault
from course_lib.grading.limits import MIB, Limits
from course_lib.grading.session import Budget, Session

GOOD = ("good", "def good(x):\n    return x")
ASK_GOOD = Probe(target="good", args=(1,))


def open_session(
    launcher: Launcher, cells: Mapping[str, str], *, limits: Limits | None = None, budget: Budget | None = None
) -> Session:
    limits = limits or Limits(cell_seconds=5)
    return launcher.session([*cells.items(), GOOD], limits=limits, budget=budget or Budget(60.0), seed=7)


def answer(launcher: Launcher, source: str, *, seconds: float = 5.0, limits: Limits | None = None) -> Reply:
    """The reply of a function f; what comes after must work as if nothing had been."""
    session = open_session(launcher, {"f": source}, limits=limits)
    try:
        reply = session.ask(Probe(target="f", seconds=seconds))
        assert session.ask(ASK_GOOD).output == 1
        return reply
    finally:
        session.close()


def failed(launcher: Launcher, source: str, *, seconds: float = 5.0, limits: Limits | None = None) -> Failure:
    failure = answer(launcher, source, seconds=seconds, limits=limits).failure
    assert failure is not None
    return failure


@pytest.fixture(params=["local", "sandboxed"])
def launcher(request: pytest.FixtureRequest) -> Launcher:
    """Each launcher in turn."""
    found: Launcher = request.getfixturevalue(request.param)
    return found


def test_arrays_and_gradients_come_back(launcher: Launcher) -> None:
    session = open_session(launcher, {"f": "def f(x):\n    return 3 * x"})
    x = torch.arange(6, dtype=torch.float64).view(2, 3)
    reply = session.ask(Probe(target="f", args=(x,), gradients=("0",)))
    assert torch.equal(reply.output, 3 * x)
    assert reply.gradients["0"] is not None and reply.gradients["0"].shape == (2, 3)
    session.close()


def test_cells_that_raise_are_recorded_and_the_next_ones_run(launcher: Launcher) -> None:
    session = open_session(launcher, {"a": "1 / 0", "b": "syntax error here"})
    assert {name: failure.type for name, failure in session.errors.items()} == {
        "a": "ZeroDivisionError",
        "b": "SyntaxError",
    }
    assert session.ask(ASK_GOOD).output == 1
    session.close()


def test_a_hang_is_stopped_and_the_session_goes_on(launcher: Launcher) -> None:
    failure = failed(launcher, "def f():\n    while True:\n        pass", seconds=0.5)
    assert (failure.kind, failure.message) == ("timeout", "after 0.5 s in f")


def test_a_cell_that_hangs_is_left_out_and_its_neighbours_run(launcher: Launcher) -> None:
    session = open_session(launcher, {"f": "while True:\n    pass"}, limits=Limits(cell_seconds=0.5))
    assert session.errors["f"].kind == "timeout"
    assert session.ask(ASK_GOOD).output == 1
    session.close()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import os; os._exit(3)", "ended with exit code 3 in f"),
        ("import ctypes; ctypes.string_at(0)", "ended by SIGSEGV in f"),
        ("import os; os.abort()", "in f"),
    ],
)
def test_a_process_that_ends_is_a_failure_with_its_cause(launcher: Launcher, body: str, message: str) -> None:
    failure = failed(launcher, f"def f():\n    {body}")
    assert failure.kind == "died" and message in failure.message


def test_a_cell_that_ends_the_process_is_left_out(launcher: Launcher) -> None:
    session = open_session(launcher, {"f": "import os; os._exit(0)"})
    assert session.errors["f"].kind == "died" and session.ask(ASK_GOOD).output == 1
    session.close()


def test_memory_above_the_limit_ends_the_slot(launcher: Launcher) -> None:
    source = (
        "import mmap\n"
        "def f():\n"
        "    kept = [mmap.mmap(-1, 16 << 20) for _ in range(100)]\n"
        "    for part in kept:\n"
        "        part.write(b'x' * (16 << 20))\n"
    )
    failure = failed(launcher, source, seconds=30, limits=Limits(memory_bytes=200 * MIB))
    assert failure.kind == "memory"


def test_one_huge_array_is_the_students_own_error(launcher: Launcher) -> None:
    failure = failed(launcher, "import torch\ndef f():\n    return torch.ones(10**10)", seconds=20)
    assert failure.kind in ("raised", "memory")


def test_processes_above_the_limit_end(launcher: Launcher) -> None:
    source = (
        "import os, time\ndef f():\n    for _ in range(300):\n        if os.fork() == 0:\n"
        "            time.sleep(60)\n            os._exit(0)\n    return 0"
    )
    reply = answer(launcher, source, seconds=20, limits=Limits(processes=20))
    assert reply.failure is not None and reply.failure.kind in ("died", "raised")


@pytest.mark.parametrize(
    "body",
    [
        "os.write({fd}, b'garbage that is no message at all')",
        "os.write({fd}, (2**62).to_bytes(8, 'little'))",
        "os.write({fd}, (4).to_bytes(8, 'little') + b'abcd')",
        "os.close({fd})",
    ],
)
def test_bytes_written_on_the_connection_are_no_answer(launcher: Launcher, body: str) -> None:
    find = "[fd for fd in range(3, 64) if is_socket(fd)][0]"
    source = (
        "import os, stat\ndef is_socket(fd):\n    try:\n        return stat.S_ISSOCK(os.fstat(fd).st_mode)\n"
        f"    except OSError:\n        return False\ndef f():\n    {body.format(fd=find)}\n    return 1"
    )
    assert failed(launcher, source).kind == "died"


def test_an_answer_to_another_question_is_refused(launcher: Launcher) -> None:
    source = (
        "import os, stat\nfrom course_lib.check.values import pack\nfrom course_lib.check.probe import Reply\n"
        "def f():\n    message = pack([99, Reply(1).to_value()])\n    for fd in range(3, 64):\n        try:\n"
        "            if stat.S_ISSOCK(os.fstat(fd).st_mode):\n"
        "                os.write(fd, len(message).to_bytes(8, 'little') + message)\n"
        "        except OSError:\n            pass\n    return 1"
    )
    assert failed(launcher, source).kind == "died"


def test_only_the_runner_may_report_a_timeout(launcher: Launcher) -> None:
    source = (
        "import course_lib.runner.slot as slot\nfrom course_lib.check.probe import Failure, Reply\n"
        "slot.execute = lambda probe, scope: Reply(failure=Failure('timeout', message='the machine is slow'))\n"
        "def f():\n    return 1"
    )
    session = open_session(launcher, {"f": source})
    failure = session.ask(Probe(target="f")).failure
    assert failure is not None and failure.kind == "died"
    session.close()


@pytest.mark.parametrize(
    "value",
    ["object()", "lambda: 1", "(i for i in range(3))", "torch.ones(3).to_sparse()", "torch.ones(3, device='meta')"],
)
def test_values_that_may_not_cross_are_refused(launcher: Launcher, value: str) -> None:
    assert failed(launcher, f"import torch\ndef f():\n    return {value}").kind == "refused"


def test_a_used_up_budget_stops_everything(launcher: Launcher) -> None:
    budget = Budget(0.5)
    session = open_session(launcher, {"f": "import time\ndef f():\n    time.sleep(5)"}, budget=budget)
    assert session.ask(Probe(target="f")).failure is not None
    failure = session.ask(ASK_GOOD).failure
    assert failure is not None and failure.kind == "timeout" and "used up" in failure.message
    assert budget.limits_hit == ["timeout"]


def test_unseeded_randomness_depends_on_the_seed_alone(launcher: Launcher) -> None:
    cells = [
        ("f", "import torch, random, numpy as np\na = [random.random(), np.random.rand(), torch.rand(1).item()]"),
        ("g", "def g():\n    return a"),
    ]
    outputs = []
    for seed in (1, 1, 2):
        session = launcher.session(cells, limits=Limits(), budget=Budget(30.0), seed=seed)
        outputs.append(session.ask(Probe(target="g")).output)
        session.close()
    assert outputs[0] == outputs[1] and all(a != b for a, b in zip(outputs[0], outputs[2], strict=True))


def test_sessions_do_not_see_each_other(launcher: Launcher) -> None:
    first = open_session(launcher, {"f": "import torch\ntorch.set_default_dtype(torch.float64)\nshared = 1"})
    second = open_session(
        launcher, {"f": "import torch\ndef f():\n    return [str(torch.ones(1).dtype), 'shared' in globals()]"}
    )
    reply = second.ask(Probe(target="f", dtype="float32"))
    assert reply.output == ["torch.float32", False]
    first.close()
    second.close()


def test_prints_plots_and_warnings_are_no_errors(launcher: Launcher) -> None:
    source = (
        "import sys, warnings, matplotlib.pyplot as plt\nfrom tqdm import tqdm\ndef f():\n"
        "    print('x' * 1_000_000)\n    warnings.warn('careful')\n    sys.stderr.write('y' * 1000)\n"
        "    plt.plot([1, 2]); plt.show()\n    return sum(tqdm(range(10)))"
    )
    assert answer(launcher, source).output == 45


def test_a_reply_that_came_while_the_grading_stood_still_is_no_timeout(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_stretch", lambda: 1.0)
    budget = Budget(60.0)
    session = open_session(launcher, {"f": "import time\ndef f():\n    time.sleep(1)\n    return 2"}, budget=budget)
    me = os.getpid()
    wake = ["sh", "-c", f"sleep 0.5; kill -STOP {me}; sleep 7; kill -CONT {me}"]
    with subprocess.Popen(wake):
        assert session.ask(Probe(target="f", seconds=2)).output == 2
    assert budget.spent < 6 and budget.limits_hit == []
    session.close()


def test_a_slot_that_something_outside_killed_is_opened_anew_and_the_question_asked_again(launcher: Launcher) -> None:
    session = open_session(launcher, {"f": "import time\ndef f():\n    time.sleep(1)\n    return 2"})

    def kill_slots() -> None:
        assert launcher.pid is not None
        for process in psutil.Process(launcher.pid).children(recursive=True):
            if not process.children():
                process.kill()

    killer = threading.Timer(0.3, kill_slots)
    killer.start()
    try:
        assert session.ask(Probe(target="f", seconds=10)).output == 2
    finally:
        killer.join()
        session.close()


def test_code_that_kills_itself_each_time_has_failed_and_is_no_fault_of_the_machine(local: Launcher) -> None:
    failure = failed(local, "import os, signal\ndef f():\n    os.kill(os.getpid(), signal.SIGKILL)")
    assert failure.kind == "died" and "SIGKILL in f" in failure.message


def test_code_that_dies_at_another_place_each_time_has_failed_too(local: Launcher, tmp_path: Path) -> None:
    dies = (
        "import os, pathlib, signal\n"
        f"count = pathlib.Path({str(tmp_path / 'count')!r})\n"
        "def at(place):\n"
        "    n = int(count.read_text()) if count.exists() else 0\n"
        "    if n % 4 == place:\n"
        "        count.write_text(str(n + 1))\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    cells = {"dies": dies, "a": "at(0)", "b": "at(1)", "c": "at(2)", "f": "def f():\n    at(3)\n    return 1"}
    session = open_session(local, cells)
    try:
        replies = [session.ask(Probe(target="f")), session.ask(ASK_GOOD)]
    finally:
        session.close()
    assert replies[1].output == 1
    assert replies[0].failure is not None or replies[0].output == 1


def test_a_runner_that_was_killed_is_replaced_and_the_question_asked_again() -> None:

    with launchers.local() as launcher:
        session = open_session(launcher, {})
        assert launcher.pid is not None
        os.killpg(launcher.pid, signal.SIGKILL)
        time.sleep(0.2)
        assert session.ask(ASK_GOOD).output == 1


def test_a_runner_that_cannot_start_is_a_fault_of_the_machine() -> None:
    launcher = Launcher(["/bin/false"], environment={}, name="broken")
    with pytest.raises(RunnerFault, match="does not start"):
        open_session(launcher, {})


def test_a_closed_launcher_opens_nothing() -> None:
    launcher = Launcher(["/bin/false"], environment={}, name="closed")
    launcher.close()
    with pytest.raises(RunnerFault, match="stopped"):
        open_session(launcher, {})
