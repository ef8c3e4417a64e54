"""What every hub of the course has: servers of students, a formgrader for graders, and the exchange between them.

``trial_config.py`` and ``campus_config.py`` say who may log in, and as whom servers run.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROGRAMS = Path(sys.executable).parent
PROXY = HERE / "node_modules" / ".bin" / "configurable-http-proxy"
SECONDS = 180
"""How long a server may take to start."""
PORTS = 4
NODE = 20
"""The first version of Node.js with which the proxy runs."""


@dataclass(frozen=True)
class Hub:
    """A course on a hub.

    Attributes:
        course: its name in addresses, groups and the exchange.
        folder: where everything that the hub writes stands.
        port: the one that browsers use; the three after it are the proxy's, the hub's and the formgrader's own.
    """

    course: str
    folder: Path
    port: int

    @classmethod
    def from_environment(cls, *, folder: Path) -> Hub:
        """The course that COURSE_ID, COURSE_HUB and COURSE_HUB_PORT name.

        Args:
            folder: that of a hub for which COURSE_HUB names none.
        """
        course = os.environ.get("COURSE_ID", "attention")
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", course):
            raise SystemExit(f"COURSE_ID is {course!r}; use small letters, digits and hyphens.")
        if not PROXY.exists():
            raise SystemExit(f"{PROXY} is not there; make hub-setup installs it.")
        need_node()
        port = int(os.environ.get("COURSE_HUB_PORT", "8000"))
        hub = cls(course, Path(os.environ.get("COURSE_HUB") or folder).resolve(), port)
        if not hub.proxy_file.exists():  # a hub that was killed left its proxy behind, which JupyterHub ends
            need_ports(range(port, port + PORTS))
        return hub

    @property
    def students(self) -> str:
        """The group of the students, as nbgrader calls it."""
        return f"nbgrader-{self.course}"

    @property
    def graders(self) -> str:
        """The group of the graders, as nbgrader calls it."""
        return f"formgrade-{self.course}"

    @property
    def classroom(self) -> Path:
        """The class's folder."""
        return self.folder / "class"

    @property
    def exchange(self) -> Path:
        """nbgrader's exchange."""
        return self.folder / "exchange"

    @property
    def state(self) -> Path:
        """What the hub keeps for itself."""
        return self.folder / "state"

    @property
    def proxy_file(self) -> Path:
        """Where the hub notes which process its proxy is, as long as that runs."""
        return self.state / "proxy.pid"

    def make_folders(self, *, owner: str | None = None) -> None:
        """Make what is not there yet.

        Args:
            owner: the account whose the class and the exchange are, where it is not this one.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for folder, rights in ((self.state, 0o700), (self.classroom, 0o700), (self.exchange, 0o777)):
            if not folder.exists():
                folder.mkdir()
                folder.chmod(rights)  # mkdir's own mode passes through the umask
                if owner is not None and folder != self.state:
                    shutil.chown(folder, user=owner)

    def configure(self, c: Any, *, settings_of_grader: list[Path], account: str = "", home: Path | None = None) -> None:
        """Set up a hub, all but who may log in and how servers are started.

        Args:
            c: the hub's configuration.
            settings_of_grader: folders of settings for the formgrader's server.
            account: of this machine, as which the formgrader runs; without one, as the hub does.
            home: the formgrader's home, where the account has no other.
        """
        c.JupyterHub.bind_url = f"http://127.0.0.1:{self.port}"
        c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{self.port + 1}"
        c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{self.port + 2}"
        c.ConfigurableHTTPProxy.command = [str(PROXY), "--log-level", "error"]
        c.ConfigurableHTTPProxy.pid_file = str(self.proxy_file)
        c.JupyterHub.cookie_secret_file = str(self.state / "cookie_secret")
        c.JupyterHub.db_url = f"sqlite:///{self.state / 'jupyterhub.sqlite'}"
        c.JupyterHub.log_level = "INFO" if os.environ.get("COURSE_DEBUG") else "WARN"

        both = {
            "COURSE_ID": self.course,
            "COURSE_EXCHANGE": str(self.exchange),
            "PATH": os.pathsep.join([str(PROGRAMS), os.environ.get("PATH", os.defpath)]),
            "OMP_NUM_THREADS": "1",
        }
        c.Spawner.cmd = [str(PROGRAMS / "jupyterhub-singleuser")]
        c.Spawner.default_url = "/lab"
        c.Spawner.http_timeout = c.Spawner.start_timeout = SECONDS
        c.Spawner.environment = both | {"JUPYTER_CONFIG_PATH": str(HERE / "servers" / "student")}

        of_class = {name: os.environ[name] for name in ("COURSE_DB_URL",) if name in os.environ}
        of_class |= {"COURSE_CLASS": str(self.classroom)} | ({"HOME": str(home)} if home else {})
        inside = self.classroom.is_relative_to(ROOT)
        c.JupyterHub.services = [
            {
                "name": self.course,
                "url": f"http://127.0.0.1:{self.port + 3}",
                "command": [
                    str(PROGRAMS / "jupyterhub-singleuser"),
                    *(["--allow-root"] if runs_as_root(account) else []),
                ],
                "cwd": str(ROOT),
                "user": account,
                "timeout": SECONDS,
                "oauth_no_confirm": True,
                "environment": both
                | of_class
                | {
                    "JUPYTER_CONFIG_PATH": os.pathsep.join(map(str, settings_of_grader)),
                    "JUPYTERHUB_ROOT_DIR": str(ROOT if inside else self.classroom),
                    "JUPYTERHUB_DEFAULT_URL": "/formgrader/manage_assignments",
                },
            }
        ]
        c.JupyterHub.load_roles = [
            {"name": "grader", "scopes": [f"access:services!service={self.course}"], "groups": [self.graders]},
            {
                "name": "server",  # what a student's server may ask the hub: who its student is, and nothing of others
                "scopes": ["users:activity!user", "access:servers!server", "read:users:groups!user"],
            },
        ]
        c.JupyterHub.default_url = self._landing

    def _landing(self, handler: Any) -> str:
        """Where a user arrives after logging in: graders at the formgrader, students (no address) at their server."""
        user = handler.current_user
        if user is None or self.graders not in {group.name for group in user.groups}:
            return ""
        return f"/services/{self.course}/"


def runs_as_root(account: str) -> bool:
    """Whether a server runs as root, which Jupyter does only if told to."""
    return os.geteuid() == 0 and account in ("", "root")


def need_node() -> None:
    """End with a sentence where the proxy could not run."""
    node = shutil.which("node")
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout if node else ""
    found = re.match(r"v(\d+)", said)
    if found is None or int(found[1]) < NODE:
        here = f"here is {said.strip()}" if found else "here is none on the PATH"
        raise SystemExit(f"The hub's proxy needs Node.js from version {NODE} on, and {here}.")


def need_ports(ports: Iterable[int]) -> None:
    """End with a sentence where another program has one of the ports, with which a hub would start by halves."""
    for port in ports:
        with socket.socket() as tried:
            tried.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # as servers do: one that has ended is no matter
            try:
                tried.bind(("127.0.0.1", port))
            except OSError as error:
                raise SystemExit(
                    f"Port {port} is not free ({error.strerror}). The hub needs four in a row: end what has this one, "
                    f"or name the first of four others: COURSE_HUB_PORT=8100."
                ) from error
