"""Grading on the workers of a real Dask scheduler: the scores of one machine, whatever happens to the workers."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest

from course_lib.check.probe import Failure, Probe, Reply
from course_lib.check.values import ValueRefused
from course_lib.commands import ATTENTION, DONE, ENVIRONMENT
from course_lib.grading.cluster.controller import Cluster, ClusterLauncher
from course_lib.grading.cluster.messages import Answers, Batch
from course_lib.grading.cluster.worker import course_here, unfit
from course_lib.grading.launcher import Launcher, RunnerFault
from course_lib.grading.limits import Limits
from course_lib.grading.parallel import Outcome, grade_many
from course_lib.grading.results import ResultStore
from course_lib.grading.session import Budget, Runs
from course_lib.grading.spec import Assignment
from tests.grading.dask_cluster import DaskCluster, below, copy_what_a_worker_needs
from tests.grading.test_faults import SMALL, TINY, Undisturbed, assert_nothing_is_wrong_yet, undisturbed
from tests.grading.test_parallel import ANSWERS, SECRET, scores
from tests.grading.tiny import RIGHT

UNSAFE = not shutil.which("bwrap")
MORE: dict[str, Mapping[str, str]] = {
    "raises": RIGHT | {"Scale": "raise ValueError('in the cell')"},
    "raises in a call": RIGHT | {"total": "def total(x):\n    return x[(x.shape, 'no such axis')]"},
    "hostile value": RIGHT | {"total": "class T(torch.Tensor): pass\ndef total(x):\n    return T(x.sum(-1))"},
    "too much": RIGHT | {"total": "def total(x):\n    return [torch.zeros(7_000_000), 'x' * 199_000]"},
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A scheduler with two workers; the second has only those parts of the course that a worker needs."""
    made = DaskCluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.start_scheduler()
        made.add_worker()
        made.add_worker(course=copy_what_a_worker_needs(tmp_path_factory.mktemp("parts")))
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def small(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A class of twelve, graded on this machine."""
    return undisturbed(root, tmp_path_factory.mktemp("small"), SMALL)


def wait_for_workers(cluster: Cluster, count: int) -> None:
    cluster._connected().wait_for_workers(count, timeout=120)


# --- without any cluster ----------------------------------------------------------------------------------------------

PROBES = [Probe(target="f", args=(number,)) for number in range(3)]
BATCH = Batch(
    cells=[("f", "def f(x):\n    return x")],
    asked=[PROBES[:2], PROBES[2:]],
    limits=Limits(),
    budget=300.0,
    spent=1.5,
    limits_hit=["memory"],
    seed=7,
    official=True,
    course={"torch": "2"},
)
HANGS = Reply(failure=Failure("timeout", message="after 10 s in f"))


def test_a_batch_survives_the_journey() -> None:
    assert Batch.from_bytes(BATCH.to_bytes()) == BATCH


def test_answers_survive_the_journey_and_end_where_an_exercise_ended() -> None:
    errors = {"f": Failure("raised", "ValueError", "no")}
    sent = Answers(worker="w", replies=[[HANGS], [Reply(output=2)]], errors=errors, spent=2.0, limits_hit=["timeout"])
    assert Answers.from_bytes(sent.to_bytes(), batch=BATCH) == sent


@pytest.mark.parametrize(
    "wrong",
    [
        Answers(replies=[[Reply(), Reply()]], spent=2.0).to_bytes(),
        Answers(replies=[[Reply()], [Reply()]], spent=2.0).to_bytes(),
        Answers(replies=[[HANGS, Reply()], [Reply()]], spent=2.0).to_bytes(),
        Answers(replies=[[Reply(), Reply()], [Reply(), Reply()]], spent=2.0).to_bytes(),
        Answers(replies=[[Reply(), Reply()], [Reply()]], spent=1.0).to_bytes(),
        Answers(replies=[[Reply(), Reply()], [Reply()]], spent=2.0).to_bytes()[:-1],
        b"\xff" * 20,
        b"",
        None,
    ],
    ids=[
        "a group less",
        "a reply less",
        "one after the end",
        "one more",
        "no time",
        "cut off",
        "noise",
        "empty",
        "none",
    ],
)
def test_answers_to_something_else_are_refused(wrong: object) -> None:
    with pytest.raises(ValueRefused):
        Answers.from_bytes(wrong, batch=BATCH)


def test_a_worker_with_another_torch_must_not_grade() -> None:
    said = unfit(course_here() | {"torch": "1.0"}, official=False)
    assert "torch is " in said and "1.0 here" in said and "the same installation" in said


def test_an_unfit_worker_that_joins_later_gets_no_further_task() -> None:
    replies = [
        Answers(worker="bad", unfit="no sandbox"),
        Answers(worker="good", replies=[[Reply(output=7)]], spent=1.0),
    ]
    sent = []

    class FakeClient:
        status = "running"

        def get_executor(self, *, pure: bool) -> FakeClient:
            return self

        def scheduler_info(self) -> dict[str, dict[str, object]]:
            return {"workers": {"bad": {}, "good": {}}}

        def submit(self, function: object, message: bytes, **where: object) -> Future[bytes]:
            sent.append(where)
            future: Future[bytes] = Future()
            future.set_result(replies[len(sent) - 1].to_bytes())
            return future

    launcher = ClusterLauncher(FakeClient(), "tcp://none", official=True)  # type: ignore[arg-type]
    budget = Budget(300.0)
    session = launcher.session([], limits=Limits(), budget=budget, asked=[PROBES[:1]])
    assert session.ask(PROBES[0]).output == 7 and budget.spent == 1.0
    assert sent == [{}, {"workers": ["good"], "allow_other_workers": True}]
    with pytest.raises(RunnerFault, match="was not sent"):
        session.ask(PROBES[1])


# --- with real ones ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_results_are_those_of_this_machine_even_of_broken_and_hostile_answers(
    cluster: DaskCluster,
    submit: Callable[..., Path],
    tiny_spec: Assignment,
    tmp_path: Path,
    local: Launcher,
    request: pytest.FixtureRequest,
) -> None:
    here: Launcher = local if UNSAFE else request.getfixturevalue("sandboxed")
    paths = {name: submit(answers) for name, answers in (ANSWERS | MORE).items()}

    def grade(launcher: Runs, folder: str) -> dict[str, Outcome]:
        store = ResultStore(tmp_path / folder)
        found = grade_many(paths, tiny_spec, secret=SECRET, launcher=launcher, store=store, jobs=4)
        return {outcome.name: outcome for outcome in found}

    with Cluster(cluster.address, unsafe_local=UNSAFE) as there:
        wait_for_workers(there, 2)
        assert there.at_once() == 4
        far = grade(there.launcher(), "far")
    assert not [outcome.fault for outcome in far.values() if outcome.fault]
    near = grade(here, "near")
    assert len(far) == len(ANSWERS | MORE) and scores(far) == scores(near)


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_nothing_and_leaves_nothing_behind(
    cluster: DaskCluster, small: Undisturbed, tmp_path: Path
) -> None:
    made = small.handed_in.copy(tmp_path / "class")
    process = made.start("grade", TINY, "--scheduler", cluster.address)
    while process.poll() is None and made.progress() < 2:
        time.sleep(0.005)
    victim = cluster.workers[0]
    started = below(victim)
    victim.kill()
    said, _ = process.communicate(timeout=300)
    _, alive = psutil.wait_procs(started, timeout=20)
    assert process.returncode == DONE, said
    assert started and alive == [], "a worker's sandbox outlived it"
    assert made.results() == small.results and made.scores() == small.scores


@pytest.mark.slow
def test_a_scheduler_that_is_started_again_is_named_and_the_next_run_goes_on(
    cluster: DaskCluster, small: Undisturbed, tmp_path: Path
) -> None:
    made = small.handed_in.copy(tmp_path / "class")
    process = made.start("grade", TINY, "--scheduler", cluster.address)
    while process.poll() is None and made.progress() < 3:
        time.sleep(0.005)
    cluster.kill_scheduler()
    cluster.start_scheduler()
    said, _ = process.communicate(timeout=300)
    said = " ".join(said.split())
    assert process.returncode == ATTENTION and "Traceback" not in said, said
    assert f"the scheduler at {cluster.address} has gone or was started again" in said
    assert "Run the command again" in said
    assert_nothing_is_wrong_yet(made, small)
    kept = made.results()
    assert 0 < len(kept) < SMALL
    cluster.add_worker()
    code, said = made.run("grade", TINY, "--scheduler", cluster.address)
    assert code == DONE and f"{len(kept)} graded before" in said, said
    assert made.results() == small.results and made.scores() == small.scores


@pytest.mark.slow
def test_a_worker_without_the_sandbox_is_refused_by_name(
    small: Undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, cluster = small.handed_in.copy(tmp_path / "class"), DaskCluster(tmp_path / "cluster")
    cluster.folder.mkdir()
    try:
        cluster.start_scheduler()
        cluster.add_worker(environment={"PATH": str(tmp_path)})
        code, said = made.run("grade", TINY, "--scheduler", cluster.address)
    finally:
        cluster.close()
    assert code == ENVIRONMENT or UNSAFE, said
    if not UNSAFE:
        assert "the worker tcp://127.0.0.1:" in said and "bubblewrap is not there" in said and "Mend it" in said
        assert ResultStore(made.room.results).log() == []


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_one_sentence(small: Undisturbed, tmp_path: Path) -> None:
    made = small.handed_in.copy(tmp_path / "class")
    code, said = made.run("grade", TINY, "--scheduler", "tcp://127.0.0.1:1")
    assert code == ENVIRONMENT and "no scheduler answers at tcp://127.0.0.1:1" in said and "dask scheduler" in said
