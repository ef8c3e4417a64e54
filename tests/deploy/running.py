"""The hub that the course ships, started as its page says, on free ports and with its own files."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from course_lib.grading.places import ROOT
from tests.browser import watch
from tests.check.jupyterlab import SETTINGS

CONFIG = ROOT / "deploy" / "jupyterhub" / "trial_config.py"
START_SECONDS = 300
LONG = 300_000
"""Milliseconds that a step may take on a machine that is busy; each takes seconds."""
PORTS = 4
NODE = 20


@dataclass(frozen=True)
class RunningHub:
    """A hub that answers.

    Attributes:
        address: without a slash at its end.
        folder: what it writes.
        passwords: of each account.
    """

    address: str
    folder: Path
    passwords: dict[str, str]

    @contextmanager
    def user(self, browser: Browser, name: str) -> Iterator[Page]:
        """A browser of somebody's own, in which that person has just logged in."""
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(LONG)
        try:
            page = context.new_page()
            watch(page)
            page.goto(f"{self.address}/hub/login")
            page.locator("#username_input").fill(name)
            page.locator("#password_input").fill(self.passwords[name])
            page.locator("#login_submit").click()
            yield page
        finally:
            context.close()

    def home(self, name: str) -> Path:
        """The home of an account."""
        return self.folder / "home" / name


@contextmanager
def running_hub(folder: Path) -> Iterator[RunningHub]:
    """Start the trial's hub, and end all that it started."""
    port = free_ports()
    settings = {"COURSE_HUB": str(folder), "COURSE_HUB_PORT": str(port), "OMP_NUM_THREADS": "1"}
    log = folder.with_suffix(".log")
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(CONFIG)],
            env={name: value for name, value in os.environ.items() if not name.startswith("COURSE_")} | settings,
            cwd=ROOT,
            stdout=stream,
            stderr=stream,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/hub/health", process, log)
            with (folder / "accounts.csv").open(newline="") as file:
                passwords = {row["account"]: row["password"] for row in csv.DictReader(file)}
            for name in passwords:
                _write_lab_settings(folder / "home" / name)
            yield RunningHub(f"http://127.0.0.1:{port}", folder, passwords)
        except BaseException:
            sys.stderr.write(log.read_text()[-6000:])
            raise
        finally:
            end(process)


def open_lab(page: Page) -> None:
    """Wait until the server of whoever has just logged in shows JupyterLab."""
    expect(page.locator("#jp-main-dock-panel")).to_be_visible(timeout=LONG)


def need_node() -> None:
    """Skip the test where the hub's proxy cannot run."""
    node = shutil.which("node")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout if node else "v0"
    if int(version.strip()[1:].split(".")[0]) < NODE:
        pytest.skip(f"a hub's proxy needs Node.js from {NODE} on; here is {version.strip() if node else 'none'}")


def _write_lab_settings(home: Path) -> None:
    """Settings under which every cell of a notebook is in the page, and nothing is fetched."""
    for name, values in SETTINGS.items():
        path = home / ".jupyter" / "lab" / "user-settings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


def free_ports() -> int:
    """The first of some ports in a row that nobody listens on, below those that systems hand out."""
    for first in random.sample(range(10_000, 30_000, PORTS), 50):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + PORTS):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise RuntimeError("no four free ports in a row were found")


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a hub answers, or say what it wrote."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(URLError, OSError), urlopen(address, timeout=60):
            return
        time.sleep(0.2)
    raise RuntimeError(f"the hub did not start: {log.read_text()[-3000:]}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End the hub, which ends its servers; whatever is left of them is ended as well."""
    started = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(60)
    for left in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
    process.wait(60)
