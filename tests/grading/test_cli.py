"""The `course` command: what it says, what it returns, and that it can be stopped at any time."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from course_lib.commands import ATTENTION, DONE, ENVIRONMENT, FAULT, INTERRUPTED, USAGE
from course_lib.commands import grade as grade_command
from course_lib.commands import inspect as inspect_command
from course_lib.grading import commit as committing
from course_lib.grading.classroom import Classroom
from course_lib.grading.parallel import Outcome
from course_lib.grading.places import ROOT
from course_lib.grading.protections import Protection
from course_lib.grading.results import Result, ResultStore
from course_lib.grading.sample_class import expected_points
from course_lib.grading.sandbox import SandboxMissing, Warming
from course_lib.grading.standing import standings
from course_lib.grading.unchanged import never_graded
from tests.grading.class_fixtures import Made
from tests.grading.classes import SLUG, SPEC, Course, sample


def no_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a sandbox fails."""
    monkeypatch.setattr(Warming, "start", lambda _: None)
    monkeypatch.setattr(Warming, "launcher", lambda _: pytest.fail("nothing had to be run"))


def test_help_takes_less_than_a_second_of_work_and_names_every_command() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", "from course_lib.cli import main; main()", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)  # not the wall's time: the machine may be busy
    prepare, look = ("release", "due", "sample-class", "demo"), ("kill-table", "doctor", "audit")
    for name in (*prepare, "collect", "grade", "regrade", "feedback", "report", "export", *look):
        assert f" {name} " in said
    assert "Exit codes" in said
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


def test_help_needs_neither_torch_nor_nbgrader() -> None:
    code = "import sys, course_lib.cli; print({'torch', 'nbgrader', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_the_runner_can_be_started_before_anything_large_is_imported() -> None:
    large = {"torch", "numpy", "nbgrader", "sqlalchemy"}
    code = "import sys, course_lib.grading.sandbox, course_lib.grading.unchanged; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert large.isdisjoint(said.split())


def test_a_runner_is_started_early_only_where_something_was_never_graded(graded: Made) -> None:
    folder = graded.room.folder
    assert not never_graded(folder, SLUG) and not never_graded(folder, None) and not never_graded(folder / "no", None)
    shutil.copytree(folder / "submitted" / graded.student(wrote="right"), folder / "submitted" / "somebody-else")
    assert never_graded(folder, SLUG) and never_graded(folder, None) and not never_graded(folder, "05-transformer")


@pytest.mark.parametrize(
    "words",
    [("grade", "99-nothing"), ("report", "99-nothing"), ("nonsense",), ("grade", "--jobs", "0"), ("--nonsense",)],
)
def test_what_does_not_exist_is_a_usage_error(course: Course, words: tuple[str, ...], tmp_path: Path) -> None:
    more = ("--class", tmp_path) if words[0] in ("grade", "report") else ()
    code, said = course(*words, *more)
    assert code == USAGE and "Traceback" not in said
    if "99-nothing" in words:
        assert "there is no assignment '99-nothing'; there are: " in said and SLUG in said


@pytest.mark.parametrize("command", ["grade", "feedback", "report", "export", "audit"])
def test_a_class_without_anything_gives_a_remedy(course: Course, command: str, tmp_path: Path) -> None:
    code, said = course(command, "--class", tmp_path)
    assert code == ATTENTION and "course " in said and "Traceback" not in said


def test_a_missing_protection_is_named_with_its_remedy(
    course: Course, handed_in: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = handed_in.room
    shutil.rmtree(room.results)

    def refuse(_: Warming) -> None:
        raise SandboxMissing("bubblewrap is not there; install it. To grade without, say --unsafe-local")

    monkeypatch.setattr(Warming, "launcher", refuse)
    code, said = course("grade", SLUG, "--class", room.folder)
    assert code == ENVIRONMENT and "bubblewrap is not there" in said and "--unsafe-local" in said
    assert standings(room, SLUG) == {}


def test_a_fault_of_the_course_is_one_sentence_without_traceback(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grade_command, "classroom", lambda folder: 1 / 0)
    code, said = course("grade", "--class", tmp_path)
    assert code == FAULT and "ZeroDivisionError" in said and "COURSE_DEBUG=1" in said and "Traceback" not in said


def test_stored_results_are_written_and_a_second_run_writes_nothing(
    course: Course, handed_in: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_runs(monkeypatch)
    code, said = course("grade", SLUG, "--class", handed_in.room.folder)
    assert code == DONE and "8 notebooks, 8 graded before" in said and "8/8" in said
    for student, standing in standings(handed_in.room, SLUG).items():
        assert standing.score == sum(expected_points(SPEC, handed_in.plans[student]).values())
    logged = {entry["submission"] for entry in ResultStore(handed_in.room.results).log()}
    assert logged == {f"{student}/{SLUG}" for student in handed_in.plans}
    code, said = course("grade", "--class", handed_in.room.folder)
    assert code == DONE and "the gradebook is up to date" in said


@pytest.mark.parametrize("touched", ["submission", "gradebook", "secret", "result", "page"])
def test_where_nothing_has_changed_a_run_says_what_the_last_one_said_and_where_anything_has_it_looks(
    course: Course, handed_in: Made, monkeypatch: pytest.MonkeyPatch, touched: str
) -> None:
    no_runs(monkeypatch)
    room = handed_in.room
    _, first = course("grade", SLUG, "--class", room.folder)
    monkeypatch.setattr(grade_command, "run", lambda *_, **__: pytest.fail("nothing had changed"))
    code, again = course("grade", SLUG, "--class", room.folder)
    mean = "mean of the automatic part"
    assert code == DONE and "nothing has changed" in again
    assert again[again.index(mean) :] == first[first.index(mean) :]

    student = handed_in.student(wrote="right")
    path = {
        "submission": room.submitted(student, SLUG) / f"{SPEC.notebook}.ipynb",
        "gradebook": room.gradebook_file,
        "secret": room.folder / "secret.key",
        "result": next(room.results.rglob("*.json")),
        "page": room.autograded(student, SLUG) / f"{SPEC.notebook}.ipynb",
    }[touched]
    path.write_bytes(path.read_bytes() + b" ")
    looked = []
    monkeypatch.setattr(grade_command, "run", lambda *_, **__: looked.append(1))
    course("grade", SLUG, "--class", room.folder)
    assert looked


def test_a_run_that_could_not_do_everything_is_not_remembered_as_complete(
    course: Course, graded: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = graded.room.submitted(graded.student(wrote="right"), SLUG) / f"{SPEC.notebook}.ipynb"
    path.write_text(path.read_text().replace("weights @ embeddings", "weights @ embeddings + 0"))

    def fail(submissions: dict[str, Path], *_: object, **__: object) -> Iterator[Outcome]:
        yield from (Outcome(name, None, fault="the disk is full") for name in submissions)

    monkeypatch.setattr(Warming, "launcher", lambda _: None)
    monkeypatch.setattr(grade_command, "grade_many", fail)
    for _ in range(2):
        code, said = course("grade", SLUG, "--class", graded.room.folder)
        assert code == ATTENTION and "the disk is full" in said


def test_a_submission_that_this_machine_cannot_run_keeps_its_score(
    course: Course, graded: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, student = graded.room, graded.student(wrote="right")
    before = standings(room, SLUG)[student]
    path = room.submitted(student, SLUG) / f"{SPEC.notebook}.ipynb"
    path.write_text(path.read_text().replace("weights @ embeddings", "weights @ embeddings + 0"))

    def fail(submissions: dict[str, Path], *_: object, **__: object) -> Iterator[Outcome]:
        yield from (Outcome(name, None, fault="the runner has gone") for name in submissions)

    monkeypatch.setattr(Warming, "launcher", lambda _: None)
    monkeypatch.setattr(grade_command, "grade_many", fail)
    code, said = course("grade", SLUG, "--class", room.folder)
    assert code == ATTENTION and f"{student}/{SLUG}: the runner has gone. Run" in said
    assert standings(room, SLUG)[student] == before


def give(results: Mapping[str, Result], after_each: Callable[[str], object]) -> Callable[..., Iterator[Outcome]]:
    """In the place of running submissions: these results, and something that happens when the next one is asked for."""

    def outcomes(left: Mapping[str, Path], *_: object, store: ResultStore, **__: object) -> Iterator[Outcome]:
        for name in left:
            student = name.partition("/")[0]
            store.put(results[student], submission=name)
            yield Outcome(name, results[student])
            after_each(student)

    return outcomes


def nothing_ran(handed_in: Made, monkeypatch: pytest.MonkeyPatch) -> tuple[Classroom, Mapping[str, Result]]:
    """The class as if no submission had been run yet, and the results that running them would give."""
    monkeypatch.setattr(Warming, "start", lambda _: None)
    monkeypatch.setattr(Warming, "launcher", lambda _: None)
    shutil.rmtree(handed_in.room.results)
    return handed_in.room, handed_in.results


def test_a_score_is_written_while_others_run(course: Course, handed_in: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    room, results = nothing_ran(handed_in, monkeypatch)
    written: list[list[str]] = []
    outcomes = give(results, lambda _: written.append(sorted(standings(room, SLUG))))
    monkeypatch.setattr(grade_command, "grade_many", outcomes)
    code, said = course("grade", SLUG, "--class", room.folder)
    assert code == DONE and said.count("8/8") == 2
    assert written == [sorted(results)[: number + 1] for number in range(8)]


def test_a_gradebook_that_cannot_be_written_costs_no_result(
    course: Course, handed_in: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, results = nothing_ran(handed_in, monkeypatch)
    original = committing.NbGraderAPI.autograde
    calls: list[object] = []

    def fill_the_disk(self: object, *words: str) -> object:
        calls.append(words)
        return original(self, *words) if len(calls) < 3 else {"success": False, "error": "OSError: Disk quota exceeded"}

    monkeypatch.setattr(committing.NbGraderAPI, "autograde", fill_the_disk)
    monkeypatch.setattr(grade_command, "grade_many", give(results, lambda _: None))
    code, said = course("grade", SLUG, "--class", room.folder)
    assert code == ATTENTION and "2 of 8 scores" in said and "quota is used up" in said and len(calls) == 3
    assert len(standings(room, SLUG)) == 2 and len(ResultStore(room.results).log()) == 8


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C acts as in a terminal, also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_stopped_while_others_run_it_says_what_is_written_and_goes_on_later(
    course: Course, handed_in: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, results = nothing_ran(handed_in, monkeypatch)

    def press_ctrl_c(student: str) -> None:
        if student == sorted(results)[2]:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(grade_command, "grade_many", give(results, press_ctrl_c))
    code, said = course("grade", SLUG, "--class", room.folder)
    assert code == INTERRUPTED and "3 of 8 scores are in the gradebook" in said
    monkeypatch.setattr(grade_command, "grade_many", give(results, lambda _: None))
    code, said = course("grade", SLUG, "--class", room.folder)
    assert code == DONE and "8 notebooks, 3 graded before" in said and len(standings(room, SLUG)) == 8


def test_stopped_while_writing_it_says_so_and_goes_on_later(
    course: Course, handed_in: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_runs(monkeypatch)
    original = committing.NbGraderAPI.autograde
    calls = []

    def press_ctrl_c(self: object, *words: str) -> object:
        calls.append(words)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, *words)

    monkeypatch.setattr(committing.NbGraderAPI, "autograde", press_ctrl_c)
    code, said = course("grade", SLUG, "--class", handed_in.room.folder)
    assert code == INTERRUPTED and "3 of 8 scores are in the gradebook" in said
    assert len(standings(handed_in.room, SLUG)) == 3
    code, _ = course("grade", SLUG, "--class", handed_in.room.folder)
    assert code == DONE and len(calls) == 8
    assert len(standings(handed_in.room, SLUG)) == 8


def test_a_notebook_under_another_name_is_graded_and_named(
    course: Course, graded: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_runs(monkeypatch)
    room, student = graded.room, graded.student(wrote="right")
    path = room.submitted(student, SLUG) / f"{SPEC.notebook}.ipynb"
    path.rename(path.with_name("attention-layer (1).ipynb"))
    code, said = course("grade", SLUG, "--class", room.folder)
    assert code == DONE and "Files to look at" in said and student in said
    assert path.is_file()


def test_feedback_is_made_once_and_again_when_a_grade_changes(course: Course, graded: Made) -> None:
    room, student = graded.room, graded.student(wrote="right")
    assert "8 feedback pages made" in course("feedback", "--class", room.folder)[1]
    assert "0 feedback pages made" in course("feedback", "--class", room.folder)[1]
    with room.gradebook() as gradebook:
        grade = gradebook.find_grade(SPEC.written[0].name, SPEC.notebook, SLUG, student)
        grade.manual_score, grade.needs_manual_grade = 4.0, False
        gradebook.db.commit()
    code, said = course("feedback", "--class", room.folder)
    assert code == DONE and "1 feedback pages made" in said


def test_report_and_export_say_where_their_files_are(course: Course, graded: Made) -> None:
    room = graded.room
    code, said = course("report", SLUG, "--class", room.folder)
    assert code == DONE and str(room.folder / "reports" / f"{SLUG}.html") in said
    code, said = course("export", "--class", room.folder)
    assert code == DONE and (room.folder / "gradebook.csv").is_file() and "8 rows" in said


def test_the_kill_table_as_json_can_be_read_and_names_the_catching_line(course: Course) -> None:
    code, said = course("kill-table", SLUG, "--exercise", "causal_mask", "--json")
    (table,) = json.loads(said)
    (exercise,) = table["exercises"]
    assert code == DONE and table["holds"]
    for row in exercise["misconceptions"]:
        assert row["intended"] in row["caught_by"] and row["named"]


def test_the_kill_table_refuses_an_exercise_that_is_not_there(course: Course) -> None:
    code, said = course("kill-table", SLUG, "--exercise", "nothing")
    assert code == USAGE and "has no exercise 'nothing'" in said


@pytest.mark.parametrize(("holds", "expected"), [(True, DONE), (False, ENVIRONMENT)])
def test_doctor_shows_each_protection(
    course: Course, holds: bool, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Protection("sandbox", True, "it starts"), Protection("no network", holds, "seen", "cut the cable")]
    monkeypatch.setattr(inspect_command, "protections", lambda: found)
    code, said = course("doctor")
    assert code == expected and "no network" in said
    assert ("cut the cable" in said) == (not holds)


@pytest.mark.slow
def test_a_class_graded_in_the_sandbox_has_the_scores_it_deserves(course: Course, tmp_path: Path) -> None:
    room, plans = sample(tmp_path / "class", size=8, seed=1)
    code, said = course("grade", SLUG, "--class", room.folder, "--jobs", "2")
    assert code == DONE, said
    for student, standing in standings(room, SLUG).items():
        deserved = expected_points(SPEC, plans[student])
        got = {name.removeprefix("check-"): cell.auto for name, cell in standing.cells.items()}
        assert {name: got[name] for name in deserved} == deserved


@pytest.mark.slow
def test_nbgrader_autograde_gives_the_same_scores_as_course_grade(course: Course, tmp_path: Path) -> None:
    one, _ = sample(tmp_path / "one", size=3)
    two, _ = sample(tmp_path / "two", size=3)
    (two.folder / "secret.key").write_bytes(one.secret())
    assert course("grade", SLUG, "--class", one.folder)[0] == DONE
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", "autograde", SLUG],
        cwd=ROOT,
        env=os.environ | {"COURSE_CLASS": str(two.folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert standings(one, SLUG) == standings(two, SLUG)


@pytest.mark.soak
def test_a_large_class_with_an_endless_loop_in_it_is_graded_as_it_deserves(course: Course, tmp_path: Path) -> None:
    room, plans = sample(tmp_path / "class", size=120, seed=7, hostile=True)
    code, said = course("grade", SLUG, "--class", room.folder)
    assert code == DONE and "Stopped at a limit" in said
    known = standings(room, SLUG)
    assert len(known) == 120
    for student, standing in known.items():
        assert standing.score == sum(expected_points(SPEC, plans[student]).values()), student
