"""Releasing: the same bytes twice, nothing of the answers, everything of the rest."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbgrader.apps.api import NbGraderAPI

from course_lib.check import cases
from course_lib.check.judge import ExerciseCases
from course_lib.grading import release as releasing
from course_lib.grading.draw import public_cases
from course_lib.grading.places import ROOT
from course_lib.grading.release import ReleaseError, check_release, grade_cells, register, release, source_notebook
from course_lib.grading.solution import grade_id, is_answer, read_solution
from course_lib.grading.spec import Assignment, SpecError, assignment, assignments
from tests.grading.class_fixtures import Made
from tests.grading.classes import SLUG, SPEC

RECORDED: dict[str, dict[str, ExerciseCases]] = {}


@pytest.fixture(autouse=True, scope="module")
def drawn_once() -> Iterator[None]:
    """Public cases are drawn once for this module; that they are the same elsewhere is what the first test holds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            releasing,
            "public_cases",
            lambda spec: RECORDED.get(spec.slug) or RECORDED.setdefault(spec.slug, public_cases(spec)),
        )
        yield


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    release(SLUG, exercises=folder / "exercises", build=folder / "build")
    return folder


def read(folder: Path, spec: Assignment = SPEC) -> NotebookNode:
    return nbformat.read(folder / "exercises" / spec.slug / f"{spec.notebook}.ipynb", as_version=4)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("slug", assignments())
def test_what_is_committed_is_what_the_solution_gives(slug: str) -> None:
    assert check_release(slug).changed == (), f"run: course release {slug}"


def test_released_twice_is_byte_identical(released: Path, tmp_path: Path) -> None:
    release(SLUG, exercises=tmp_path / "exercises", build=tmp_path / "build")
    assert contents(tmp_path / "exercises" / SLUG) == contents(released / "exercises" / SLUG)


def test_a_release_that_is_up_to_date_is_not_made_again(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releasing, "_make", lambda *_: pytest.fail("it was made again"))
    assert release(SLUG, exercises=released / "exercises", build=released / "build").changed == ()


def test_a_changed_file_is_put_right_and_a_stray_one_removed(released: Path, tmp_path: Path) -> None:
    shutil.copytree(released / "exercises", tmp_path / "exercises")
    folder = tmp_path / "exercises" / SLUG
    (folder / "stray.txt").write_text("?")
    (folder / f"{SPEC.notebook}.ipynb").write_text("{}")
    outcome = release(SLUG, exercises=tmp_path / "exercises", build=tmp_path / "build")
    assert set(outcome.changed) == {"stray.txt", f"{SPEC.notebook}.ipynb"}
    assert contents(folder) == contents(released / "exercises" / SLUG)


def test_no_line_of_an_answer_reaches_the_student(released: Path) -> None:
    text = (released / "exercises" / SLUG / f"{SPEC.notebook}.ipynb").read_text()
    for marker in ("BEGIN SOLUTION", "END SOLUTION", "MARK SCHEME"):
        assert marker not in text
    given = "\n".join(c.source for c in read_solution(SLUG).cells if not is_answer(c) and c.cell_type == "code")
    for cell in read(released).cells:
        if is_answer(cell):
            solved = next(c for c in read_solution(SLUG).cells if grade_id(c) == grade_id(cell)).source
            inside = [part.split("### END SOLUTION")[0] for part in solved.split("### BEGIN SOLUTION")[1:]]
            lines = {line.strip() for part in inside for line in part.splitlines() if len(line.strip()) > 12}
            assert lines, f"{grade_id(cell)} has no marked answer"
            assert not [line for line in lines if line in cell.source and line not in given]
            assert 'raise NotImplementedError("' in cell.source


def test_outside_the_answer_each_line_of_a_stub_is_the_solutions(released: Path) -> None:
    for cell in read(released).cells:
        if is_answer(cell):
            solved = next(c for c in read_solution(SLUG).cells if grade_id(c) == grade_id(cell)).source.splitlines()
            own = [line for line in cell.source.splitlines() if "NotImplementedError" not in line]
            assert [line for line in own if line not in solved] == []


def test_points_and_grade_cells_are_those_of_the_spec(released: Path) -> None:
    notebook = read(released)
    settings = {grade_id(c): c.metadata.nbgrader for c in notebook.cells if grade_id(c)}
    cells = grade_cells(SPEC, notebook)
    assert [cells[name] for name in cells] == [exercise.name for exercise in SPEC.exercises]
    for name, exercise in cells.items():
        assert settings[name]["points"] == SPEC.exercise(exercise).points
        assert settings[name]["locked"]
    assert [settings[w.name]["points"] for w in SPEC.written] == [w.points for w in SPEC.written]


def test_each_cell_has_its_own_id_and_no_output(released: Path) -> None:
    notebook = read(released)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert not [cell for cell in notebook.cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


def test_the_recorded_cases_lie_beside_the_notebook(released: Path) -> None:
    recorded = cases.load(released / "exercises" / SLUG / cases.FILE_NAME)
    assert list(recorded) == [exercise.name for exercise in SPEC.exercises]


def test_the_formgraders_button_gives_the_same_files(released: Path, handed_in: Made, tmp_path: Path) -> None:
    config = handed_in.room.config()
    shutil.copytree(released / "build" / "source", tmp_path / "source")
    config.CourseDirectory.source_directory = "../source"
    config.CourseDirectory.release_directory = "../exercises"
    outcome = NbGraderAPI(config=config).generate_assignment(SLUG)
    assert outcome["success"], outcome.get("log")
    assert contents(tmp_path / "exercises" / SLUG) == contents(released / "exercises" / SLUG)


def changed(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """The solution with a change made to the first exercise's grade cell, or a cell added."""
    notebook = copy.deepcopy(read_solution(SLUG))
    place = next(i for i, c in enumerate(notebook.cells) if c.metadata.get("nbgrader", {}).get("grade"))
    if change == "points":
        notebook.cells[place].metadata["nbgrader"]["points"] = 99
    elif change == "no grade cell":
        del notebook.cells[place]
    elif change == "two of one name":
        notebook.cells.append(notebook.cells[place])
    elif change == "instructor":
        notebook.cells.append(nbformat.v4.new_code_cell("secret = 1", metadata={"tags": ["instructor-only"]}))
    monkeypatch.setattr(releasing, "read_solution", lambda slug: notebook)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("points", "says 99 points, the spec 2"),
        ("no grade cell", "must be followed by one grade cell, there are 0"),
        ("two of one name", "two cells of the solution have the grade_id"),
    ],
)
def test_a_solution_that_contradicts_its_spec_is_refused(
    change: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(monkeypatch, change)
    with pytest.raises(SpecError, match=says):
        source_notebook(SPEC)


def test_cells_for_the_instructor_stay_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, "instructor")
    assert "secret" not in nbformat.writes(source_notebook(SPEC))


def test_the_gradebook_learns_the_assignment_once(handed_in: Made) -> None:
    assert not register(handed_in.room, SLUG)
    with handed_in.room.gradebook() as gradebook:
        assert gradebook.find_assignment(SLUG).max_score == SPEC.points
        assert len(gradebook.find_notebook(SPEC.notebook, SLUG).grade_cells) == len(SPEC.exercises) + len(SPEC.written)


def test_an_assignment_that_was_never_released_here_gets_a_source_for_the_formgrader(
    handed_in: Made, tmp_path: Path
) -> None:
    assert not register(handed_in.room, SLUG, build=tmp_path)
    made = nbformat.read(tmp_path / "source" / SLUG / f"{SPEC.notebook}.ipynb", as_version=4)
    assert made == source_notebook(SPEC)
    made.cells = []
    nbformat.write(made, tmp_path / "source" / SLUG / f"{SPEC.notebook}.ipynb")
    register(handed_in.room, SLUG, build=tmp_path)
    assert nbformat.read(tmp_path / "source" / SLUG / f"{SPEC.notebook}.ipynb", as_version=4) == made


def test_a_source_without_its_cases_is_released_anew(tmp_path: Path) -> None:
    exercises, build = tmp_path / "exercises", tmp_path / "build"
    release(SLUG, exercises=exercises, build=build)
    (build / "source" / SLUG / cases.FILE_NAME).unlink()
    release(SLUG, exercises=exercises, build=build)
    assert (build / "source" / SLUG / cases.FILE_NAME).is_file()


def test_cells_are_not_exchanged_under_scores_that_exist(graded: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    given = source_notebook(SPEC)
    given.cells = [cell for cell in given.cells if grade_id(cell) != SPEC.written[0].name]
    monkeypatch.setattr(releasing, "source_notebook", lambda spec: given)
    monkeypatch.setattr(releasing, "is_registered", lambda *_: False)
    with pytest.raises(ReleaseError, match="new class folder"):
        register(graded.room, SLUG)


def test_the_slug_of_an_assignment_names_its_folders() -> None:
    for slug in assignments():
        assert (ROOT / "solutions" / slug / f"{assignment(slug).notebook}.py").is_file()
