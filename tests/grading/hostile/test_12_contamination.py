"""12. Contamination: what one submission changes, no other sees; results are the same bits in any order, at any number of jobs."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from course_lib.grading.launcher import Launcher
from course_lib.grading.parallel import grade_many
from course_lib.grading.results import ResultStore
from course_lib.grading.spec import Assignment
from tests.grading.hostile.conftest import LIMITS, SECRET, TRACE, WRONG, Attack
from tests.grading.tiny import RIGHT

CHANGES = {
    "default dtype": "import torch\ntorch.set_default_dtype(torch.float16)\n",
    "threads": "import torch\ntorch.set_num_threads(8)\n",
    "random state": "import torch, random, numpy as np\ntorch.manual_seed(0)\nrandom.seed(0)\nnp.random.seed(0)\n",
    "deterministic algorithms": "import torch\ntorch.use_deterministic_algorithms(True)\n",
    "no gradients": "import torch\ntorch.set_grad_enabled(False)\n",
    "functions": "import torch.nn.functional as F\nfor n in dir(F):\n    if not n.startswith('_'):\n        setattr(F, n, None)\n",
    "a global hook": "import torch\ntorch.nn.modules.module.register_module_forward_hook(lambda m, i, o: o * 0)\n",
    "files": f"import os\nfor p in ('/tmp', '/dev/shm', os.path.expanduser('~'), '.'):\n    open(f'{{p}}/{TRACE}', 'w').close()\n",
    "shared memory": f"from multiprocessing import shared_memory\nkept = shared_memory.SharedMemory('{TRACE}', create=True, size=99)\n",
    "environment": "import os\nos.environ.update(PYTHONPATH='/tmp', OMP_NUM_THREADS='9', LD_PRELOAD='/tmp/x.so')\n",
    "priority": "import os\nos.nice(19)\n",
    "processors": "import os\nos.sched_setaffinity(0, {0})\n",
    "recursion": "import sys\nsys.setrecursionlimit(60)\n",
    "locale and time": "import locale, os, time\nos.environ['TZ'] = 'Asia/Tokyo'\ntime.tzset()\nlocale.setlocale(locale.LC_ALL, 'C')\n",
    "umask and limits": "import os, resource\nos.umask(0o777)\nresource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))\n",
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_stays_in_its_slot(attack: Attack, name: str) -> None:
    """The neighbour that is graded before and after each test uses random numbers and modules."""
    attack(CHANGES[name] + WRONG, rest=False)


@pytest.mark.parametrize("jobs", [1, 3])
def test_results_are_the_same_bits_in_any_order(
    submit: Callable[..., Path], tiny_spec: Assignment, sandboxed: Launcher, tmp_path: Path, jobs: int
) -> None:
    noisy = "def total(x):\n    return x.sum(-1) + 0.1 * torch.rand(1)"
    answers: dict[str, Mapping[str, str]] = {
        name: RIGHT | {"double": change + WRONG, "total": noisy} for name, change in CHANGES.items()
    }
    paths = {
        name: submit(answer) for name, answer in (answers | {"right": RIGHT, "noisy": RIGHT | {"total": noisy}}).items()
    }

    def run(folder: str, order: list[str], jobs: int) -> dict[str, Any]:
        store = ResultStore(tmp_path / folder)
        chosen = {name: paths[name] for name in order}
        outcomes = grade_many(
            chosen, tiny_spec, secret=SECRET, launcher=sandboxed, store=store, limits=LIMITS, jobs=jobs
        )
        return {o.name: o.result.scores() for o in outcomes if o.result is not None}

    shuffled = random.Random(jobs).sample(sorted(paths), len(paths))
    first, second = run("sorted", sorted(paths), 2), run("shuffled", shuffled, jobs)
    assert set(first) == set(second) == set(paths)
    for name in paths:
        assert first[name] == second[name], name
