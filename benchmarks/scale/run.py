"""How grading grows on a cluster: throughput by number of workers, what the scheduler adds, and an estimate.

    .venv/bin/python -m benchmarks.scale.run

Scheduler and workers are real processes on this machine, so more workers than cores show nothing.
"""

import argparse
import json
import logging
import os
import platform
import shlex
import shutil
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from distributed import Client, LocalCluster
from rich.console import Console

from benchmarks.attention.run import processor_name
from benchmarks.grading.stock import sign
from benchmarks.scale.nothing import nothing
from course_lib.check.judge import asked
from course_lib.check.probe import Probe
from course_lib.check.values import pack
from course_lib.grading.classroom import Classroom
from course_lib.grading.cluster.controller import Cluster
from course_lib.grading.cluster.messages import Batch
from course_lib.grading.cluster.worker import course_here
from course_lib.grading.commit import commit
from course_lib.grading.draw import PUBLIC_SEED, draw
from course_lib.grading.grade import prepare
from course_lib.grading.launcher import Cells
from course_lib.grading.limits import Limits
from course_lib.grading.parallel import default_jobs, grade_many
from course_lib.grading.release import register
from course_lib.grading.results import Result, ResultStore
from course_lib.grading.sample_class import make_class
from course_lib.grading.session import Budget, Runs, Session
from course_lib.grading.solution import given_cells
from course_lib.grading.spec import Assignment, assignment

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("results.json")
README = ROOT / "benchmarks" / "README.md"
WORK = ROOT / "build" / "benchmarks" / "scale"
SLUG = "04-attention-layer"
MANY = 100_000
IN_FLIGHT = 64
BUSY = "**A busy machine:** other programs wanted the cores too, so every time is far too long. Run it on a quiet one."
MARKS = "<!-- scale: made by its run -->", "<!-- scale: end -->"


class Counted:
    """A place to run submissions that counts the sessions, each of which is one task."""

    def __init__(self, place: Runs) -> None:
        self.name, self.sessions = place.name, 0
        self._place, self._lock = place, threading.Lock()

    def session(
        self, cells: Cells, *, limits: Limits, budget: Budget, seed: int = 0, asked: Sequence[Sequence[Probe]] = ()
    ) -> Session:
        """As the place does it."""
        with self._lock:
            self.sessions += 1
        return self._place.session(cells, limits=limits, budget=budget, seed=seed, asked=asked)

    def close(self) -> None:
        """As the place does it."""
        self._place.close()


@contextmanager
def workers(count: int) -> Iterator[str]:
    """A scheduler with so many workers of one thread; gives its address."""
    with LocalCluster(
        n_workers=count,
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster.scheduler_address


def benchmark(
    *, students: int, worker_counts: Sequence[int], tasks: Sequence[int], unsafe_local: bool, work: Path
) -> dict[str, Any]:
    """All measurements of one run."""
    spec = assignment(SLUG)
    load = os.getloadavg()[0]
    console = Console(stderr=True)
    room = Classroom(work / "class")
    room.clear()
    for plan in make_class(spec.slug, room, size=students):
        sign(room.submitted(plan.student, spec.slug) / f"{spec.notebook}.ipynb", spec, plan.student)
    register(room, spec.slug)
    prepare(spec)
    grown = []
    for count in worker_counts:
        console.print(f"{students} notebooks on {count} workers")
        shutil.rmtree(room.results, ignore_errors=True)
        grown.append(throughput(room, spec, count, unsafe_local=unsafe_local))
    console.print(f"{students} scores into the gradebook")
    written = commit_seconds(room, spec, unsafe_local=unsafe_local)
    sizes = typical_sizes(spec)
    empty = []
    with workers(max(worker_counts)) as address:
        for count in tasks:
            console.print(f"{count} tasks without work")
            empty.append(overhead(address, count, **sizes))
    return {
        "settings": {
            "assignment": SLUG,
            "students": students,
            "workers": list(worker_counts),
            "tasks": list(tasks),
            "in_flight": IN_FLIGHT,
            "sandbox": not unsafe_local,
        },
        "machine": {
            "processor": processor_name(),
            "cores": default_jobs(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "torch": torch.__version__,
            "load_at_start": load,
        },
        "throughput": grown,
        "message": sizes,
        "overhead": empty,
        "commit_seconds": written,
        "estimate": estimate(grown[0], empty, written),
    }


def throughput(room: Classroom, spec: Assignment, count: int, *, unsafe_local: bool) -> dict[str, Any]:
    """Grade the class on so many workers; the workers have started and were tried out before the clock runs."""
    store = ResultStore(room.results)
    paths = {
        f"{student}/{spec.slug}": room.submitted(student, spec.slug) / f"{spec.notebook}.ipynb"
        for student in room.students(spec.slug)
    }
    with workers(count) as address, Cluster(address, unsafe_local=unsafe_local) as cluster:
        launcher = Counted(cluster.launcher())
        started = time.monotonic()
        found = list(
            grade_many(paths, spec, secret=room.secret(), launcher=launcher, store=store, jobs=cluster.at_once())
        )
        seconds = time.monotonic() - started
    if faults := [outcome.fault for outcome in found if outcome.result is None]:
        raise RuntimeError(f"{len(faults)} of {len(found)} submissions could not be run: {faults[0]}")
    results = [outcome.result for outcome in found if outcome.result is not None]
    return {
        "workers": count,
        "submissions": len(results),
        "seconds": seconds,
        "per_minute": 60 * len(results) / seconds,
        "tasks": launcher.sessions,
        "inside_slots": sum(result.seconds.get("student", 0.0) for result in results),
        "judge": sum(_judging(result) for result in results),
    }


def _judging(result: Result) -> float:
    return result.seconds.get("grading", 0.0) - result.seconds.get("waiting", 0.0)


def commit_seconds(room: Classroom, spec: Assignment, *, unsafe_local: bool) -> float:
    """Seconds for each score that goes into the gradebook."""
    students = room.students(spec.slug)
    started = time.monotonic()
    errors = [error for _, error in commit(room, spec, students) if error]
    if errors and not unsafe_local:
        raise RuntimeError(f"nbgrader refused: {errors[0]}")
    return (time.monotonic() - started) / len(students)


def typical_sizes(spec: Assignment) -> dict[str, int]:
    """Bytes of the task that grades a right submission, and of its answer."""
    cases = [draw(spec, exercise, seed=PUBLIC_SEED) for exercise in spec.exercises]
    batch = Batch(
        cells=given_cells(spec.slug),
        asked=[asked(exercise) for exercise in cases],
        limits=Limits(),
        budget=Limits().submission_seconds,
        spent=0.0,
        limits_hit=[],
        seed=0,
        official=True,
        course=course_here(),
    )
    replies = [case.expected for exercise in cases for line in exercise.lines for case in line.cases]
    return {
        "task_bytes": len(batch.to_bytes()),
        "answer_bytes": sum(len(pack(reply.to_value())) for reply in replies),
    }


def overhead(address: str, count: int, *, task_bytes: int, answer_bytes: int) -> dict[str, Any]:
    """Send so many tasks of real size that do nothing, as grading does, and wait for every answer."""
    message = os.urandom(task_bytes)
    with Client(address, set_as_default=False) as client, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sending large graph")
        executor = client.get_executor(pure=False)
        executor.submit(nothing, message, answer_bytes).result()
        waiting: deque[Any] = deque()
        started = time.monotonic()
        for _ in range(count):
            if len(waiting) == IN_FLIGHT:
                waiting.popleft().result()
            waiting.append(executor.submit(nothing, message, answer_bytes))
        for future in waiting:
            future.result()
        seconds = time.monotonic() - started
    return {"tasks": count, "seconds": seconds, "milliseconds_each": 1000 * seconds / count}


def estimate(grown: dict[str, Any], empty: Sequence[dict[str, Any]], commit_each: float) -> dict[str, Any]:
    """What ``MANY`` submissions would take, from what one takes in each place.

    Args:
        grown: throughput with the fewest workers, who compete least with the controller for this machine's cores.
        empty: the tasks without work; the largest count decides.
        commit_each: seconds for a score.
    """
    size = grown["submissions"]
    tasks = grown["tasks"] / size
    slot, judge = grown["inside_slots"] / size, grown["judge"] / size
    scheduler = tasks * empty[-1]["milliseconds_each"] / 1000
    controller = judge + commit_each
    return {
        "submissions": MANY,
        "tasks_each": tasks,
        "slot_seconds_each": slot,
        "judge_seconds_each": judge,
        "commit_seconds_each": commit_each,
        "scheduler_seconds_each": scheduler,
        "scheduler_hours": MANY * scheduler / 3600,
        "controller_hours": MANY * controller / 3600,
        "slot_hours_on_one_core": MANY * slot / 3600,
        "workers_that_keep_the_controller_busy": slot / controller,
    }


def markdown_tables(results: dict[str, Any]) -> str:
    """The figures as benchmarks/README.md quotes them."""
    machine, guess, sizes = results["machine"], results["estimate"], results["message"]
    lines = [
        f"Measured on: {machine['processor']}, {machine['cores']} cores, {machine['system']}, Python "
        f"{machine['python']}, torch {machine['torch']}; load average at the start {machine['load_at_start']:.1f}.",
        *(["", BUSY] if machine["load_at_start"] > machine["cores"] else []),
        "",
        "| workers | notebooks | tasks | seconds | per minute |",
        "|---:|---:|---:|---:|---:|",
        *(
            f"| {row['workers']} | {row['submissions']} | {row['tasks']} | {row['seconds']:.1f} "
            f"| {row['per_minute']:.1f} |"
            for row in results["throughput"]
        ),
        "",
        f"A task without work, {sizes['task_bytes'] / 1024:.0f} KiB there and {sizes['answer_bytes'] / 1024:.0f} KiB "
        f"back, {results['settings']['in_flight']} on the way at once:",
        "",
        "| tasks | seconds | each |",
        "|---:|---:|---:|",
        *(
            f"| {row['tasks']:,} | {row['seconds']:.1f} | {row['milliseconds_each']:.1f} ms |"
            for row in results["overhead"]
        ),
        "",
        f"**Estimate for {guess['submissions']:,} submissions**, at {guess['tasks_each']:.1f} tasks each: the "
        f"scheduler needs {guess['scheduler_hours']:.1f} hours, slots "
        f"{guess['slot_hours_on_one_core']:.0f} hours of one core, which the workers share. The "
        "controller, one process, judges for "
        f"{1000 * guess['judge_seconds_each']:.0f} ms and writes for {1000 * guess['commit_seconds_each']:.0f} ms "
        f"each: {guess['controller_hours']:.0f} hours. It is the limit from "
        f"{guess['workers_that_keep_the_controller_busy']:.1f} busy workers on; beyond that, grade each assignment "
        "or group with a command of its own.",
    ]
    return "\n".join(lines) + "\n"


def quote(tables: str) -> None:
    """Put the figures into the index of benchmarks, in the place of the last ones."""
    begin, end = MARKS
    before, _, rest = README.read_text(encoding="utf-8").partition(begin)
    README.write_text(f"{before}{begin}\n\n{tables}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=40, help="size of the class that is graded")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of workers")
    parser.add_argument("--tasks", type=int, nargs="+", default=[1000, 10_000], help="numbers of tasks without work")
    parser.add_argument("--unsafe-local", action="store_true", help="grade without the sandbox, where there is none")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for the class")
    parser.add_argument("--out", default=str(RESULTS), help="JSON file to write; - prints it instead")
    options = parser.parse_args()
    results = benchmark(
        students=options.students,
        worker_counts=sorted(options.workers),
        tasks=sorted(options.tasks),
        unsafe_local=options.unsafe_local,
        work=options.work.resolve(),
    )
    text = json.dumps(
        {"command": shlex.join(["python", "-m", "benchmarks.scale.run", *sys.argv[1:]]), **results}, indent=2
    )
    if options.out == "-":
        print(text)
        return
    Path(options.out).write_text(text + "\n")
    print(markdown_tables(results), end="")
    if Path(options.out).resolve() == RESULTS:
        quote(markdown_tables(results))


if __name__ == "__main__":
    main()
