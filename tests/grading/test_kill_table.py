"""The kill table sees a rubric that is too weak, and outlives mutants that loop or fill the memory."""

import dataclasses
import time

import pytest

from course_lib.check.probe import Probe, Reply
from course_lib.grading import kill_table
from course_lib.grading.spec import Assignment, Line, assignment

SPEC = assignment("04-attention-layer")


def with_lines_of_causal_mask(*lines: Line) -> Assignment:
    """The assignment with another rubric for the causal mask, and that exercise only."""
    misconceptions = [
        dataclasses.replace(mistake, line=lines[0].name) for mistake in SPEC.exercise("causal_mask").misconceptions
    ]
    exercise = dataclasses.replace(SPEC.exercise("causal_mask"), lines=lines, misconceptions=misconceptions)
    return dataclasses.replace(SPEC, exercises=[exercise])


def test_a_rubric_that_looks_at_one_position_only_lets_mistakes_and_mutants_through() -> None:
    weak = Line(name="weak", text="", points=1, cases=lambda rng: [Probe(target="causal_mask", args=(1,))])
    table = kill_table.kill_table(with_lines_of_causal_mask(weak), seeds=[b"any"], with_mutants=True)
    (row,) = table.exercises
    uncaught = {kill.name for kill in row.misconceptions if not kill.caught_by}
    assert {"future_allowed", "one_step_ahead"} <= uncaught
    assert row.survivors
    assert not table.holds


def test_a_strong_rubric_holds() -> None:
    table = kill_table.kill_table(SPEC, exercises=["causal_mask"], with_mutants=True)
    (row,) = table.exercises
    assert table.holds
    assert row.solution == row.points == 2
    assert row.blank == 0
    assert row.blank_says == "not written yet."
    assert all(kill.named and kill.intended in kill.caught_by for kill in row.misconceptions)


def test_an_equivalent_mutant_that_is_caught_after_all_does_not_hold() -> None:
    listed = {"causal_mask": {"return torch.ones(length, length, dtype=torch.bool).triu()": "a wrong reason"}}
    spec = dataclasses.replace(SPEC, equivalent=listed)
    assert not kill_table.kill_table(spec, exercises=["causal_mask"], with_mutants=True).holds


def test_no_mutants_are_made_where_the_spec_says_why_not() -> None:
    exercise = dataclasses.replace(SPEC.exercise("causal_mask"), no_mutants="a reason")
    spec = dataclasses.replace(SPEC, exercises=[exercise])
    (row,) = kill_table.kill_table(spec, seeds=[b"any"], with_mutants=True).exercises
    assert (row.mutants, row.no_mutants, row.holds) == ((), "a reason", True)


def test_a_reply_that_took_long_serves_the_same_sources_again_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def answer(probe: Probe, scope: object) -> Reply:
        asked.append(scope)
        return Reply(len(asked))

    monkeypatch.setattr(kill_table, "execute", answer)
    monkeypatch.setattr(kill_table, "KEPT_SECONDS", -1.0)
    monkeypatch.setattr(kill_table, "_LONG_REPLIES", {})
    first, second = ({"__sources__": (source,)} for source in ("one", "two"))
    train, other = Probe(target="train"), Probe(target="train", seed=1)
    given = [kill_table.ask_here(scope)(probe).output for scope in (first, second) for probe in (train, other, train)]
    assert given == [1, 2, 1, 3, 4, 3]
    assert [kill_table.ask_here({})(train).output for _ in range(2)] == [5, 6]


def test_a_mutant_that_loops_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def loop() -> tuple[str, ...]:
        while True:
            time.sleep(0.01)

    monkeypatch.setattr(kill_table, "MUTANT_SECONDS", 0.5)
    assert kill_table._in_a_fork(loop) == ((), "after 0.5 s")


def test_a_mutant_that_fills_the_memory_ends_alone() -> None:
    def fill() -> tuple[str, ...]:
        return (str(len(bytearray(1 << 36))),)

    assert kill_table._in_a_fork(fill) == ((), "its process ended")
