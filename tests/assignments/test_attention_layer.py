"""Assignment 04: right answers pass, wrong ones do not and are explained, and all its parts agree."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest
from nbgrader.preprocessors import ClearSolutions

from course_lib.check.judge import ExerciseCases, ExerciseResult, find_banned, judge
from course_lib.grading.draw import PUBLIC_SEED, draw, wrong_namespace
from course_lib.grading.kill_table import ask_here, judge_source, kill_table
from course_lib.grading.mutants import mutants
from course_lib.grading.solution import (
    ROOT,
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
from course_lib.grading.spec import Exercise, assignment
from tests.assignments.right_answers.attention_layer import RIGHT_ANSWERS

SLUG = "04-attention-layer"
SPEC = assignment(SLUG)
SEEDS = [PUBLIC_SEED, b"hidden 1", b"hidden 2"]
MANY_SEEDS = [f"hidden {number}".encode() for number in range(12)]
HEADER = re.compile(
    r"^\*\*Difficulty\*\* (?:●○○|●●○|●●●) · \*\*Importance\*\* (?:●○○|●●○|●●●) · \*\*(\d+) min\*\* · "
    r"\*\*(\d+(?:\.5)?) points?\*\*$",
    re.MULTILINE,
)

exercises = pytest.mark.parametrize("exercise", SPEC.exercises, ids=lambda e: e.name)
seeds = pytest.mark.parametrize("seed", SEEDS, ids=lambda s: s.decode().replace(" ", "-"))
mistakes = pytest.mark.parametrize(
    ("exercise", "name"),
    [pytest.param(e, m.name, id=f"{e.name}-{m.name}") for e in SPEC.exercises for m in e.misconceptions],
)


@cache
def cases(name: str, seed: bytes) -> ExerciseCases:
    return draw(SPEC, SPEC.exercise(name), seed=seed)


def explained(result: ExerciseResult) -> str:
    return "; ".join(f"{r.line.name}: {r.finding.message} ({r.mistake})" for r in result.lines if r.finding)


# Right answers


@exercises
def test_the_solution_earns_full_marks_on_many_draws(exercise: Exercise) -> None:
    ask = ask_here(namespace(SLUG))
    for seed in [PUBLIC_SEED, *MANY_SEEDS]:
        result = judge(draw(SPEC, exercise, seed=seed), ask, source=answers(SLUG)[exercise.name])
        assert result.earned == exercise.points, f"{seed!r}: {explained(result)}"


@exercises
def test_at_least_five_right_answers_written_differently_are_kept(exercise: Exercise) -> None:
    assert len(RIGHT_ANSWERS[exercise.name]) >= 5


@pytest.mark.filterwarnings("ignore:slow but right")
@pytest.mark.parametrize(
    ("name", "way"), [pytest.param(n, w, id=f"{n}-{w}") for n, ways in RIGHT_ANSWERS.items() for w in ways]
)
def test_a_right_answer_written_differently_earns_full_marks(name: str, way: str) -> None:
    for seed in SEEDS:
        result = judge_source(SPEC, cases(name, seed), RIGHT_ANSWERS[name][way])
        assert result.earned == result.points, f"{seed!r}: {explained(result)}"


@exercises
def test_each_stand_in_lets_the_exercises_that_use_it_earn_full_marks(exercise: Exercise) -> None:
    assert set(exercise.uses) <= set(SPEC.stand_ins)
    scope = namespace(SLUG, replace={name: SPEC.stand_ins[name] for name in exercise.uses})
    for seed in SEEDS:
        result = judge(cases(exercise.name, seed), ask_here(scope), source=answers(SLUG)[exercise.name])
        assert result.earned == exercise.points, explained(result)


@pytest.mark.parametrize("name", SPEC.stand_ins)
def test_a_stand_in_is_itself_right(name: str) -> None:
    for seed in SEEDS:
        result = judge_source(SPEC, cases(name, seed), SPEC.stand_ins[name])
        assert result.earned == result.points, explained(result)


# Wrong answers


@exercises
@seeds
def test_the_blank_stub_earns_nothing_and_is_told_that_it_is_not_written(exercise: Exercise, seed: bytes) -> None:
    result = judge_source(SPEC, cases(exercise.name, seed), stub(SLUG, exercise.name))
    assert result.earned == 0
    assert {line.finding.message for line in result.lines if line.finding} == {"not written yet."}


@mistakes
def test_a_known_mistake_loses_its_line_and_is_named_there(exercise: Exercise, name: str) -> None:
    mistake = next(m for m in exercise.misconceptions if m.name == name)
    scope = wrong_namespace(SLUG, exercise.name, name)
    for seed in SEEDS:
        result = judge(cases(exercise.name, seed), ask_here(scope), source=wrong_source(SLUG, exercise.name, mistake))
        caught = next(line for line in result.lines if line.line.name == mistake.line)
        assert caught.earned == 0
        assert caught.mistake == name, f"{seed!r}: {explained(result)}"


@mistakes
def test_no_other_mistake_is_named_for_a_known_one(exercise: Exercise, name: str) -> None:
    scope = wrong_namespace(SLUG, exercise.name, name)
    for seed in SEEDS:
        result = judge(cases(exercise.name, seed), ask_here(scope))
        assert set(result.mistakes) <= {name}, f"{seed!r}: {explained(result)}"


@exercises
def test_the_names_of_lines_and_mistakes_agree(exercise: Exercise) -> None:
    lines = [line.name for line in exercise.lines]
    names = [m.name for m in exercise.misconceptions]
    assert len(set(lines)) == len(lines)
    assert len(set(names)) == len(names)
    assert {m.line for m in exercise.misconceptions} <= set(lines)
    assert len(names) >= 3


def test_dense_attention_loses_the_memory_line_only() -> None:
    source = """
def tiled_attention(query, key, value, *, tile_size):
    weights = (query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])).softmax(-1)
    return weights @ value
"""
    result = judge_source(SPEC, cases("tiled_attention", PUBLIC_SEED), source)
    assert [line.line.name for line in result.lines if not line.earned] == ["memory"]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (
            "scaled_dot_product_attention",
            """
def scaled_dot_product_attention(query, key, value, mask=None):
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    weights = F.scaled_dot_product_attention(query, key, torch.eye(key.shape[-2]).to(query), attn_mask=mask)
    return output, weights
""",
        ),
        (
            "scaled_dot_product_attention",
            """
from torch.nn.functional import scaled_dot_product_attention as fused

def scaled_dot_product_attention(query, key, value, mask=None):
    eye = torch.eye(key.shape[-2]).to(query)
    return fused(query, key, value, attn_mask=mask), fused(query, key, eye, attn_mask=mask)
""",
        ),
        (
            "tiled_attention",
            """
def tiled_attention(query, key, value, *, tile_size):
    return F.scaled_dot_product_attention(query, key, value)
""",
        ),
        (
            "tiled_attention",
            """
def tiled_attention(query, key, value, *, tile_size):
    return scaled_dot_product_attention(query, key, value)[0]
""",
        ),
        (
            "MultiHeadAttention",
            """
class MultiHeadAttention(nn.Module):
    def __init__(self, *, d_model, num_heads):
        super().__init__()
        self.inner = nn.MultiheadAttention(d_model, num_heads, batch_first=True)

    def forward(self, query, key, value, mask=None):
        return self.inner(query, key, value, average_attn_weights=False)
""",
        ),
    ],
)
def test_an_answer_that_lets_the_library_do_the_exercise_earns_nothing(name: str, source: str) -> None:
    assert judge_source(SPEC, cases(name, PUBLIC_SEED), source).earned == 0


@pytest.mark.parametrize("name", ["scaled_dot_product_attention", "tiled_attention"])
def test_a_hidden_fused_call_is_seen_by_its_operations(name: str) -> None:
    hidden = 'getattr(F, "scaled_dot" + "_product_attention")'
    source = {
        "scaled_dot_product_attention": f"""
def scaled_dot_product_attention(query, key, value, mask=None):
    eye = torch.eye(key.shape[-2]).to(query)
    return {hidden}(query, key, value, attn_mask=mask), {hidden}(query, key, eye, attn_mask=mask)
""",
        "tiled_attention": f"""
def tiled_attention(query, key, value, *, tile_size):
    return {hidden}(query, key, value)
""",
    }[name]
    assert find_banned(source, SPEC.exercise(name).banned) is None
    result = judge_source(SPEC, cases(name, PUBLIC_SEED), source)
    assert result.earned == 0
    assert {line.finding.kind for line in result.lines if line.finding} == {"banned"}


# The parts agree


def test_folder_solution_spec_and_exercises_have_the_same_slug() -> None:
    assert solution_path(SPEC) == ROOT / "solutions" / SLUG / f"{SPEC.notebook}.py"
    assert solution_path(SPEC).exists()
    assert (ROOT / "book" / SLUG / "chapter.md").exists()
    assert (ROOT / "exercises" / SLUG / f"{SPEC.notebook}.ipynb").exists()
    assert SLUG.split("-", 1)[1] == SPEC.notebook
    assert (ROOT / "course_lib" / "grading" / "specs" / f"{SPEC.notebook.replace('-', '_')}.py").exists()


def test_the_notebook_has_a_cell_to_write_in_and_a_cell_that_checks_for_each_exercise_in_order() -> None:
    written = [grade_id(cell) for cell in read_solution(SLUG).cells if is_answer(cell)]
    assert written == [exercise.name for exercise in SPEC.exercises]
    checks = {
        grade_id(cell): cell
        for cell in read_solution(SLUG).cells
        if cell["cell_type"] == "code" and cell["metadata"].get("nbgrader", {}).get("grade")
    }
    assert list(checks) == [f"check-{exercise.name}" for exercise in SPEC.exercises]
    for exercise in SPEC.exercises:
        assert checks[f"check-{exercise.name}"]["source"] == f'check("{SLUG}.{exercise.name}", {exercise.name})'
        assert checks[f"check-{exercise.name}"]["metadata"]["nbgrader"]["locked"]


def test_points_in_header_spec_and_notebook_are_the_same() -> None:
    headers = [
        float(match.group(2))
        for cell in read_solution(SLUG).cells
        if cell["cell_type"] == "markdown" and (match := HEADER.search(cell["source"]))
    ]
    spec = [exercise.points for exercise in SPEC.exercises] + [question.points for question in SPEC.written]
    graded = [
        cell["metadata"]["nbgrader"]["points"]
        for cell in read_solution(SLUG).cells
        if cell["metadata"].get("nbgrader", {}).get("grade")
    ]
    assert headers == spec
    assert graded == spec
    assert f"worth **{SPEC.points:g} points**" in read_solution(SLUG).cells[0]["source"]


def test_each_exercise_has_help_from_a_question_to_symptoms() -> None:
    texts = [cell["source"] for cell in read_solution(SLUG).cells if HEADER.search(cell["source"])]
    for text in texts[: len(SPEC.exercises)]:
        summaries = re.findall(r"<summary>(.*?)</summary>", text)
        assert summaries == ["A question to start with", "A hint", "My numbers are off"]
        assert text.count("<details>") == text.count("</details>") == 3


@exercises
def test_every_line_of_the_stub_stands_in_the_solution(exercise: Exercise) -> None:
    given = iter(answers(SLUG)[exercise.name].splitlines())
    kept = [line for line in stub(SLUG, exercise.name).splitlines() if "NotImplementedError" not in line]
    assert all(line in given for line in kept), "a line of the stub is missing from the solution, or out of order"


@exercises
def test_the_stub_is_what_nbgrader_makes_of_the_solution(exercise: Exercise) -> None:
    cell = next(c for c in read_solution(SLUG).cells if grade_id(c) == exercise.name)
    released, _ = ClearSolutions().preprocess_cell(cell.copy(), {"language": "python"}, 0)
    without_comment = re.sub(r"^ *# YOUR CODE HERE\n", "", released["source"], flags=re.MULTILINE)
    assert without_comment.rstrip() == stub(SLUG, exercise.name).rstrip()


@exercises
def test_the_stub_is_typed_and_documented(exercise: Exercise) -> None:
    for node in ast.walk(ast.parse(stub(SLUG, exercise.name))):
        if isinstance(node, ast.FunctionDef):
            assert node.returns is not None
            parameters = [*node.args.args, *node.args.kwonlyargs]
            assert all(p.annotation is not None for p in parameters if p.arg != "self")
            assert node.name == "__init__" or "Returns:" in (ast.get_docstring(node) or "")


def test_nothing_that_a_student_gets_imports_the_reference() -> None:
    sources = [source for _, source in given_cells(SLUG)] + list(SPEC.stand_ins.values())
    sources += [source for ways in RIGHT_ANSWERS.values() for source in ways.values()]
    sources += [wrong_source(SLUG, e.name, m) for e in SPEC.exercises for m in e.misconceptions]
    for source in sources:
        assert "course_lib.models" not in source
        assert "course_lib.grading" not in source


def test_the_written_question_keeps_its_mark_scheme_between_the_markers_that_nbgrader_strips() -> None:
    for question in SPEC.written:
        text = next(c["source"] for c in read_solution(SLUG).cells if grade_id(c) == question.name)
        assert text.count("### BEGIN MARK SCHEME") == text.count("### END MARK SCHEME") == 1
        assert text.rstrip().endswith("### END MARK SCHEME")


# The kill table


@pytest.mark.slow
@exercises
def test_no_automatic_mutant_of_the_solution_survives_that_is_not_listed_as_equivalent(exercise: Exercise) -> None:
    table = kill_table(SPEC, seeds=[PUBLIC_SEED], with_mutants=True, exercises=[exercise.name])
    (row,) = table.exercises
    assert len(row.mutants) >= 4
    assert [kill.mutant.description for kill in row.mutants if not kill.holds] == []
    assert table.holds


@exercises
def test_every_mutant_that_is_listed_as_equivalent_is_one_of_the_solutions(exercise: Exercise) -> None:
    made = {mutant.after for mutant in mutants(answers(SLUG)[exercise.name])}
    assert set(SPEC.equivalent.get(exercise.name, {})) <= made
