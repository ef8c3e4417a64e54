"""Grade one submission: run it, draw hidden cases, compare, and give each exercise what it deserves.

The controller's side. It never runs a student's code: it asks a session, which runs it elsewhere, and
compares the arrays that come back with its own.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from course_lib.check.compare import Finding, describe_failure
from course_lib.check.judge import Ask, ExerciseCases, ExerciseResult, LineResult, asked, judge
from course_lib.check.probe import Failure, Probe, Reply
from course_lib.check.report import render_html
from course_lib.grading import hidden
from course_lib.grading.draw import draw, hidden_seed, public_seed
from course_lib.grading.ingest import Submission, read_submission
from course_lib.grading.keys import hashes_of, key_of
from course_lib.grading.limits import Limits
from course_lib.grading.results import ExerciseScore, LineScore, Result
from course_lib.grading.session import Budget, Runs, Session
from course_lib.grading.solution import answers, given_cells, namespace
from course_lib.grading.spec import Assignment, Exercise
from course_lib.grading.variant import find

ENGINE = threading.Lock()
"""Held while reference code runs or arrays are compared: both use PyTorch's default dtype and generator,
which belong to the whole process. It is let go while a session works."""


@dataclass(frozen=True)
class Attempt:
    """One way to run a submission's cells.

    Attributes:
        added: with the cells that the student added or changed.
        stand_ins: exercises in whose place a working answer stands.
        only: if not empty, the one exercise whose answer is there, with those that it uses.
    """

    added: bool = False
    stand_ins: frozenset[str] = frozenset()
    only: str = ""

    @property
    def note(self) -> str:
        """What the student is told where this attempt gave the better score."""
        parts = []
        if self.stand_ins:
            parts.append(f"with a working {', '.join(sorted(self.stand_ins))} in the place of yours")
        if self.added:
            parts.append("with the cells you added or changed")
        if self.only:
            parts.append("without your other answers, which disturbed it")
        return f"It was graded {' and '.join(parts)}." if parts else ""


@dataclass
class Graded:
    """What an exercise has earned so far, and in which attempt."""

    result: ExerciseResult
    attempt: Attempt
    errors: Mapping[str, Failure] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether nothing is left to earn."""
        return self.result.earned >= self.result.points


def grade_submission(
    path: Path, spec: Assignment, *, secret: bytes, launcher: Runs, limits: Limits | None = None
) -> Result:
    """Grade a submitted notebook.

    Args:
        path: the file as it was handed in.
        spec: of the assignment.
        secret: of the class; decides the hidden cases together with what was submitted.
        launcher: runs the student's code.
        limits: how much the submission may use.

    Raises:
        RunnerFault: this machine could not run it; there is no score.
        SpecError: the assignment contradicts itself.
    """
    started = time.monotonic()
    submission = read_submission(path, spec=spec)
    seconds = {"ingest": time.monotonic() - started}
    return grade_read(submission, spec, secret=secret, launcher=launcher, limits=limits, seconds=seconds)


def grade_read(
    submission: Submission,
    spec: Assignment,
    *,
    secret: bytes,
    launcher: Runs,
    limits: Limits | None = None,
    seconds: Mapping[str, float] | None = None,
) -> Result:
    """Grade a notebook that :func:`read_submission` has read. Raises what :func:`grade_submission` raises."""
    limits = limits or Limits()
    hashes = hashes_of(submission, spec, secret=secret, launcher=launcher, limits=limits)
    common: dict[str, Any] = {
        "key": key_of(hashes),
        "assignment": spec.slug,
        "hashes": hashes,
        "protections": launcher.name,
    }
    if submission.verdict != "ok":
        return Result(
            **common,
            verdict=submission.verdict,
            exercises=tuple(_nothing(exercise, submission.verdict) for exercise in spec.exercises),
            notes=submission.notes,
            needs_person=("the notebook cannot be graded",),
            seconds=seconds or {},
        )
    grading = _Grading(submission, spec, secret, launcher, limits)
    started = time.monotonic()
    with ENGINE:
        graded = grading.run()
        scores = tuple(grading.score(exercise, graded[exercise.name]) for exercise in spec.exercises)
    total = time.monotonic() - started
    spent = {**(seconds or {}), "student": grading.budget.spent, "waiting": grading.waited, "grading": total}
    needs = [f"the limit on {name} was reached" for name in grading.budget.limits_hit]
    needs += [f"{s.name}: {note}" for s in scores for note in s.notes if note.startswith(hidden.NOTE)]
    return Result(
        **common,
        verdict="graded",
        exercises=scores,
        written=tuple(q.name for q in spec.written if submission.written.get(q.name, "").strip()),
        notes=tuple(submission.notes),
        needs_person=tuple(needs),
        limits_hit=tuple(grading.budget.limits_hit),
        seconds={name: round(value, 4) for name, value in spent.items()},
    )


class _Grading:
    """The grading of one submission; its methods run with :data:`ENGINE` held."""

    def __init__(self, submission: Submission, spec: Assignment, secret: bytes, launcher: Runs, limits: Limits) -> None:
        self.submission, self.spec, self.launcher, self.limits = submission, spec, launcher, limits
        self.budget = Budget(limits.submission_seconds)
        self.waited = 0.0
        self.seeds = {
            e.name: hidden_seed(secret, slug=spec.slug, exercise=e.name, submission=submission.sha256)
            for e in spec.exercises
        }
        self.random_seed = int.from_bytes(hmac.digest(secret, submission.sha256.encode(), "sha256")[:7], "big")
        self.public: dict[Attempt, Session] = {}
        self.unclear: dict[Attempt, list[Exercise]] = {}
        self.hidden: dict[str, ExerciseCases] = {}

    def run(self) -> dict[str, Graded]:
        """The best result of each exercise over the attempts that can help it."""
        try:
            graded = self._attempt(Attempt(), self.spec.exercises)
            alone = {name: item.full for name, item in graded.items()}
            for attempt, exercises in self._further_attempts(graded, alone):
                for name, item in self._attempt(attempt, exercises).items():
                    if item.result.earned > graded[name].result.earned:
                        graded[name] = item
            for name, item in graded.items():
                if _holds_words(item.result):
                    self.unclear.setdefault(item.attempt, []).append(self.spec.exercise(name))
            for item in graded.values():
                item.result = self._presentable(item)
            return graded
        finally:
            for session in self.public.values():
                session.close()

    def score(self, exercise: Exercise, graded: Graded) -> ExerciseScore:
        """The exercise's score with its feedback."""
        notes = [graded.attempt.note] if graded.attempt.note else []
        failure = graded.errors.get(exercise.name)
        if failure is not None and not graded.full:
            where = f" (line {failure.frames[-1].line})" if failure.frames else ""
            notes.append(f"Your cell did not run to its end: {describe_failure(failure).rstrip('.')}{where}.")
        if exercise.banned and graded.result.earned and (found := self._hiding(exercise, graded.attempt)):
            notes.append(hidden.note_about(found, exercise.banned))
        lines = [
            LineScore(
                r.line.name,
                r.line.points,
                r.earned,
                "" if r.finding is None else r.finding.kind,
                "" if r.finding is None else r.finding.message.split("\n", 1)[0][:300],
                r.mistake or "",
            )
            for r in graded.result.lines
        ]
        page = render_html(graded.result, reveal=False, notes=notes)
        return ExerciseScore(exercise.name, tuple(lines), tuple(notes), page)

    def _further_attempts(
        self, graded: Mapping[str, Graded], alone: Mapping[str, bool]
    ) -> Iterator[tuple[Attempt, Sequence[Exercise]]]:
        """Attempts that may earn more, each with the exercises it may help, least intrusive first."""
        for added in (False, True) if self.submission.added else (False,):
            groups: dict[frozenset[str], list[Exercise]] = {}
            for exercise in self.spec.exercises:
                if graded[exercise.name].full:
                    continue
                wrong = frozenset(n for n in self._used(exercise) if n in self.spec.stand_ins and not alone[n])
                for stand_ins in {frozenset(), wrong} if added else {wrong}:
                    if added or stand_ins:
                        groups.setdefault(stand_ins, []).append(exercise)
            for stand_ins, exercises in sorted(groups.items(), key=lambda item: sorted(item[0])):
                left = [exercise for exercise in exercises if not graded[exercise.name].full]
                if left:
                    yield Attempt(added, stand_ins), left
        hanging = [name for name, item in graded.items() if _kinds(item.result) & {"timeout"}]
        for exercise in self.spec.exercises:
            used = self._used(exercise)
            others = set(self.submission.cells) - used - {exercise.name}
            blameless = _disturbed(graded[exercise.name].result) and hanging != [exercise.name]
            if exercise.name in self.submission.cells and others and blameless:
                wrong = frozenset(n for n in used if n in self.spec.stand_ins and not alone[n])
                yield Attempt(False, wrong, exercise.name), [exercise]

    def _used(self, exercise: Exercise) -> set[str]:
        """Names of the exercises that this one may call, through others too."""
        found: set[str] = set()
        todo = list(exercise.uses)
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += self.spec.exercise(name).uses
        return found

    def _attempt(self, attempt: Attempt, exercises: Iterable[Exercise]) -> dict[str, Graded]:
        cases = {exercise.name: self._hidden_cases(exercise) for exercise in exercises}
        session = self._open(attempt, list(cases.values()))
        try:
            results = {}
            for exercise in exercises:
                source = self._source(exercise, attempt)
                result = judge(cases[exercise.name], self._outside(session.ask), source=source)
                results[exercise.name] = Graded(result, attempt, session.errors)
            return results
        finally:
            session.close()

    def _hidden_cases(self, exercise: Exercise) -> ExerciseCases:
        """The exercise's cases for this submission, the same in each attempt."""
        if exercise.name not in self.hidden:
            self.hidden[exercise.name] = draw(self.spec, exercise, seed=self.seeds[exercise.name])
        return self.hidden[exercise.name]

    def _open(self, attempt: Attempt, cases: Iterable[ExerciseCases]) -> Session:
        """A session in which these cases will be put, in this order."""
        probes = [asked(exercise) for exercise in cases]
        with _elsewhere():
            started = time.monotonic()
            session = self.launcher.session(
                self._cells(attempt), limits=self.limits, budget=self.budget, seed=self.random_seed, asked=probes
            )
            self.waited += time.monotonic() - started
            return session

    def _outside(self, ask: Ask) -> Ask:
        """The session works while other submissions are compared here."""

        def asking(probe: Probe) -> Reply:
            with _elsewhere():
                started = time.monotonic()
                reply = ask(probe)
                self.waited += time.monotonic() - started
                return reply

        return asking

    def _source(self, exercise: Exercise, attempt: Attempt) -> str | None:
        """The code that is looked through for what the exercise rules out."""
        source = self.submission.cells.get(exercise.name)
        if not attempt.added:
            return source
        return "\n\n".join([source or "", *(a.source for a in self.submission.added if exercise.name in a.source)])

    def _hiding(self, exercise: Exercise, attempt: Attempt) -> list[str]:
        """What in the submission could hide a call of what the exercise rules out."""
        own = [name for name in self.submission.cells if name not in attempt.stand_ins]
        others = [s for n, s in self._cells(attempt) if n != exercise.name and (n in own or n.startswith("added-"))]
        return hidden.hidden_calls(self.submission.cells.get(exercise.name, ""), others, exercise.banned)

    def _cells(self, attempt: Attempt) -> list[tuple[str, str]]:
        """The solution's cells in its order, with the student's answers in the place of the solved ones."""
        cells: list[tuple[str, str]] = []
        waiting = [(i, a) for i, a in enumerate(self.submission.added) if attempt.added]
        before = [(f"added-{i}", a.source) for i, a in waiting if a.after is None]
        for name, source in given_cells(self.spec.full_name):
            if name not in answers(self.spec.full_name):
                cells.append((name, source))
                continue
            cells += before
            before = []
            if attempt.only and name != attempt.only and name not in self._used(self.spec.exercise(attempt.only)):
                continue
            if name in attempt.stand_ins:
                cells.append((name, self.spec.stand_ins[name]))
            elif name in self.submission.cells:
                cells.append((name, self.submission.cells[name]))
            cells += [(f"added-{i}", a.source) for i, a in waiting if a.after == name]
        return cells

    def _presentable(self, graded: Graded) -> ExerciseResult:
        """The result without any word that the student's process said after it had seen a hidden input.

        Such words are replaced by what a fresh session says about the public cases.
        """
        exercise = self.spec.exercise(graded.result.exercise.name)
        if not _holds_words(graded.result):
            return graded.result
        public = self._publicly(exercise, graded)
        lines = [_spoken(hidden, shown) for hidden, shown in zip(graded.result.lines, public.lines, strict=True)]
        return replace(graded.result, lines=lines)

    def _publicly(self, exercise: Exercise, graded: Graded) -> ExerciseResult:
        """The exercise judged on its public cases, in a session that sees no hidden input."""
        if graded.attempt not in self.public:
            unclear = (_public_cases(self.spec.full_name, e.name) for e in self.unclear[graded.attempt])
            self.public[graded.attempt] = self._open(graded.attempt, unclear)
        cases = _public_cases(self.spec.full_name, exercise.name)
        ask = self._outside(self.public[graded.attempt].ask)
        return judge(cases, ask, source=self._source(exercise, graded.attempt))


def prepare(spec: Assignment) -> None:
    """Make what every submission's grading needs, and import what the solution imports."""
    namespace(spec.full_name)
    for exercise in spec.exercises:
        _public_cases(spec.full_name, exercise.name)


@cache
def _public_cases(full_name: str, exercise: str) -> ExerciseCases:
    spec = find(full_name)
    return draw(spec, spec.exercise(exercise), seed=public_seed(spec))


def _kinds(result: ExerciseResult) -> set[str]:
    """The kinds of the findings that cost points."""
    return {r.finding.kind for r in result.lines if r.finding is not None}


def _disturbed(result: ExerciseResult) -> bool:
    """Whether another answer may be what costs points: not where nothing was written or the mistake is known."""
    lost = [r for r in result.lines if r.finding is not None]
    return any(
        r.mistake is None and r.finding is not None and r.finding.kind not in ("not_written", "banned") for r in lost
    )


def _holds_words(result: ExerciseResult) -> bool:
    """Whether any line's finding may hold words from the student's process."""
    return any(_holds_students_words(r.finding) for r in result.lines)


def _holds_students_words(finding: Finding | None) -> bool:
    """Whether a finding's text may hold words from the student's process; the runner's own verdicts have no type."""
    if finding is None:
        return False
    said = finding.failure is not None and finding.failure.type != ""
    return said or finding.kind in ("raised", "refused", "state", "structure", "missing", "not_written")


def _spoken(hidden: LineResult, shown: LineResult) -> LineResult:
    finding = hidden.finding
    if finding is None or not _holds_students_words(finding):
        return hidden
    public = shown.finding
    if public is not None and public.kind == finding.kind:
        return replace(hidden, finding=replace(public, expected=None, actual=None))
    sentences = {
        "raised": "it raised an error, on other inputs than those you were given.",
        "refused": "the return value cannot be read.",
        "state": "the weights cannot be copied into your module.",
        "structure": "the return value does not have the parts that were asked for.",
        "missing": "it is not defined.",
        "not_written": "not written yet.",
        "memory": "it ran out of memory.",
    }
    failure = None if finding.failure is None else Failure(finding.kind, message=sentences[finding.kind].rstrip("."))
    return replace(hidden, finding=Finding(finding.kind, sentences[finding.kind], failure=failure))


def _nothing(exercise: Exercise, why: str) -> ExerciseScore:
    return ExerciseScore(exercise.name, tuple(LineScore(x.name, x.points, 0.0, "not_run", why) for x in exercise.lines))


@contextmanager
def _elsewhere() -> Iterator[None]:
    """While a session works, others may use the engine."""
    ENGINE.release()
    try:
        yield
    finally:
        ENGINE.acquire()
