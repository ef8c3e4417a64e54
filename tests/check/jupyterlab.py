"""A JupyterLab of its own for a test: free port, token, private settings, nothing fetched from elsewhere."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

SETTINGS = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "checkForUpdates": False,
        "fetchNews": "false",
    },
    "@jupyterlab/extensionmanager-extension/plugin.jupyterlab-settings": {"enabled": False, "disclaimed": False},
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
}
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"
START_SECONDS = 90


@contextmanager
def serve_lab(folder: Path, private: Path, *, theme: str = LIGHT) -> Iterator[str]:
    """Serve a folder with JupyterLab; gives the address of a notebook named ``{}``, token included.

    Args:
        folder: what is served.
        private: an empty folder for the server's settings, its kernels' files and its log.
        theme: name of the theme.
    """
    for name, values in (
        SETTINGS | {"@jupyterlab/apputils-extension/themes.jupyterlab-settings": {"theme": theme}}
    ).items():
        path = private / "settings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
    command += [
        f"--ServerApp.root_dir={folder}",
        f"--IdentityProvider.token={token}",
        "--ServerApp.terminals_enabled=False",
        "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
        f"--LabApp.user_settings_dir={private / 'settings'}",
        f"--LabApp.workspaces_dir={private / 'workspaces'}",
    ]
    names = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR")
    environment = os.environ | {name: str(private / name.lower()) for name in names} | {"OMP_NUM_THREADS": "1"}
    (private / "home").mkdir()
    log = private / "server.log"
    with log.open("w") as stream:
        server = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment, start_new_session=True)
    try:
        yield f"{_address(server, log)}/lab/tree/{{}}?token={token}"
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    """The server's address, from its log, once it is there."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:[1-9]\d*", log.read_text())
        if found is not None:
            return found.group()
        time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


class Notebook:
    """An open notebook: its cells are named by a part of their source, and a step may take ``timeout`` milliseconds."""

    def __init__(self, page: Page, address: str, *, timeout: int = 60_000) -> None:
        self.page, self.timeout = page, timeout
        page.goto(address)
        expect(page.locator(".jp-NotebookPanel")).to_be_visible(timeout=self.timeout)
        expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=self.timeout)

    def cell(self, source: str) -> Locator:
        """The code cell whose source holds this."""
        return self.page.locator(".jp-CodeCell").filter(has=self.page.locator(".jp-InputArea", has_text=source)).first

    def write(self, cell: Locator, source: str) -> None:
        """Replace a cell's source by typing over it."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(source)

    def run(self, cell: Locator) -> None:
        """Run a cell with Shift+Enter and wait until it is done."""
        cell.scroll_into_view_if_needed()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        expect(cell.locator(".jp-InputPrompt").first).to_have_text(re.compile(r"\[\d+\]"), timeout=self.timeout)
