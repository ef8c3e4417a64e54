"""4. Hunting for answers: neither the slot's memory nor anything it can reach holds one, nor a planted canary."""

from __future__ import annotations

from pathlib import Path

import pytest

from course_lib.check.probe import Probe
from course_lib.grading.launcher import Launcher
from course_lib.grading.limits import Limits
from course_lib.grading.results import to_json
from course_lib.grading.session import Budget
from tests.grading.hostile.conftest import Attack

CANARY = "canary-7f3a"

TENSORS = {
    "garbage collector": """
import gc, torch
def candidates():
    return [o for o in gc.get_objects() if isinstance(o, torch.Tensor)]
""",
    "frames": """
import sys, torch
def candidates():
    frame, found = sys._getframe(), []
    while frame is not None:
        for scope in (frame.f_locals, frame.f_globals):
            for value in list(scope.values()):
                found += [value] if isinstance(value, torch.Tensor) else []
                for name in ("expected", "output", "cases", "reply"):
                    found += [t for t in [getattr(value, name, None)] if isinstance(t, torch.Tensor)]
        frame = frame.f_back
    return found
""",
    "the notebook's history": """
import torch
def candidates():
    scope = globals()
    history = [scope.get(n) for n in ("In", "Out", "_", "__", "_i", "_oh", "_ih")]
    return [t for t in history if isinstance(t, torch.Tensor)]
""",
    "loaded modules": """
import sys, torch
def candidates():
    modules = [m for n, m in list(sys.modules.items()) if n.startswith(("course_lib", "__main__"))]
    return [v for m in modules for v in list(vars(m).values()) if isinstance(v, torch.Tensor)]
""",
}

USE_CANDIDATES = """
def double(x):
    for found in candidates():
        try:
            if found.shape == x.shape and not torch.equal(found, x) and torch.isfinite(found).all() and found.any():
                return found.double().clone()
        except Exception:
            continue
    return 0 * x
"""

SEARCHES = {
    "environment": "def search():\n    import os\n    return str(os.environ)\n",
    "other environments": """
def search():
    import glob
    found = ""
    for pattern in ("/proc/*/environ", "/proc/*/cmdline", "/proc/*/task/*/environ"):
        for path in glob.glob(pattern):
            try:
                found += open(path, errors="replace").read()
            except OSError:
                pass
    return found
""",
    "memory of processes": """
def search():
    import os
    found = b""
    for pid in [p for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()] + [str(os.getppid())]:
        try:
            for line in open(f"/proc/{pid}/maps"):
                start, end = (int(x, 16) for x in line.split()[0].split("-"))
                with open(f"/proc/{pid}/mem", "rb") as memory:
                    memory.seek(start)
                    found += memory.read(min(end - start, 1 << 20))
        except (OSError, ValueError):
            pass
    return found.decode(errors="replace")
""",
    "every small file": """
def search():
    import os, sys
    found = ""
    for at, folders, files in os.walk("/"):
        if at.startswith((sys.prefix, sys.base_prefix, "/usr", "/proc", "/sys")):
            folders.clear()
            continue
        for name in files:
            found += name
            try:
                found += open(os.path.join(at, name), errors="replace").read(10_000)
            except OSError:
                pass
    return found
""",
    "folders above": """
def search():
    import os
    found = ""
    for place in ("..", "../..", "../../..", "/proc/self/cwd/..", "/proc/1/root", "/proc/self/root", "/old_root"):
        try:
            found += str(os.listdir(place))
        except OSError:
            pass
    return found
""",
    "open descriptors": """
def search():
    import os
    found = ""
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}")
            copy = os.open(f"/proc/self/fd/{name}", os.O_RDONLY | os.O_NONBLOCK)
            found += os.read(copy, 10_000).decode(errors="replace")
        except OSError:
            pass
    return found
""",
    "planted places": "def search():\n    found = ''\n    for path in PLACES:\n        try:\n"
    "            found += open(path).read()\n        except OSError:\n            pass\n    return found\n",
}


@pytest.fixture
def planted(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A canary in the environment, beside the submission, beside the solution and in this process's memory."""
    monkeypatch.setenv("COURSE_CANARY", CANARY)
    places = [tmp_path / "secret.key", root / "answers.txt", tmp_path / f"{CANARY}.txt"]
    for place in places:
        place.write_text(CANARY)
    return [str(place) for place in places]


@pytest.mark.parametrize("name", TENSORS)
def test_no_array_in_reach_is_the_answer(attack: Attack, name: str) -> None:
    attack(TENSORS[name] + USE_CANDIDATES)


@pytest.mark.parametrize("name", SEARCHES)
def test_the_canary_is_never_found(attack: Attack, planted: list[str], name: str) -> None:
    source = SEARCHES[name].replace("PLACES", repr(planted))
    parts = f"{CANARY[:3]!r} + {CANARY[3:]!r}"
    source += f"def double(x):\n    raise ValueError('it was ' + ('found' if {parts} in search() else 'not there'))\n"
    result = attack(source)
    assert "it was not there" in to_json(result)


def test_without_the_sandbox_it_is_found(local: Launcher, planted: list[str]) -> None:
    source = SEARCHES["planted places"].replace("PLACES", repr(planted))
    cells = [("f", f"{source}def f():\n    return {CANARY!r} in search()")]
    session = local.session(cells, limits=Limits(), budget=Budget(30.0))
    assert session.ask(Probe(target="f")).output is True
    session.close()
