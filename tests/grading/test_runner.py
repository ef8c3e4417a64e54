"""Cells run as in a kernel, messages keep to their limits, and usage is counted."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import torch

from course_lib.check.probe import Probe, execute
from course_lib.runner import watch, wire
from course_lib.runner.cells import fresh_namespace, run_cell


@pytest.fixture
def scope() -> Iterator[dict[str, object]]:
    """A notebook's namespace; the test's own ``__main__`` comes back afterwards."""
    main = sys.modules["__main__"]
    yield fresh_namespace()
    sys.modules["__main__"] = main


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def soon() -> float:
    return time.monotonic() + 0.2


def test_cells_share_a_namespace(scope: dict[str, object]) -> None:
    assert run_cell("first", "a = 1", scope) is None
    assert run_cell("second", "b = a + 1", scope) is None
    assert scope["b"] == 2


def test_an_error_is_reported_with_the_students_line(scope: dict[str, object]) -> None:
    failure = run_cell("first", "a = 1\nb = a / 0\n", scope)
    assert failure is not None and (failure.type, failure.message) == ("ZeroDivisionError", "division by zero")
    assert [(frame.line, frame.text) for frame in failure.frames] == [(2, "b = a / 0")]


def test_a_later_failure_shows_the_students_line(scope: dict[str, object]) -> None:
    run_cell("f", "def f(x):\n    return x.missing\n", scope)
    failure = execute(Probe(target="f", args=(1,)), scope).failure
    assert failure is not None and failure.frames[-1].text == "return x.missing"


@pytest.mark.parametrize("source", ["raise SystemExit", "exit()", "raise KeyboardInterrupt", "raise BaseException"])
def test_whatever_a_cell_raises_is_reported(source: str, scope: dict[str, object]) -> None:
    assert run_cell("first", source, scope) is not None


def test_a_syntax_error_is_reported_with_its_line(scope: dict[str, object]) -> None:
    failure = run_cell("first", "a = 1\ndef f(:\n", scope)
    assert failure is not None and failure.type == "SyntaxError" and failure.frames[0].line == 2


@pytest.mark.parametrize(
    "source",
    [
        "%matplotlib inline\na = 1",
        "!pip install something\na = 1",
        "%%time\na = 1",
        "%%capture out\na = 1",
        "%time a = 1",
        "a = 1\na?",
        "In [3]: a = 1",
        "    a = 1\n    b = 2",
        "%load_ext autoreload\n%autoreload 2\na = 1",
        "get_ipython().run_line_magic('timeit', '1')\na = 1",
        "from IPython.display import display\ndisplay(1)\na = 1",
        "display('text')\na = 1",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nplt.close()\na = 1",
    ],
)
def test_what_only_a_notebook_understands_does_no_harm(source: str, scope: dict[str, object]) -> None:
    assert run_cell("first", source, scope) is None
    assert scope["a"] == 1


def test_other_cell_magics_are_ignored(scope: dict[str, object]) -> None:
    assert run_cell("first", "%%bash\nexit 1", scope) is None


def test_a_dataclass_with_text_annotations_finds_its_module(scope: dict[str, object]) -> None:
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    a: int = 1"
    )
    assert run_cell("first", source, scope) is None


def test_messages_arrive_whole(pair: tuple[socket.socket, socket.socket]) -> None:
    for message in (b"", b"x", bytes(range(256)) * 300):
        wire.send(pair[0], message, deadline=soon())
        assert wire.receive(pair[1], limit=100_000, deadline=soon()) == message


def test_an_announced_length_above_the_limit_is_refused(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].sendall(struct.pack("<Q", 2**63))
    with pytest.raises(wire.Closed, match="are allowed"):
        wire.receive(pair[1], limit=1000, deadline=soon())


def test_a_message_that_comes_in_drops_is_late(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].sendall(struct.pack("<Q", 100) + b"drop")
    with pytest.raises(wire.Late):
        wire.receive(pair[1], limit=1000, deadline=soon())


def test_a_receiver_that_does_not_read_makes_the_sender_late(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(wire.Late):
        wire.send(pair[0], bytes(50_000_000), deadline=soon())


def test_a_closed_connection_is_told_from_a_late_one(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].close()
    with pytest.raises(wire.Closed):
        wire.receive(pair[1], limit=1000, deadline=soon())


@pytest.mark.parametrize("listed", [True, False])
def test_usage_counts_the_whole_tree_and_nothing_else(listed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if listed and not watch.CHILDREN_ARE_LISTED:
        pytest.skip("this kernel keeps no lists of children")
    monkeypatch.setattr(watch, "CHILDREN_ARE_LISTED", listed)
    child = subprocess.Popen(
        [sys.executable, "-c", "import os, time; os.fork(); time.sleep(20)"], start_new_session=True
    )
    try:
        deadline = time.monotonic() + 10
        while watch.usage({1: child.pid}, baseline=0)[1].processes < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        used = watch.usage({1: child.pid}, baseline=0)[1]
        assert used.processes == 2 and 0 < used.memory < 2**30
        assert watch.usage({1: child.pid}, baseline=2**30)[1].memory == 0
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def test_a_probe_leaves_the_random_state_alone(scope: dict[str, object]) -> None:
    run_cell("f", "import torch\ndef f():\n    return torch.rand(2)", scope)
    before = torch.get_rng_state()
    first, second = (execute(Probe(target="f", seed=3), scope).output for _ in range(2))
    assert torch.equal(first, second) and torch.equal(before, torch.get_rng_state())
