"""The report of a term: its numbers against independent ones, its examples without names, its words fair."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser

from course_lib.commands import DONE
from course_lib.grading.ingest import released
from course_lib.grading.overview import Entry, Overview
from course_lib.grading.results import ExerciseScore, LineScore, Result
from course_lib.grading.sample_answers import HELPERS
from course_lib.grading.sample_class import RIGHT, Plan, draw_plans, submission
from course_lib.grading.solution import answers, grade_id, wrong_source
from course_lib.grading.spec import assignments
from course_lib.grading.standing import CellGrade, Person, Standing
from course_lib.grading.term.attention import who_needs_help
from course_lib.grading.term.deadline import spans
from course_lib.grading.term.items import FEWEST, correlation, items
from course_lib.grading.term.mistakes import anonymous, commonest
from course_lib.grading.term.report import term_report
from course_lib.grading.term.similar import similar_pairs
from course_lib.grading.term.term import Concept, Term, Work, read_concepts, read_term
from tests.browser import launch_browser, watch
from tests.grading.class_fixtures import Made
from tests.grading.classes import SLUG, SPEC, Course
from tests.grading.test_report import text_of, violations

CELLS = {exercise.name: f"check-{exercise.name}" for exercise in SPEC.exercises}
NAMES = [exercise.name for exercise in SPEC.exercises]
DUE = datetime(2026, 3, 6, 18)
ADA = Person("alove01", "Ada", "Lovelace")
numbers = st.floats(-100, 100).map(lambda x: round(x, 3))


def entry(
    student: str,
    shares: Mapping[str, float] | float,
    *,
    hours: float = 10.0,
    mistakes: Mapping[str, str] | None = None,
    verdict: str = "graded",
    kind: str = "values",
) -> Entry:
    """Someone with these shares of points; those that are not named have full marks."""
    of = dict.fromkeys(NAMES, shares) if isinstance(shares, float) else dict.fromkeys(NAMES, 1.0) | dict(shares)
    exercises = tuple(
        ExerciseScore(
            e.name,
            (LineScore("all", e.points, of[e.name] * e.points, kind, mistake=(mistakes or {}).get(e.name, "")),),
        )
        for e in SPEC.exercises
    )
    cells = {CELLS[e.name]: CellGrade(e.earned, None, False) for e in exercises}
    late = max(0.0, -hours * 3600)
    result = Result(key="0", assignment=SLUG, verdict=verdict, exercises=exercises, protections="sandbox")
    person = Person(student, student.title(), "Person")
    return Entry(person, DUE - timedelta(hours=hours), Standing(None, late, 0.0, cells), result, (), None)


def work(*entries: Entry, absent: tuple[Person, ...] = (), **more: object) -> Work:
    return Work(Overview(SPEC, CELLS, entries, absent), DUE, **more)  # type: ignore[arg-type]


def term(*works: Work, concepts: tuple[Concept, ...] = ()) -> Term:
    known = {p.student: p for w in works for p in (*w.seen.absent, *(e.person for e in w.seen.entries))}
    return Term(works, list(known.values()), concepts)


@given(st.lists(st.tuples(numbers, numbers), min_size=FEWEST, max_size=12))
def test_the_correlation_is_pearsons(pairs: list[tuple[float, float]]) -> None:
    left, right = map(list, zip(*pairs, strict=True))
    r = correlation(left, right)
    if r is None:
        assert np.std(left) * np.std(right) < 1e-6
    else:
        assert r == pytest.approx(np.corrcoef(left, right)[0, 1], abs=1e-6) and abs(r) <= 1 + 1e-9


def test_an_exercise_that_only_the_strong_solve_tells_apart_and_one_that_the_weak_solve_does_not() -> None:
    telling, misleading = NAMES[0], NAMES[1]
    strong = [entry(f"s{n}", {misleading: 0.0}) for n in range(6)]
    weak = [entry(f"w{n}", dict.fromkeys(NAMES, 0.0) | {misleading: 1.0}) for n in range(6)]
    found = {item.name: item for item in items(work(*strong, *weak))}
    assert found[telling].discrimination == pytest.approx(1.0) and found[telling].share == pytest.approx(0.5)
    assert found[misleading].discrimination == pytest.approx(-1.0)


def test_a_part_is_compared_with_the_points_of_all_others() -> None:
    rng = np.random.default_rng(3)
    shares = rng.integers(0, 3, (9, len(NAMES))) / 2
    found = items(work(*(entry(f"s{n}", dict(zip(NAMES, row, strict=True))) for n, row in enumerate(shares))))
    worth = np.array([e.points for e in SPEC.exercises])
    for number, item in enumerate(found[: len(NAMES)]):
        rest = shares @ worth - shares[:, number] * worth[number]
        assert item.discrimination == pytest.approx(np.corrcoef(shares[:, number], rest)[0, 1])


def test_who_cannot_be_read_says_nothing_about_an_exercise() -> None:
    right = [entry(f"s{n}", 1.0) for n in range(5)]
    found = items(work(*right, entry("broken", 0.0, verdict="the file is cut off.")))
    assert {(item.share, item.discrimination, item.students) for item in found} == {(1.0, None, 5)}


def test_a_question_counts_once_every_answer_is_graded() -> None:
    question = SPEC.written[0]

    def answered(student: str, grade: CellGrade) -> Entry:
        made = entry(student, 1.0)
        assert made.standing is not None
        return replace(made, standing=replace(made.standing, cells={**made.standing.cells, question.name: grade}))

    blank, waits = answered("a", CellGrade(0.0, None, False)), answered("b", CellGrade(None, None, True))
    given_ = answered("b", CellGrade(None, question.points, False))
    assert question.name not in {item.name for item in items(work(blank, waits))}
    assert {item.name: item.share for item in items(work(blank, given_))}[question.name] == 0.5


@given(st.lists(st.floats(-200, 200), max_size=20))
def test_each_submission_lies_in_one_span(hours: list[float]) -> None:
    found, unknown = spans([work(*(entry(f"s{n}", 1.0, hours=h) for n, h in enumerate(hours)))])
    assert sum(span.count for span in found) == len(hours) and unknown == 0
    assert sum(span.count for span in found[-2:]) == sum(timedelta(hours=h) < timedelta(0) for h in hours)


def test_a_submission_without_a_time_is_counted_as_such() -> None:
    assert spans([work(replace(entry("a", 1.0), handed_in=None))])[1] == 1


def test_whoever_needs_help_is_named_with_the_reasons_and_the_gravest_comes_first() -> None:
    fine = [entry(f"s{n}", 1.0) for n in range(8)]
    gone, low, falling = Person("gone", "Gone", "Person"), entry("low", 0.25), [0.9, 0.6, 0.55]
    works = [
        work(*fine, low, entry("falls", share), entry("late", 1.0, hours=-30), absent=(gone,)) for share in falling
    ]
    found = {item.person.student: item for item in who_needs_help(term(*works))}
    assert list(found) == ["gone", "falls", "low"]
    assert found["gone"].reasons == ("has handed in nothing so far",)
    assert f"has 25 % of the points of {SLUG}, where half of the class has 100 %" in found["low"].reasons
    assert "falls: 90 %, 60 %, 55 % in the last three" in found["falls"].reasons


def test_work_that_is_missing_unwritten_or_broken_is_a_reason() -> None:
    fine = [entry(f"s{n}", 1.0) for n in range(8)]
    away = Person("away", "Away", "Person")
    first = work(*fine, entry("away", 1.0), entry("blank", 1.0), entry("broken", 1.0))
    broken = entry("broken", 0.0, verdict="the file is cut off before its end.")
    last = work(*fine, entry("blank", 0.0, kind="not_written"), broken, absent=(away,))
    found = {item.person.student: " / ".join(item.reasons) for item in who_needs_help(term(first, last))}
    assert f"handed in nothing for {SLUG}" in found["away"]
    assert f"left {len(NAMES)} of {len(NAMES)} exercises" in found["blank"] and "which most have" in found["blank"]
    assert "cannot be graded: the file is cut off before its end" in found["broken"]


def test_a_class_that_gets_on_well_has_nobody_to_help_first() -> None:
    assert who_needs_help(term(*[work(*(entry(f"s{n}", 0.8) for n in range(6)))] * 3)) == []


def test_an_example_holds_code_and_nothing_of_its_author() -> None:
    source = (
        '"""By Ada."""\n\ndef softmax(x):  # ada@example.edu\n    """Mine."""\n    note = "Ada was here"\n'
        '    print(f"{note} Lovelace")\n    return torch.einsum("ij,jk", x, x)\n'
    )
    code = anonymous(source, 'torch.einsum("ij,jk")', ADA)
    assert code is not None and "Ada" not in code and "ada" not in code and "Lovelace" not in code
    assert "'ij,jk'" in code and "def softmax(x):" in code
    ast.parse(code)


@pytest.mark.parametrize(
    "source", ["def ada_softmax(x):\n    return x", "lovelace = 1", "alove01 = 2", "def f(:", "%%sh"]
)
def test_code_that_names_its_author_or_is_none_is_no_example(source: str) -> None:
    assert anonymous(source, "", ADA) is None


def test_a_function_of_words_alone_stays_a_function() -> None:
    code = anonymous('def f(x):\n    """Todo."""\n', "", ADA)
    assert code is not None
    ast.parse(code)


def test_mistakes_are_counted_over_assignments_and_have_an_example() -> None:
    exercise = next(e for e in SPEC.exercises if e.misconceptions)
    known = exercise.misconceptions[0]
    wrong = wrong_source(SLUG, exercise.name, known)
    made = {exercise.name: known.name}
    entries = [entry("a", 1.0), *(entry(s, {exercise.name: 0.0}, mistakes=made) for s in ("b", "c"))]
    given_ = {"b": {exercise.name: f"{wrong}\n# by b"}, "c": {exercise.name: f"{wrong}\nspare = 1\n"}}
    (found,) = commonest(term(work(*entries, answers=given_)), 5)
    assert (found.count, found.students, found.says) == (2, 3, known.says)
    assert found.example == ast.unparse(ast.parse(found.example)) and "spare" not in found.example
    assert "by b" not in found.example


def solved(**changed: str) -> dict[str, str]:
    return {name: answers(SLUG)[name] for name in NAMES} | changed


def own(version: int = 0) -> dict[str, str]:
    return solved(**{NAMES[0]: f"{HELPERS[version]}\n\n{answers(SLUG)[NAMES[0]]}"})


def test_code_of_their_own_that_two_share_is_found_under_other_names() -> None:
    (pair,) = similar_pairs(SPEC, {"a": own(0), "b": solved(), "c": own(1)})
    assert pair.students == ("a", "c") and min(pair.shares) > 0.9
    assert "largest = max(" in pair.passages[0] and "top = max(" in pair.passages[1]
    assert "def draw_bar" in pair.passages[0] and "def show_numbers" in pair.passages[1]


def test_what_the_course_gave_makes_nobody_similar() -> None:
    blank = {str(grade_id(c)): c.source for c in released(SLUG, SPEC.notebook).cells if grade_id(c)}
    wrong = {e.name: wrong_source(SLUG, e.name, e.misconceptions[0]) for e in SPEC.exercises if e.misconceptions}
    assert similar_pairs(SPEC, {"a": solved(), "b": solved(), "c": blank, "d": blank, "e": wrong, "f": wrong}) == []


def test_what_many_write_makes_nobody_similar() -> None:
    assert len(similar_pairs(SPEC, {s: own(0) for s in "abc"})) == 3
    assert similar_pairs(SPEC, {s: own(0) for s in "abcd"}) == []


def test_the_pair_of_a_sample_class_is_found_and_no_other() -> None:
    plans = draw_plans(SPEC, size=24)
    sharing = {plan.student for plan in plans if plan.helper[0]}
    assert len(sharing) == 2 and all(plan.wrote[plan.helper[0]] == RIGHT for plan in plans if plan.helper[0])
    found = similar_pairs(SPEC, {plan.student: read_answers(plan) for plan in plans})
    assert [set(pair.students) for pair in found] == [sharing]


def read_answers(plan: Plan) -> dict[str, str]:
    text = submission(SPEC, released(SLUG, SPEC.notebook), replace(plan, damage=""))
    return {str(grade_id(cell)): cell.source for cell in nbformat.reads(text, as_version=4).cells if grade_id(cell)}


def test_each_concept_of_the_syllabus_names_a_part_of_its_assignment() -> None:
    for concept in read_concepts():
        spec = assignments()[concept.slug]
        assert concept.exercise in {*(e.name for e in spec.exercises), *(w.name for w in spec.written)}, concept


def test_concepts_show_what_the_class_has_of_their_exercise() -> None:
    concept = Concept("A concept", SLUG, NAMES[2])
    says = text_of(
        term_report(
            term(work(entry("a", {NAMES[2]: 0.25}), entry("b", 1.0), entry("c", {NAMES[2]: 0.4})), concepts=(concept,)),
            Path("/reports"),
        )
    )
    assert f"A concept ({NAMES[2]}; 2 below half) 55 %" in says


def test_names_are_text_and_nothing_is_loaded_from_elsewhere() -> None:
    page = term_report(term(work(entry("<script>alert(1)</script>", 0.1), entry("b", 1.0))), Path("/reports"))
    assert "<script>alert" not in page.lower() and "&lt;script&gt;" in page.lower()
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", page) and "@import" not in page and "url(" not in page


def test_similarity_is_shown_and_never_judged() -> None:
    given_ = {"a": own(0), "c": own(1)}
    page = term_report(term(work(entry("a", 1.0), entry("c", 1.0), answers=given_)), Path("/reports"))
    says = text_of(page)
    assert "A and C" not in says and "Person, A and Person, C" in says
    assert "Nothing here is evidence, and no score depends on it." in says
    assert not re.search(r"plagiar|cheat|suspic|copied|misconduct", page, re.IGNORECASE)


def test_without_a_name_the_command_reports_on_the_term(course: Course, graded: Made) -> None:
    code, said = course("report", "--class", graded.room.folder)
    reports = graded.room.folder / "reports"
    assert code == DONE and str(reports / "term.html") in said and str(reports / f"{SLUG}.html") in said
    page = (reports / "term.html").read_text(encoding="utf-8")
    assert f'href="{SLUG}.html"' in page and "8 students" in text_of(page)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1200, "dark")])
def test_in_a_browser_it_fits_sorts_prints_whole_and_can_be_used_by_everyone(
    graded: Made, tmp_path: Path, browser: Browser, width: int, scheme: Literal["light", "dark"]
) -> None:
    path = tmp_path / "term.html"
    read = read_term(graded.room, [SPEC])
    pair = [student for student, cells in (read.works[0].answers or {}).items() if len(cells) == len(NAMES)][:2]
    given_ = {**(read.works[0].answers or {}), pair[0]: own(0), pair[1]: own(1)}
    exercise, known = next((e, e.misconceptions[0]) for e in SPEC.exercises if e.misconceptions)
    long = wrong_source(SLUG, exercise.name, known) + f"\nspare = [{', '.join(['123456789'] * 40)}]\n"
    wrong = work(entry("wrong", 0.5, mistakes={exercise.name: known.name}), answers={"wrong": {exercise.name: long}})
    works = [replace(read.works[0], answers=given_), wrong]
    path.write_text(term_report(replace(read, works=works), tmp_path), "utf-8")
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    traffic = watch(page)
    page.goto(path.as_uri())
    page.get_by_role("button", name="Mean").click()
    shown = page.locator("#students tbody tr td:nth-child(4)").all_inner_texts()
    means = [float(text.rstrip("%")) if text != "–" else -1.0 for text in shown]
    assert means == sorted(means, reverse=True) and len(set(means)) > 2
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0 and page.locator("details").count() > 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0
    assert traffic.faults() == []
