"""The hub for a class, with users of the operating system that are there for this hub only.

It runs in a mount namespace of its own, in which /etc/passwd, /etc/group and /etc/shadow are copies with some more
users. Nothing of the machine is changed, and nothing is left when the hub ends.
"""

from __future__ import annotations

import crypt
import os
import pwd
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import APIRequestContext, APIResponse, Playwright

from course_lib.grading.places import ROOT
from tests.deploy.running import LONG, START_SECONDS, end, free_ports, wait_for

CONFIG = ROOT / "deploy" / "jupyterhub" / "campus_config.py"
COURSE = "attention"
GROUPS = {
    "grader": "",
    "lovelace": f"formgrade-{COURSE}",
    "ada": f"nbgrader-{COURSE}",
    "ben": f"nbgrader-{COURSE}",
    "cleo": f"nbgrader-{COURSE}",
    "dora": "",
}
"""The group of each user who is made; that of dora is none."""


@dataclass(frozen=True)
class Campus:
    """A hub that answers, and its users.

    Attributes:
        address: without a slash at its end.
        folder: that of its class, exchange and state.
        homes: that of its users.
        numbers: of each user.
        password: of all of them.
    """

    address: str
    folder: Path
    homes: Path
    numbers: dict[str, int]
    password: str

    def as_user(self, name: str, *command: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command as a user, with no rights but that user's."""
        number = self.numbers[name]
        return subprocess.run(
            [str(word) for word in command],
            user=number,
            group=number,
            extra_groups=[],
            cwd="/",
            input=given,
            capture_output=True,
            check=False,
        )

    def owner(self, path: Path) -> str:
        """Who owns a file."""
        return next((name for name, number in self.numbers.items() if number == path.lstat().st_uid), "nobody known")


class Person:
    """Somebody who is logged in, without a browser: asks what the buttons of the pages ask."""

    def __init__(self, campus: Campus, playwright: Playwright, name: str) -> None:
        self.web: APIRequestContext = playwright.request.new_context(base_url=campus.address, timeout=LONG)
        self.name = name
        self.web.get("/hub/login")
        form = {"username": name, "password": campus.password, "_xsrf": self._token("/hub/")}
        self.entered = self.web.post("/hub/login", form=form).status != 403

    def open(self, page: str) -> None:
        """Open a page of a server, and wait until the server is there."""
        deadline = time.monotonic() + START_SECONDS
        while (reply := self.web.get(page)).status != 200 or f"{page.split('?')[0]}" not in reply.url:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{page} did not open for {self.name}: {reply.status} at {reply.url}")
            time.sleep(0.5)

    def press(self, server: str, what: str, **form: str) -> Any:
        """Ask a server for what a button does; gives what it says."""
        reply: APIResponse = self.web.post(server + what, form=form, headers={"X-XSRFToken": self._token(server)})
        assert reply.ok, f"{what} for {self.name}: {reply.status} {reply.text()[:1000]}"
        return reply.json()

    def _token(self, path: str) -> str:
        cookies = self.web.storage_state()["cookies"]
        return next(cookie["value"] for cookie in cookies if cookie["name"] == "_xsrf" and cookie["path"] == path)


def why_not() -> str:
    """Why there can be no such hub here; empty where there can."""
    if os.geteuid() != 0:
        return "a hub for a class starts servers as other users, which needs root"
    tried = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    return "" if tried.returncode == 0 else f"no mount namespace can be made here: {tried.stderr.decode().strip()}"


@contextmanager
def running_campus(folder: Path) -> Iterator[Campus]:
    """Start the hub for a class, and end all that it started.

    Args:
        folder: an empty one that every user may look into.
    """
    port, password, homes = free_ports(), secrets.token_urlsafe(9), folder / "homes"
    numbers = _free_numbers()
    _write_users(folder, numbers, password)
    for name, number in numbers.items():
        (homes / name).mkdir(parents=True)
        os.chown(homes / name, number, number)
        (homes / name).chmod(0o700)
    settings = {"COURSE_HUB": str(folder / "course"), "COURSE_HUB_PORT": str(port), "OMP_NUM_THREADS": "1"}
    log = folder / "hub.log"
    with log.open("w") as stream:
        hub = [sys.executable, "-m", "jupyterhub", "-f", str(CONFIG)]
        script = "\n".join([*_mounts(folder), f"exec {shlex.join(hub)}"])
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script],
            env={name: value for name, value in os.environ.items() if not name.startswith("COURSE_")} | settings,
            cwd=ROOT,
            stdout=stream,
            stderr=stream,
            umask=0o022,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/hub/health", process, log)
            yield Campus(f"http://127.0.0.1:{port}", folder / "course", homes, numbers, password)
        except BaseException:
            sys.stderr.write(log.read_text()[-6000:])
            raise
        finally:
            end(process)


def _free_numbers() -> dict[str, int]:
    taken = {user.pw_uid for user in pwd.getpwall()}
    free = (number for number in range(61_000, 65_000) if number not in taken)
    return dict(zip(GROUPS, free, strict=False))


def _write_users(folder: Path, numbers: dict[str, int], password: str) -> None:
    """The machine's tables of users, with those of this hub at their end."""
    known = {user.pw_name for user in pwd.getpwall()}
    if taken := known & set(GROUPS):
        raise RuntimeError(f"this machine has users of these names already: {', '.join(sorted(taken))}")
    groups = sorted({group for group in GROUPS.values() if group})
    secret = crypt.crypt(password, crypt.mksalt(crypt.METHOD_SHA512))
    more = {
        "passwd": [f"{name}:x:{n}:{n}::{folder / 'homes' / name}:/bin/sh" for name, n in numbers.items()],
        "shadow": [f"{name}:{secret}:19000:0:99999:7:::" for name in numbers],
        "group": [f"{name}:x:{n}:" for name, n in numbers.items()]
        + [
            f"{group}:x:{65_100 + place}:{','.join(name for name, its in GROUPS.items() if its == group)}"
            for place, group in enumerate(groups)
        ],
    }
    for table, lines in more.items():
        copy = folder / table
        copy.touch(0o600 if table == "shadow" else 0o644)
        copy.write_text("\n".join([Path("/etc", table).read_text().rstrip("\n"), *lines, ""]))


def _mounts(folder: Path) -> list[str]:
    """Commands that put the tables in their place, and open the way to a Python that stands in somebody's home."""
    commands = [f"mount --bind {shlex.quote(str(folder / name))} /etc/{name}" for name in ("passwd", "group", "shadow")]
    for place, wanted in enumerate(dict.fromkeys((Path(sys.base_prefix), Path(sys.prefix).resolve(), ROOT))):
        closed = [above for above in reversed(wanted.parents) if not above.stat().st_mode & 0o001]
        if closed:
            aside, target = shlex.quote(str(folder / f"aside{place}")), shlex.quote(str(wanted))
            commands += [
                f"mkdir {aside}; mount --bind {target} {aside}",
                f"mount -t tmpfs -o mode=755 none {shlex.quote(str(closed[0]))}",
                f"mkdir -p {target}; mount --bind {aside} {target}",
            ]
    return commands
