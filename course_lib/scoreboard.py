"""The scoreboard: every translator of the book on the same sentences, scored by source length.

A row is declared once, in `ROWS`. Each of its seeds is trained the first time that somebody asks for it, or by

    python -m course_lib.scoreboard [rows]

which makes all that are missing, two at a time; stopped, it goes on where it was. A result (scores, seconds,
parameters, and the weights themselves) is one file in build/scoreboard. Its name holds a key of the row's settings
and of the code that they run through, comments and docstrings left out: a change there trains anew.

Chapters: 02-seq2seq, 03-rnn-attention, 05-transformer.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import torch
import typer
from filelock import FileLock
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from course_lib.data.translation import LENGTHS, TranslationData, translation_data
from course_lib.figures import COLOURS, INK
from course_lib.metrics.translation import LENGTH_BUCKETS, bleu_by_length, corpus_bleu, exact_match
from course_lib.models.translator import Translator, translations
from course_lib.page import show_table
from course_lib.training import initialised, linear_schedule, train

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "scoreboard"
SEEDS = (0, 1, 2)
JOBS = 2

Bucket = tuple[int, int]
Measure = Literal["bleu", "exact"]


@dataclass(frozen=True)
class Row:
    """A model of the scoreboard: how it is built and trained.

    Attributes:
        name: what it is asked for by.
        label: what tables and figures call it.
        model: the class of the model, with its module; it takes source_size and target_size.
        options: its other arguments.
        batch_size, learning_rate, steps, length_power: of its training; see `TranslationData.draw_batches`.
        colour, line: how it is drawn.
        seeds: one run for each; a seed draws the first weights and the batches. The data are the same for all.
        lengths, train_per_length, test_per_length: of the data; see `translation_data`.
    """

    name: str
    label: str
    model: str
    options: dict[str, Any]
    batch_size: int
    learning_rate: float
    steps: int
    length_power: float
    colour: str = INK
    line: str = "-"
    seeds: tuple[int, ...] = SEEDS
    lengths: Sequence[int] = LENGTHS
    train_per_length: int = 200
    test_per_length: int = 30

    def settings(self) -> dict[str, Any]:
        """What the result depends on, without how it is called and drawn."""
        kept = asdict(self)
        for name in ("name", "label", "colour", "line", "seeds"):
            del kept[name]
        return kept | {"lengths": list(self.lengths)}

    def data(self) -> TranslationData:
        """The sentences; rows with the same data share them."""
        return _data(tuple(self.lengths), self.train_per_length, self.test_per_length)

    def build(self) -> Translator:
        """The model, untrained."""
        data = self.data()
        sizes = {"source_size": len(data.source_vocabulary), "target_size": len(data.target_vocabulary)}
        return self.model_class()(**sizes, **self.options)

    def model_class(self) -> Callable[..., Translator]:
        """The class that `model` names."""
        module, _, name = self.model.rpartition(".")
        return getattr(importlib.import_module(module), name)


def _fixed(name: str, label: str, line: str, *, colour: str = "orange", **options: Any) -> Row:
    model = "course_lib.models.translator.FixedContextTranslator"
    return Row(name, label, model, options, 64, 5e-3, 800, 1.0, COLOURS[colour], line)


def _attention(name: str, label: str, attention: str, colour: str, line: str, **changed: Any) -> Row:
    model = "course_lib.models.recurrent_attention.AttentionTranslator"
    row = Row(name, label, model, {"attention": attention}, 32, 4e-3, 700, 0.7, COLOURS[colour], line)
    return replace(row, **changed)


ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        _fixed("fixed", "Fixed context", "-"),
        _fixed("fixed_plain", "Fixed, first state only", "--", feed_context=False),
        _fixed("fixed_reversed", "… and source reversed", "-.", feed_context=False, reverse=True),
        _fixed("fixed_deep", "Fixed context, 2 layers", ":", num_layers=2),
        _fixed("fixed_bidirectional", "Fixed context, bidirectional", "-", colour="pink", bidirectional=True),
        _attention("luong_dot", "Luong, dot", "dot", "blue", "--"),
        _attention("luong_general", "Luong, general", "general", "blue", "-"),
        _attention("luong_concat", "Luong, concat", "concat", "green", ":"),
        _attention("bahdanau", "Bahdanau", "bahdanau", "violet", "-"),
        _attention("bahdanau_early", "Bahdanau, 450 steps", "bahdanau", "violet", ":", steps=450),
        # as `luong_general`, but the previous state asks
        _attention(
            "luong_previous",
            "Luong, general, previous state asks",
            "general",
            "pink",
            "--",
            model="course_lib.models.asking_state.PreviousStateTranslator",
        ),
        # trained as `fixed_bidirectional` is, so that nothing but the attention differs
        _attention(
            "luong_matched",
            "Luong, general, trained as the fixed one",
            "general",
            "blue",
            "-.",
            batch_size=64,
            learning_rate=5e-3,
            steps=800,
            length_power=1.0,
        ),
        Row(
            "transformer",
            "Transformer",
            "course_lib.models.transformer.TransformerTranslator",
            {},
            batch_size=32,
            learning_rate=5e-3,
            steps=700,
            length_power=0.7,
            colour=COLOURS["green"],
        ),
    )
}


@dataclass(frozen=True)
class Result:
    """One trained model.

    Attributes:
        name, seed: of the row.
        parameters: number of weights.
        seconds: of training, on one core.
        elapsed: seconds from start to end, scoring included.
        bleu: corpus BLEU of each range of source lengths, 0 to 100.
        exact: share of exact translations of each range, 0 to 1.
        bleu_all, exact_all: of all test sentences together.
    """

    name: str
    seed: int
    parameters: int
    seconds: float
    elapsed: float
    bleu: dict[Bucket, float] = field(repr=False)
    exact: dict[Bucket, float] = field(repr=False)
    bleu_all: float
    exact_all: float

    def to_json(self) -> str:
        """As text; the ranges become pairs, since JSON's keys are no tuples."""
        return json.dumps(asdict(self) | {"bleu": list(self.bleu.items()), "exact": list(self.exact.items())})

    @classmethod
    def from_json(cls, text: str) -> Result:
        """The result that `to_json` wrote."""
        values = json.loads(text)
        for measure in ("bleu", "exact"):
            values[measure] = {(first, last): score for (first, last), score in values[measure]}
        return cls(**values)


@dataclass(frozen=True)
class Standing:
    """A row with the results of all its seeds."""

    row: Row
    results: tuple[Result, ...]

    def scores(self, bucket: Bucket | None = None, *, measure: Measure = "bleu") -> list[float]:
        """The score of each seed, 0 to 100, in one range of lengths (None: of all sentences); exact ones in %."""
        scale = 100 if measure == "exact" else 1
        if bucket is None:
            return [scale * getattr(result, f"{measure}_all") for result in self.results]
        return [scale * getattr(result, measure)[bucket] for result in self.results]

    def mean(self, bucket: Bucket | None = None, *, measure: Measure = "bleu") -> float:
        """The mean of `scores`."""
        return float(np.mean(self.scores(bucket, measure=measure)))

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return self.results[0].parameters

    @property
    def seconds(self) -> float:
        """Training on one core, mean over the seeds."""
        return float(np.mean([result.seconds for result in self.results]))


# Asking


def standings(names: Sequence[str]) -> list[Standing]:
    """The results of rows, all seeds; what is missing is trained now.

    Args:
        names: of rows.

    Returns:
        One for each name, in the same order.

    Raises:
        ValueError: if there is no row of that name.
    """
    return [
        Standing(row, tuple(_result(row, seed) for seed in row.seeds)) for row in (find_row(name) for name in names)
    ]


def trained(name: str, seed: int = 0) -> tuple[Any, TranslationData]:
    """A row's trained model, ready for use, with the data that it was trained and tested on.

    Args:
        name: of the row.
        seed: which of its runs.

    Returns:
        The model, in evaluation mode, and the data.

    Raises:
        ValueError: if there is no row of that name.
    """
    row = find_row(name)
    _result(row, seed)
    model = row.build()
    model.load_state_dict(load_file(path_of(row, seed)))
    return model.eval(), row.data()


def find_row(name: str) -> Row:
    """The row of this name.

    Raises:
        ValueError: if there is none.
    """
    if name not in ROWS:
        raise ValueError(f"The scoreboard has no row {name!r}: choose one of {', '.join(ROWS)}.")
    return ROWS[name]


def table(names: Sequence[str], *, measure: Measure = "bleu") -> None:
    """Display rows as a table: parameters, seconds of training, and the score by source length.

    Args:
        names: of rows.
        measure: "bleu", or "exact" for the percentage of exact translations.
    """
    found = standings(names)
    buckets = list(found[0].results[0].bleu)
    columns = ["Model", "Parameters", "Training, s", *(f"{first}–{last}" for first, last in buckets)]
    rows = []
    for standing in found:
        cells = [standing.row.label, f"{standing.parameters:,}", f"{standing.seconds:.0f}"]
        for bucket in buckets:
            scores = standing.scores(bucket, measure=measure)
            cells.append(f"{standing.mean(bucket, measure=measure):.0f} ({min(scores):.0f}–{max(scores):.0f})")
        rows.append(cells)
    show_table(columns, rows)


def plot(names: Sequence[str], *, measure: Measure = "bleu") -> Figure:
    """Draw rows as lines over the source length: the mean of the seeds, and a band from lowest to highest.

    Args:
        names: of rows.
        measure: "bleu", or "exact" for the percentage of exact translations.

    Returns:
        The figure, for `course_lib.figures.show`.
    """
    figure, ax = plt.subplots(figsize=(6.4, 4.2))
    for standing in standings(names):
        row = standing.row
        buckets = list(standing.results[0].bleu)
        middles = [(first + last) / 2 for first, last in buckets]
        scores = np.array([standing.scores(bucket, measure=measure) for bucket in buckets])  # (buckets, seeds)
        ax.fill_between(middles, scores.min(1), scores.max(1), color=row.colour, alpha=0.2, lw=0)
        ax.plot(middles, scores.mean(1), color=row.colour, ls=row.line, marker="o", ms=4, label=row.label)
    ax.set_xticks(middles, [f"{first}–{last}" for first, last in buckets])
    name = "BLEU" if measure == "bleu" else "exact translations, %"
    ax.set(xlabel="length of the source, words", ylabel=f"{name} (3 seeds: mean, lowest to highest)", ylim=(0, 103))
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def kept_seconds() -> float:
    """How long the results that are kept took to make, one after the other."""
    return sum(_read(path).elapsed for path in FOLDER.glob("*.safetensors"))


# Keeping


def path_of(row: Row, seed: int) -> Path:
    """The file of a result. Its name changes with everything that the result depends on."""
    return FOLDER / f"{row.name}-{seed}-{key_of(row)}.safetensors"


_PARSING = threading.Lock()  # Python 3.11 counts the depth of a syntax tree in one place for all threads


def key_of(row: Row) -> str:
    """A hash of a row's settings and of the code that trains, translates and scores with it."""
    module = row.model.rpartition(".")[0]
    row.model_class()  # now it counts as used, so that a page which shows the row is run again with it
    with _PARSING:
        used = _modules_below(
            module, "course_lib.data.translation", "course_lib.metrics.translation", "course_lib.training"
        )
        code = [_code_of(path) for path in used]
    parts = [json.dumps(row.settings()), torch.__version__, _OWN_CODE, *code]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


@cache
def _modules_below(*names: str) -> tuple[Path, ...]:
    """The files of modules of this library, and of all modules of this library that they import."""
    waiting, found = [_file_of(name) for name in names], set[Path]()
    while waiting:
        path = waiting.pop()
        if path is None or path in found:
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                waiting += [_file_of(node.module), *(_file_of(f"{node.module}.{name.name}") for name in node.names)]
            elif isinstance(node, ast.Import):
                waiting += [_file_of(name.name) for name in node.names]
    return tuple(sorted(found))


def _file_of(module: str) -> Path | None:
    """The file of a module of this library, if it is one."""
    if module.partition(".")[0] != "course_lib":
        return None
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def _code_of(path: Path) -> str:
    """What a file's code does: without comments, docstrings and layout."""
    return _code(ast.parse(path.read_text(encoding="utf-8")))


def _code(tree: ast.AST) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def _read(path: Path) -> Result:
    with safe_open(path, framework="pt") as file:
        return Result.from_json(file.metadata()["result"])


def _result(row: Row, seed: int) -> Result:
    """A result from its file; trained first if it is missing. Who asks at the same time waits for it."""
    path = path_of(row, seed)
    if not path.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with FileLock(FOLDER / f"{row.name}-{seed}.lock"):
            if not path.is_file():
                _make(row, seed, path)
    return _read(path)


def _make(row: Row, seed: int, path: Path) -> None:
    """Train, score, and put the result in its place at once; results under older keys go."""
    begin = time.perf_counter()
    data = row.data()
    with _one_thread():
        start = time.process_time()
        model = _train(row, seed)
        seconds = time.process_time() - start
        scores = _score(model, data)
    result = Result(
        name=row.name,
        seed=seed,
        parameters=sum(weight.numel() for weight in model.parameters()),
        seconds=seconds,
        elapsed=time.perf_counter() - begin,
        **scores,
    )
    fresh = path.with_suffix(".new")
    save_file(model.state_dict(), fresh, metadata={"result": result.to_json()})
    for old in FOLDER.glob(f"{row.name}-{seed}-*.safetensors"):
        old.unlink()
    fresh.rename(path)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Models of this size gain nothing from more, and the result must not depend on their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# Making


@cache
def _data(lengths: tuple[int, ...], train_per_length: int, test_per_length: int) -> TranslationData:
    return translation_data(
        np.random.default_rng(0), lengths=lengths, train_per_length=train_per_length, test_per_length=test_per_length
    )


def _train(row: Row, seed: int) -> Translator:
    model = initialised(row.build, generator=torch.Generator().manual_seed(seed))
    batches = row.data().draw_batches(
        np.random.default_rng(seed), batch_size=row.batch_size, length_power=row.length_power
    )
    train(
        model,
        batches,
        model.loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=row.learning_rate),
        steps=row.steps,
        schedule=linear_schedule(row.steps),
        progress=False,
    )
    return model


def _score(model: Translator, data: TranslationData) -> dict[str, Any]:
    found = translations(model, data.test_batches(), data.target_vocabulary)
    written = [words for _, words in found]
    references = [pair.target for pair, _ in found]
    lengths = [len(pair.source) for pair, _ in found]
    exact = {}
    for first, last in LENGTH_BUCKETS:
        rows = [i for i, length in enumerate(lengths) if first <= length <= last]
        if rows:
            exact[first, last] = exact_match([written[i] for i in rows], [references[i] for i in rows])
    return {
        "bleu": bleu_by_length(written, references, lengths),
        "exact": exact,
        "bleu_all": corpus_bleu(written, references),
        "exact_all": exact_match(written, references),
    }


_OWN_CODE = "\0".join(_code(ast.parse(inspect.getsource(function))) for function in (_data, _train, _score))


def missing(names: Sequence[str]) -> list[tuple[Row, int]]:
    """The rows and seeds whose results are not there."""
    wanted = [(find_row(name), seed) for name in names for seed in find_row(name).seeds]
    return [(row, seed) for row, seed in wanted if not path_of(row, seed).is_file()]


def _start_worker(parent: int) -> None:
    """An interrupt is the parent's to handle; a worker ends with it, however it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _work(folder: Path, row: Row, seed: int) -> Result:
    """What a worker process does."""
    global FOLDER
    FOLDER = folder
    return _result(row, seed)


def make_missing(names: Sequence[str], *, done: Callable[[Result], None]) -> None:
    """Train what is missing, two at a time; each result is kept as soon as it is there.

    Args:
        names: of rows.
        done: called with each result.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers read it when they import torch
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(JOBS, context, initializer=_start_worker, initargs=(os.getpid(),))
    try:
        for future in as_completed([pool.submit(_work, FOLDER, row, seed) for row, seed in missing(names)]):
            done(future.result())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(names: Annotated[list[str] | None, typer.Argument(help="Rows; all of them if none is named.")] = None) -> None:
    """Train the models of the translation scoreboard that are missing."""
    console = Console(stderr=True, highlight=False)
    chosen = names or list(ROWS)
    try:
        count = len(missing(chosen))
    except ValueError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(2) from None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=count == 0) as bars:
        task = bars.add_task("train the scoreboard's models", total=count)

        def done(result: Result) -> None:
            bars.advance(task)
            console.print(f"{result.name}, seed {result.seed}: BLEU {result.bleu_all:.0f}, {result.seconds:.0f} s")

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # the workers must not outlive this process
        try:
            make_missing(chosen, done=done)
        except KeyboardInterrupt:
            console.print("Stopped. Models that were done are kept; start again to go on.")
            raise typer.Exit(130) from None


if __name__ == "__main__":
    app()
