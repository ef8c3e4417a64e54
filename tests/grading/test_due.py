"""`course due`: the date that the gradebook keeps, and who is late by it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from course_lib.commands import DONE, USAGE, CommandError
from course_lib.commands.due import read_moment
from course_lib.grading.overview import overview
from course_lib.grading.sample_class import DUE
from tests.grading.class_fixtures import Made
from tests.grading.classes import SLUG, SPEC, Course


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine's clock stands in Berlin."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("said", "hour"),
    [
        ("2026-03-06 17:00 UTC", 17),
        ("2026-03-06 17:00Z", 17),
        ("2026-03-06T17:00:00+01:00", 16),
        ("2026-03-06 17:00 +01:00", 16),
        ("2026-03-06 17:00 -0500", 22),
        ("2026-03-06 17:00", 16),
    ],
)
def test_a_time_is_kept_in_utc_and_one_without_a_zone_is_this_machine_s(in_berlin: None, said: str, hour: int) -> None:
    assert read_moment(said) == datetime(2026, 3, 6, hour)


@pytest.mark.parametrize("said", ["2026-03-06", "2026-03-06+01:00", "Friday", "", "2026-13-06 17:00", "17:00"])
def test_a_day_without_a_time_and_what_is_no_date_are_refused_with_an_example(said: str) -> None:
    with pytest.raises(CommandError, match=r"no date with a time; write it as '2026-03-06 17:00'") as refused:
        read_moment(said)
    assert refused.value.code == USAGE


def test_the_date_decides_who_is_late(course: Course, graded: Made) -> None:
    late = graded.student(late=True)

    def are_late() -> set[str]:
        return {entry.person.student for entry in overview(graded.room, SPEC).entries if entry.late}

    assert late in are_late() and len(are_late()) < len(graded.plans)
    code, said = course("due", SLUG, f"{DUE:%Y-%m-%d %H:%M} UTC", "--class", graded.room.folder)
    assert code == DONE and f"due {DUE:%a %Y-%m-%d %H:%M} UTC" in said and late in are_late()
    course("due", SLUG, "2199-01-01 00:00 UTC", "--class", graded.room.folder)
    assert are_late() == set()
    course("due", SLUG, "1999-01-01 00:00 UTC", "--class", graded.room.folder)
    assert are_late() == set(graded.plans)


def test_an_assignment_gets_its_date_before_anybody_has_handed_in(course: Course, tmp_path: Path) -> None:
    folder = tmp_path / "class"
    code, said = course("due", "--class", folder)
    assert code == DONE and f"{SLUG} has no date" in said and not folder.exists()
    code, said = course("due", SLUG, "2026-03-06 17:00 UTC", "--class", folder)
    assert code == DONE and f"{SLUG} due Fri 2026-03-06 17:00 UTC" in said
    code, said = course("due", "--class", folder)
    assert code == DONE and f"{SLUG} due Fri 2026-03-06 17:00 UTC" in said and "01-sequences has no date" in said
