"""A process of its own writes scores as the grader itself would, and whatever ends it is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from course_lib.grading import writer
from course_lib.grading.classroom import ClassFault
from course_lib.grading.commit import pending
from course_lib.grading.standing import standings
from course_lib.grading.writer import commit_apart
from tests.grading.class_fixtures import Made
from tests.grading.classes import SLUG, SPEC

pytestmark = pytest.mark.slow


def test_scores_written_apart_are_those_that_are_written_here(handed_in: Made, graded: Made) -> None:
    assert list(commit_apart(handed_in.room, SPEC, handed_in.plans)) == [(student, "") for student in handed_in.plans]
    apart, here = (standings(made.room, SLUG) for made in (handed_in, graded))
    assert {s: x.cells for s, x in apart.items()} == {s: x.cells for s, x in here.items()}
    assert pending(handed_in.room, SPEC, handed_in.results) == []


def test_at_ctrl_c_what_was_begun_is_written_and_told(handed_in: Made) -> None:
    def three() -> Iterator[str]:
        yield from list(handed_in.plans)[:3]
        raise KeyboardInterrupt

    written = []
    with pytest.raises(KeyboardInterrupt):
        for student, error in commit_apart(handed_in.room, SPEC, three()):
            assert error == ""
            written.append(student)
    assert written == list(handed_in.plans)[:3]
    left = {item.student for item in pending(handed_in.room, SPEC, handed_in.results)}
    assert left == set(handed_in.plans) - set(written)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit('the roof fell in')", "has ended (the roof fell in). Run the command again."),
        ("import os; os.abort()", "has ended (it said nothing)"),
        ('print(\'["", "", "the disk is full"]\')', "the disk is full"),
    ],
)
def test_a_writer_that_ends_or_meets_a_fault_is_named(
    handed_in: Made, monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    monkeypatch.setattr(writer, "PROGRAM", (sys.executable, "-c", program))
    with pytest.raises(ClassFault) as fault:
        list(commit_apart(handed_in.room, SPEC, handed_in.plans))
    assert said in str(fault.value)
    assert len(pending(handed_in.room, SPEC, handed_in.results)) == len(handed_in.plans)


def test_the_process_that_writes_does_not_import_the_grammars_of_addresses() -> None:
    code = "import sys, course_lib.grading.writer; print(sys.modules['jsonschema'], sys.modules['rfc3987_syntax'])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "jsonschema" in said and said.strip().endswith("None")
