"""The outer walls around the runner, as a command line of bubblewrap.

Inside there is no network, and a file system that holds the Python installation and the few parts of
the course that a notebook needs, all read-only, and nothing else. The runner and its slots build the
inner walls themselves (:mod:`course_lib.runner.confine`).
"""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path

from course_lib.runner.confine import HOME

PACKAGE = Path(__file__).resolve().parents[1]
COURSE = "/course"
FONTS = "/tmp/matplotlib"
VISIBLE_PARTS = (
    "__init__.py",
    "check",
    "runner",
    "data",
    "metrics",
    "training.py",
    "figures.py",
)
SYSTEM = ("/usr", "/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/sys/devices/system/cpu")
LINKED = ("/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin")
DEVICES = ("null", "zero", "full", "random", "urandom")
NOBODY = 65534


def environment() -> dict[str, str]:
    """The runner's whole environment."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": HOME,
        "USER": "student",
        "LANG": "C.UTF-8",
        "PYTHONPATH": COURSE,
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": FONTS,
        "OMP_NUM_THREADS": "1",
        "KMP_INIT_AT_FORK": "FALSE",
    }


def walls() -> list[str]:
    """bubblewrap's arguments: namespaces and the file system."""
    root = os.geteuid() == 0
    options = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    options += ["--hostname", "sandbox", "--die-with-parent", "--new-session"]
    # root needs no user namespace to build the walls, and leaves its own user behind before Python starts
    options += [] if root else ["--unshare-user"]
    made: set[str] = set()
    places: list[str] = []
    for path in map(Path, SYSTEM):
        places += _bind(path, made)
    for path in map(Path, LINKED):
        if path.is_symlink():
            places += ["--symlink", str(path.readlink()), str(path)]
        else:
            places += _bind(path, made)
    for folder in python_folders():
        if not _within(folder, Path("/usr")):
            places += _bind(folder, made, at=inside(folder))
    for packages in site.getsitepackages():  # an installed course holds the answers: cover it
        installed = Path(packages) / "course_lib"
        if installed.is_dir():
            places += ["--tmpfs", str(inside(installed)), "--remount-ro", str(inside(installed))]
    for part in VISIBLE_PARTS:
        if (PACKAGE / part).exists():
            places += _bind(PACKAGE / part, made, at=Path(COURSE) / "course_lib" / part)
    places += [*_folders(Path("/dev/shm"), made), "--perms", "1777", "--tmpfs", "/dev/shm"]
    for name in DEVICES:
        places += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    places += ["--symlink", "/proc/self/fd", "/dev/fd"]
    places += [*_folders(Path(HOME), made), "--perms", "0755", "--dir", HOME]
    places += ["--perms", "1777", "--tmpfs", "/tmp", "--perms", "1777", "--dir", FONTS]
    for fonts in Path.home().glob(".cache/matplotlib/fontlist-*.json"):  # saves the search for fonts at each start
        places += ["--ro-bind", str(fonts), f"{FONTS}/{fonts.name}"]
    return [*options, *places, "--proc", "/proc", "--remount-ro", "/", "--chdir", "/"]


def first_command() -> list[str]:
    """What root does inside before Python starts: a /proc that slots may mount anew, then become nobody."""
    if os.geteuid() != 0:
        return []
    become = [
        "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        "--inh-caps=-all",
        "--ambient-caps=-all",
    ]
    return ["sh", "-c", 'mount -t proc proc /proc && exec "$@"', "sh", *become, "--"]


def python_folders() -> list[Path]:
    """The folders that the running Python needs: its installation, its virtual environment."""
    folders = [Path(sys.base_prefix).resolve(), Path(sys.base_exec_prefix).resolve(), Path(sys.prefix)]
    executable = Path(sys.executable)
    while executable.is_symlink():  # a virtual environment's python leads to the installation by one or more links
        executable = executable.parent / executable.readlink()
        folders.append(executable.parent)
    kept: list[Path] = []
    for folder in dict.fromkeys(folders):
        if not any(_within(folder, other) for other in kept):
            kept.append(folder)
    return kept


def inside(path: Path) -> Path:
    """Where a file of the Python installation stands inside: below /python if slots cover its own place."""
    covered = any(_within(path, Path(place)) for place in ("/tmp", "/dev/shm", HOME))
    return Path("/python") / path.relative_to("/") if covered else path


def _bind(path: Path, made: set[str], *, at: Path | None = None) -> list[str]:
    """Read-only, at the same place or another; nothing where there is nothing."""
    if not path.exists():
        return []
    target = at or path
    return [*_folders(target, made), "--ro-bind", str(path), str(target)]


def _folders(target: Path, made: set[str]) -> list[str]:
    """The folders above a place, which bubblewrap would make readable by the owner only."""
    options: list[str] = []
    for parent in [p for p in reversed(target.parents) if str(p) != "/" and str(p) not in made]:
        made.add(str(parent))
        if not any(str(parent) == bound or str(parent).startswith(f"{bound}/") for bound in SYSTEM):
            options += ["--perms", "0755", "--dir", str(parent)]
    return options


def _within(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents
