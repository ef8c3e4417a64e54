"""8. Hangs: stopped after the exercise's time, whatever they ignore, and nothing stays behind."""

from __future__ import annotations

import pytest

from tests.grading.hostile.conftest import WRONG, Attack
from tests.grading.tiny import SECONDS

STUBBORN = (
    "import signal\nfor n in range(1, 65):\n    try:\n        signal.signal(n, signal.SIG_IGN)\n"
    "    except (OSError, ValueError):\n        pass\n"
)

HANGS = {
    "a loop": "def double(x):\n    while True:\n        pass\n",
    "ignored interrupts": STUBBORN + "def double(x):\n    while True:\n        try:\n            while True:\n"
    "                pass\n        except BaseException:\n            pass\n",
    "a hang in C": "import ctypes\ndef double(x):\n    ctypes.PyDLL(None).pause()\n",
    "a slow pattern": "import re\ndef double(x):\n    re.match('(a+)+$', 'a' * 40 + 'b')\n",
    "a lock": "import threading\ndef double(x):\n    lock = threading.Lock()\n    lock.acquire()\n    lock.acquire()\n",
    "waiting for input": "import os\ndef double(x):\n    while not os.read(0, 1):\n        pass\n",
}

STAYING = {
    "a thread": "import threading, time\nthreading.Thread(target=lambda: time.sleep(600)).start()\n",
    "a busy thread": "import threading\ndef spin():\n    while True:\n        pass\nthreading.Thread(target=spin, daemon=True).start()\n",
    "an exit hook": "import atexit, time\natexit.register(time.sleep, 600)\n",
    "a finaliser": "import time\nclass Slow:\n    def __del__(self):\n        time.sleep(600)\nkept = Slow()\n",
    "an orphan": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(600)\n    os._exit(0)\n",
    "a stubborn orphan": "import os, time\nif os.fork() == 0:\n"
    + "".join(f"    {line}\n" for line in STUBBORN.splitlines())
    + "    os.setsid()\n    time.sleep(600)\n",
    "an alarm": "import signal\nsignal.signal(signal.SIGALRM, lambda *a: None)\nsignal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)\n",
    "a subprocess": "import subprocess\nsubprocess.Popen(['sleep', '600'])\n",
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if i else []) for i, n in enumerate(HANGS)])
def test_a_hang_is_stopped(attack: Attack, name: str) -> None:
    result = attack(HANGS[name])
    assert result.limits_hit == ("timeout",) and result.needs_person
    found = result.exercise("double")
    assert found is not None and f"after {SECONDS:g} s in double" in found.lines[0].message


@pytest.mark.parametrize("name", STAYING)
def test_what_would_stay_ends_with_the_slot(attack: Attack, name: str) -> None:
    attack(STAYING[name] + WRONG)


def test_a_cell_that_hangs_costs_its_exercise_only(attack: Attack) -> None:
    result = attack("while True:\n    pass\n")
    assert result.limits_hit == ("timeout",)
