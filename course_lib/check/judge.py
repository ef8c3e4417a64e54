"""Judge one exercise: put every case of every rubric line to the student's object and compare.

The same code judges in the student's notebook (recorded cases) and in grading (fresh cases); only
the way a probe is answered and the origin of the expected replies differ.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache

from course_lib.check.compare import Finding, compare, describe_failure, same
from course_lib.check.measures import Measure
from course_lib.check.probe import Probe, Reply
from course_lib.check.properties import Property
from course_lib.check.reading import parse
from course_lib.check.values import pack
from course_lib.check.weights import Misfit

Ask = Callable[[Probe], Reply]

# After one of these, the other lines of the exercise would only repeat it (or hang again).
FINAL = {"missing", "not_written", "timeout", "memory", "died"}


@dataclass(frozen=True)
class Case:
    """A probe, the reply that is right, and the replies that known mistakes would give."""

    probe: Probe
    expected: Reply
    mistakes: Mapping[str, Reply] = field(default_factory=dict)


@dataclass(frozen=True)
class RubricLine:
    """Points that are earned by agreeing on all of some cases and having some properties.

    Where there are ``measures``, they alone decide, and no reply is compared with an expected one.
    """

    name: str
    text: str
    points: float
    cases: Sequence[Case]
    properties: Sequence[Property] = ()
    measures: Sequence[Measure] = ()


@dataclass(frozen=True)
class Mistake:
    """A known mistake: what the student is told, and the rubric line that must catch it."""

    says: str
    line: str


@dataclass(frozen=True)
class ExerciseCases:
    """Everything that is needed to judge one exercise."""

    name: str
    returns: Sequence[str]
    lines: Sequence[RubricLine]
    mistakes: Mapping[str, Mistake]
    banned: Sequence[str] = ()


@dataclass(frozen=True)
class LineResult:
    """What one rubric line earned, and if it did not, why; ``case`` is the index of the first case that differs."""

    line: RubricLine
    earned: float
    finding: Finding | None = None
    mistake: str | None = None
    case: int | None = None


@dataclass(frozen=True)
class ExerciseResult:
    """The lines of one exercise with what each earned."""

    exercise: ExerciseCases
    lines: Sequence[LineResult]

    @property
    def points(self) -> float:
        """What the exercise is worth."""
        return sum(result.line.points for result in self.lines)

    @property
    def earned(self) -> float:
        """What the answer earned."""
        return sum(result.earned for result in self.lines)

    @property
    def mistakes(self) -> list[str]:
        """The names of the known mistakes that were recognised, each once, in rubric order."""
        return list(dict.fromkeys(r.mistake for r in self.lines if r.mistake))


def judge(exercise: ExerciseCases, ask: Ask, *, source: str | None = None) -> ExerciseResult:
    """Judge one exercise.

    Args:
        exercise: cases, rubric and known mistakes.
        ask: answers a probe from the student's object.
        source: the student's code, for calls that the exercise rules out; ``None`` where it is not known.
    """
    banned = find_banned(source, exercise.banned) if source else None
    results: list[LineResult] = []
    final: Finding | None = None
    trained: dict[bytes, Reply] = {}
    for line in exercise.lines:
        if final is not None:
            results.append(LineResult(line, 0.0, final))
            continue
        replies: list[Reply] = []
        for number, case in enumerate(line.cases):
            replies.append(_ask_once(case.probe, ask, trained) if line.measures else ask(case.probe))
            failure = replies[-1].failure
            if failure is not None and failure.kind in FINAL:
                final = compare(case.expected, replies[-1], returns=exercise.returns)
                results.append(LineResult(line, 0.0, final, case=number))
                break
        else:
            named = [result.mistake for result in results if result.mistake]
            results.append(_judge_line(exercise, line, replies, banned, named))
    return ExerciseResult(exercise, results)


def asked(exercise: ExerciseCases) -> list[Probe]:
    """The probes that :func:`judge` puts, in its order; after a reply that ends the exercise it puts no more."""
    probes: list[Probe] = []
    trained: set[bytes] = set()
    for line in exercise.lines:
        for case in line.cases:
            if line.measures and _training(case.probe) in trained:
                continue
            if line.measures:
                trained.add(_training(case.probe))
            probes.append(case.probe)
    return probes


def _training(probe: Probe) -> bytes:
    """What tells one training from another."""
    return pack(probe.to_value(), trusted=True)


def _ask_once(probe: Probe, ask: Ask, trained: dict[bytes, Reply]) -> Reply:
    """The reply to a probe that trains; lines that measure the same training share it."""
    key = _training(probe)
    if key not in trained:
        trained[key] = ask(probe)
    return trained[key]


def _judge_line(
    exercise: ExerciseCases, line: RubricLine, replies: Sequence[Reply], banned: str | None, named: Sequence[str]
) -> LineResult:
    if banned is None:
        used = {operation for reply in replies for operation in reply.operations}
        banned = next((name for name in exercise.banned if used & _operations(name)), None)
    if banned is not None:
        message = (
            f"it uses {banned}, which does the exercise's work; write the computation itself. If that is a helper of "
            "your own, give it another name."
        )
        return LineResult(line, 0.0, Finding("banned", message))
    if line.measures:
        return _measure_line(line, replies)
    found = [compare(case.expected, r, returns=exercise.returns) for case, r in zip(line.cases, replies, strict=True)]
    drawn = any(p.of_chance for p in line.properties)
    other = next((i for i, finding in enumerate(found) if finding), 0)
    if drawn:
        found = [None if finding and finding.kind == "values" else finding for finding in found]
    number = next((i for i, finding in enumerate(found) if finding), None)
    difference = None if number is None else found[number]
    broken = next((text for p in line.properties if (text := p.broken(replies))), None)
    if difference is None and broken is None:
        return LineResult(line, line.points)
    if number is None or difference is None:
        # Draws by the same calls are the same, so a known mistake can be recognised by what it drew.
        mistake = _recognise(exercise, line, replies, named, other) if drawn else None
        return LineResult(line, 0.0, Finding("property", str(broken)), mistake)
    mistake = _recognise(exercise, line, replies, named, number)
    if broken is not None and mistake is None and difference.kind not in ("structure", "type"):
        finding = Finding(
            "property",
            f"{broken} ({difference.message.rstrip('.')})",
            difference.part,
            difference.expected,
            difference.actual,
        )
        return LineResult(line, 0.0, finding, case=number)
    return LineResult(line, 0.0, difference, mistake, number)


def _measure_line(line: RubricLine, replies: Sequence[Reply]) -> LineResult:
    """Earned if no measure of any reply fails; the first that fails says what is wrong, and may name the mistake."""
    for number, reply in enumerate(replies):
        if reply.failure is not None:
            finding = Finding(reply.failure.kind, describe_failure(reply.failure), failure=reply.failure)
            return LineResult(line, 0.0, finding, case=number)
        for measure in line.measures:
            try:
                broken = measure.broken(reply.output)
            except Misfit as problem:
                return LineResult(line, 0.0, Finding("measure", str(problem)), case=number)
            if broken is not None:
                return LineResult(line, 0.0, Finding("measure", broken), measure.mistake or None, number)
    return LineResult(line, line.points)


def _recognise(
    exercise: ExerciseCases, line: RubricLine, replies: Sequence[Reply], named: Sequence[str], wrong_at: int
) -> str | None:
    """The known mistake that gives exactly these replies on all cases of the line.

    Mistakes ``named`` on earlier lines are tried first, then those that this line must catch. A mistake's replies
    may be computed only now, so each is asked first for the case in which the answer is wrong, and no further
    than it agrees.
    """
    order = sorted(exercise.mistakes, key=lambda name: (name not in named, exercise.mistakes[name].line != line.name))
    pairs = list(zip(line.cases, replies, strict=True))
    pairs.insert(0, pairs.pop(wrong_at))

    def gives(name: str, case: Case, reply: Reply) -> bool:
        wrong = case.mistakes.get(name)
        return wrong is not None and not _fails(wrong, case) and same(wrong, reply)

    first = line.cases[wrong_at]
    return next(
        (
            name
            for name in order
            if all(gives(name, case, reply) for case, reply in pairs) and not same(first.expected, first.mistakes[name])
        ),
        None,
    )


def _fails(wrong: Reply, case: Case) -> bool:
    """Whether a mistake ends in an error where the right answer does not: errors say too little to tell mistakes by."""
    return wrong.failure is not None and case.expected.failure is None


def find_banned(source: str, banned: Sequence[str]) -> str | None:
    """The first ruled-out name that the source mentions: as an attribute, an import, a name or in a getattr.

    Source that cannot be parsed is no finding: the cell's own error will be.
    """
    return ruled_out(_mentioned_in(source), banned) if banned else None


def ruled_out(mentioned: Set[str], banned: Sequence[str]) -> str | None:
    """The first ruled-out name among those that are mentioned."""
    return next((name for name in banned if name.rsplit(".", 1)[-1] in mentioned), None)


@lru_cache(1024)  # an answer is looked through in each attempt
def _mentioned_in(source: str) -> Set[str]:
    tree = parse(source)
    return set() if tree is None else mentions(tree)


def mentions(tree: ast.Module, nodes: Iterable[ast.AST] | None = None) -> set[str]:
    """The names that a source mentions, by which :func:`ruled_out` finds one: of attributes, imports and the like.

    Args:
        tree: of the source.
        nodes: all that are in it, where they are known.
    """
    own = _defined(tree)  # an exercise may bear the name of what it rebuilds
    seen: set[str] = set()
    for node in ast.walk(tree) if nodes is None else nodes:
        if isinstance(node, ast.Attribute):
            if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                seen.add(node.attr)
        elif isinstance(node, ast.Name):
            seen.update({node.id} - own)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            seen.update(alias.name.rsplit(".", 1)[-1] for alias in node.names)
        elif isinstance(node, ast.MatchClass):
            seen.update(node.kwd_attrs)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            seen.update(str(a.value).rsplit(".", 1)[-1] for a in node.args if isinstance(a, ast.Constant))
    return seen


def _defined(tree: ast.Module) -> set[str]:
    """Names that the source defines itself, at its top level."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


def _operations(banned: str) -> set[str]:
    """The PyTorch operations behind a ruled-out name, as a dispatch sees them."""
    return FUSED_OPERATIONS.get(banned.rsplit(".", 1)[-1], set())


FUSED_OPERATIONS = {
    "scaled_dot_product_attention": {
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_attention_math",
        "_scaled_dot_product_fused_attention_overrideable",
        "_safe_softmax",  # what its slow path is made of, and nothing else is
    },
    "MultiheadAttention": {"_native_multi_head_attention"},
}
