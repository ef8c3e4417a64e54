"""Read the files of a folder or a zip archive without trusting either.

Nothing is unpacked: entries are listed, and their bytes are read one at a time, within limits. No name in
an archive ever becomes a path on this machine.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from zipfile import ZipInfo

from course_lib.grading.collect import CHECKPOINTS
from course_lib.grading.ingest import MAX_FILE, MIB

MAX_ENTRIES = 50_000
MAX_TOTAL = 20 * 1024 * MIB
ENCRYPTED, UTF8 = 0x1, 0x800
JUNK = {"__MACOSX", "Thumbs.db", "desktop.ini", CHECKPOINTS}
READ_ERRORS = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, LZMAError, OSError)


class ArchiveError(Exception):
    """A folder or archive that cannot be read at all; the message says why and what to do."""


class EntryError(Exception):
    """One entry that cannot be read; the message says why."""


@dataclass(frozen=True)
class Entry:
    """One file: the parts of its name inside the folder or archive."""

    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        """The whole name, fit for a terminal."""
        return shown("/".join(self.parts))

    @property
    def is_notebook(self) -> bool:
        """Whether its name says so."""
        return self.parts[-1].casefold().endswith(".ipynb")


class Source(ABC):
    """A folder or an archive.

    Attributes:
        path: where it is.
        entries: its files, without what systems put beside them.
        refused: names of what is not looked at, each with the reason.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self.refused: list[tuple[str, str]] = []

    def stranger(self, folder: str) -> str:
        """The account that a folder belongs to, where that is somebody else's on this machine, or ""."""
        return ""

    @abstractmethod
    def read(self, entry: Entry) -> bytes:
        """The bytes of an entry.

        Raises:
            EntryError: it is damaged or larger than a notebook may be.
        """


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """The files of a folder or zip archive.

    Raises:
        ArchiveError: it is neither, or damaged, encrypted or too large.
    """
    if path.is_dir():
        yield Folder(path)
        return
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise ArchiveError(f"{path} is not there") from error
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise ArchiveError(f"{path} is damaged, or no zip archive: {error}. Download it again") from error
    except OSError as error:
        raise ArchiveError(f"{path} cannot be opened: {error.strerror}") from error
    with archive:
        yield Archive(path, archive)


class Folder(Source):
    """The files below a folder; symbolic links are not followed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        for folder, folders, files in os.walk(path, onerror=self._refuse):
            folders[:] = sorted(name for name in folders if not _is_junk(name))
            for name in sorted([*files, *(f for f in folders if (Path(folder) / f).is_symlink())]):
                entry = Entry((Path(folder) / name).relative_to(path).parts)
                kind = (Path(folder) / name).lstat().st_mode
                if stat.S_ISLNK(kind):
                    self.refused.append((entry.name, "a symbolic link; hand in the file itself"))
                elif not _is_junk(name) and stat.S_ISREG(kind):
                    self.entries.append(entry)
            if len(self.entries) > MAX_ENTRIES:
                raise ArchiveError(f"{path} holds more than {MAX_ENTRIES} files; name the folder of the submissions")

    def _refuse(self, error: OSError) -> None:
        name = Path(error.filename).relative_to(self.path)
        self.refused.append((shown(str(name)), f"it cannot be opened: {error.strerror}"))

    def stranger(self, folder: str) -> str:
        """The account that a folder belongs to, where that is somebody else's on this machine, or ""."""
        if sys.platform == "win32":  # it has no such accounts
            return ""
        import pwd

        owner = (self.path / folder).lstat().st_uid
        if owner in (0, os.getuid()):
            return ""
        try:
            return pwd.getpwuid(owner).pw_name
        except KeyError:  # copied from a machine with other accounts
            return ""

    def read(self, entry: Entry) -> bytes:
        """The bytes of a file."""
        try:
            descriptor = os.open(self.path.joinpath(*entry.parts), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                return _within_limit(file.read(MAX_FILE + 1))
        except OSError as error:
            raise EntryError(f"it cannot be read: {error.strerror}") from error


class Archive(Source):
    """The files of a zip archive."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        super().__init__(path)
        self._archive = archive
        infos = [info for info in archive.infolist() if not info.is_dir()]
        if len(infos) > MAX_ENTRIES:
            raise ArchiveError(
                f"{path} holds {len(infos)} files, {MAX_ENTRIES} are accepted; it is no download of a class"
            )
        total = sum(info.file_size for info in infos)
        if total > MAX_TOTAL:
            size = f"{total / 1024 / MIB:.0f} GiB"
            raise ArchiveError(
                f"{path} would unpack to {size}, {MAX_TOTAL / 1024 / MIB:.0f} are accepted; look into it"
            )
        if any(info.flag_bits & ENCRYPTED for info in infos):
            raise ArchiveError(f"{path} is encrypted; unpack it with its password and name the folder")
        self._infos: dict[tuple[str, ...], ZipInfo] = {}
        names = [re.split(r"[/\\]", _decoded(info)) for info in infos]
        seen = Counter(tuple(parts) for parts in names)
        for info, parts in zip(infos, names, strict=True):
            entry = Entry(tuple(part for part in parts if part not in ("", ".")))
            if any(_is_junk(part) for part in parts if part not in ("", ".", "..")):
                continue
            if why := _refusal(info, parts, seen[tuple(parts)]):
                self.refused.append((shown("/".join(parts)), why))
            else:
                self._infos[entry.parts] = info
                self.entries.append(entry)

    def read(self, entry: Entry) -> bytes:
        """The bytes of an entry; not more than a notebook may have, whatever the archive says of its size."""
        try:
            with self._archive.open(self._infos[entry.parts]) as file:
                return _within_limit(file.read(MAX_FILE + 1))
        except READ_ERRORS as error:
            raise EntryError(f"it is damaged in the archive ({type(error).__name__}); download it again") from error


def is_whole(folder: Path) -> bool:
    """Whether nbgrader has finished handing in a folder: the last it does is to let everybody write to it."""
    try:
        mode = folder.lstat().st_mode
        return stat.S_ISDIR(mode) and bool(mode & stat.S_IWOTH) and (folder / "submission_secret.txt").exists()
    except OSError:
        return False


def shown(text: str) -> str:
    """A name from outside as one line that can do nothing to a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _refusal(info: ZipInfo, parts: list[str], count: int) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "a symbolic link; hand in the file itself" if stat.S_ISLNK(kind) else "no ordinary file"
    if ".." in parts or parts[0] == "" or re.match(r"[A-Za-z]:", parts[0]):
        return "its name leads out of the archive"
    return f"{count} entries of the archive have this name" if count > 1 else ""


def _decoded(info: ZipInfo) -> str:
    """An entry's name; many programs write UTF-8 without saying so."""
    if info.flag_bits & UTF8:
        return info.orig_filename
    try:
        return info.orig_filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.orig_filename


def _is_junk(name: str) -> bool:
    return name in JUNK or name.startswith(".")


def _within_limit(data: bytes) -> bytes:
    if len(data) > MAX_FILE:
        raise EntryError(f"it has more than {MAX_FILE / MIB:.0f} MiB; have its outputs cleared")
    return data
