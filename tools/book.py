"""Build the book: train the scoreboard's models, run the chapters that changed, two at a time, then render every page.

    python -m tools.book build      the book, in build/book
    python -m tools.book serve      the book at a local address

A chapter is run again when its code cells or the code that it imports change; its outputs wait in
build/.jupyter_cache. Pages are rendered again when anything that they show changes. A build that fails
leaves the last good book in its place.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import nbformat
import typer
from filelock import FileLock
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from myst_nb.core.read import is_myst_markdown_notebook, myst_nb_reader_plugin
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sphinx_external_toc.parsing import parse_toc_yaml

from tools import kill_tables, transcripts
from tools.server import make_server

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
CACHE = BUILD / ".jupyter_cache"
RENDERED = BUILD / "_build"
BOOK = BUILD / "book"
STAMP = BUILD / "book.stamp"

READ = ["benchmarks/attention/*.json"]
"""What a chapter may read beside the modules it imports: a change here runs the chapters again."""

SHOWN = [
    "_*.yml",
    "package-lock.json",
    "tools/book.py",
    "book/**/*",
    "course_lib/**/*.py",
    "exercises/**/*",
    "build/kill-table/*.json",
    "build/hostile.json",
    "build/transcripts.json",
    "build/pictures/*",
    "tests/grading/hostile/*.py",
]
"""What pages are made of: a change here renders them again."""

VENDORED = {
    "katex": ["katex/dist/katex.min.css"],
    "katex/fonts": ["katex/dist/fonts/*.woff2"],
    "fsrs": ["ts-fsrs/dist/index.umd.js"],
}
"""What pages load of other projects, by folder, and where it lies in node_modules."""

LIST_MODULES = """
import json, sys
print(json.dumps([f for m in list(sys.modules.values()) if (f := getattr(m, "__file__", None))]))
"""
"""Run after a chapter's last cell, to learn which code it used."""

FRONT_DOOR = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>The book</title><meta http-equiv="refresh" content="0; url=book/index.html"></head>
<body><a href="book/index.html">To the book</a></body>
</html>
"""
"""Pages keep the paths of their sources; this leads to the first of them."""

SECONDS_PER_CELL = 900
JOBS = 2

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, rich_markup_mode=None)
console = Console(stderr=True, highlight=False)


class BookError(Exception):
    """Something that stops the build, as one sentence with a remedy."""


@dataclass(frozen=True)
class Run:
    """A chapter that has been executed."""

    path: Path
    notebook: nbformat.NotebookNode
    seconds: float
    modules: list[Path]


def find_files(patterns: list[str]) -> set[Path]:
    """All files that match, without what Python and Jupyter leave behind."""
    found = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return {path for path in found if {"__pycache__", ".ipynb_checkpoints"}.isdisjoint(path.parts)}


def digest(files: set[Path]) -> dict[str, str]:
    """Hash of each file's content, by its path from the root; empty for one that is gone."""
    return {
        path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(files)
    }


def find_chapters() -> list[Path]:
    """The pages of the table of contents that hold code to run."""
    documents = parse_toc_yaml(ROOT / "_toc.yml")
    paths = [ROOT / f"{name}.md" for name in documents]
    for path in paths:
        if not path.is_file():
            raise BookError(f"_toc.yml names {path.relative_to(ROOT)}, which does not exist: write it or remove it.")
    return [path for path in paths if is_myst_markdown_notebook(path.read_text(encoding="utf-8"))]


def find_stale(chapters: list[Path], cache: JupyterCacheAbstract) -> list[Path]:
    """Chapters whose outputs are not in the cache, or were made with other code or data."""
    stale = []
    for path in chapters:
        try:
            record = cache.match_cache_notebook(myst_nb_reader_plugin(str(path)))
        except KeyError:
            stale.append(path)
        else:
            used = record.data.get("used", {})
            if digest({ROOT / name for name in used} | find_files(READ)) != used:
                stale.append(path)
    return stale


_progress: Any = None


def _start_worker(progress: Any, home: Path) -> None:
    global _progress
    os.environ.update(OMP_NUM_THREADS="1", PYTHONHASHSEED="0", IPYTHONDIR=str(home))
    _progress = progress


def run_chapter(path: Path, root: Path) -> Run:
    """Execute a chapter in a kernel of its own, and say which cell failed if one does."""
    notebook = myst_nb_reader_plugin(str(path))
    notebook.cells.append(nbformat.v4.new_code_cell(LIST_MODULES))
    at: dict[str, int] = {}

    def note_start(cell: nbformat.NotebookNode, cell_index: int) -> None:
        at["cell"] = cell_index

    def note_end(cell: nbformat.NotebookNode, cell_index: int, execute_reply: dict[str, Any]) -> None:
        if cell.cell_type == "code":
            _progress.put(path)

    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        record_timing=False,  # a timed cell would never match its source again
        extra_arguments=["--log-level=40"],
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=note_start,
        on_cell_executed=note_end,
    )
    begin = time.perf_counter()
    try:
        client.execute()
    except (CellControlSignal, RuntimeError) as error:
        index = at.get("cell", 0)
        line = notebook.metadata["source_map"][index]
        first = notebook.cells[index].source.partition("\n")[0]
        trace = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
        name = path.relative_to(root)
        raise BookError(f"{name}, line {line}: the cell that starts with `{first}` failed.\n{trace}") from None
    modules = [Path(name).resolve() for name in json.loads(notebook.cells.pop().outputs[0].text)]
    return Run(path, notebook, time.perf_counter() - begin, modules)


def run_stale(chapters: list[Path], cache: JupyterCacheAbstract) -> None:
    """Execute chapters side by side and keep each one's outputs as soon as it is done."""
    home = BUILD / "ipython"
    home.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    done_cells: Any = context.Queue()
    failures = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    pool = ProcessPoolExecutor(JOBS, mp_context=context, initializer=_start_worker, initargs=(done_cells, home))
    try:
        with Progress(*columns, console=console) as bars:
            tasks = {}
            for path in chapters:
                cells = [c for c in myst_nb_reader_plugin(str(path)).cells if c.cell_type == "code"]
                tasks[path] = bars.add_task(f"run {path.relative_to(ROOT)}", total=len(cells))
            waiting: set[Future[Run]] = {pool.submit(run_chapter, path, ROOT) for path in chapters}
            while waiting:
                with contextlib.suppress(queue.Empty):
                    bars.advance(tasks[done_cells.get(timeout=0.2)])
                for future in [future for future in waiting if future.done()]:
                    waiting.remove(future)
                    try:
                        run = future.result()
                    except BookError as error:
                        failures.append(str(error))
                        continue
                    ours = {module for module in run.modules if module.is_relative_to(ROOT / "course_lib")}
                    data = {"execution_seconds": run.seconds, "used": digest(ours | find_files(READ))}
                    bundle = CacheBundleIn(run.notebook, str(run.path), data=data)
                    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
                    bars.update(tasks[run.path], completed=bars.tasks[tasks[run.path]].total)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
    if failures:
        raise BookError("\n\n".join(failures))


def train_scoreboard() -> None:
    """Train the models of the scoreboard that are missing, before the chapters that show them are run."""
    command = [sys.executable, "-m", "course_lib.scoreboard"]
    process = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    if process.returncode == 130:
        raise KeyboardInterrupt
    if process.returncode:
        raise BookError("A model of the scoreboard could not be trained: the reason stands above.")


def vendor(target: Path) -> None:
    """Copy what pages load of other projects to where they are made: fonts for maths, the cards' scheduler."""
    if shutil.which("node") is None:
        raise BookError("Maths is typeset with Node.js, which is not there: install the Debian package `nodejs`.")
    modules = ROOT / "node_modules"
    for folder, patterns in VENDORED.items():
        kept = target / folder
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        found = [path for pattern in patterns for path in sorted(modules.glob(pattern))]
        if not found:
            raise BookError(f"{patterns[0]} is not in node_modules: run `npm ci` in the repository's root.")
        for path in found:
            shutil.copy(path, kept)


def render() -> None:
    """Render every page afresh; any warning is a failure."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(ROOT)]
    command += ["--path-output", str(BUILD), "--all", "-n", "-W", "--keep-going", "-q"]
    log = BUILD / "render.log"
    shutil.rmtree(RENDERED / "html" / "_figures", ignore_errors=True)  # else older ones stay
    # Output goes to a file, not a pipe, and to a session of its own: the maths server must not outlive a
    # renderer that is killed, nor keep this process waiting.
    with console.status("render the pages"), log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
        try:
            code = process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
    if code:
        warnings = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(encoding="utf-8")).strip()
        reason = f"The renderer was stopped by signal {-code}: build again." if code < 0 else warnings
        raise BookError(f"The pages could not be rendered without a warning.\n{reason}")


def take_pictures() -> None:
    """Draw the instructor's pages that are out of date, in a process that a browser and a server may fail in.

    Raises:
        BookError: it failed twice, with all that it needs there; a busy machine may be too slow once.
    """
    for _ in range(2):
        command = [sys.executable, "-m", "tools.instructor_pictures"]
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode == 0:
            return
    raise BookError(f"The pictures of the instructor's pages cannot be drawn:\n{done.stderr[-2000:]}")


def publish() -> None:
    """Put the rendered pages in the place of the last good book."""
    fresh = BOOK.with_name("book.new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(RENDERED / "html", fresh, ignore=shutil.ignore_patterns(".buildinfo", ".doctrees"))
    (fresh / "index.html").write_text(FRONT_DOOR, encoding="utf-8")
    last = BOOK.with_name("book.last")
    shutil.rmtree(last, ignore_errors=True)
    if BOOK.is_dir():
        BOOK.rename(last)
    fresh.rename(BOOK)
    shutil.rmtree(last, ignore_errors=True)


def build_book() -> bool:
    """Bring build/book up to date; False where it was already.

    Raises:
        BookError: if a chapter's cell fails, a page has a warning, or a tool is missing.
    """
    BUILD.mkdir(exist_ok=True)
    # One build at a time: a second one waits, and then finds everything done.
    with FileLock(BUILD / "book.lock"):
        with console.status("put the known mistakes to the rubrics"):
            kill_tables.refresh()
        with console.status("do an instructor's round"):
            transcripts.refresh()
        with console.status("take pictures for an instructor's round"):
            take_pictures()
        shown = json.dumps(digest(find_files(SHOWN + READ)), indent=0)
        if BOOK.is_dir() and STAMP.is_file() and STAMP.read_text(encoding="utf-8") == shown:
            return False
        STAMP.unlink(missing_ok=True)
        vendor(BUILD / "vendor")
        train_scoreboard()
        cache = get_cache(str(CACHE))
        run_stale(find_stale(find_chapters(), cache), cache)
        render()
        publish()
        STAMP.write_text(shown, encoding="utf-8")
    return True


@app.command()
def build() -> None:
    """Run what changed, render every page, and put the book into build/book."""
    begin = time.perf_counter()
    try:
        changed = build_book()
    except BookError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("Stopped. Chapters that were done are kept; start again to go on.")
        raise typer.Exit(130) from None
    what = f"built in {time.perf_counter() - begin:.0f} s" if changed else "already up to date"
    console.print(f"The book is {what}: {BOOK / 'index.html'}")


@app.command()
def serve(port: Annotated[int, typer.Option(help="0 picks a free one.")] = 8000) -> None:
    """Show build/book at an address of this machine, compressed as on a public server, until Ctrl-C."""
    if not BOOK.is_dir():
        console.print("There is no book yet: run `python -m tools.book build` first.")
        raise typer.Exit(1)
    with make_server(BOOK, port) as server:
        console.print(f"The book is at http://127.0.0.1:{server.server_address[1]}/ (stop with Ctrl-C)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("Stopped.")


if __name__ == "__main__":
    app()
