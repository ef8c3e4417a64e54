"""A question that gives an answer only so much room: what needs more is told so, what needs less is not disturbed.

What hostile answers try against it: hostile/test_02_forged_memory.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from course_lib.check.compare import compare
from course_lib.check.judge import Case, ExerciseResult, judge
from course_lib.check.probe import Probe, Reply
from course_lib.grading.draw import draw
from course_lib.grading.launcher import Launcher
from course_lib.grading.limits import MIB, Limits
from course_lib.grading.session import Budget, Session
from course_lib.grading.solution import answers, given_cells
from course_lib.grading.spec import assignment
from tests.assignments.right_answers.attention_layer import RIGHT_ANSWERS

SPEC = assignment("04-attention-layer")
TILED = SPEC.exercise("tiled_attention")
RIGHT = {"the solution": answers(SPEC.slug)[TILED.name], **RIGHT_ANSWERS[TILED.name]} | {
    "queries in tiles only": """
def tiled_attention(query, key, value, *, tile_size):
    scale = math.sqrt(query.shape[-1])
    tiles = query.split(tile_size, dim=-2)
    return torch.cat([(tile @ key.mT / scale).softmax(-1) @ value for tile in tiles], dim=-2)
""",
    "eight threads": "torch.set_num_threads(8)\n" + answers(SPEC.slug)[TILED.name],
    "threads of its own": """
from concurrent.futures import ThreadPoolExecutor

def tiled_attention(query, key, value, *, tile_size):
    def rows(tile):
        return (tile @ key.mT / math.sqrt(query.shape[-1])).softmax(-1) @ value

    with ThreadPoolExecutor(4) as pool:
        return torch.cat(list(pool.map(rows, query.split(tile_size // 16, dim=-2))), dim=-2)
""",
}
SLOW = "one query after the other"
DENSE = {
    "two tables": "(query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1) @ value",
    "one table in single precision": "one(query.float(), key.float(), value.float())",
}
HELPER = """
def one(query, key, value):
    table = query @ key.mT / math.sqrt(query.shape[-1])
    table -= table.amax(-1, keepdim=True)
    table.exp_()
    return (table @ value) / table.sum(-1, keepdim=True)

def tiled_attention(query, key, value, *, tile_size):
    return """


@pytest.fixture(scope="module")
def large() -> Case:
    """The case that has a limited room."""
    line = next(line for line in draw(SPEC, TILED, seed=b"room").lines if line.name == "memory")
    return next(case for case in line.cases if case.probe.room_bytes is not None)


def opened(launcher: Launcher, source: str) -> Session:
    cells = [(name, source if name == TILED.name else given) for name, given in given_cells(SPEC.slug)]
    return launcher.session(cells, limits=Limits(), budget=Budget(120.0))


def ask(launcher: Launcher, source: str, probe: Probe) -> Reply:
    session = opened(launcher, source)
    try:
        return session.ask(probe)
    finally:
        session.close()


def judged(launcher: Launcher, source: str) -> ExerciseResult:
    session = opened(launcher, source)
    try:
        return judge(draw(SPEC, TILED, seed=b"room"), session.ask, source=source)
    finally:
        session.close()


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n == SLOW else []) for n in RIGHT])
def test_a_right_answer_fits_in_three_quarters_of_the_room(sandboxed: Launcher, large: Case, name: str) -> None:
    assert large.probe.room_bytes is not None
    reply = ask(sandboxed, RIGHT[name], replace(large.probe, room_bytes=large.probe.room_bytes * 3 // 4))
    assert compare(large.expected, reply) is None


@pytest.mark.parametrize("name", DENSE)
def test_a_dense_answer_needs_more_than_four_thirds_of_it(sandboxed: Launcher, large: Case, name: str) -> None:
    assert large.probe.room_bytes is not None
    source = HELPER + DENSE[name]
    reply = ask(sandboxed, source, replace(large.probe, room_bytes=large.probe.room_bytes * 4 // 3))
    assert reply.failure is not None and reply.failure.kind == "too_large"
    assert compare(large.expected, ask(sandboxed, source, replace(large.probe, room_bytes=None))) is None


def test_a_dense_answer_loses_the_line_about_memory_only_and_is_told_why(sandboxed: Launcher) -> None:
    result = judged(sandboxed, HELPER + DENSE["two tables"])
    (lost,) = [line for line in result.lines if not line.earned]
    assert lost.line.name == "memory" and lost.finding is not None
    assert lost.finding.message == (
        "it holds more than 9 MiB at one time in tiled_attention; work in parts, and let go of each before the next."
    )


def test_what_fails_for_another_reason_says_so(sandboxed: Launcher, large: Case) -> None:
    reply = ask(sandboxed, "def tiled_attention(*args, **kwargs):\n    raise KeyError('elsewhere')", large.probe)
    assert reply.failure is not None and (reply.failure.kind, reply.failure.type) == ("raised", "KeyError")


def test_without_a_sandbox_the_room_is_limited_as_well(local: Launcher, large: Case) -> None:
    reply = ask(local, HELPER + DENSE["two tables"], large.probe)
    assert reply.failure is not None and reply.failure.kind == "too_large"
    assert compare(large.expected, ask(local, RIGHT["the solution"], large.probe)) is None


def test_the_slot_with_little_room_leaves_the_others_alone(sandboxed: Launcher) -> None:
    session = opened(sandboxed, "def tiled_attention(*, size):\n    return len(bytearray(size))")
    try:
        size = 256 * MIB
        for room_bytes, kind in ((None, None), (8 * MIB, "too_large"), (None, None)):
            reply = session.ask(Probe(target=TILED.name, kwargs={"size": size}, room_bytes=room_bytes))
            assert (reply.failure and reply.failure.kind) == kind
    finally:
        session.close()
