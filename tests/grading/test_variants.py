"""Variants: drawn by group and seed, told apart by the rubric, sealed, and graded as the class says."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from nbformat import NotebookNode

from course_lib.check import cases
from course_lib.commands import ATTENTION, DONE, USAGE
from course_lib.grading import release as releasing
from course_lib.grading.classroom import Classroom
from course_lib.grading.draw import PUBLIC_SEED, draw, public_cases, public_seed
from course_lib.grading.groups import GroupError, add_variant, read_groups, spec_of
from course_lib.grading.ingest import MARK, NO_GROUP, NO_MARK, WRONG_NOTEBOOK, handed_out, read_submission, released
from course_lib.grading.kill_table import judge_source, kill_table
from course_lib.grading.overview import GROUP, overview
from course_lib.grading.solution import answers, grade_id, is_answer
from course_lib.grading.spec import Assignment, SpecError, Variant, assignment, assignments
from course_lib.grading.standing import standings
from course_lib.grading.variant import constants_of, find, parse, vary
from course_lib.models.positions import sinusoidal_positions
from course_lib.models.transformer import label_smoothed_cross_entropy
from tests.grading.classes import Course

SLUG, NAME = "04-attention-layer", "sinusoidal_positions"
SPEC = assignment(SLUG)
A, B, C = (parse(text) for text in ("A/2027", "B/2027", "C/2027"))
IN_CLASS = replace(A, others=(B, C))
VARIED = [(slug, e.name) for slug, spec in assignments().items() for e in spec.exercises if e.constants]

every_varied = pytest.mark.parametrize(("slug", "name"), VARIED)


def constants(slug: str, name: str, variant: Variant) -> dict[str, float]:
    spec = assignment(slug)
    return {argument: value for argument, (_, value) in constants_of(spec, spec.exercise(name), variant).items()}


def recorded(spec: Assignment, name: str, folder: Path) -> bytes:
    """The public cases of one exercise, as they are written to disk."""
    path = folder / cases.FILE_NAME
    cases.save(public_cases(replace(spec, exercises=[spec.exercise(name)])), path)
    return path.read_bytes()


# What is drawn


def test_every_assignment_has_an_exercise_with_constants() -> None:
    assert {slug for slug, _ in VARIED} == set(assignments())


@every_varied
def test_group_and_seed_decide_cases_and_constants_and_nothing_else_does(slug: str, name: str, tmp_path: Path) -> None:
    spec = assignment(slug)
    first = recorded(vary(spec, A), name, tmp_path)
    assert recorded(vary(spec, parse("A/2027")), name, tmp_path) == first
    others = [recorded(other, name, tmp_path) for other in (spec, vary(spec, B), vary(spec, parse("A/2028")))]
    assert len({first, *others}) == 4
    drawn = {str(constants(slug, name, Variant("A", str(seed)))) for seed in range(40)}
    assert len(drawn) >= min(4, len(spec.exercise(name).constants[0].choices))


@every_varied
def test_no_variant_has_the_assignments_own_constants(slug: str, name: str) -> None:
    exercise = assignment(slug).exercise(name)
    for seed in range(200):
        drawn = constants(slug, name, Variant("A", str(seed)))
        assert all(drawn[c.argument] != c.plain and drawn[c.argument] in c.choices for c in exercise.constants)


def test_a_variant_has_the_tasks_points_and_lines_of_its_assignment() -> None:
    for spec in assignments().values():
        varied = vary(spec, A)
        assert varied.points == spec.points and varied.slug == spec.slug
        assert [[line.name for line in e.lines] for e in varied.exercises] == [
            [line.name for line in e.lines] for e in spec.exercises
        ]


def test_the_full_name_of_a_variant_finds_it_again() -> None:
    varied = vary(SPEC, IN_CLASS)
    again = find(varied.full_name)
    assert again.variant == IN_CLASS and again.full_name == varied.full_name != SPEC.full_name == SLUG
    assert [m.name for m in again.exercise(NAME).misconceptions] == [
        m.name for m in varied.exercise(NAME).misconceptions
    ]


@pytest.mark.parametrize("text", ["", "/7", "A/", "A/7/8", "A|B", "A@B", "../A", "A B", "Ä"])
def test_a_variant_that_is_not_written_so_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="GROUP/SEED"):
        parse(text)


# What the notebook says


@every_varied
def test_only_texts_and_stubs_of_varied_exercises_differ_from_the_assignment(slug: str, name: str) -> None:
    spec = assignment(slug)
    plain, varied = released(slug, spec.notebook), handed_out(vary(spec, A))
    changed = [new for old, new in zip(plain.cells, varied.cells, strict=True) if old.source != new.source]
    belonging = [cell for cell in changed if cell.cell_type == "markdown"]
    stubs = [cell for cell in changed if is_answer(cell)]
    own = [cell for cell in belonging if announced(cell)]
    assert len(own) == len(spec_varied := [e for e in spec.exercises if e.constants]) and len(changed) <= 2 * len(own)
    assert {grade_id(cell) for cell in stubs} <= {exercise.name for exercise in spec_varied}
    assert belonging == own and set(map(id, changed)) == set(map(id, [*own, *stubs]))
    says = "\n".join(cell.source for cell in own)
    for constant in spec.exercise(name).constants:
        value = constants(slug, name, A)[constant.argument]
        assert f"{constant.name} = {value:g}." in says or f"`{constant.argument}` = {value:g} where" in says
        if not constant.code:
            stub = next(cell for cell in stubs if grade_id(cell) == name)
            assert f"{constant.argument}: {type(constant.plain).__name__} = {value!r}" in stub.source


def announced(cell: NotebookNode) -> bool:
    """Whether the text says its constants once, before the help."""
    task, _, help_for_it = cell.source.partition("<details>")
    return task.count("**In this notebook:**") == 1 and "In this notebook" not in help_for_it


@pytest.mark.parametrize("seed", range(3))
def test_the_table_of_positions_is_that_of_the_base(seed: int) -> None:
    variant = Variant("A", str(seed))
    text = "\n".join(cell.source for cell in handed_out(vary(SPEC, variant)).cells)
    expected = sinusoidal_positions(3, 4, **constants(SLUG, NAME, variant))
    for position, row in enumerate(expected.tolist()):
        shown = " | ".join(f"{value:.3f}".replace("-", "−") for value in row)
        assert f"| {position} | {shown} |" in text


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_in_the_example_is_that_of_the_smoothing(seed: int) -> None:
    variant, slug = Variant("A", str(seed)), "05-transformer"
    drawn = constants(slug, "label_smoothed_cross_entropy", variant)
    text = "\n".join(cell.source for cell in handed_out(vary(assignment(slug), variant)).cells)
    logits = torch.tensor([[[math.log(1 / 4), math.log(3 / 4)]]], dtype=torch.float64)
    loss = label_smoothed_cross_entropy(logits, torch.tensor([[1]]), smoothing=drawn["smoothing"])
    assert f"\\tfrac14 = {loss.item():.3f}$" in text and f"$\\varepsilon = {drawn['smoothing']:g}$" in text


def numbers(slug: str, variant: Variant, pattern: str) -> list[float]:
    """The numbers in a variant's text, where a pattern with groups finds them."""
    text = "\n".join(cell.source for cell in handed_out(vary(assignment(slug), variant)).cells)
    return [float(group) for match in re.finditer(pattern, text) for group in match.groups()]


@pytest.mark.parametrize("seed", range(3))
def test_the_worked_numbers_of_the_texts_are_what_the_reference_gives(seed: int) -> None:
    variant = Variant("A", str(seed))

    def reference(slug: str, name: str) -> Callable[..., Any]:
        return vary(assignment(slug), variant).exercise(name).reference

    counts = torch.tensor([[2.0, 1, 0, 0], [0, 1, 1, 0], [0, 3, 0, 0]])
    weighed = reference("01-sequences", "tf_idf")(counts)
    shown = numbers("01-sequences", variant, r"\| \$\[([\d.]+), 0, 0, 0\]\$ \|\n.*\$\[0, 0, ([\d.]+), 0\]\$ \|\n")
    assert shown == [pytest.approx(float(weighed[0, 0]), abs=6e-4), pytest.approx(float(weighed[1, 2]), abs=6e-4)]

    found, sure, possible = torch.zeros(3, 2, 3, dtype=torch.bool)
    found[0, 0], found[1, 2], sure[0, 0], sure[1, 1], possible[1, 2] = True, True, True, True, True
    rate = reference("03-rnn-attention", "alignment_error_rate")(found, sure, possible)
    assert numbers("03-rnn-attention", variant, r"\$1 - .* = ([\d.]+)\$\.\n") == [pytest.approx(rate, abs=6e-4)]

    tables = torch.tensor([[[[0.0, 1], [1, 0]]], [[[0, 1], [0, 1]]]])[None]  # (1, num_layers, 1, 2, 2)
    rollout = reference("08-vit", "attention_rollout")(tables)
    entry = r" ([\d.]+) "
    shown = numbers("08-vit", variant, rf"\$R = .* \\begin{{bmatrix}}{entry}&{entry}\\\\{entry}&{entry}\\end")
    assert shown == pytest.approx(rollout.flatten().tolist())

    prediction, target = torch.tensor([0, 1, 1, 0]), torch.tensor([0, 0, 1, 0])
    logits = torch.nn.functional.one_hot(prediction).float().T[None, :, None]  # (1, num_classes, 1, 4)
    scores = reference("09-unet", "dice_score")(logits, target[None, None])
    shown = numbers("09-unet", variant, r"class 0 has \$.* = ([\d.]+)\$,\nclass 1 has \$.* = ([\d.]+)\$\.")
    assert shown == pytest.approx(scores.tolist(), abs=6e-4)


# What the rubric tells apart


def values(slug: str, name: str, variant: Variant | None) -> list[float]:
    if variant is not None:
        return list(constants(slug, name, variant).values())
    return [constant.plain for constant in assignment(slug).exercise(name).constants]


@every_varied
def test_with_the_constant_of_another_group_an_answer_loses_its_line_and_is_told(slug: str, name: str) -> None:
    spec = assignment(slug)
    own = vary(spec, IN_CLASS)
    drawn = draw(own, own.exercise(name), seed=b"any")
    assert judge_source(own, drawn, answers(own.full_name)[name]).earned == own.exercise(name).points
    lines = {constant.line for constant in spec.exercise(name).constants}
    for variant, whose in ((None, "no_group"), (B, "group_B"), (C, "group_C")):
        (theirs,), (mine,) = values(slug, name, variant), values(slug, name, A)
        if theirs == mine or (variant == C and theirs in values(slug, name, B)):
            continue
        result = judge_source(own, drawn, answers(vary(spec, variant or Variant("")).full_name)[name])
        lost = {line.line.name: line.mistake for line in result.lines if not line.earned}
        assert lines <= set(lost)
        assert all(mistake is not None and mistake.endswith(f"_of_{whose}") for mistake in lost.values())
        says = [m.says for m in own.exercise(name).misconceptions if m.name in lost.values()]
        assert says and all(
            re.search(rf"answer for .* {theirs:g}; the notebook of your group says .* {mine:g}\.$", s) for s in says
        )


@every_varied
def test_the_check_in_a_notebook_names_the_constant_of_any_group(slug: str, name: str) -> None:
    spec = assignment(slug)
    own = vary(spec, A)  # released alone, before any other group's
    public = public_cases(replace(own, exercises=[own.exercise(name)]))[name]
    (mine,) = values(slug, name, A)
    other = next(v for v in (Variant("Z", str(seed)) for seed in range(99)) if values(slug, name, v) != [mine])
    (theirs,) = values(slug, name, other)
    result = judge_source(own, public, answers(vary(spec, other).full_name)[name])
    said = {public.mistakes[line.mistake].says for line in result.lines if not line.earned and line.mistake}
    assert any(
        re.search(rf"answer for .* {theirs:g}; the notebook of your group says .* {mine:g}\.$", text) for text in said
    )


@every_varied
def test_the_kill_table_of_a_varied_exercise_holds_for_each_group_of_a_class(slug: str, name: str) -> None:
    changed_code = any(constant.code for constant in assignment(slug).exercise(name).constants)
    for variant in (IN_CLASS, replace(B, others=(A, C))):
        with_mutants = changed_code and variant is IN_CLASS
        table = kill_table(vary(assignment(slug), variant), exercises=[name], with_mutants=with_mutants)
        assert table.holds
        assert [k for k in table.exercises[0].misconceptions if k.name.endswith("_of_no_group")]


def test_the_kill_table_of_a_variant_holds() -> None:
    table = kill_table(vary(SPEC, A), seeds=[PUBLIC_SEED], exercises=["causal_mask", NAME])
    assert table.holds and table.title == f"{SPEC.title}, variant A/2027"


@pytest.mark.soak
@pytest.mark.parametrize("variant", [Variant("A", str(seed), (Variant("B", str(seed)),)) for seed in range(3)], ids=str)
@pytest.mark.parametrize("slug", assignments())
def test_the_kill_table_of_every_assignments_variants_holds(slug: str, variant: Variant) -> None:
    assert kill_table(vary(assignment(slug), variant), with_mutants=True).holds


@pytest.mark.soak
@every_varied
def test_for_each_value_the_kill_table_holds_and_its_neighbour_is_told_from_it(slug: str, name: str) -> None:
    spec, (constant,) = assignment(slug), assignment(slug).exercise(name).constants
    by_value = {constants(slug, name, v)[constant.argument]: v for v in (Variant("A", str(s)) for s in range(2000))}
    assert set(by_value) == set(constant.choices) - {constant.plain}
    assert [value for value in by_value if not kill_table(vary(spec, by_value[value]), exercises=[name]).holds] == []
    for one, other in pairwise(sorted(by_value)):
        own = vary(spec, by_value[one])
        drawn = draw(own, own.exercise(name), seed=public_seed(own))
        copied = answers(vary(spec, by_value[other]).full_name)[name]
        assert constant.line in [x.line.name for x in judge_source(own, drawn, copied).lines if not x.earned]


# Whose notebook it is


@pytest.fixture
def room(tmp_path: Path) -> Classroom:
    """A class with two groups of one student each."""
    classroom = Classroom(tmp_path / "class")
    for variant in (A, B):
        add_variant(classroom, SPEC, variant)
    (classroom.folder / "groups.csv").write_text("student,group\nada,A\nbob,B\n")
    return classroom


def solved(classroom: Classroom, group: str) -> NotebookNode:
    """A group's notebook as a right student hands it in, mark and all."""
    variant = read_groups(classroom).variant(SLUG, group)
    spec = vary(SPEC, variant)
    notebook = handed_out(spec)
    for cell in notebook.cells:
        if is_answer(cell):
            cell.source = answers(spec.full_name)[str(grade_id(cell))]
    notebook.metadata[MARK] = {"assignment": SLUG, "group": group, "seal": variant.seals[group]}
    return notebook


def hand_in(classroom: Classroom, student: str, notebook: NotebookNode) -> Path:
    path = classroom.submitted(student, SLUG) / f"{SPEC.notebook}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook))
    return path


def verdict(classroom: Classroom, student: str, notebook: NotebookNode) -> str:
    spec = spec_of(classroom, student, SPEC)
    return read_submission(hand_in(classroom, student, notebook), spec=spec).verdict


def test_the_class_and_not_the_notebook_says_which_variant_a_student_has(room: Classroom) -> None:
    for student, group in (("ada", "A"), ("bob", "B")):
        own = spec_of(room, student, SPEC)
        assert own.variant is not None and own.variant.group == group
        assert [str(other) for other in own.variant.others] == [str(v) for v in (A, B) if v.group != group]
        assert verdict(room, student, solved(room, group)) == "ok"
    other = assignment("05-transformer")
    assert spec_of(room, "ada", other) is other


def test_another_groups_notebook_gets_one_verdict_that_names_both(room: Classroom) -> None:
    said = verdict(room, "ada", solved(room, "B"))
    assert said.startswith(WRONG_NOTEBOOK) and "group B" in said and "you are in group A" in said


def test_a_name_that_was_changed_in_the_notebook_is_seen(room: Classroom) -> None:
    forged = solved(room, "B")
    for mark in ({"group": "A", "seal": forged.metadata[MARK]["seal"]}, {"group": "A"}, {"seal": "\ud800"}, {"x": 1}):
        forged.metadata[MARK] = mark
        said = verdict(room, "ada", forged)
        assert said.startswith(WRONG_NOTEBOOK) and "was changed" in said


def test_a_seal_of_another_class_or_assignment_is_none(room: Classroom, tmp_path: Path) -> None:
    elsewhere = Classroom(tmp_path / "elsewhere")
    other_class = add_variant(elsewhere, SPEC, A).seals["A"]
    other_assignment = add_variant(room, assignment("05-transformer"), A).seals["A"]
    notebook = solved(room, "A")
    for seal in (other_class, other_assignment):
        assert seal != notebook.metadata[MARK]["seal"]
        notebook.metadata[MARK]["seal"] = seal
        assert verdict(room, "ada", notebook).startswith(WRONG_NOTEBOOK)


@pytest.mark.parametrize("mark", [None, [], "A", {}])
def test_a_notebook_that_lost_its_mark_is_graded_as_the_students_groups(room: Classroom, mark: object) -> None:
    notebook = solved(room, "A")
    notebook.metadata[MARK] = mark
    path = hand_in(room, "ada", notebook)
    read = read_submission(path, spec=spec_of(room, "ada", SPEC))
    assert read.verdict == "ok" and [note for note in read.notes if note.startswith(NO_MARK)]


def test_a_student_in_no_group_is_told_that_nobody_wrote_it_down(room: Classroom) -> None:
    assert verdict(room, "eve", solved(room, "A")).startswith(NO_GROUP)


def test_a_groups_notebook_in_a_class_without_groups_is_the_wrong_one(room: Classroom, tmp_path: Path) -> None:
    elsewhere = Classroom(tmp_path / "elsewhere")
    assert verdict(elsewhere, "ada", solved(room, "A")).startswith(WRONG_NOTEBOOK)


def test_a_group_keeps_its_variant(room: Classroom) -> None:
    assert add_variant(room, SPEC, A).seals == {"A": read_groups(room).variant(SLUG, "A").seals["A"]}
    with pytest.raises(GroupError, match="has variant A/2027"):
        add_variant(room, SPEC, parse("A/2028"))


@pytest.mark.parametrize(
    ("text", "says"),
    [("name,group\nada,A\n", "headings student and group"), ("student,group\nada,A\nada,B\n", "in group A already")],
)
def test_groups_that_contradict_themselves_are_refused(room: Classroom, text: str, says: str) -> None:
    (room.folder / "groups.csv").write_text(text)
    with pytest.raises(GroupError, match=says):
        read_groups(room)


def test_a_list_from_a_spreadsheet_is_read(room: Classroom) -> None:
    (room.folder / "groups.csv").write_bytes("Student; Group ;Name\r\nada; A ;Lovelace\r\n".encode("utf-8-sig"))
    assert read_groups(room).members == {"ada": "A"}


# The commands


@pytest.fixture
def drawn_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The public cases of one exercise only, which are quickly drawn."""

    def few(spec: Assignment) -> dict[str, cases.ExerciseCases]:
        return public_cases(replace(spec, exercises=[spec.exercise(NAME)]))

    monkeypatch.setattr(releasing, "public_cases", few)
    yield


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.usefixtures("drawn_once")
def test_a_release_of_a_variant_is_sealed_and_twice_the_same(course: Course, room: Classroom, tmp_path: Path) -> None:
    words = ("release", SLUG, "--variant", "A/2027", "--class", room.folder)
    code, said = course(*words)
    base = constants(SLUG, NAME, A)["base"]
    assert code == DONE and f"{NAME}: base = {base:g}" in said
    folder = room.folder / "release" / "A" / SLUG
    assert set(contents(folder)) == {cases.FILE_NAME, f"{SPEC.notebook}.ipynb"}
    notebook = nbformat.read(folder / f"{SPEC.notebook}.ipynb", as_version=4)
    assert notebook.metadata[MARK]["group"] == "A"
    assert [c.source for c in notebook.cells] == [c.source for c in handed_out(vary(SPEC, A)).cells]
    assert verdict(room, "ada", notebook) == "ok" and verdict(room, "bob", notebook).startswith(WRONG_NOTEBOOK)
    assert cases.load(folder / cases.FILE_NAME)[NAME].mistakes["base_of_no_group"]
    code, said = course(*words, "--into", tmp_path / "again")
    assert code == DONE and contents(tmp_path / "again" / "A" / SLUG) == contents(folder)
    code, said = course(*words)
    assert code == DONE and "up to date" in said
    same = next(v for v in (parse(f"E/{seed}") for seed in range(99)) if constants(SLUG, NAME, v)["base"] == base)
    code, said = course("release", SLUG, "--variant", same, "--class", room.folder)
    assert code == DONE and f"group A has the same constant in {NAME}" in said and "group B has" not in said
    code, said = course("release", SLUG, "--variant", "A/2028", "--class", room.folder)
    assert code == ATTENTION and "has variant A/2027" in said


@pytest.mark.parametrize(
    "words", [("--variant", "A/7", "--check"), ("--into", "x"), ("--variant", "A B")], ids=lambda words: words[0]
)
def test_what_makes_no_sense_together_is_refused(course: Course, words: tuple[str, ...]) -> None:
    code, _ = course("release", SLUG, *words)
    assert code == USAGE


def test_each_is_graded_with_the_constants_of_their_group_and_regraded_when_that_is_settled(
    course: Course, room: Classroom
) -> None:
    copied = solved(room, "B")
    theirs = answers(vary(SPEC, A).full_name)[NAME]
    next(cell for cell in copied.cells if grade_id(cell) == NAME).source = theirs
    (room.folder / "groups.csv").write_text("student,group\nada,A\nbob,B\ncleo,A\n")
    for student, notebook in (("ada", solved(room, "A")), ("bob", copied), ("cleo", solved(room, "B"))):
        hand_in(room, student, notebook)
    words = (SLUG, "--class", room.folder, "--unsafe-local")
    code, said = course("grade", *words)
    assert code == DONE and f"{GROUP} (1): cleo" in said
    automatic = sum(exercise.points for exercise in SPEC.exercises)
    lost = next(line.points for line in SPEC.exercise(NAME).lines if line.name == "values")
    scores = {student: standing.score for student, standing in standings(room, SLUG).items()}
    assert scores == {"ada": automatic, "bob": automatic - lost, "cleo": 0.0}
    autograded = (room.autograded("bob", SLUG) / f"{SPEC.notebook}.ipynb").read_text()
    base, copied_base = (constants(SLUG, NAME, variant)["base"] for variant in (B, A))
    assert f"This is the answer for base {copied_base:g}; the notebook of your group says base {base:g}." in autograded
    bob = next(entry for entry in overview(room, SPEC).entries if entry.person.student == "bob")
    assert bob.result is not None and bob.result.exercise(NAME).lines[0].mistake == "base_of_group_A"  # type: ignore[union-attr]

    assert course("export", "--class", room.folder)[0] == course("report", *words[:3])[0] == DONE
    with (room.folder / "gradebook.csv").open(encoding="utf-8-sig", newline="") as file:
        assert {row["student_id"]: row["group"] for row in csv.DictReader(file)} == {
            "ada": "A",
            "bob": "B",
            "cleo": "A",
        }
    page = (room.folder / "reports" / f"{SLUG}.html").read_text()
    assert ">Group</button>" in page and page.count('data-sort="A">A</td>') == 2

    assert "nothing has changed" in course("grade", *words)[1]
    (room.folder / "groups.csv").write_text("student,group\nada,A\nbob,B\ncleo,B\n")
    code, said = course("grade", *words)
    assert code == ATTENTION and "1 of 3 students" in said and "the student's group" in said
    code, said = course("regrade", *words, "--yes")
    assert code == DONE and "1 of 3 students change: 1 get more" in said
    assert standings(room, SLUG)["cleo"].score == automatic
    assert course("export", "--class", room.folder)[0] == course("audit", "--class", room.folder)[0] == DONE


def test_collect_says_whose_notebook_it_is_before_it_is_taken_in(
    course: Course, room: Classroom, tmp_path: Path
) -> None:
    for student in ("ada", "bob"):
        path = tmp_path / "download" / f"{student}.ipynb"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(solved(room, "A")))
    words = ("collect", SLUG, path.parent, "--class", room.folder, "--new-students", "--dry-run")
    code, said = course(*words)
    assert code == DONE and f"bob: {WRONG_NOTEBOOK}: it is that of group A" in said and "ada: " not in said
