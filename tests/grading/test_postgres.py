"""The gradebook in a PostgreSQL database: the scores that a file has, whoever writes at once or is killed."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from course_lib.commands import ATTENTION, DONE
from course_lib.grading import audit, keys, release
from course_lib.grading.classroom import Classroom
from course_lib.grading.sandbox import Warming
from course_lib.grading.spec import Assignment
from tests.grading.classes import Course
from tests.grading.postgres_server import PostgresServer, postgres_server
from tests.grading.test_faults import (
    SMALL,
    TINY,
    Sample,
    Undisturbed,
    assert_nothing_is_wrong_yet,
    undisturbed,
)

pytestmark = pytest.mark.slow
TWICE = "SELECT count(*) FROM {table} GROUP BY {unique} HAVING count(*) > 1"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server for all tests here; each takes a database of its own."""
    with postgres_server() as started:
        yield started


@pytest.fixture(scope="module")
def small(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A class of twelve with its gradebook in a file."""
    return undisturbed(root, tmp_path_factory.mktemp("small"), SMALL)


@pytest.fixture
def made(small: Undisturbed, tmp_path: Path) -> Sample:
    """That class with all results in the store, and no gradebook."""
    folder = tmp_path / "class"
    shutil.copytree(small.handed_in.room.folder.with_name("graded"), folder)
    for name in ("committed", "autograded"):
        shutil.rmtree(folder / name)
    (folder / "gradebook.db").unlink()
    (folder / "graded.json").unlink()
    return Sample(small.handed_in.root, Classroom(folder), small.handed_in.kind)


@pytest.fixture
def tiny_course(course: Course, made: Sample, tiny_spec: Assignment, monkeypatch: pytest.MonkeyPatch) -> Course:
    """The `course` command in this process, on that class; it may run no submission."""
    monkeypatch.setattr(release, "ROOT", made.root)
    monkeypatch.setattr(keys, "_spec_hash", lambda _: "sum")
    monkeypatch.setattr(audit, "is_registered", lambda *_: True)
    monkeypatch.setattr(Warming, "start", lambda _: None)
    monkeypatch.setattr(Warming, "launcher", lambda _: pytest.fail("nothing had to be run"))
    return lambda *words: course(*words, "--class", made.room.folder)


def use(server: PostgresServer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the gradebook is an empty database of this name."""
    monkeypatch.setenv("COURSE_DB_URL", server.new_database(name))


def test_every_command_reads_and_writes_the_database_that_is_named(
    tiny_course: Course, made: Sample, small: Undisturbed, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(server, "commands", monkeypatch)
    due = ("due", TINY, "2026-03-06 17:00 UTC")
    for words in (due, ("grade", TINY), ("feedback", TINY), ("report", TINY), ("export",), ("audit",)):
        code, said = tiny_course(*words)
        assert code == DONE, (words, said)
    assert not made.room.gradebook_file.exists()
    assert made.scores() == small.scores
    code, said = tiny_course("grade", TINY)
    assert code == DONE and "the gradebook is up to date" in said, "what others did in the database was not looked at"

    with made.room.gradebook() as gradebook:
        notebook = gradebook.find_submission_notebook("tiny", TINY, "s00")
        (cell, *_) = [grade for grade in notebook.grades if grade.auto_score]
        cell.auto_score = 99.0
        gradebook.db.commit()
    code, said = tiny_course("audit")
    assert code == ATTENTION and f"s00/{TINY}" in said and "has 99 in the gradebook" in said


def test_an_interrupted_commit_is_finished_by_two_graders_at_once_and_each_score_stands_once(
    made: Sample, small: Undisturbed, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(server, "interrupted", monkeypatch)
    for written in (1, 6):
        process = made.start("grade", TINY)
        while process.poll() is None and len(list(made.room.folder.glob(f"committed/{TINY}/*.json"))) < written:
            time.sleep(0.005)
        process.kill()
        process.communicate()
        assert_nothing_is_wrong_yet(made, small)
    assert len(made.scores()) < SMALL, "nothing was left for the next command"

    both: list[subprocess.Popen[str]] = [made.start("grade", TINY), made.start("grade", TINY)]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [DONE, DONE], said
    assert made.results() == small.results and made.scores() == small.scores
    assert not made.room.gradebook_file.exists()
    for table, unique in (
        ("submitted_assignment", "assignment_id, student_id"),
        ("submitted_notebook", "assignment_id, notebook_id"),
        ("grade", "notebook_id, cell_id"),
    ):
        assert server.rows("interrupted", TWICE.format(table=table, unique=unique)) == []
    assert server.rows("interrupted", "SELECT count(*) FROM submitted_assignment") == [(SMALL,)]


def test_a_server_that_is_stopped_is_one_sentence_and_the_same_command_goes_on(
    tiny_course: Course, made: Sample, small: Undisturbed, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(server, "stopped", monkeypatch)
    server.stop()
    code, said = tiny_course("grade", TINY)
    server.start()
    assert code == ATTENTION and "the gradebook's server does not let this machine in" in said, said
    assert "Nothing is lost" in said and "Traceback" not in said
    assert tiny_course("grade", TINY)[0] == DONE
    assert made.scores() == small.scores


def test_a_class_without_the_variable_keeps_its_file_and_made_up_students_stay_out_of_a_server(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COURSE_DB_URL", raising=False)
    room = Classroom(tmp_path)
    assert not room.on_server and room.database.startswith(f"sqlite:///{tmp_path}")
    monkeypatch.setenv("COURSE_DB_URL", "postgresql+psycopg:///course")
    code, said = course("sample-class", "--into", tmp_path / "sample")
    assert code == ATTENTION and "made-up students would go into the gradebook" in said
    assert room.on_server and room.config().CourseDirectory.db_url == room.database == "postgresql+psycopg:///course"
