"""nbgrader's exchange, a folder that everybody may write to, as the course hands out and takes in there."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path
from typing import Any

from nbgrader.exchange.default import ExchangeCollect, ExchangeReleaseAssignment

from course_lib.grading.classroom import Classroom
from course_lib.grading.ingest import MAX_FILE
from course_lib.grading.intake.archive import is_whole
from course_lib.grading.release import register


class Release(ExchangeReleaseAssignment):
    """Hands out an assignment, and tells the class's gradebook of its cells, which Autograde asks for."""

    def copy_files(self) -> None:
        """Hand it out."""
        register(Classroom(Path(self.coursedir.root)), self.coursedir.assignment_id)
        super().copy_files()


class Collect(ExchangeCollect):
    """Takes in what students handed in, and nothing that a link in it leads to.

    nbgrader follows links and goes by the name of a folder; so a student could hand in a link to another's work, or
    hand in as another. It also takes in a folder that is still being written, and never looks at it again.
    """

    src_records: list[dict[str, Any]]

    def init_src(self) -> None:
        """Find each student's latest submission that is whole; what is not stays for the next time."""
        super().init_src()
        for record in self.src_records:
            if not record["whole"]:
                self.log.warning("%s was left out: it is a link, or not handed in to its end", record["filename"])
        self.src_records = [record for record in self.src_records if record["whole"]]

    def _sort_by_timestamp(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The latest first; of a student who has handed in something whole, only what is."""
        ordered: list[dict[str, Any]] = super()._sort_by_timestamp(
            [record for record in records if record["whole"]] or records
        )
        return ordered

    def _path_to_record(self, path: str) -> dict[str, Any]:
        """What a folder in the exchange is: that of whoever owns it, whatever its name says."""
        record: dict[str, Any] = super()._path_to_record(path)
        record["whole"] = is_whole(Path(path))
        if self.check_owner:
            owner = os.lstat(path).st_uid
            try:
                record["username"] = pwd.getpwuid(owner).pw_name
            except KeyError:
                self.fail(f"{path} belongs to number {owner}, who is no user of this machine; look into it, remove it")
        return record

    def do_copy(self, src: str, dest: str, log: Any = None) -> None:
        """Copy the regular files of a folder."""
        try:
            folder = os.open(src, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            self.log.error("%s was left out: it is a link, or no folder (%s)", src, error.strerror)
            return
        place = Path(dest)
        place.mkdir(parents=True)
        try:
            for name in sorted(os.listdir(folder)):  # noqa: PTH208 (an open folder, which nobody can exchange)
                self._copy_file(folder, name, place / name)
        finally:
            os.close(folder)

    def _copy_file(self, folder: int, name: str, place: Path) -> None:
        try:  # non-blocking: a pipe would be waited for
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError as error:
            self.log.warning("%s was left out of %s: %s", name, place.parent, error.strerror)
            return
        try:
            about = os.fstat(file)
            if not stat.S_ISREG(about.st_mode) or about.st_size > MAX_FILE:
                self.log.warning("%s was left out of %s: no file, or too large", name, place.parent)
                return
            with open(file, "rb", closefd=False) as source:
                place.write_bytes(source.read(MAX_FILE))
        finally:
            os.close(file)
