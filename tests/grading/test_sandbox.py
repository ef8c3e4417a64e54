"""The sandbox holds, and the test of it is able to fail."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from course_lib.check.probe import Probe
from course_lib.grading import protections as tried
from course_lib.grading import sandbox, walls
from course_lib.grading.launcher import Launcher
from course_lib.grading.limits import MIB, Limits
from course_lib.grading.protections import Protection, protections
from course_lib.grading.sandbox import SandboxMissing, Warming
from course_lib.grading.session import Budget


@pytest.fixture(scope="module")
def inside(sandboxed: Launcher) -> dict[str, Protection]:
    return {p.name: p for p in protections(sandboxed)}


@pytest.fixture(scope="module")
def outside(local: Launcher) -> dict[str, Protection]:
    return {p.name: p for p in protections(local)}


NAMES = [
    "sandbox",
    "no network",
    "no reference code",
    "no sight of this machine's files",
    "nothing can be written but private places",
    "no other processes",
    "no privileges",
    "system calls are filtered",
    "slots are apart",
    "limit on memory",
    "limit on processes",
    "limit on wall time",
    "limit on room",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_protection_holds_in_the_sandbox(name: str, inside: dict[str, Protection]) -> None:
    assert inside[name].ok, inside[name].detail


@pytest.mark.parametrize(
    "name", [n for n in (*NAMES[1:9], "limit on room") if n != "no privileges" or os.geteuid() == 0]
)
def test_the_same_attack_succeeds_without_it(name: str, outside: dict[str, Protection]) -> None:
    assert not outside[name].ok and outside[name].remedy


def run(launcher: Launcher, source: str, limits: Limits | None = None) -> object:
    session = launcher.session([("f", source)], limits=limits or Limits(), budget=Budget(30.0))
    try:
        reply = session.ask(Probe(target="f"))
        assert reply.failure is None, reply.failure
        return reply.output
    finally:
        session.close()


def test_nothing_of_the_course_but_the_allowed_parts_is_there(sandboxed: Launcher) -> None:
    source = (
        "import os\ndef f():\n    found = []\n    for at, _, files in os.walk('/'):\n"
        "        found += [os.path.join(at, n) for n in files if 'course_lib' in at and n.endswith('.py')]\n"
        "    return found"
    )
    found = run(sandboxed, source)
    assert isinstance(found, list) and any(p.endswith("check/probe.py") for p in found)
    allowed = tuple(f"/course/course_lib/{part}" for part in walls.VISIBLE_PARTS)
    assert all(str(path).startswith(allowed) for path in found)


def test_private_places_have_a_limit(sandboxed: Launcher) -> None:
    source = (
        "import os\ndef f():\n    written = {}\n    for place in ('/tmp', '/dev/shm', os.path.expanduser('~')):\n"
        "        try:\n            for i in range(50):\n                with open(f'{place}/{i}', 'wb') as file:\n"
        "                    file.write(bytes(1 << 20))\n        except OSError as error:\n"
        "            written[place] = error.errno\n    return written"
    )
    written = run(sandboxed, source, Limits(scratch_bytes=8 * MIB))
    assert written == {"/tmp": 28, "/dev/shm": 28, "/home/student": 28}


def test_a_slot_starts_in_an_empty_folder_of_its_own(sandboxed: Launcher) -> None:
    assert run(sandboxed, "import os\ndef f():\n    return [os.getcwd(), os.listdir()]") == ["/home/student", []]


def test_the_environment_names_nothing_of_the_host(sandboxed: Launcher) -> None:
    found = run(sandboxed, "import os\ndef f():\n    return dict(os.environ)")
    assert isinstance(found, dict) and set(found) <= {
        *walls.environment(),
        "PWD",
        "LC_CTYPE",
        "OLDPWD",
        "SHLVL",
        "_",
    } | {
        "OMP_THREAD_LIMIT",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "KMP_DUPLICATE_LIB_OK",
        "TORCHINDUCTOR_CACHE_DIR",
    }


def test_the_installation_and_nothing_above_it_is_visible() -> None:
    folders = walls.python_folders()
    assert Path(sys.prefix) in folders or any(Path(sys.prefix).is_relative_to(f) for f in folders)
    assert not any(Path.home() == f or Path.cwd() == f for f in folders)


def test_without_bubblewrap_grading_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    with pytest.raises(SandboxMissing, match="apt install bubblewrap"):
        Warming().launcher()
    assert [p.ok for p in protections()] == [False]
    assert Warming(unsafe_local=True).launcher().name == "unsafe-local"


def test_the_sandbox_is_tried_once_however_often_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    trials: list[object] = []

    def protections(launcher: object) -> list[Protection]:
        trials.append(launcher)
        return [Protection("no network", True, "tried, and refused")]

    monkeypatch.setattr(tried, "protections", protections)
    with Warming() as warming:
        warming.try_out()
        warming.try_out()
        assert warming.launcher() is warming.launcher()
        assert trials == [warming.launcher()]
    unsafe = Warming(unsafe_local=True)
    unsafe.try_out()
    unsafe.launcher()
    assert len(trials) == 1


def test_a_trial_in_the_middle_ends_with_the_sandbox() -> None:
    with Warming() as warming:
        warming.try_out()
    with pytest.raises(SandboxMissing, match=r"grading was stopped|the runner"):
        warming.launcher()


def test_a_broken_protection_refuses_grading(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [Protection("no network", False, "opened AF_INET", "do not grade here")]
    monkeypatch.setattr(tried, "protections", lambda launcher: broken)
    with pytest.raises(SandboxMissing, match=r"no network: opened AF_INET .*--unsafe-local"):
        Warming().launcher()
