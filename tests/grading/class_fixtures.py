"""A class as handed in, and the same with its scores in the gradebook: made once, copied for each test."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from course_lib.grading.classroom import Classroom
from course_lib.grading.commit import commit
from course_lib.grading.results import Result
from course_lib.grading.sample_class import Plan
from tests.grading.classes import SPEC, sample, store_truth


@dataclass(frozen=True)
class Made:
    """A class with what was planned for each student and the results in its store."""

    room: Classroom
    plans: dict[str, Plan]
    results: dict[str, Result]

    def copy(self, folder: Path) -> Made:
        """The same class in a folder of its own."""
        shutil.copytree(self.room.folder, folder, dirs_exist_ok=True)
        return Made(Classroom(folder), self.plans, self.results)

    def student(self, *, damage: str = "", wrote: str = "", late: bool = False) -> str:
        """Someone whose plan has this."""
        return next(
            name
            for name, plan in self.plans.items()
            if plan.damage == damage
            and (not wrote or wrote in plan.wrote.values())
            and (not late or plan.hours_late > 0)
        )


@pytest.fixture(scope="session")
def _handed_in(tmp_path_factory: pytest.TempPathFactory) -> Made:
    room, plans = sample(tmp_path_factory.mktemp("class"))
    return Made(room, plans, store_truth(room, plans))


@pytest.fixture(scope="session")
def _graded(_handed_in: Made, tmp_path_factory: pytest.TempPathFactory) -> Made:
    made = _handed_in.copy(tmp_path_factory.mktemp("graded"))
    assert [error for _, error in commit(made.room, SPEC, made.plans) if error] == []
    return made


@pytest.fixture
def handed_in(_handed_in: Made, tmp_path: Path) -> Made:
    """Eight submissions, their results in the store, nothing in the gradebook yet."""
    return _handed_in.copy(tmp_path / "class")


@pytest.fixture
def graded(_graded: Made, tmp_path: Path) -> Made:
    """Eight submissions with their scores in the gradebook."""
    return _graded.copy(tmp_path / "class")
