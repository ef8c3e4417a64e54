"""nbgrader's exchange as the course uses it: what is handed out is known, what is taken in leads nowhere else."""

from __future__ import annotations

import os
import pwd
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from nbgrader.auth import Authenticator
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange import ExchangeFactory
from nbgrader.exchange.default import ExchangeSubmit
from traitlets.config import Config

from course_lib.grading.classroom import Classroom
from course_lib.grading.release import is_registered
from tests.grading.classes import SLUG, SPEC

NAME = f"{SPEC.notebook}.ipynb"
OWNERS = {1: "ada", 2: "ben"}


class Exchange:
    """An exchange for a class, through which nbgrader works as the course has set it up."""

    def __init__(self, folder: Path) -> None:
        self.room, self.root = Classroom(folder / "class"), folder / "exchange"
        self.root.mkdir()
        self.root.chmod(0o777)
        self.room.folder.mkdir()
        self.inbound = self.root / "cs" / "inbound"

    def do(self, what: str, **settings: bool) -> None:
        """Do what the formgrader's button does."""
        config = self.room.config()
        config.Exchange.root, config.CourseDirectory.course_id = str(self.root), "cs"
        config.CourseDirectory.assignment_id = SLUG
        config.ExchangeCollect.update(settings)
        make = getattr(ExchangeFactory(config=config), what)
        coursedir = CourseDirectory(config=config)
        make(coursedir=coursedir, authenticator=Authenticator(config=config), config=config).start()

    def hand_in(self, name: str, content: str, *, second: int = 0) -> Path:
        """A folder in the exchange that carries a student's name."""
        folder = self.inbound / f"{name}+{SLUG}+2026-03-01 10:00:{second:02d}.000000 UTC+abc"
        folder.mkdir(parents=True)
        (folder / NAME).write_text(content)
        (folder / "submission_secret.txt").write_text("secret")
        folder.chmod(0o777)  # as nbgrader leaves it
        return folder

    def submit(self, name: str, content: str) -> None:
        """Hand in as a student's server does."""
        work = self.root.parent / "homes" / name / SLUG
        work.mkdir(parents=True, exist_ok=True)
        (work / NAME).write_text(content)
        config = Config()
        config.Exchange.root, config.CourseDirectory.course_id = str(self.root), "cs"
        config.Exchange.cache, config.Exchange.assignment_dir = str(work.parent / "cache"), str(work.parent)
        config.CourseDirectory.student_id, config.CourseDirectory.assignment_id = name, SLUG
        coursedir = CourseDirectory(config=config)
        ExchangeSubmit(coursedir=coursedir, authenticator=Authenticator(config=config), config=config).start()

    def notebooks(self) -> dict[str, str]:
        """The notebook of each student in the class."""
        return {name: files[NAME] for name, files in self.taken().items()}

    def taken(self) -> dict[str, dict[str, str]]:
        """The files of each student in the class."""
        folders = (self.room.folder / "submitted").glob(f"*/{SLUG}")
        return {folder.parent.name: {f.name: f.read_text() for f in sorted(folder.iterdir())} for folder in folders}


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    return Exchange(tmp_path)


def test_what_is_released_is_in_the_gradebook_and_in_the_exchange(exchange: Exchange) -> None:
    exchange.do("ReleaseAssignment")
    assert is_registered(exchange.room, SPEC)
    assert (exchange.root / "cs" / "outbound" / SLUG / NAME).is_file()


def test_a_submission_is_that_of_whoever_owns_it_whatever_its_name_says(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = exchange.hand_in("ada", "ada's")
    forged = exchange.hand_in("ada", "ben's", second=1)
    truly, folders = os.lstat, {str(path): number for path, number in ((honest, 1), (forged, 2))}

    def lstat(path: str | Path, **more: int | None) -> os.stat_result | SimpleNamespace:
        number = folders.get(str(path))
        return truly(path, **more) if number is None else SimpleNamespace(st_uid=number)

    monkeypatch.setattr(os, "lstat", lstat)
    monkeypatch.setattr(pwd, "getpwuid", lambda number: SimpleNamespace(pw_name=OWNERS.get(number, "grader")))
    exchange.do("Collect")
    monkeypatch.undo()
    assert exchange.notebooks() == {"ada": "ada's", "ben": "ben's"}


def test_where_all_users_are_one_account_the_name_says_whose_it_is(exchange: Exchange) -> None:
    exchange.hand_in("ada", "ada's")
    exchange.do("Collect", check_owner=False)
    assert exchange.taken() == {"ada": {NAME: "ada's", "submission_secret.txt": "secret"}}


def test_no_link_is_followed_and_the_others_are_taken_in(exchange: Exchange, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    (private / NAME).write_text("another's")
    linking = exchange.hand_in("ada", "")
    (linking / NAME).unlink()
    (linking / NAME).symlink_to(private / NAME)
    os.mkfifo(linking / "pipe")
    (linking / "deep").mkdir()
    (exchange.inbound / f"ben+{SLUG}+2026-03-01 10:00:00.000000 UTC+abc").symlink_to(private)
    exchange.hand_in("cleo", "cleo's")
    exchange.do("Collect", check_owner=False)
    assert exchange.taken() == {
        "ada": {"submission_secret.txt": "secret"},
        "cleo": {NAME: "cleo's", "submission_secret.txt": "secret"},
    }


def test_all_who_hand_in_at_the_same_moment_are_collected(exchange: Exchange) -> None:
    exchange.do("ReleaseAssignment")
    names = [f"s{number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(exchange.submit, names, names))
    exchange.do("Collect", check_owner=False)
    assert exchange.notebooks() == {name: name for name in names}


@pytest.mark.parametrize("step", ["do_copy", "set_perms"])
def test_a_hand_in_during_collection_leaves_the_earlier_one_and_is_taken_whole_the_next_time(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    exchange.do("ReleaseAssignment")
    exchange.submit("ada", "first")
    truly = getattr(ExchangeSubmit, step)

    def then_collect(submit: ExchangeSubmit, *args: object, **more: object) -> None:
        truly(submit, *args, **more)
        monkeypatch.undo()
        exchange.do("Collect", check_owner=False)

    monkeypatch.setattr(ExchangeSubmit, step, then_collect)
    exchange.submit("ada", "second")
    assert exchange.notebooks() == {"ada": "first"}
    exchange.do("Collect", check_owner=False, update=True)
    assert exchange.notebooks() == {"ada": "second"}


@pytest.mark.parametrize("step", ["do_copy", "set_perms"])
def test_a_server_killed_while_handing_in_loses_nothing_that_was_handed_in(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    exchange.do("ReleaseAssignment")
    exchange.submit("ada", "first")

    def killed(submit: ExchangeSubmit, source: str, *args: object, **more: object) -> None:
        if step == "do_copy":  # a folder is there, and nothing is in it yet
            Path(str(args[0])).mkdir()
        raise KeyboardInterrupt

    for name in ("ada", "ben"):
        monkeypatch.setattr(ExchangeSubmit, step, killed)
        with pytest.raises(KeyboardInterrupt):
            exchange.submit(name, "second")
        monkeypatch.undo()
    exchange.do("Collect", check_owner=False)
    assert exchange.notebooks() == {"ada": "first"}
    exchange.submit("ben", "third")
    exchange.do("Collect", check_owner=False)
    assert exchange.notebooks() == {"ada": "first", "ben": "third"}
