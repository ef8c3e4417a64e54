"""9. Bombs: each runs into its limit, and the host does not notice."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

from course_lib.grading.limits import MIB
from tests.grading.hostile.conftest import TRACE, WRONG, Attack

BOMBS = {
    "tensors": "kept = []\ndef double(x):\n    while True:\n        kept.append(torch.ones(2**22))\n",
    "shared memory": "import mmap\nkept = []\ndef double(x):\n    while True:\n        kept.append(mmap.mmap(-1, 1 << 24))\n"
    "        kept[-1].write(b'x' * (1 << 24))\n",
    "text": "def double(x):\n    text = 'x'\n    while True:\n        text += text\n",
    "many processes with memory": "import os, time\ndef double(x):\n    for _ in range(20):\n        if os.fork() == 0:\n"
    "            kept = bytearray(b'x') * (60 << 20)\n            time.sleep(60)\n    time.sleep(60)\n",
    "forks": "import os\ndef double(x):\n    while True:\n        os.fork()\n",
    "forks that ignore errors": "import os\ndef double(x):\n    while True:\n        try:\n            os.fork()\n"
    "        except OSError:\n            pass\n",
    "threads": "import threading, time\ndef double(x):\n    while True:\n        threading.Thread(target=time.sleep, args=(60,)).start()\n",
    "a large file": f"def double(x):\n    with open('/tmp/{TRACE}', 'wb') as file:\n        while True:\n            file.write(bytes(1 << 20))\n",
    "many files": f"import os\ndef double(x):\n    for i in range(10**7):\n        open(f'/tmp/{TRACE}{{i}}', 'w').close()\n",
    "all places": f"import os\ndef double(x):\n    for place in ('/tmp', '/dev/shm', '/home/student'):\n        for i in range(10**4):\n"
    f"            open(f'{{place}}/{TRACE}{{i}}', 'wb').write(bytes(1 << 20))\n",
    "descriptors": "import os\nkept = []\ndef double(x):\n    while True:\n        kept.append(os.open('/dev/null', 0))\n",
    "pipes": "import os\nkept = []\ndef double(x):\n    while True:\n        r, w = os.pipe()\n        kept.append((r, w))\n"
    "        os.set_blocking(w, False)\n        os.write(w, bytes(1 << 16))\n",
    "recursion": "import sys\ndef double(x):\n    sys.setrecursionlimit(10**9)\n    return double(x)\n",
}

QUIET = {
    "a gigabyte of output": "import sys\nfor _ in range(1000):\n    sys.stdout.write('x' * (1 << 20))\n",
    "a hundred thousand displays": "from IPython.display import display\nfor _ in range(100_000):\n    display('x')\n",
    "output behind Python's back": "import os\nfor _ in range(100):\n    os.write(1, bytes(1 << 20))\n    os.write(2, bytes(1 << 20))\n",
    "a long warning": "import warnings\nwarnings.warn('x' * (1 << 26))\n",
}


@pytest.fixture
def host() -> tuple[int, int]:
    """Free memory and disk in bytes."""
    return psutil.virtual_memory().available, shutil.disk_usage(Path("/tmp")).free


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if i > 4 else []) for i, n in enumerate(BOMBS)]
)
def test_a_bomb_runs_into_its_limit(attack: Attack, name: str) -> None:
    result = attack(BOMBS[name])
    found = result.exercise("double")
    assert found is not None
    assert {line.kind for line in found.lines} <= {"memory", "died", "raised", "timeout"}


@pytest.mark.parametrize("name", QUIET)
def test_output_is_swallowed(attack: Attack, name: str) -> None:
    attack(QUIET[name] + WRONG)


def test_a_bomb_takes_no_more_than_its_limits(attack: Attack) -> None:
    disk = shutil.disk_usage(Path("/tmp")).free
    attack(BOMBS["all places"])
    assert disk - shutil.disk_usage(Path("/tmp")).free < 500 * MIB
