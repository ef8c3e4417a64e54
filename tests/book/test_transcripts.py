"""The words of commands on the instructor's page: made anew when they must be, from files as Moodle gives them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from course_lib.grading.intake.archive import open_source
from course_lib.grading.intake.names import detect
from course_lib.grading.intake.roster import with_roster
from tools import transcripts
from tools.transcripts import GROUPS, ROUND, SLUG, WIDTH, full_marks, pack, refresh, run_round, tidy

STUDENTS = {"alovelace01": ("Ada", "Lovelace"), "cgauß01": ("Carl Friedrich", "Gauß")}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the words are kept, for this test alone."""
    path = tmp_path / "build" / "transcripts.json"
    monkeypatch.setattr(transcripts, "KEPT", path)
    return path


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A sample class of two."""
    folder = tmp_path / "made"
    truth = {}
    for student, (first, last) in STUDENTS.items():
        notebook = folder / "submitted" / student / SLUG / transcripts.NOTEBOOK
        notebook.parent.mkdir(parents=True)
        notebook.write_text("{}")
        truth[student] = {"first_name": first, "last_name": last, "email": f"{student}@example.edu", "hours_late": -2.0}
    (folder / "truth.json").write_text(json.dumps({SLUG: truth}))
    return folder


def test_the_round_is_run_again_when_code_changes_or_no_sandbox_was_there(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcripts, "run_round", lambda: dict.fromkeys(ROUND, "words"))
    assert refresh() and not refresh()
    monkeypatch.setattr(transcripts, "key", lambda: "of other code")
    assert refresh() and not refresh()
    monkeypatch.setattr(transcripts, "run_round", dict)
    monkeypatch.setattr(transcripts, "key", lambda: "of more code")
    assert refresh() and refresh(), "a machine that had no sandbox may have one now"
    assert json.loads(kept.read_text())["said"] == {}


def test_the_key_changes_with_what_grading_does_and_not_with_a_chapter(monkeypatch: pytest.MonkeyPatch) -> None:
    read, before = Path.read_bytes, transcripts.key()
    for name, changes in (("kill_table.py", True), ("deadline.py", True), ("vit.py", False), ("training.py", False)):
        monkeypatch.setattr(Path, "read_bytes", lambda path, name=name: read(path) + b"#" * (path.name == name))
        assert (transcripts.key() != before) == changes, name


def test_the_round_ends_at_the_first_command_that_this_machine_cannot_do(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def course(words: list[str], folder: Path) -> tuple[int, str]:
        if words[0] == "sample-class":
            made.rename(folder / "made")
        return (3 if words[0] == "grade" else 1), f"{folder}/class: {words[0]}"

    monkeypatch.setattr(transcripts, "course", course)
    assert run_round() == {"doctor": "class: doctor", "due": "class: due", "collect": "class: collect"}


def test_a_class_with_groups_follows_in_which_one_student_is_in_the_wrong_one(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = []

    def course(words: list[str], folder: Path) -> tuple[int, str]:
        if "--groups" in words:
            (folder / "groups").mkdir()
            (folder / "groups" / "groups.csv").write_text("student,group\nada,A\nbob,B\n")
        elif words[0] == "sample-class":
            made.rename(folder / "made")
        elif words[-1] == "groups":
            members.append((folder / "groups" / "groups.csv").read_text())
        return 0, words[0]

    monkeypatch.setattr(transcripts, "course", course)
    assert list(run_round()) == [*ROUND, *GROUPS]
    assert set(members) == {"student,group\nada,B\nbob,B\n"}


def test_moodle_s_archive_and_worksheet_are_such_as_the_course_reads(made: Path, tmp_path: Path) -> None:
    pack(made, tmp_path)
    with open_source(tmp_path / "submissions.zip") as source:
        assert detect(source.entries) == "moodle" and len(source.entries) == len(STUDENTS) + 1
    members, problems = with_roster([], tmp_path / "worksheet.csv", "moodle")
    assert problems == [] and {member.student for member in members} == set(STUDENTS)
    assert all(member.time is not None and member.number for member in members)
    assert full_marks() > 10


def test_lines_are_as_wide_as_a_terminal_and_paths_begin_where_the_command_ran(tmp_path: Path) -> None:
    table = f"│ {'x' * (WIDTH - 4)} │"
    said = tidy(f"\n{table}\n  it is in {tmp_path}/class/reports, {'and ' * 40}\n\n", tmp_path).splitlines()
    assert said[0] == table and said[1].startswith("  it is in class/reports, and and")
    assert len(said) > 3 and max(map(len, said)) <= WIDTH
    assert all(line.startswith("    and") for line in said[2:])
