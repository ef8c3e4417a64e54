"""The folder a class lives in, and nbgrader set up for it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nbgrader.api import Gradebook, InvalidEntry
from nbgrader.coursedir import CourseDirectory
from sqlalchemy.exc import OperationalError
from traitlets.config import Config, PyFileConfigLoader

from course_lib.grading.places import ROOT
from course_lib.grading.programs import put_on_path

SECRET_BYTES = 32
LOCK_SECONDS = 30
"""How long a command waits for a gradebook that another program has locked."""

FAULTS = {
    "database is locked": f"another program has kept the gradebook locked for {LOCK_SECONDS} seconds: close what has "
    "it open (a database browser, a backup, the formgrader)",
    "database or disk is full": "the disk is full: free some space",
    "No space left on device": "the disk is full: free some space",
    "Disk quota exceeded": "your disk quota is used up: free some space",
    "disk I/O error": "the disk with the gradebook cannot be written: see whether it is full or broken",
    "readonly database": "the gradebook may not be written: see whose file it is",
    "unable to open database file": "the gradebook cannot be opened: see whether the disk is full and whose it is",
    "connection to server": "the gradebook's server does not let this machine in: see whether it runs, and what its "
    "log and COURSE_DB_URL say",
    "failed to resolve host": "nobody knows the gradebook's server: see what COURSE_DB_URL says",
    "terminating connection": "the gradebook's server was stopped: start it",
    "server closed the connection": "the gradebook's server has gone: start it",
    "the connection is lost": "the gradebook's server has gone: start it",
}
"""Faults of the machine by the words that SQLite, PostgreSQL and the system have for them, each with what to do."""

NOTHING_LOST = "Nothing is lost; the same command goes on from here."

put_on_path()
logging.getLogger("tornado.application").addHandler(logging.NullHandler())  # else nbgrader prints tracebacks


class ClassFault(Exception):
    """The machine cannot read or write the class's files now; the message says what to do."""


def class_fault(error: str) -> ClassFault | None:
    """The fault of the machine that an error's text tells of, if it is one."""
    found = next((remedy for words, remedy in FAULTS.items() if words in error), None)
    return ClassFault(f"{found}, then run the command again. {NOTHING_LOST}") if found else None


def _settings() -> Config:
    return PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config()


def _named_database() -> str:
    """The database that ``nbgrader_config.py`` names, which has it from COURSE_DB_URL or from whoever edited it."""
    return _database_in_settings(os.environ.get("COURSE_DB_URL", ""))


@cache
def _database_in_settings(url: str) -> str:
    named = _settings().CourseDirectory.get("db_url", "")
    return named if isinstance(named, str) else ""


@dataclass(frozen=True)
class Classroom:
    """A class: its folder, and what stands where in it.

    ``submitted/<student>/<slug>/`` is what students handed in; nothing in it is changed, but a notebook under
    another name gets a copy under the right one. All else is made from it: ``results/``, ``autograded/``,
    ``feedback/``, ``reports/``, ``gradebook.db``, and in ``committed/`` what was last written there.
    """

    folder: Path

    @property
    def results(self) -> Path:
        """The store of grading results."""
        return self.folder / "results"

    @property
    def gradebook_file(self) -> Path:
        """nbgrader's database, where no other is named."""
        return self.folder / "gradebook.db"

    @property
    def on_server(self) -> bool:
        """Whether the gradebook is the database that COURSE_DB_URL or ``nbgrader_config.py`` names."""
        return bool(_named_database())

    @property
    def has_gradebook(self) -> bool:
        """Whether there is a gradebook to read; on a server, tables that are not there are made."""
        return self.on_server or self.gradebook_file.exists()

    @property
    def database(self) -> str:
        """The address of the gradebook; whoever opens it waits for others."""
        return _named_database() or f"sqlite:///{self.gradebook_file}?timeout={LOCK_SECONDS}"

    def config(self) -> Config:
        """The settings of ``nbgrader_config.py``, for this folder."""
        config = _settings()
        config.CourseDirectory.root = str(self.folder)
        config.CourseDirectory.db_url = self.database
        config.CourseDirectory.source_directory = os.path.relpath(ROOT / "build" / "source", self.folder)
        config.CourseDirectory.release_directory = os.path.relpath(ROOT / "exercises", self.folder)
        return config

    def coursedir(self) -> CourseDirectory:
        """nbgrader's view of the folder."""
        return CourseDirectory(config=self.config())

    @contextmanager
    def gradebook(self) -> Iterator[Gradebook]:
        """The gradebook, opened; made where there is none.

        Raises:
            ClassFault: it is locked, or the disk is full.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with Gradebook(self.database) as gradebook:
                yield gradebook
        except (OperationalError, InvalidEntry) as error:
            raise class_fault(str(error)) or error from error

    @contextmanager
    def alone(self, command: str, *, waits: Callable[[str], None]) -> Iterator[None]:
        """Inside, no other command changes the class.

        Args:
            command: what is done, for whoever has to wait.
            waits: is told once what has to be waited for, if something has.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                waits(lock.read().strip() or "another command")
                fcntl.flock(lock, fcntl.LOCK_EX)
            lock.truncate(0)
            lock.write(f"{command}, process {os.getpid()}, since {time.strftime('%H:%M:%S')}\n")
            lock.flush()
            yield
            lock.truncate(0)

    def students(self, slug: str) -> list[str]:
        """Who handed in something for an assignment, in alphabetical order."""
        return sorted(path.parent.name for path in self.folder.glob(f"submitted/*/{slug}") if path.is_dir())

    def submitted(self, student: str, slug: str) -> Path:
        """The folder that a student handed in."""
        return self.folder / "submitted" / student / slug

    def autograded(self, student: str, slug: str) -> Path:
        """The folder of the notebook with its scores and feedback."""
        return self.folder / "autograded" / student / slug

    def feedback(self, student: str, slug: str) -> Path:
        """The folder of the page that the student gets back."""
        return self.folder / "feedback" / student / slug

    def secret(self) -> bytes:
        """What the hidden cases of this class are drawn from. Made at first need; with another, they are others."""
        path = self.folder / "secret.key"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".secret-") as fresh:  # readable by its owner only
                fresh.write(secrets.token_bytes(SECRET_BYTES))
                fresh.flush()
                with contextlib.suppress(FileExistsError):  # another process was first: its secret stands
                    os.link(fresh.name, path)
        return path.read_bytes()

    def clear(self) -> None:
        """Remove everything in the folder."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
