"""The hub for a class, whose users are users of the operating system: what each can do, and what none can."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Playwright, sync_playwright

from course_lib.grading.classroom import Classroom
from course_lib.grading.places import ROOT
from course_lib.grading.release import release
from course_lib.grading.solution import answers, grade_id
from course_lib.grading.spec import assignment
from tests.deploy.campus import COURSE, Campus, Person, running_campus, why_not
from tests.deploy.running import need_node

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(1800)]

SLUG = "04-attention-layer"
SPEC = assignment(SLUG)
NAME = f"{SPEC.notebook}.ipynb"
EXERCISE = "scaled_dot_product_attention"
POINTS = SPEC.exercise(EXERCISE).points
GRADER = f"/services/{COURSE}/"
BUTTONS = f"formgrader/api/assignment/{SLUG}/"


@pytest.fixture(scope="module")
def campus() -> Iterator[Campus]:
    need_node()
    if reason := why_not():
        pytest.skip(reason)
    if not (ROOT / "build" / "source" / SLUG).is_dir():
        release(SLUG)
    place = Path(tempfile.mkdtemp(prefix="campus-"))  # pytest's own folders are closed to other users
    place.chmod(0o755)
    try:
        with running_campus(place) as running:
            yield running
    finally:
        shutil.rmtree(place)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


def test_an_assignment_goes_out_and_comes_back_between_users_who_cannot_reach_each_other(
    campus: Campus, playwright: Playwright
) -> None:
    assert not Person(campus, playwright, "dora").entered, "dora is in no group of the course"
    lovelace, ada, ben = (Person(campus, playwright, name) for name in ("lovelace", "ada", "ben"))
    lovelace.open(f"{GRADER}formgrader/manage_assignments")
    assert lovelace.press(GRADER, f"{BUTTONS}release")["success"]

    for student in (ada, ben):
        student.open(f"/user/{student.name}/lab")
        if student is ada:
            work(student, "fetch")
        else:
            put_into_home(campus, student.name)
        notebook = campus.homes / student.name / SLUG / NAME
        assert campus.owner(notebook) == student.name
        answer(notebook, EXERCISE if student is ada else "")
        work(student, "submit")
    inbound = campus.folder / "exchange" / COURSE / "inbound"
    handed_in = {campus.owner(path): path for path in inbound.iterdir()}
    assert set(handed_in) == {"ada", "ben"}
    assert_closed(campus, inbound, handed_in["ada"])
    hand_in_a_link_and_a_forgery(campus, inbound)

    assert lovelace.press(GRADER, f"{BUTTONS}collect")["success"]
    room = Classroom(campus.folder / "class")
    taken = {path.parent.name: path for path in (room.folder / "submitted").glob(f"*/{SLUG}")}
    assert set(taken) == {"ada", "ben"}, "a link to ada's notebook is nothing that cleo wrote"
    assert {campus.owner(path) for path in taken.values()} == {"grader"}
    assert (taken["ada"] / NAME).read_bytes() == (campus.homes / "ada" / SLUG / NAME).read_bytes()
    assert (taken["ben"] / NAME).read_text() == "ben's, with ada's name on it"

    graded = lovelace.press(GRADER, f"formgrader/api/submission/{SLUG}/ada/autograde")
    assert graded["success"], graded
    for step in ("generate_feedback", "release_feedback"):
        assert lovelace.press(GRADER, f"{BUTTONS}{step}")["success"]
    work(ada, "fetch_feedback")
    (page,) = (campus.homes / "ada" / SLUG / "feedback").glob("*/*.html")
    assert f"{POINTS:g} of {SPEC.points:g} points" in page.read_text() and campus.owner(page) == "ada"
    feedback = campus.folder / "exchange" / COURSE / "feedback"
    assert campus.as_user("ben", "ls", feedback).returncode != 0, "only who knows a page's name finds it"


def work(student: Person, what: str) -> None:
    """Press a button in the student's list of assignments."""
    said = student.press(f"/user/{student.name}/", f"assignments/{what}", course_id=COURSE, assignment_id=SLUG)
    assert said["success"], said


def put_into_home(campus: Campus, student: str) -> None:
    """Hand out by another way than the list, as a lecturer does whose groups have notebooks of their own."""
    packed = subprocess.run(["tar", "-C", ROOT / "exercises", "-c", SLUG], capture_output=True, check=True).stdout
    target = campus.homes / student
    unpacked = campus.as_user(student, "tar", "-x", "--skip-old-files", "-C", target, given=packed)
    assert unpacked.returncode == 0, unpacked.stderr


def answer(path: Path, exercise: str) -> None:
    """Write the right answer to one exercise into a notebook, which stays its student's."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if exercise and grade_id(cell) == exercise:
            cell.source = answers(SLUG)[exercise]
    path.write_text(nbformat.writes(notebook))


def assert_closed(campus: Campus, inbound: Path, handed_in: Path) -> None:
    """What another student, and what the account that grades, cannot open."""
    for place in (inbound, campus.homes / "ada", campus.folder / "class", campus.folder / "state"):
        assert campus.as_user("ben", "ls", place).returncode != 0, place
    assert campus.as_user("grader", "ls", campus.folder / "state").returncode != 0
    assert campus.as_user("grader", "ls", inbound).returncode == 0
    assert campus.as_user("ben", "sh", "-c", f"echo x >> '{handed_in / NAME}'").returncode != 0


def hand_in_a_link_and_a_forgery(campus: Campus, inbound: Path) -> None:
    """As cleo, a link to ada's notebook; as ben, a folder with ada's name."""
    when = "2099-01-01 10:00:00.000000 UTC"
    link, forged = inbound / f"cleo+{SLUG}+{when}+abc", inbound / f"ada+{SLUG}+{when}+abc"
    linking = campus.as_user("cleo", "ln", "-s", campus.homes / "ada" / SLUG, link)
    script = f"""mkdir '{forged}'; printf "ben's, with ada's name on it" > '{forged / NAME}'
    echo x > '{forged}/submission_secret.txt'; chmod 777 '{forged}'"""
    assert linking.returncode == campus.as_user("ben", "sh", "-ec", script).returncode == 0
