"""A PostgreSQL server of the tests' own: on a socket in a folder of its own, so that no port can be taken."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

START_SECONDS = 60
USER = "grader"


class PostgresServer:
    """A server that was started; everybody who reaches its socket is let in."""

    def __init__(self, folder: Path, programs: Path, owner: str) -> None:
        self.folder, self._programs, self._owner = folder, programs, owner
        self._process: subprocess.Popen[bytes] | None = None

    def initialise(self) -> None:
        """Make its files."""
        words = ["-D", "data", "-U", USER, "-A", "trust", "--no-locale", "-E", "UTF8", "--no-sync"]
        subprocess.run([*self._as_owner("initdb"), *words], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = ["-D", "data", "-k", str(self.folder), "-c", "listen_addresses=", "-c", "fsync=off"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as_owner("postgres"), *words], cwd=self.folder, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self._address("postgres")).close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop it without waiting for anybody."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # what PostgreSQL calls a fast shutdown
            self._process.wait(START_SECONDS)

    def new_database(self, name: str) -> str:
        """Make an empty database; gives its address as nbgrader wants it."""
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql+psycopg://{USER}@/{name}?host={self.folder}"

    def rows(self, name: str, query: str) -> list[tuple[object, ...]]:
        """What a query gives in one of the databases."""
        with psycopg.connect(self._address(name)) as connection:
            return connection.execute(query.encode()).fetchall()

    def _address(self, name: str) -> str:
        return f"host={self.folder} user={USER} dbname={name}"

    def _as_owner(self, program: str) -> list[str]:
        """PostgreSQL refuses to run as root."""
        become = ["setpriv", f"--reuid={self._owner}", f"--regid={pwd.getpwnam(self._owner).pw_gid}", "--clear-groups"]
        return [*(become if os.geteuid() == 0 else []), str(self._programs / program)]


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A fresh server, stopped and removed at the end."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not there (Debian: apt-get install postgresql)")
    owner = _owner()
    folder = Path(tempfile.mkdtemp(prefix="course-pg-", dir="/tmp"))  # a socket's name must be short
    server = PostgresServer(folder, programs, owner)
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, owner)
        server.initialise()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _programs() -> Path | None:
    """Where PostgreSQL's programs are; Debian puts them beside the path, a folder for each version."""
    found = shutil.which("initdb")
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    programs = [Path(found)] if found else newest[-1:]
    return programs[0].resolve().parent if programs else None


def _owner() -> str:
    """Who runs it: the user that Debian makes for it, where root must not."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
