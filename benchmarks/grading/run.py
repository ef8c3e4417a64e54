"""Time and memory of grading a class: stock nbgrader against ``course grade``, on the same notebooks.

    .venv/bin/python -m benchmarks.grading.run

A sample class is handed in twice: to a stock nbgrader course, whose grade cells hold assertions that a
kernel for each submission runs one after the other, and to this course. What is done is kept in
build/benchmarks/grading, so a run that was stopped goes on where it stood.
"""

import argparse
import hashlib
import json
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.attention.run import processor_name
from benchmarks.grading.measure import Watched, watch
from benchmarks.grading.stock import environment, make_stock_course, nbgrader, sign
from course_lib.grading.classroom import Classroom
from course_lib.grading.parallel import default_jobs
from course_lib.grading.results import from_json
from course_lib.grading.sample_class import Plan, draw_plans, expected_points, make_class
from course_lib.grading.spec import Assignment, assignment
from course_lib.grading.standing import standings

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("results.json")
README = ROOT / "benchmarks" / "README.md"
WORK = ROOT / "build" / "benchmarks" / "grading"
SLUG = "04-attention-layer"
MIB = 2**20
ALLOWED = (0, 1)  # 1: nbgrader could not read a damaged notebook
SMALL = "**A small class:** most of the time is the start, which does not grow with the class. Run it with 100."
MARKS = "<!-- grading: made by its run -->", "<!-- grading: end -->"


class Steps:
    """Measurements that are kept as soon as they are made, and not made again."""

    def __init__(self, folder: Path, settings: dict[str, Any], progress: Progress) -> None:
        self.folder, self.progress = folder, progress
        self.path = folder / "done.json"
        known = json.loads(self.path.read_text()) if self.path.exists() else {}
        if known.get("settings") != settings:
            shutil.rmtree(folder, ignore_errors=True)
            known = {"settings": settings, "steps": {}}
        self.known = known

    def do(self, name: str, step: Callable[[Callable[[int], None]], dict[str, Any]], *, total: int) -> dict[str, Any]:
        """The result of a step: the kept one, or that of doing it now."""
        task = self.progress.add_task(name, total=total)
        if name not in self.known["steps"]:
            self.known["steps"][name] = step(lambda count: self.progress.update(task, completed=count))
            self.folder.mkdir(parents=True, exist_ok=True)
            part = self.path.with_suffix(".part")
            part.write_text(json.dumps(self.known))
            part.replace(self.path)
        self.progress.update(task, completed=total)
        found: dict[str, Any] = self.known["steps"][name]
        return found


def benchmark(
    *, students: int, growth: list[int], jobs: int, unsafe_local: bool = False, work: Path = WORK
) -> dict[str, Any]:
    """Grade the same class both ways, then classes of several sizes our way.

    Args:
        students: size of the class for the comparison.
        growth: sizes for the growth of our time.
        jobs: submissions that ``course grade`` runs at once.
        unsafe_local: grade without the sandbox, where there is none.
        work: keeps what is done.
    """
    spec = assignment(SLUG)
    settings = {
        "assignment": SLUG,
        "students": students,
        "growth": sorted(growth),
        "jobs": jobs,
        "sandbox": not unsafe_local,
    }
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        steps = Steps(work, settings | {"code": _code()}, progress)
        options = ["--jobs", str(jobs), *(["--unsafe-local"] if unsafe_local else [])]
        sizes = sorted({students, *growth})
        cold = {
            size: steps.do(f"ours, {size}", lambda tell, n=size: ours(work, spec, n, options, tell), total=size)
            for size in sizes
        }
        again = steps.do(
            f"ours again, {students}", lambda tell: unchanged(work, spec, students, options, tell), total=students
        )
        plain = steps.do(f"stock, {students}", lambda tell: stock(work, spec, students, tell), total=students)
        plain_again = steps.do(
            f"stock again, {students}", lambda tell: stock_unchanged(work, students, tell), total=students
        )
    mine = cold[students]
    return {
        "settings": settings,
        "machine": {
            "processor": processor_name(),
            "cores": default_jobs(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "stock": plain,
        "stock_unchanged": plain_again,
        "ours": mine,
        "ours_unchanged": again,
        "ratio": plain["seconds"] / mine["seconds"],
        "unchanged_part": again["seconds"] / mine["seconds"],
        "growth": [cold[size] for size in sorted(growth)],
    }


def ours(work: Path, spec: Assignment, size: int, options: list[str], tell: Callable[[int], None]) -> dict[str, Any]:
    """``course grade`` on a class that it has never seen."""
    room = Classroom(work / f"ours-{size}")
    room.clear()
    plans = make_class(spec.slug, room, size=size)
    for plan in plans:
        sign(room.submitted(plan.student, spec.slug) / f"{spec.notebook}.ipynb", spec, plan.student)
    seen = _course(room, spec, options, tell)
    files = sorted(room.results.glob("*.json"), key=lambda path: path.stat().st_mtime)
    results = [from_json(path.read_text()) for path in files]
    ends = [path.stat().st_mtime for path in files]
    begin = min(end - result.seconds.get("grading", 0.0) for end, result in zip(ends, results, strict=True))
    stages = {
        "start": begin - seen.began,
        "run_and_judge": ends[-1] - begin,
        "commit": seen.began + seen.seconds - ends[-1],
    }
    inside = sum(result.seconds.get("student", 0.0) for result in results)
    cores = default_jobs()
    return {
        **_summary(seen, size),
        "stages": stages,
        "summed_over_submissions": {
            "ingest": sum(result.seconds.get("ingest", 0.0) for result in results),
            "inside_slots": inside,
            "opening_slots": sum(r.seconds.get("waiting", 0.0) for r in results) - inside,
            "judge": sum(r.seconds.get("grading", 0.0) - r.seconds.get("waiting", 0.0) for r in results),
        },
        "bound": {
            "inside_slots_over_cores": inside / cores,
            "times_bound": seen.seconds / (inside / cores),
            "run_and_judge_times_bound": stages["run_and_judge"] / (inside / cores),
        },
        "runs": len(results),
        "scores_as_deserved": sum(_deserved(room, spec, plan) for plan in plans),
    }


def unchanged(
    work: Path, spec: Assignment, size: int, options: list[str], tell: Callable[[int], None]
) -> dict[str, Any]:
    """``course grade`` once more on a class that is graded."""
    return _summary(_course(Classroom(work / f"ours-{size}"), spec, options, tell), size)


def stock(work: Path, spec: Assignment, size: int, tell: Callable[[int], None]) -> dict[str, Any]:
    """``nbgrader autograde`` with its own settings on the same class."""
    folder = work / "stock"
    shutil.rmtree(folder, ignore_errors=True)
    make_stock_course(folder, spec, draw_plans(spec, size=size))
    return _autograde(folder, size, tell)


def stock_unchanged(work: Path, size: int, tell: Callable[[int], None]) -> dict[str, Any]:
    """``nbgrader autograde`` once more; it leaves alone what it has graded."""
    return _autograde(work / "stock", size, tell)


def _autograde(folder: Path, size: int, tell: Callable[[int], None]) -> dict[str, Any]:
    """Run it until every submission was tried: one that stops the whole command is set aside, as a lecturer would."""
    graded, runs = folder / "autograded", list[Watched]()
    while True:
        seen = watch(
            nbgrader(folder, "autograde", SLUG),
            cwd=folder,
            environment=environment(),
            progress=lambda: tell(len(list(graded.glob("*")))),
        )
        runs.append(seen)
        done = {path.parents[1].name for path in graded.glob(f"*/{SLUG}/*.ipynb")}
        if seen.returncode not in ALLOWED or not done:
            raise RuntimeError(f"nbgrader autograde failed: {seen.said[-1000:]}")
        untried = sorted(path for path in (folder / "submitted").iterdir() if path.name > max(done))
        if not untried:
            break
        (folder / "set_aside").mkdir(exist_ok=True)
        untried[0].rename(folder / "set_aside" / untried[0].name)
    whole = Watched(
        runs[0].began,
        sum(run.seconds for run in runs),
        max(run.peak_rss for run in runs),
        max(run.peak_pss for run in runs),
        sum(run.own_cpu for run in runs),
        runs[-1].returncode,
        runs[-1].said,
        runs[0].load,
    )
    return _summary(whole, size) | {"not_graded": size - len(done), "stopped": len(runs) - 1}


def _course(room: Classroom, spec: Assignment, options: list[str], tell: Callable[[int], None]) -> Watched:
    seen = watch(
        [str(Path(sys.executable).with_name("course")), "grade", spec.slug, "--class", str(room.folder), *options],
        cwd=ROOT,
        environment=environment(),
        progress=lambda: tell(len(list(room.results.glob("*.json")))),
    )
    if seen.returncode:
        raise RuntimeError(f"course grade failed: {seen.said[-1000:]}")
    return seen


def _summary(seen: Watched, size: int) -> dict[str, Any]:
    return {
        "students": size,
        "seconds": seen.seconds,
        "per_minute": 60 * size / seen.seconds,
        "own_processor_seconds": seen.own_cpu,
        "peak_rss_mib": seen.peak_rss / MIB,
        "peak_pss_mib": seen.peak_pss / MIB,
        "load_at_start": seen.load,
        "at": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(seen.began)),
    }


def _deserved(room: Classroom, spec: Assignment, plan: Plan) -> bool:
    """Whether the gradebook has what a student's plan deserves."""
    standing = standings(room, spec.slug)[plan.student]
    found = sum(grade.auto or 0.0 for grade in standing.cells.values())
    return found == sum(expected_points(spec, plan).values())


def _code() -> str:
    """Hash of what is measured: with other code, earlier measurements do not count."""
    folders = [ROOT / "course_lib", ROOT / "solutions" / SLUG, Path(__file__).parent]
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def markdown_tables(results: dict[str, Any]) -> str:
    """The figures as benchmarks/README.md quotes them."""
    mine, plain, bound = results["ours"], results["stock"], results["ours"]["bound"]
    rows = [
        ("stock `nbgrader autograde`", plain),
        ("`course grade`", mine),
        ("stock, nothing changed", results["stock_unchanged"]),
        ("`course grade`, nothing changed", results["ours_unchanged"]),
    ]
    students, cores = mine["students"], results["machine"]["cores"]
    lines = [
        f"Measured on: {results['machine']['processor']}, {cores} cores, {results['machine']['system']}, Python "
        f"{results['machine']['python']}, torch {results['machine']['torch']}; load average at the start of the "
        f"steps {min(r['load_at_start'] for _, r in rows):.1f} to {max(r['load_at_start'] for _, r in rows):.1f}.",
        "",
        f"| {students} notebooks | seconds | per minute | peak RSS | peak PSS |",
        "|:---|---:|---:|---:|---:|",
        *(
            f"| {name} | {row['seconds']:.1f} | {row['per_minute']:.1f} | {row['peak_rss_mib']:.0f} MiB "
            f"| {row['peak_pss_mib']:.0f} MiB |"
            for name, row in rows
        ),
        "",
        f"**Ratio {results['ratio']:.1f}.** A second run with nothing changed takes "
        f"{100 * results['unchanged_part']:.1f} % of the first. {mine['scores_as_deserved']} of {students} scores are "
        f"what the notebooks deserve. Stock nbgrader could not grade {plain['not_graded']} damaged ones, and "
        f"{plain['stopped']} of them stopped the whole command until they were set aside.",
        *([SMALL] if students < 50 else []),
        "",
        f"The bound is the students' own computing: {mine['summed_over_submissions']['inside_slots']:.1f} s inside the "
        f"slots, which {cores} cores do in {bound['inside_slots_over_cores']:.1f} s. The whole command takes "
        f"{bound['times_bound']:.2f} times the bound, running and judging alone "
        f"{bound['run_and_judge_times_bound']:.2f} times. The process that judges works "
        f"{mine['own_processor_seconds']:.1f} s.",
        "",
        "| submissions | seconds | per minute | start | run and judge | commit | × bound | peak PSS |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {row['students']} | {row['seconds']:.1f} | {row['per_minute']:.1f} | {row['stages']['start']:.1f} "
            f"| {row['stages']['run_and_judge']:.1f} | {row['stages']['commit']:.1f} "
            f"| {row['bound']['times_bound']:.2f} | {row['peak_pss_mib']:.0f} MiB |"
            for row in results["growth"]
        ),
    ]
    return "\n".join(lines) + "\n"


def quote(tables: str) -> None:
    """Put the figures into the index of benchmarks, in the place of the last ones."""
    begin, end = MARKS
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    README.write_text(f"{before}{begin}\n\n{tables}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def _words(option: str, value: int | list[int]) -> list[str]:
    return [f"--{option}", *(str(number) for number in (value if isinstance(value, list) else [value]))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=100, help="size of the class that is graded both ways")
    parser.add_argument("--growth", type=int, nargs="+", default=[25, 50, 100, 200], help="sizes for our growth")
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="submissions that we run at once")
    parser.add_argument("--unsafe-local", action="store_true", help="grade without the sandbox, where there is none")
    parser.add_argument("--work", type=Path, default=WORK, help="folder that keeps what is done")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run has done")
    parser.add_argument("--out", default=str(RESULTS), help="JSON file to write; - prints it instead")
    options = parser.parse_args()
    if options.fresh:
        shutil.rmtree(options.work, ignore_errors=True)
    results = benchmark(
        students=options.students,
        growth=options.growth,
        jobs=options.jobs,
        unsafe_local=options.unsafe_local,
        work=options.work.resolve(),
    )
    asked = [word for option in ("students", "growth", "jobs") for word in _words(option, getattr(options, option))]
    command = shlex.join(["python", "-m", "benchmarks.grading.run", *asked, *["--unsafe-local"] * options.unsafe_local])
    text = json.dumps({"command": command, **results}, indent=2) + "\n"
    if options.out == "-":
        print(text, end="")
        return
    Path(options.out).write_text(text)
    print(markdown_tables(results), end="")
    if Path(options.out).resolve() == RESULTS:
        quote(markdown_tables(results))


if __name__ == "__main__":
    main()
