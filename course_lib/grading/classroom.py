"""The folder a class lives in, and nbgrader set up for it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config, PyFileConfigLoader

from course_lib.grading.programs import put_on_path
from course_lib.grading.solution import ROOT

SECRET_BYTES = 32

put_on_path()


def default_class() -> Path:
    """The folder that COURSE_CLASS names, or ``class/`` beside the course."""
    return Path(os.environ.get("COURSE_CLASS") or ROOT / "class").resolve()


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
        """nbgrader's database."""
        return self.folder / "gradebook.db"

    def config(self) -> Config:
        """The settings of ``nbgrader_config.py``, for this folder."""
        config = PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config()
        config.CourseDirectory.root = str(self.folder)
        config.CourseDirectory.source_directory = os.path.relpath(ROOT / "build" / "source", self.folder)
        config.CourseDirectory.release_directory = os.path.relpath(ROOT / "exercises", self.folder)
        return config

    def coursedir(self) -> CourseDirectory:
        """nbgrader's view of the folder."""
        return CourseDirectory(config=self.config())

    @contextmanager
    def gradebook(self) -> Iterator[Gradebook]:
        """The gradebook, opened; made where there is none."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with Gradebook(f"sqlite:///{self.gradebook_file}") as gradebook:
            yield gradebook

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
