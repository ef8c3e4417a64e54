"""2. Forged success: the process that runs the student's code has no say in the score."""

from __future__ import annotations

import pytest

from tests.grading.hostile.conftest import WRONG, Attack

SEND = """
import os, stat
def sockets():
    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                yield fd
        except OSError:
            pass
def send(message):
    for fd in sockets():
        os.write(fd, len(message).to_bytes(8, "little") + message)
"""

ATTACKS = {
    "patched IPython": """
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.showtraceback = lambda *a, **k: None
InteractiveShell.run_cell = lambda *a, **k: 2.0
from IPython.display import publish_display_data
publish_display_data({"text/plain": "2.0"})
""",
    "patched kernel": """
try:
    import ipykernel.kernelbase
    ipykernel.kernelbase.Kernel.execute_request = lambda *a, **k: None
    ipykernel.kernelbase.Kernel.finish_metadata = lambda *a, **k: {"status": "ok"}
except ImportError:
    pass
""",
    "an early result": "get_ipython().displayhook(2.0)\ndisplay(2.0)\nprint(2.0)\n2.0\n",
    "patched judge": """
import course_lib.check.judge as judge, course_lib.check.compare as compare
judge.judge = judge.compare = compare.compare = lambda *a, **k: None
compare.same = judge.same = lambda *a, **k: True
""",
    "patched probe": """
import course_lib.check.probe as probe, course_lib.runner.slot as slot
right = probe.execute
def execute(question, scope):
    reply = right(question, scope)
    return probe.Reply(2.0) if question.target == "double" else reply
probe.execute = slot.execute = execute
""",
    "a reply that is the question": """
import course_lib.check.probe as probe, course_lib.runner.slot as slot
right = probe.execute
def execute(question, scope):
    return probe.Reply(question.args[0]) if question.target == "double" else right(question, scope)
slot.execute = execute
""",
    "a reply sent ahead": SEND
    + """
from course_lib.check.values import pack
from course_lib.check.probe import Reply
import torch
for number in range(1, 4):
    send(pack([number, Reply(torch.zeros(2, 5, 3, dtype=torch.float64)).to_value()]))
""",
    "a result instead of a reply": SEND
    + """
import json
send(json.dumps({"verdict": "graded", "earned": 6.0, "points": 6.0}).encode())
""",
    "descriptors over the connection": SEND
    + """
import socket
for fd in sockets():
    with socket.socket(fileno=os.dup(fd)) as connection:
        socket.send_fds(connection, [b"x" * 8], [0, 1, 2])
""",
    "a forged failure": """
import course_lib.runner.slot as slot
from course_lib.check.probe import Failure, Reply
slot.execute = lambda question, scope: Reply(failure=Failure("full_marks", "ok", "2 of 2 points"))
""",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_no_forged_success_earns_anything(attack: Attack, name: str) -> None:
    attack(
        ATTACKS[name] + WRONG, rest=name in ("patched IPython", "patched kernel", "an early result", "patched judge")
    )
