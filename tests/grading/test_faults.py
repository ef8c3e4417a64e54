"""Whatever the machine does during a run: no score is lost, doubled or changed by it, and the same command goes on."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from course_lib.commands import ATTENTION, DONE
from course_lib.grading import classroom as classrooms
from course_lib.grading import commit as committing
from course_lib.grading.classroom import Classroom
from course_lib.grading.results import ResultStore
from course_lib.grading.sample_class import expected_points
from course_lib.grading.sandbox import Warming
from course_lib.grading.standing import standings
from tests.counts import count
from tests.grading import tiny
from tests.grading.class_fixtures import Made
from tests.grading.classes import SLUG, SPEC, Course

TINY = tiny.SLUG
REPOSITORY = Path(__file__).resolve().parents[2]
SMALL, LARGE = 12, 60
WRONG = {
    "mean": {"total": "def total(x):\n    return x.mean(-1)"},
    "square": {"double": "def double(x):\n    return x * x"},
    "slow": {"double": "import time\ndef double(x):\n    time.sleep(0.05)\n    return x + x"},
    "blank": {"Scale": ""},
    "crash": {"total": "1 / 0"},
}


@dataclass(frozen=True)
class Sample:
    """A class of the tiny assignment, and how to run commands on it.

    Attributes:
        root: where the tiny assignment stands.
        room: the class.
        kind: with the sandbox where it is to be had, else without.
    """

    root: Path
    room: Classroom
    kind: tuple[str, ...]

    def command(self, *words: str, rubric: str = "sum") -> list[str]:
        """A command on this class, as a process."""
        more = self.kind if words[0] in ("grade", "regrade") else ()
        program = [sys.executable, "-m", "tests.grading.course_process", str(self.root), rubric]
        return [*program, *words, "--class", str(self.room.folder), *more]

    def start(self, *words: str, rubric: str = "sum", before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start a command."""
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "COLUMNS": "300"}
        return subprocess.Popen(
            [*before, *self.command(*words, rubric=rubric)],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str, rubric: str = "sum", before: tuple[str, ...] = ()) -> tuple[int, str]:
        """Run a command to its end; gives exit code and what it printed, in one line."""
        process = self.start(*words, rubric=rubric, before=before)
        said, _ = process.communicate(timeout=300)
        assert "Traceback" not in said, said
        return process.returncode, " ".join(said.split())

    def progress(self) -> int:
        """How many results and how many written scores there are. Reads only: a store that is opened repairs itself."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.room.results / "log.jsonl").read_bytes().count(b"\n")
            return lines + len(list(self.room.folder.glob(f"committed/{TINY}/*.json")))
        return 0

    def results(self) -> dict[str, Any]:
        """What each submission earned, by the log, which must name each once."""
        store, found = ResultStore(self.room.results), dict[str, Any]()
        assert store.audit() == []
        for entry in store.log():
            assert entry["submission"] not in found, "a result was logged twice"
            result = store.get(entry["key"])
            assert result is not None
            found[entry["submission"]] = result.scores()
        return found

    def scores(self) -> dict[str, dict[str, float | None]]:
        """The automatic scores in the gradebook, by student and cell."""
        known = standings(self.room, TINY)
        return {student: {n: cell.auto for n, cell in known[student].cells.items()} for student in sorted(known)}

    def copy(self, folder: Path) -> Sample:
        """The same class in a folder of its own."""
        shutil.copytree(self.room.folder, folder)
        return Sample(self.root, Classroom(folder), self.kind)


def make(root: Path, folder: Path, size: int) -> Sample:
    """A class as it was handed in: right, wrong, blank, slow and broken notebooks, no two of them equal."""
    kinds = list(WRONG.values())
    for number in range(size):
        answers = tiny.RIGHT | (kinds[number % len(kinds)] if number % 2 else {})
        answers = answers | {"double": f"{answers['double']}\n# {number}"}
        path = folder / "submitted" / f"s{number:02}" / TINY / "tiny.ipynb"
        path.parent.mkdir(parents=True)
        text = json.dumps(tiny.notebook(root, answers))
        path.write_text(text if number != 7 else text[: len(text) // 2])
    room = Classroom(folder)
    room.secret()
    return Sample(root, room, () if shutil.which("bwrap") else ("--unsafe-local",))


@dataclass(frozen=True)
class Undisturbed:
    """A class that was handed in, and what a run that nothing disturbs makes of it."""

    handed_in: Sample
    results: dict[str, Any]
    scores: dict[str, dict[str, float | None]]


def undisturbed(root: Path, folder: Path, size: int, rubric: str = "sum") -> Undisturbed:
    made = make(root, folder / "class", size)
    graded = made.copy(folder / "graded")
    code, said = graded.run("grade", TINY, rubric=rubric)
    assert code == DONE, said
    assert len(graded.scores()) == size
    return Undisturbed(made, graded.results(), graded.scores())


@pytest.fixture(scope="module")
def small(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A class of twelve."""
    return undisturbed(root, tmp_path_factory.mktemp("small"), SMALL)


@pytest.fixture(scope="module")
def large(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A class of sixty."""
    return undisturbed(root, tmp_path_factory.mktemp("large"), LARGE)


def below(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that a command has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def assert_nothing_is_wrong_yet(made: Sample, expected: Undisturbed) -> None:
    """A score is the final one or not there; never a zero, and never another's."""
    for student, cells in made.scores().items():
        for name, score in cells.items():
            assert score is None or score == expected.scores[student][name], (student, name)
    for entry in ResultStore(made.room.results).log():
        result = ResultStore(made.room.results).get(entry["key"])
        assert result is not None and result.scores() == expected.results[entry["submission"]]


@pytest.fixture(params=["scores written apart", "scores written by the controller"])
def who_writes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small classes have no process of their own for the gradebook, unless they are told to."""
    monkeypatch.setenv("SUBMISSIONS_FOR_A_WRITER", "1" if request.param == "scores written apart" else "1000")


def kill_the_controller(expected: Undisturbed, folder: Path, moments: list[int], seed: int) -> None:
    """Kill a run once so many results and scores are there, for each of the moments; then let it end."""
    made, rng = expected.handed_in.copy(folder), random.Random(seed)
    for moment in moments:
        process = made.start("grade", TINY, "--jobs", "2")
        while process.poll() is None and made.progress() < moment:
            time.sleep(0.005)
        time.sleep(rng.random() * 0.05)
        started = below(process)
        process.kill()
        process.communicate()
        _, alive = psutil.wait_procs(started, timeout=20)
        assert alive == [], "the runner or a slot outlived its controller"
        assert_nothing_is_wrong_yet(made, expected)
    code, said = made.run("grade", TINY)
    assert code == DONE, said
    assert made.results() == expected.results and made.scores() == expected.scores
    code, said = made.run("audit")
    assert code == DONE, said


def kill_slots(expected: Undisturbed, folder: Path, kills: int, seed: int) -> None:
    """Kill slots, and now and then the runner with all of them, while a run goes on."""
    made, rng = expected.handed_in.copy(folder), random.Random(seed)
    process = made.start("grade", TINY, "--jobs", "2")
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.append(process.stdout.read() if process.stdout else ""))
    reader.start()
    size, killed = len(expected.scores), 0
    while killed < kills and process.poll() is None and made.progress() < 2 * size:
        time.sleep(0.002 + rng.random() * 0.02)
        found = below(process)
        leaves = [p for p in found if not _has_children(p)]
        if leaves and made.progress():  # before the first result the sandbox is being tried out
            victim = rng.choice(found if killed % 5 == 4 else leaves)
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
                killed += 1
    process.wait(300)
    reader.join()
    assert killed, "the run was over before anything could be killed"
    assert process.returncode in (DONE, ATTENTION), said
    assert_nothing_is_wrong_yet(made, expected)
    if process.returncode == ATTENTION:
        assert "Run the command again" in " ".join(said[0].split())
        assert made.run("grade", TINY)[0] == DONE
    assert made.results() == expected.results and made.scores() == expected.scores


def _has_children(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.children())
    return False


@pytest.mark.slow
@pytest.mark.usefixtures("who_writes")
def test_a_controller_that_is_killed_again_and_again_loses_and_changes_nothing(
    small: Undisturbed, tmp_path: Path
) -> None:
    kill_the_controller(small, tmp_path / "class", count([4, 17], soak=[0, 4, 11, 17]), seed=1)


@pytest.mark.slow
@pytest.mark.usefixtures("who_writes")
def test_slots_and_runners_that_are_killed_cost_nobody_a_point(small: Undisturbed, tmp_path: Path) -> None:
    kill_slots(small, tmp_path / "class", kills=6, seed=2)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(3))
def test_a_large_class_survives_many_killed_controllers(large: Undisturbed, tmp_path: Path, seed: int) -> None:
    moments = sorted(random.Random(seed).sample(range(2 * LARGE), 10))
    kill_the_controller(large, tmp_path / "class", moments, seed=seed)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(3))
def test_a_large_class_survives_many_killed_slots(large: Undisturbed, tmp_path: Path, seed: int) -> None:
    kill_slots(large, tmp_path / "class", kills=40, seed=seed)


@pytest.mark.slow
def test_two_commands_at_once_take_turns_and_write_each_score_once(small: Undisturbed, tmp_path: Path) -> None:
    made = small.handed_in.copy(tmp_path / "class")
    both = [made.start("grade", TINY), made.start("grade", TINY)]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [DONE, DONE], said
    assert sum("waiting: course grade, process" in text for text in said) == 1, said
    assert sum("the gradebook is up to date" in text for text in said) == 1, said
    assert made.results() == small.results and made.scores() == small.scores


@pytest.mark.slow
def test_a_rubric_that_changes_between_two_halves_of_a_run_replaces_nothing_by_itself(
    small: Undisturbed, root: Path, tmp_path: Path
) -> None:
    made = small.handed_in.copy(tmp_path / "class")
    process = made.start("grade", TINY)
    while process.poll() is None and made.progress() < SMALL + 6:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    written = {path.stem for path in made.room.folder.glob(f"committed/{TINY}/*.json")}
    assert 6 <= len(written) < SMALL
    code, said = made.run("grade", TINY, rubric="mean")
    assert code == ATTENTION and "keep the scores that the gradebook has" in said
    assert f"course regrade {TINY}" in said and "the assignment's rubric or solution" in said
    for student in written:
        assert made.scores()[student] == small.scores[student]
    code, said = made.run("regrade", TINY, "--yes", rubric="mean")
    assert code == DONE and "total │ output │ 1 │ 0 │ -1" in said
    other = undisturbed(root, tmp_path / "other", SMALL, "mean")
    assert made.scores() == other.scores and made.scores() != small.scores
    assert made.run("audit", rubric="mean")[0] == DONE


# --- a disk that is really full ---------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Path, tuple[str, ...]]]:
    """A file system of 12 MiB of its own: where it is mounted, how it is reached from here, and how to run there."""
    place = tmp_path / "disk"
    place.mkdir()
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    mount = f"mount -t tmpfs -o size=12m none {place} && echo mounted && exec sleep 1000"
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("no small disk: the programs unshare and nsenter are not there")
    command = ["unshare", *rights, "--mount", "sh", "-c", mount]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert holder.stdout is not None
        said = holder.stdout.readline().strip()
        if said != "mounted":
            pytest.skip(f"no small disk: mounting is not allowed here ({said})")
        enter = ["nsenter", "--mount", "--target", str(holder.pid), f"--wdns={REPOSITORY}"]
        enter += [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        seen = Path(f"/proc/{holder.pid}/root") / place.relative_to("/")
        yield place, seen, tuple(enter)
    finally:
        holder.kill()
        holder.wait()


def fill(disk: Path, *, free: int) -> None:
    """Leave so many bytes."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    space = os.statvfs(disk)
    with filler.open("wb") as file:
        file.write(bytes(max(0, space.f_bavail * space.f_frsize - free)))


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(
    small: Undisturbed, small_disk: tuple[Path, Path, tuple[str, ...]], tmp_path: Path
) -> None:
    place, seen, enter = small_disk
    shutil.copytree(small.handed_in.room.folder, seen / "class")
    there = Sample(small.handed_in.root, Classroom(place / "class"), small.handed_in.kind)
    stopped = 0
    for free in count((0, 260_000), soak=(0, 200_000, 260_000, 320_000, 500_000)):
        fill(seen, free=free)
        code, said = there.run("grade", TINY, before=enter)
        if code != DONE:
            assert code == ATTENTION and "the disk is full: free some space" in said, (free, said)
            stopped += 1
    assert stopped >= count(1, soak=3)
    (seen / "filler").unlink()
    code, said = there.run("grade", TINY, before=enter)
    assert code == DONE, said
    shutil.copytree(seen / "class", tmp_path / "after")
    after = Sample(small.handed_in.root, Classroom(tmp_path / "after"), ())
    assert after.results() == small.results and after.scores() == small.scores


# --- a gradebook that somebody else holds -----------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], sqlite3.Connection]:
    """Nothing is run, a locked gradebook is waited for half a second, and there is somebody to lock it."""
    monkeypatch.setattr(Warming, "start", lambda _: None)
    monkeypatch.setattr(Warming, "launcher", lambda _: pytest.fail("nothing had to be run"))
    monkeypatch.setattr(classrooms, "LOCK_SECONDS", 0.5)
    return lambda path: sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def test_a_gradebook_that_another_program_keeps_locked_is_waited_for_and_then_named(
    course: Course, handed_in: Made, impatient: Callable[[Path], sqlite3.Connection]
) -> None:
    room = handed_in.room
    holder = impatient(room.gradebook_file)
    holder.execute("BEGIN EXCLUSIVE")
    code, said = course("grade", SLUG, "--class", room.folder)
    assert code == ATTENTION and "locked" in said and "goes on from here" in said and "Traceback" not in said
    holder.execute("ROLLBACK")
    assert course("grade", SLUG, "--class", room.folder)[0] == DONE
    assert len(standings(room, SLUG)) == 8


def test_a_gradebook_that_is_locked_while_scores_are_written_gets_the_rest_later(
    course: Course,
    handed_in: Made,
    impatient: Callable[[Path], sqlite3.Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = handed_in.room
    holder = impatient(room.gradebook_file)
    original = committing.NbGraderAPI.autograde
    calls = []

    def lock_before_the_third(self: object, *words: str) -> object:
        calls.append(words)
        if len(calls) == 3:
            holder.execute("BEGIN IMMEDIATE")
        return original(self, *words)

    monkeypatch.setattr(committing.NbGraderAPI, "autograde", lock_before_the_third)
    code, said = course("grade", SLUG, "--class", room.folder)
    assert code == ATTENTION and "2 of 8 scores" in said and "locked" in said and len(calls) == 3
    holder.execute("ROLLBACK")
    assert course("grade", SLUG, "--class", room.folder)[0] == DONE
    assert len(calls) == 9
    for student, standing in standings(room, SLUG).items():
        assert standing.score == sum(expected_points(SPEC, handed_in.plans[student]).values())


def test_a_gradebook_that_is_locked_for_a_moment_only_is_waited_for(
    course: Course, handed_in: Made, impatient: Callable[[Path], sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = impatient(handed_in.room.gradebook_file)
    monkeypatch.setattr(classrooms, "LOCK_SECONDS", 30)
    holder.execute("BEGIN EXCLUSIVE")
    threading.Timer(1.0, holder.execute, ["ROLLBACK"]).start()
    assert course("grade", SLUG, "--class", handed_in.room.folder)[0] == DONE
    assert len(standings(handed_in.room, SLUG)) == 8


def test_a_graded_notebook_that_was_cut_off_while_it_was_written_is_written_again(
    course: Course, graded: Made, impatient: Callable[[Path], sqlite3.Connection]
) -> None:
    room, student = graded.room, graded.student(wrote="right")
    path = room.autograded(student, SLUG) / f"{SPEC.notebook}.ipynb"
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole[: len(whole) // 2])
    assert course("grade", SLUG, "--class", room.folder)[0] == DONE
    assert path.read_bytes() == whole


def test_a_second_command_waits_for_the_first_and_says_so(
    course: Course, graded: Made, impatient: Callable[[Path], sqlite3.Connection]
) -> None:
    room = graded.room
    inside, waited = threading.Event(), threading.Event()

    def work() -> None:
        with room.alone("course grade", waits=lambda _: None):
            inside.set()
            waited.wait(30)

    other = threading.Thread(target=work)
    other.start()
    inside.wait(30)
    threading.Timer(0.3, waited.set).start()
    code, said = course("grade", SLUG, "--class", room.folder)
    other.join()
    assert code == DONE and "waiting: course grade, process" in said and "up to date" in said
