"""Every assignment: right answers pass, wrong ones do not and are explained, and all its parts agree.

`tests/assignments/right_answers/<notebook>.py` holds the right answers of an assignment.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Mapping
from functools import cache

import pytest
from nbgrader.preprocessors import ClearSolutions

from course_lib.check.judge import ExerciseCases, ExerciseResult, judge
from course_lib.grading.draw import PUBLIC_SEED, draw, wrong_namespace
from course_lib.grading.kill_table import ask_here, judge_source, kill_table
from course_lib.grading.mutants import mutants
from course_lib.grading.places import ROOT
from course_lib.grading.solution import (
    answers,
    given_cells,
    grade_id,
    is_answer,
    namespace,
    read_solution,
    solution_path,
    stub,
    wrong_source,
)
from course_lib.grading.spec import Assignment, Exercise, assignments
from tests.counts import count

SEEDS = [PUBLIC_SEED, b"hidden 1", *count([], soak=[b"hidden 2"])]
MANY_SEEDS = [f"hidden {number}".encode() for number in range(count(4, soak=12))]
MUTANTS = count(10, soak=None)  # of an exercise: a spread over its source, always the same
HEADER = re.compile(
    r"^\*\*Difficulty\*\* (?:●○○|●●○|●●●) · \*\*Importance\*\* (?:●○○|●●○|●●●) · \*\*(\d+) min\*\* · "
    r"\*\*(\d+(?:\.5)?) points?\*\*$",
    re.MULTILINE,
)

SPECS = list(assignments().values())


def right_answers(spec: Assignment) -> Mapping[str, Mapping[str, str]]:
    name = f"tests.assignments.right_answers.{spec.notebook.replace('-', '_')}"
    return importlib.import_module(name).RIGHT_ANSWERS if importlib.util.find_spec(name) else {}


def _id(spec: Assignment, *names: str) -> str:
    return "-".join([spec.slug[:2], *names])


every_assignment = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.slug)
every_exercise = pytest.mark.parametrize(
    ("spec", "exercise"), [pytest.param(s, e, id=_id(s, e.name)) for s in SPECS for e in s.exercises]
)
every_mistake = pytest.mark.parametrize(
    ("spec", "exercise", "name"),
    [
        pytest.param(s, e, m.name, id=_id(s, e.name, m.name))
        for s in SPECS
        for e in s.exercises
        for m in e.misconceptions
    ],
)


@cache
def _cases(slug: str, name: str, seed: bytes) -> ExerciseCases:
    spec = assignments()[slug]
    return draw(spec, spec.exercise(name), seed=seed)


def explained(result: ExerciseResult) -> str:
    return "; ".join(f"{r.line.name}: {r.finding.message} ({r.mistake})" for r in result.lines if r.finding)


# Right answers


@every_exercise
def test_the_solution_earns_full_marks_on_many_draws(spec: Assignment, exercise: Exercise) -> None:
    ask = ask_here(namespace(spec.slug))
    for seed in [PUBLIC_SEED, *MANY_SEEDS]:
        result = judge(draw(spec, exercise, seed=seed), ask, source=answers(spec.slug)[exercise.name])
        assert result.earned == exercise.points, f"{seed!r}: {explained(result)}"


@every_exercise
def test_at_least_five_right_answers_written_differently_are_kept(spec: Assignment, exercise: Exercise) -> None:
    assert len(right_answers(spec).get(exercise.name, {})) >= 5


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore:slow but right")
@pytest.mark.parametrize(
    ("spec", "name", "way"),
    [pytest.param(s, n, w, id=_id(s, n, w)) for s in SPECS for n, ways in right_answers(s).items() for w in ways],
)
def test_a_right_answer_written_differently_earns_full_marks(spec: Assignment, name: str, way: str) -> None:
    for seed in SEEDS:
        result = judge_source(spec, _cases(spec.slug, name, seed), right_answers(spec)[name][way])
        assert result.earned == result.points, f"{seed!r}: {explained(result)}"


@every_exercise
def test_with_stand_ins_for_what_it_uses_an_exercise_earns_full_marks(spec: Assignment, exercise: Exercise) -> None:
    assert set(exercise.uses) <= set(spec.stand_ins)
    scope = namespace(spec.slug, replace={name: spec.stand_ins[name] for name in exercise.uses})
    for seed in SEEDS:
        cases = _cases(spec.slug, exercise.name, seed)
        result = judge(cases, ask_here(scope), source=answers(spec.slug)[exercise.name])
        assert result.earned == exercise.points, explained(result)


@pytest.mark.parametrize(
    ("spec", "name"), [pytest.param(s, name, id=_id(s, name)) for s in SPECS for name in s.stand_ins]
)
def test_a_stand_in_computes_what_is_right(spec: Assignment, name: str) -> None:
    scope = namespace(spec.slug, replace={name: spec.stand_ins[name]})
    for seed in SEEDS:
        result = judge(_cases(spec.slug, name, seed), ask_here(scope))
        assert result.earned == result.points, explained(result)


# Wrong answers


@every_exercise
def test_the_blank_stub_earns_nothing_and_is_told_that_it_is_not_written(spec: Assignment, exercise: Exercise) -> None:
    for seed in SEEDS:
        result = judge_source(spec, _cases(spec.slug, exercise.name, seed), stub(spec.slug, exercise.name))
        assert result.earned == 0
        assert {line.finding.message for line in result.lines if line.finding} == {"not written yet."}


@every_mistake
def test_a_known_mistake_loses_its_line_and_is_named_there_and_no_other_is(
    spec: Assignment, exercise: Exercise, name: str
) -> None:
    mistake = next(m for m in exercise.misconceptions if m.name == name)
    scope = wrong_namespace(spec.slug, exercise.name, name)
    source = wrong_source(spec.slug, exercise.name, mistake)
    for seed in SEEDS:
        result = judge(_cases(spec.slug, exercise.name, seed), ask_here(scope), source=source)
        caught = next(line for line in result.lines if line.line.name == mistake.line)
        assert caught.earned == 0
        assert caught.mistake == name, f"{seed!r}: {explained(result)}"
        assert set(result.mistakes) == {name}, f"{seed!r}: {explained(result)}"


@every_exercise
def test_the_names_of_lines_and_mistakes_agree(spec: Assignment, exercise: Exercise) -> None:
    lines = [line.name for line in exercise.lines]
    names = [m.name for m in exercise.misconceptions]
    assert len(set(lines)) == len(lines)
    assert len(set(names)) == len(names)
    assert {m.line for m in exercise.misconceptions} <= set(lines)
    assert len(names) >= 3


@pytest.mark.slow
@every_exercise
def test_no_automatic_mutant_survives_that_is_not_listed_as_equivalent(spec: Assignment, exercise: Exercise) -> None:
    (row,) = kill_table(
        spec, seeds=[PUBLIC_SEED], with_mutants=True, mutants_at_most=MUTANTS, exercises=[exercise.name]
    ).exercises
    assert bool(row.mutants) != bool(exercise.no_mutants)
    assert [kill.mutant.description for kill in row.mutants if not kill.holds] == []


@every_exercise
def test_every_mutant_that_is_listed_as_equivalent_is_one_of_the_solutions(
    spec: Assignment, exercise: Exercise
) -> None:
    made = {mutant.after for mutant in mutants(answers(spec.slug)[exercise.name])}
    assert set(spec.equivalent.get(exercise.name, {})) <= made


# The parts agree


@every_assignment
def test_folder_solution_spec_and_exercises_have_the_same_slug(spec: Assignment) -> None:
    assert solution_path(spec) == ROOT / "solutions" / spec.slug / f"{spec.notebook}.py"
    assert solution_path(spec).exists()
    assert (ROOT / "book" / spec.slug / "chapter.md").exists()
    assert (ROOT / "exercises" / spec.slug / f"{spec.notebook}.ipynb").exists()
    assert spec.slug.split("-", 1)[1] == spec.notebook
    assert (ROOT / "course_lib" / "grading" / "specs" / f"{spec.notebook.replace('-', '_')}.py").exists()


@every_assignment
def test_the_notebook_has_a_cell_to_write_in_and_a_cell_that_checks_for_each_exercise_in_order(
    spec: Assignment,
) -> None:
    cells = read_solution(spec.slug).cells
    assert [grade_id(cell) for cell in cells if is_answer(cell)] == [exercise.name for exercise in spec.exercises]
    checks = {
        grade_id(cell): cell
        for cell in cells
        if cell["cell_type"] == "code" and cell["metadata"].get("nbgrader", {}).get("grade")
    }
    assert list(checks) == [f"check-{exercise.name}" for exercise in spec.exercises]
    for exercise in spec.exercises:
        assert checks[f"check-{exercise.name}"]["source"] == f'check("{spec.slug}.{exercise.name}", {exercise.name})'
        assert checks[f"check-{exercise.name}"]["metadata"]["nbgrader"]["locked"]


@every_assignment
def test_points_in_header_spec_and_notebook_are_the_same(spec: Assignment) -> None:
    cells = read_solution(spec.slug).cells
    headers = [
        float(match.group(2))
        for cell in cells
        if cell["cell_type"] == "markdown" and (match := HEADER.search(cell["source"]))
    ]
    declared = [exercise.points for exercise in spec.exercises] + [question.points for question in spec.written]
    graded = [
        cell["metadata"]["nbgrader"]["points"] for cell in cells if cell["metadata"].get("nbgrader", {}).get("grade")
    ]
    assert headers == declared
    assert graded == declared
    assert f"worth **{spec.points:g} points**" in cells[0]["source"]
    assert all(2 * line.points % 1 == 0 for exercise in spec.exercises for line in exercise.lines)


@every_assignment
def test_each_exercise_has_help_from_a_question_to_symptoms(spec: Assignment) -> None:
    texts = [cell["source"] for cell in read_solution(spec.slug).cells if HEADER.search(cell["source"])]
    for text in texts[: len(spec.exercises)]:
        summaries = re.findall(r"<summary>(.*?)</summary>", text)
        assert summaries == ["A question to start with", "A hint", "My numbers are off"]
        assert text.count("<details>") == text.count("</details>") == 3


@every_exercise
def test_every_line_of_the_stub_stands_in_the_solution(spec: Assignment, exercise: Exercise) -> None:
    given = iter(answers(spec.slug)[exercise.name].splitlines())
    kept = [line for line in stub(spec.slug, exercise.name).splitlines() if "NotImplementedError" not in line]
    assert all(line in given for line in kept), "a line of the stub is missing from the solution, or out of order"


@every_exercise
def test_the_stub_is_what_nbgrader_makes_of_the_solution(spec: Assignment, exercise: Exercise) -> None:
    cell = next(c for c in read_solution(spec.slug).cells if grade_id(c) == exercise.name)
    released, _ = ClearSolutions().preprocess_cell(cell.copy(), {"language": "python"}, 0)
    without_comment = re.sub(r"^ *# YOUR CODE HERE\n", "", released["source"], flags=re.MULTILINE)
    assert without_comment.rstrip() == stub(spec.slug, exercise.name).rstrip()


@every_exercise
def test_the_stub_is_typed_and_documented(spec: Assignment, exercise: Exercise) -> None:
    for node in ast.walk(ast.parse(stub(spec.slug, exercise.name))):
        if isinstance(node, ast.FunctionDef):
            assert node.returns is not None
            parameters = [*node.args.args, *node.args.kwonlyargs]
            assert all(p.annotation is not None for p in parameters if p.arg != "self")
            assert node.name == "__init__" or "Returns:" in (ast.get_docstring(node) or "")


@every_assignment
def test_nothing_that_a_student_gets_imports_the_reference(spec: Assignment) -> None:
    sources = [source for _, source in given_cells(spec.slug)] + list(spec.stand_ins.values())
    sources += [source for ways in right_answers(spec).values() for source in ways.values()]
    sources += [wrong_source(spec.slug, e.name, m) for e in spec.exercises for m in e.misconceptions]
    for source in sources:
        assert "course_lib.models" not in source
        assert "course_lib.grading" not in source


@every_assignment
def test_a_written_question_keeps_its_mark_scheme_between_the_markers_that_nbgrader_strips(spec: Assignment) -> None:
    for question in spec.written:
        text = next(c["source"] for c in read_solution(spec.slug).cells if grade_id(c) == question.name)
        assert text.count("### BEGIN MARK SCHEME") == text.count("### END MARK SCHEME") == 1
        assert text.rstrip().endswith("### END MARK SCHEME")
