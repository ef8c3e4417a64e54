"""A class of made-up students: submissions of every kind that real ones hand in, and the scores they deserve.

Each student has a plan: for each exercise what they wrote, and what happened to the file on the way.
Plans are drawn from a seed; the same seed gives the same class, byte for byte.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from itertools import cycle
from pathlib import Path

import nbformat
import numpy as np
from nbformat import NotebookNode

from course_lib.check.judge import ExerciseCases, judge
from course_lib.check.probe import execute
from course_lib.grading.classroom import Classroom
from course_lib.grading.draw import draw, wrong_namespace
from course_lib.grading.groups import add_variant, read_groups, spec_of, write_members
from course_lib.grading.ingest import handed_out
from course_lib.grading.release import mark, register
from course_lib.grading.sample_answers import HELPERS, answers_to
from course_lib.grading.sample_names import FAMILY, GIVEN
from course_lib.grading.solution import answers, grade_id, wrong_source
from course_lib.grading.spec import Assignment, Exercise, Variant, assignment
from course_lib.grading.variant import find, vary

TRUTH = "truth.json"
DUE = datetime(2026, 3, 6, 18, 0, 0)
RIGHT, BLANK, SYNTAX, CRASH, HANG = "right", "blank", "syntax error", "crash", "hang"

LOST = {BLANK, SYNTAX, CRASH, HANG}
DAMAGE = ("truncated", "answer deleted", "answer doubled", "check deleted", "stray crash")


@dataclass(frozen=True)
class Plan:
    """One student and what they hand in.

    Attributes:
        student, first_name, last_name, email: as in the gradebook.
        wrote: for each exercise ``right``, ``blank``, ``syntax error``, ``crash``, ``hang`` or the name of a
            misconception.
        quality: of the written answer, 0 the best; ``None`` writes nothing.
        damage: what happened to the file, one of ``DAMAGE`` or "".
        damaged: the exercise that the damage hits, or "".
        hours_late: after the due date; negative where in time.
        helper: the exercise before which stands a function of the student's own, and the number of its version;
            versions differ in names only.
        group: which variant of the assignment they were given; "" in a class without groups.
    """

    student: str
    first_name: str
    last_name: str
    email: str
    wrote: Mapping[str, str] = field(default_factory=dict)
    quality: int | None = None
    damage: str = ""
    damaged: str = ""
    hours_late: float = -20.0
    helper: tuple[str, int] = ("", 0)
    group: str = ""


def make_class(
    slug: str,
    classroom: Classroom,
    *,
    size: int,
    seed: int = 0,
    hostile: bool = False,
    groups: Sequence[Variant] = (),
) -> list[Plan]:
    """Write a class: submissions, names and the due date in the gradebook, and the truth about it.

    Args:
        slug: the assignment.
        classroom: an empty folder, or one that an earlier call filled.
        size: number of students.
        seed: decides who they are and what they wrote.
        hostile: one of them hands in an endless loop.
        groups: the variants that are released for it; each student is in one of the groups.

    Raises:
        GroupError: a group has another variant already.
    """
    spec = assignment(slug)
    plans = draw_plans(spec, size=size, seed=seed, hostile=hostile, groups=groups)
    for variant in groups:
        add_variant(classroom, spec, variant)
    if groups:
        write_members(classroom, {plan.student: plan.group for plan in plans})
    for plan, text in zip(plans, _submissions(spec, classroom, plans), strict=True):
        path = _submitted_file(classroom, spec, plan)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        handed_in = DUE + timedelta(hours=plan.hours_late)
        (path.parent / "timestamp.txt").write_text(f"{handed_in:%Y-%m-%d %H:%M:%S.%f} UTC\n")
    register(classroom, slug)
    with classroom.gradebook() as gradebook:
        gradebook.update_or_create_assignment(slug, duedate=DUE)
        for plan in plans:
            gradebook.update_or_create_student(
                plan.student, first_name=plan.first_name, last_name=plan.last_name, email=plan.email
            )
    write_truth(spec, classroom, plans)
    return plans


def same_class(
    spec: Assignment,
    classroom: Classroom,
    *,
    size: int,
    seed: int,
    hostile: bool = False,
    groups: Sequence[Variant] = (),
) -> bool:
    """Whether the folder holds this class already."""
    try:
        truth = json.loads((classroom.folder / TRUTH).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    plans = draw_plans(spec, size=size, seed=seed, hostile=hostile, groups=groups)
    recorded, known = truth.get(spec.slug, {}), read_groups(classroom)
    if set(known.variants.get(spec.slug, ())) != set(groups):
        return False
    if groups and any(known.members.get(plan.student) != plan.group for plan in plans):
        return False
    return list(recorded) == sorted(plan.student for plan in plans) and all(
        _submitted_file(classroom, spec, plan).is_file()
        and _submitted_file(classroom, spec, plan).read_text(encoding="utf-8") == text
        for plan, text in zip(plans, _submissions(spec, classroom, plans), strict=True)
    )


def draw_plans(
    spec: Assignment, *, size: int, seed: int = 0, hostile: bool = False, groups: Sequence[Variant] = ()
) -> list[Plan]:
    """Who is in the class, and what they wrote.

    The first ones are one of each kind, in an order that makes a small class useful; then follow
    students of all abilities. Every misconception occurs where the class is large enough. In each group of a class
    somebody has the constant of the next one.
    """
    rng = np.random.default_rng(seed)
    people = _people(size, rng)
    names = [exercise.name for exercise in spec.exercises]
    queue = [(e.name, m.name) for e in spec.exercises for m in e.misconceptions]
    rng.shuffle(queue)
    solved = dict.fromkeys(names, RIGHT)
    kinds: list[Plan] = [
        replace(people[0], wrote=solved, quality=0),
        replace(people[0], wrote=dict.fromkeys(names, BLANK)),
        replace(people[0], wrote=_mixture(solved, queue, rng), quality=1),
        replace(people[0], wrote=_partial(names, len(names) // 2), quality=3, hours_late=30.5),
        replace(people[0], wrote=solved | {names[1]: SYNTAX}, quality=2),
        replace(people[0], wrote=solved | {names[-1]: CRASH}, quality=4),
        *(
            replace(
                people[0], wrote=_mixture(solved, queue, rng), quality=1, damage=damage, damaged=str(rng.choice(names))
            )
            for damage in DAMAGE
        ),
    ]
    if hostile:
        kinds.insert(0, replace(people[0], wrote=solved | {names[0]: HANG}, quality=0))
    plans = []
    for number, person in enumerate(people):
        plan = kinds[number] if number < len(kinds) else _ordinary(spec, person, queue, rng)
        who = {name: getattr(person, name) for name in ("student", "first_name", "last_name", "email")}
        plans.append(replace(plan, **who))
    ordinary = range(len(kinds), size)
    for place, (exercise, name) in zip(cycle(ordinary), queue if ordinary else (), strict=False):
        plans[place] = replace(plans[place], wrote={**plans[place].wrote, exercise: name})
    if size > len(kinds):
        _share_helper(plans, names)
    if groups:
        plans = [replace(plan, group=groups[number % len(groups)].group) for number, plan in enumerate(plans)]
        _pass_constants_on(spec, plans, groups)
    return plans


def submission(spec: Assignment, blank: NotebookNode, plan: Plan) -> str:
    """The notebook that a student hands in, as the text of the file."""
    notebook = nbformat.from_dict(json.loads(nbformat.writes(blank)))
    for cell in notebook.cells:
        name = grade_id(cell)
        if name in plan.wrote:
            cell.source = _answer(spec, str(name), plan.wrote[str(name)], cell.source)
            if name == plan.helper[0]:
                cell.source = f"{HELPERS[plan.helper[1]]}\n\n{cell.source}"
        elif plan.quality is not None and name in {written.name for written in spec.written}:
            texts = answers_to(str(name))
            cell.source = texts[min(plan.quality, len(texts) - 1)]
    _damage(notebook, plan)
    text = nbformat.writes(notebook) + "\n"
    return text[: 2 * len(text) // 3] if plan.damage == "truncated" else text


def expected_points(spec: Assignment, plan: Plan) -> dict[str, float]:
    """What each exercise of a student deserves."""
    return {exercise.name: _deserved(spec, exercise, plan) for exercise in spec.exercises}


def write_truth(spec: Assignment, classroom: Classroom, plans: list[Plan]) -> None:
    """Record beside the class what was written and what it deserves, by assignment and student."""
    path = classroom.folder / TRUTH
    truth = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known = read_groups(classroom)
    truth[spec.slug] = {
        plan.student: asdict(plan) | {"points": expected_points(known.spec_of(plan.student, spec), plan)}
        for plan in plans
    }
    path.write_text(json.dumps(truth, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def _submissions(spec: Assignment, classroom: Classroom, plans: Sequence[Plan]) -> list[str]:
    """What each student hands in: their group's notebook, filled in."""
    first = {plan.group: plan.student for plan in reversed(plans)}
    specs = {group: spec_of(classroom, student, spec) for group, student in first.items()}
    blanks = {group: handed_out(own) for group, own in specs.items()}
    for group, blank in blanks.items():
        mark(specs[group], blank)
    return [submission(specs[plan.group], blanks[plan.group], plan) for plan in plans]


def _submitted_file(classroom: Classroom, spec: Assignment, plan: Plan) -> Path:
    return classroom.submitted(plan.student, spec.slug) / f"{spec.notebook}.ipynb"


def _people(size: int, rng: np.random.Generator) -> list[Plan]:
    people, used = [], set[str]()
    for _ in range(size):
        first, last = str(rng.choice(GIVEN)), str(rng.choice(FAMILY))
        stem = f"{_ascii(first)[:1]}{_ascii(last)}"[:12]
        number = next(n for n in range(1, size + 1) if f"{stem}{n:02}" not in used)
        student = f"{stem}{number:02}"
        used.add(student)
        people.append(Plan(student, first, last, f"{student}@example.edu"))
    return people


def _ascii(name: str) -> str:
    table = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "þ": "th", "ð": "d", "æ": "ae"})
    plain = unicodedata.normalize("NFKD", name.lower().translate(table))
    return "".join(character for character in plain if character.isascii() and character.isalnum())


def _mixture(solved: Mapping[str, str], queue: list[tuple[str, str]], rng: np.random.Generator) -> dict[str, str]:
    """Two to four misconceptions in different exercises, those that no one has yet first."""
    wrote, wanted = dict(solved), int(rng.integers(2, 5))
    for exercise, name in list(queue):
        if wrote[exercise] == RIGHT:
            wrote[exercise] = name
            queue.remove((exercise, name))
            wanted -= 1
        if not wanted:
            break
    return wrote


def _partial(names: list[str], done: int) -> dict[str, str]:
    return {name: RIGHT if number < done else BLANK for number, name in enumerate(names)}


def _ordinary(spec: Assignment, person: Plan, queue: list[tuple[str, str]], rng: np.random.Generator) -> Plan:
    """Someone of some ability: later exercises go wrong more often, and a few are left out."""
    ability = float(rng.beta(5, 2))
    count = len(spec.exercises)
    wrote = {}
    for number, exercise in enumerate(spec.exercises):
        chance = ability ** (0.35 + 1.1 * number / count)
        draw_ = rng.random()
        if draw_ < chance:
            wrote[exercise.name] = RIGHT
        elif draw_ < chance + 0.75 * (1 - chance) and exercise.misconceptions:
            wrote[exercise.name] = _misconception(exercise, queue, rng)
        else:
            wrote[exercise.name] = str(rng.choice([BLANK, BLANK, BLANK, SYNTAX, CRASH]))
    choices = len(answers_to(spec.written[0].name)) if spec.written else 1
    quality = min(choices - 1, int(rng.binomial(choices, 1 - ability)))
    late = float(rng.choice([-60.0, -20.0, -3.0, -0.5, 2.0, 26.0], p=[0.1, 0.3, 0.3, 0.2, 0.06, 0.04]))
    return replace(person, wrote=wrote, quality=quality if rng.random() < 0.4 + ability / 2 else None, hours_late=late)


def _misconception(exercise: Exercise, queue: list[tuple[str, str]], rng: np.random.Generator) -> str:
    """One that no one has yet, else any: the first of an exercise are the commonest."""
    waiting = [name for belongs, name in queue if belongs == exercise.name]
    if waiting and rng.random() < 0.5:
        queue.remove((exercise.name, waiting[0]))
        return waiting[0]
    weights = 1.0 / np.arange(1, len(exercise.misconceptions) + 1)
    return exercise.misconceptions[int(rng.choice(len(weights), p=weights / weights.sum()))].name


def _answer(spec: Assignment, name: str, wrote: str, stub: str) -> str:
    solved = answers(spec.full_name)[name]
    if wrote == BLANK:
        return stub
    if wrote == RIGHT:
        return solved
    if wrote == SYNTAX:
        return f"{solved}\nprint({name}"
    if wrote == CRASH:
        return f"start = torch.ones(2, 3) @ torch.ones(2, 3)\n{solved}"
    if wrote == HANG:
        return f"while True:\n    pass\n{solved}"
    return _wrong(spec, name, wrote)


def _wrong(spec: Assignment, exercise: str, misconception: str) -> str:
    found = next(m for m in spec.exercise(exercise).misconceptions if m.name == misconception)
    return wrong_source(spec.full_name, exercise, found)


def _pass_constants_on(spec: Assignment, plans: list[Plan], groups: Sequence[Variant]) -> None:
    """In each group the last who would have solved an exercise with a constant has the next group's constant."""
    varied = next(exercise for exercise in spec.exercises if exercise.constants).name
    for number, variant in enumerate(groups):
        other = groups[(number + 1) % len(groups)]
        own = vary(spec, replace(variant, others=tuple(v for v in groups if v != variant)))
        names = [m.name for m in own.exercise(varied).misconceptions if m.name.endswith(f"_of_group_{other.group}")]
        solvers = [
            place
            for place, plan in enumerate(plans)
            if plan.group == variant.group and plan.wrote[varied] == RIGHT and not plan.damage and place > 0
        ]
        if names and solvers:
            plan = plans[solvers[-1]]
            plans[solvers[-1]] = replace(plan, wrote={**plan.wrote, varied: names[0]})


def _share_helper(plans: list[Plan], names: list[str]) -> None:
    """The first and the last student have a function in common that is not the course's."""
    one, other = plans[0], plans[-1]
    both = [name for name in names if one.wrote[name] == other.wrote[name] == RIGHT]
    if both:
        plans[0], plans[-1] = replace(one, helper=(both[0], 0)), replace(other, helper=(both[0], 1))


def _damage(notebook: NotebookNode, plan: Plan) -> None:
    place = next((i for i, cell in enumerate(notebook.cells) if grade_id(cell) == plan.damaged), None)
    if place is None:
        return
    if plan.damage == "answer deleted":
        del notebook.cells[place]
    elif plan.damage == "answer doubled":
        notebook.cells.insert(place + 1, nbformat.from_dict(notebook.cells[place] | {"id": "doubled"}))
    elif plan.damage == "check deleted":
        del notebook.cells[place + 1]
    elif plan.damage == "stray crash":
        notebook.cells.insert(place, nbformat.v4.new_code_cell("1 / 0", id="stray"))


def _deserved(spec: Assignment, exercise: Exercise, plan: Plan) -> float:
    wrote = plan.wrote[exercise.name]
    gone = plan.damage == "truncated" or (plan.damage, plan.damaged) == ("answer deleted", exercise.name)
    if gone or wrote in LOST:
        return 0.0
    if wrote == RIGHT:
        return exercise.points
    return _earned(spec.full_name, exercise.name, wrote)


@cache
def _earned(full_name: str, exercise: str, misconception: str) -> float:
    scope = wrong_namespace(full_name, exercise, misconception)
    source = _wrong(find(full_name), exercise, misconception)
    return judge(_cases(full_name, exercise), lambda probe: execute(probe, scope), source=source).earned


@cache
def _cases(full_name: str, exercise: str) -> ExerciseCases:
    spec = find(full_name)
    return draw(spec, spec.exercise(exercise), seed=b"sample class")
