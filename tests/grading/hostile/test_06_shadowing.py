"""6. Shadowing modules: files beside a submission are not seen, and what a slot writes nobody imports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from course_lib.grading.launcher import Launcher
from course_lib.grading.spec import Assignment
from tests.grading.hostile.conftest import PLACES, TRACE, WRONG, Attack, grade_in_sandbox
from tests.grading.tiny import RIGHT

EVIL = "import os\\nos._exit(7)\\n"

WRITES = {
    "here": "os.getcwd()",
    "the home folder": "os.path.expanduser('~')",
    "user packages": "__import__('site').getusersitepackages()",
    "packages": "os.path.dirname(os.path.dirname(__import__('torch').__file__))",
    "the course": "list(__import__('course_lib').__path__)[0]",
    "temporary files": "'/tmp'",
    "the top": "'/'",
}


@pytest.mark.parametrize("name", WRITES)
def test_modules_written_by_a_slot_reach_nobody(attack: Attack, name: str) -> None:
    attack(
        f"import os\nplace = {WRITES[name]}\n"
        "for name in ('torch.py', 'numpy.py', 'sitecustomize.py', 'usercustomize.py', 'course_lib/__init__.py', "
        f"'x.pth', '{TRACE}.py'):\n    try:\n        path = os.path.join(place, name)\n"
        "        os.makedirs(os.path.dirname(path), exist_ok=True)\n"
        f"        open(path, 'w').write('{EVIL}')\n    except OSError:\n        pass\n" + WRONG
    )


@pytest.mark.parametrize(
    "source",
    [
        "import sys, types\nsys.modules['course_lib.check.compare'] = types.ModuleType('compare')\n",
        "import sys, types\nfor n in list(sys.modules):\n    if n.startswith('course_lib'):\n"
        "        sys.modules[n] = types.ModuleType(n)\n",
        "import sys\nsys.path[:] = ['/tmp']\nsys.meta_path.clear()\n",
    ],
)
def test_replaced_modules_earn_nothing(attack: Attack, source: str) -> None:
    attack(source + WRONG, rest=False)


def test_files_beside_a_right_submission_change_nothing(
    submit: Callable[..., Path], tiny_spec: Assignment, sandboxed: Launcher
) -> None:
    path = submit(RIGHT)
    for name in ("torch.py", "numpy.py", "sitecustomize.py", "random.py"):
        (path.parent / name).write_text("raise SystemExit")
    (path.parent / "course_lib").mkdir()
    (path.parent / "course_lib" / "__init__.py").write_text("raise SystemExit")
    assert grade_in_sandbox(path, tiny_spec, sandboxed).earned == 6
    assert all(not (place / "x.pth").exists() for place in PLACES)
