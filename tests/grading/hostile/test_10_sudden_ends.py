"""10. Sudden ends: a slot that ends costs its exercise, and reaches neither its parent nor its neighbours."""

from __future__ import annotations

import pytest

from course_lib.grading.launcher import Launcher
from tests.grading.hostile.conftest import Attack

ENDS = {
    "exit": "import os; os._exit(0)",
    "exit with a code": "import os; os._exit(77)",
    "sys.exit": "import sys; sys.exit(0)",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "abort": "import os; os.abort()",
    "kill itself": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "kill its parent": "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
    "kill its group": "import os, signal; os.killpg(0, signal.SIGKILL)",
    "kill everybody": "import os, signal; os.kill(-1, signal.SIGKILL)",
    "kill the low numbers": "import os, signal\nfor pid in range(2, 3000):\n    try:\n        os.kill(pid, signal.SIGKILL)\n"
    "    except OSError:\n        pass",
    "stop itself": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "terminate": "import signal; signal.raise_signal(signal.SIGTERM)",
    "cpu limit": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (0, 0))",
    "exit in a thread": "import threading, os; threading.Thread(target=os._exit, args=(1,)).start()",
    "replace itself": "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'pass'])",
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("where", ["in the call", "in the cell"])
def test_an_end_costs_its_exercise_only(attack: Attack, sandboxed: Launcher, name: str, where: str) -> None:
    runner = sandboxed.pid
    if where == "in the cell":
        attack(ENDS[name])
    else:
        body = "".join(f"    {line}\n" for line in ENDS[name].splitlines())
        attack(f"def double(x):\n{body}    return 0 * x\n")
    assert sandboxed.pid == runner
