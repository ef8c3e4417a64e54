"""What instructors really have is taken into the class: each file its student's, or a reason why not; no guesses."""

from __future__ import annotations

import csv
import os
import pwd
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from nbgrader.utils import parse_utc

from course_lib.commands import ATTENTION, DONE, USAGE
from course_lib.commands import collect as collect_command
from course_lib.grading.classroom import Classroom
from course_lib.grading.intake import plan as plans
from course_lib.grading.intake.archive import Entry
from course_lib.grading.intake.names import detect, read_claim
from course_lib.grading.intake.roster import folded
from course_lib.grading.standing import handed_in_at, marked_late, people
from tests.grading.classes import SLUG, SPEC, Course
from tests.grading.downloads import NAME, Class, canvas, collected, exchange, moodle, table, unpacked, zipped


@pytest.mark.parametrize("ending", ["_", ""])
@pytest.mark.parametrize("folders", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_a_moodle_download_is_taken_in_by_name(
    course: Course, new: Class, tmp_path: Path, folders: bool, ending: str, packed: bool
) -> None:
    files = moodle(new, folders=folders, ending=ending)
    source = zipped(tmp_path / "m.zip", files) if packed else unpacked(tmp_path / "m", files)
    code, said = collected(course, new, source, "--yes")
    assert code == DONE and "read as a Moodle download" in said
    assert new.taken() == new.notebooks


def test_a_canvas_download_is_taken_in_and_its_late_mark_is_told(course: Course, new: Class, tmp_path: Path) -> None:
    source = zipped(tmp_path / "submissions.zip", canvas(new, late=new.students[2]))
    code, said = collected(course, new, source, "--yes")
    assert code == DONE and "read as a Canvas download" in said and "late, and Canvas does not say when" in said
    assert [s for s in new.students if marked_late(new.room, s, SLUG)] == [new.students[2]]
    assert new.taken() == new.notebooks


def test_of_several_hand_ins_in_canvas_the_last_counts(course: Course, new: Class, tmp_path: Path) -> None:
    files = canvas(new)
    first = next(iter(files))
    stem = first.removesuffix(".ipynb")
    old, files[first] = files[first], b"{}"
    files |= {f"{stem}-1.ipynb": b"[]", f"{stem}-2.ipynb": old}
    code, said = collected(course, new, zipped(tmp_path / "c.zip", files), "--yes")
    assert code == DONE and said.count("handed in again later") == 2
    assert new.taken() == new.notebooks


def test_an_anonymous_canvas_download_names_the_remedy(course: Course, new: Class, tmp_path: Path) -> None:
    files = {f"{late}anon_x{n}Yz_{n}_{NAME}": b"{}" for n, late in enumerate(("", "LATE_", ""))}
    code, said = collected(course, new, zipped(tmp_path / "c.zip", files), "--yes")
    assert code == ATTENTION and said.count("let Canvas show the names") == 3 and new.taken() == {}


@pytest.mark.parametrize(
    "form",
    ["{id}.ipynb", "{id}_" + NAME, f"{SLUG} {{id}}.ipynb", "{id}/" + NAME, "{id}/" + SLUG + "/" + NAME, "{mail}.ipynb"],
)
@pytest.mark.parametrize("packed", [True, False])
def test_a_folder_of_notebooks_is_taken_in_by_id(
    course: Course, new: Class, tmp_path: Path, form: str, packed: bool
) -> None:
    files = {form.format(id=s, mail=f"{s}@EXAMPLE.edu"): data for s, data in new.notebooks.items()}
    source = zipped(tmp_path / "f.zip", files) if packed else unpacked(tmp_path / "f", files)
    code, said = collected(course, new, source, "--yes")
    assert code == DONE and "read as a folder of notebooks" in said
    assert new.taken() == new.notebooks


def test_a_folder_of_submissions_keeps_their_times(course: Course, new: Class, tmp_path: Path) -> None:
    student = new.students[0]
    time = b"2026-03-05 17:30:00.000000 UTC\n"
    files = {f"{student}/{NAME}": new.notebooks[student], f"{student}/timestamp.txt": time}
    code, said = collected(course, new, unpacked(tmp_path / "f", files), "--yes")
    assert code == DONE and "2026-03-05 17:30" in said
    assert handed_in_at(new.room, student, SLUG) == datetime(2026, 3, 5, 17, 30)


@pytest.mark.parametrize("part", ["", "cs", "cs/inbound"])
def test_from_an_exchange_the_latest_submission_is_taken_in_with_its_time(
    course: Course, new: Class, tmp_path: Path, part: str
) -> None:
    exchange(new, tmp_path / "exchange")
    code, said = collected(course, new, tmp_path / "exchange" / part, "--yes")
    assert code == DONE and "read as an nbgrader exchange" in said and "handed in again later" in said
    here = list(new.notebooks)[:7]
    assert new.taken() == {s: new.notebooks[s] for s in sorted(here)}
    for number, student in enumerate(here):
        written = (new.room.submitted(student, SLUG) / "timestamp.txt").read_text()
        assert written == f"2026-03-0{number + 1} 10:00:00.250000 UTC\n"
        assert parse_utc(written.strip()) == handed_in_at(new.room, student, SLUG)
        assert (new.room.submitted(student, SLUG) / "submission_secret.txt").read_bytes() == b"x"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other accounts, which takes root")
def test_in_a_live_exchange_a_folder_counts_for_nobody_but_its_owner(
    course: Course, new: Class, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = dict(zip(range(70_001, 70_007), new.students, strict=False))
    monkeypatch.setattr(pwd, "getpwuid", lambda number: SimpleNamespace(pw_name=accounts[number]))
    inbound = exchange(new, tmp_path / "exchange")
    honest, forged, unfinished, elsewhere = (
        next(folder for folder in inbound.iterdir() if folder.name.startswith(f"{student}+{SLUG}+2026-03"))
        for student in new.students[:4]
    )
    for folder, owner in ((honest, 70_001), (forged, 70_001), (unfinished, 70_003), (elsewhere, 80_000)):
        os.chown(folder, owner, owner)
        folder.chmod(0o755 if folder == unfinished else 0o777)
    code, said = collected(course, new, tmp_path / "exchange", "--yes")
    assert code == DONE
    assert f"its folder says {new.students[1]} and belongs to {new.students[0]}" in said
    assert "not handed in to its end yet" in said
    assert set(new.taken()) == {*list(new.notebooks)[:7]} - set(new.students[1:3])


def test_an_exchange_of_several_courses_is_not_guessed_at(course: Course, new: Class, tmp_path: Path) -> None:
    exchange(new, tmp_path / "exchange")
    exchange(new, tmp_path / "exchange", course="physics")
    code, said = collected(course, new, tmp_path / "exchange", "--yes")
    assert code == USAGE and "cs, physics" in said and new.taken() == {}


def test_without_an_answer_and_in_a_dry_run_nothing_is_written(course: Course, new: Class, tmp_path: Path) -> None:
    source = zipped(tmp_path / "m.zip", moodle(new))
    before = sorted(new.room.folder.rglob("*"))
    code, said = collected(course, new, source, "--dry-run")
    assert code == DONE and new.students[0] in said and sorted(new.room.folder.rglob("*")) == before
    code, said = collected(course, new, source)
    assert code == ATTENTION and "--yes" in said and new.taken() == {}


def test_nothing_is_overwritten_and_what_is_replaced_is_kept(course: Course, new: Class, tmp_path: Path) -> None:
    source = zipped(tmp_path / "m.zip", moodle(new))
    assert collected(course, new, source, "--yes")[0] == DONE
    code, said = collected(course, new, source, "--yes")
    assert code == DONE and "nothing is left to take in" in said
    student, other = new.students[:2]
    changed = new.notebooks | {student: new.notebooks[other]}
    later = zipped(tmp_path / "later.zip", moodle(Class(new.room, new.students, new.names, changed)))
    code, said = collected(course, new, later, "--yes")
    assert code == ATTENTION and "--replace" in said and new.taken() == new.notebooks
    for round_ in (1, 2):
        source = later if round_ == 1 else zipped(tmp_path / "m.zip", moodle(new))
        assert collected(course, new, source, "--yes", "--replace")[0] == DONE
        kept = new.room.folder / "earlier" / SLUG / student / str(round_) / NAME
        assert kept.read_bytes() == (new.notebooks if round_ == 1 else changed)[student]
    assert new.taken() == new.notebooks


def test_a_disk_that_is_full_leaves_what_was_there_and_the_next_run_goes_on(
    course: Course, new: Class, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, other = new.students[:2]
    assert collected(course, new, zipped(tmp_path / "m.zip", moodle(new)), "--yes")[0] == DONE
    changed = {**new.notebooks, student: new.notebooks[other]}
    later = zipped(tmp_path / "later.zip", moodle(Class(new.room, new.students, new.names, changed)))
    right = os.fsync

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plans.os, "fsync", full)
    code, said = collected(course, new, later, "--yes", "--replace")
    assert code == ATTENTION and "the disk is full" in said and new.taken() == new.notebooks
    monkeypatch.setattr(plans.os, "fsync", right)
    assert collected(course, new, later, "--yes", "--replace")[0] == DONE and new.taken() == changed


def test_a_run_that_was_killed_while_it_replaced_something_is_completed_by_the_next(
    course: Course, new: Class, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, other = new.students[:2]
    assert collected(course, new, zipped(tmp_path / "m.zip", moodle(new)), "--yes")[0] == DONE
    changed = {**new.notebooks, student: new.notebooks[other]}
    later = zipped(tmp_path / "later.zip", moodle(Class(new.room, new.students, new.names, changed)))
    keep = plans._keep

    def keep_and_die(folder: Path, place: Path) -> None:
        keep(folder, place)
        raise SystemExit(137)

    monkeypatch.setattr(plans, "_keep", keep_and_die)
    assert collected(course, new, later, "--yes", "--replace")[0] == 137
    monkeypatch.setattr(plans, "_keep", keep)
    assert collected(course, new, later, "--yes")[0] == DONE and new.taken() == changed
    kept = new.room.folder / "earlier" / SLUG / student / "1" / NAME
    assert kept.read_bytes() == new.notebooks[student]


def test_a_time_that_becomes_known_is_added(course: Course, new: Class, tmp_path: Path) -> None:
    files = {f"{s}/{NAME}": data for s, data in new.notebooks.items()}
    assert collected(course, new, unpacked(tmp_path / "f", files), "--yes")[0] == DONE
    exchange(new, tmp_path / "exchange")
    code, said = collected(course, new, tmp_path / "exchange", "--yes")
    assert code == DONE and "adds its time" in said
    assert handed_in_at(new.room, next(iter(new.notebooks)), SLUG) == datetime(2026, 3, 1, 10, 0, 0, 250000)


def test_unknown_and_doubled_students_are_listed_and_not_taken_in(course: Course, new: Class, tmp_path: Path) -> None:
    known, doubled, *_ = new.students
    files = {
        f"{known}.ipynb": new.notebooks[known],
        "nobody.ipynb": b"{}",
        f"{doubled}.ipynb": new.notebooks[doubled],
        f"{doubled}_{NAME}": new.notebooks[known],
        f"{known}/{doubled}.ipynb": b"{}",
    }
    code, said = collected(course, new, unpacked(tmp_path / "f", files), "--yes")
    assert code == ATTENTION and "nobody in the class is called nobody" in said
    assert said.count(f"one of 2 different notebooks of {doubled}") == 2
    assert f"{known} is {known}; {doubled} is {doubled}" in said
    assert new.taken() == {known: new.notebooks[known]}


def test_two_students_of_one_name_are_told_apart_by_their_number_only(
    course: Course, new: Class, tmp_path: Path
) -> None:
    one, two, *_ = new.students
    first, last = new.names[one]
    with new.room.gradebook() as gradebook:
        gradebook.update_or_create_student(two, first_name=first, last_name=last)
    files = {f"{first} {last}_77_assignsubmission_file_/{NAME}": new.notebooks[two]}
    source = zipped(tmp_path / "m.zip", files)
    code, said = collected(course, new, source, "--yes")
    assert code == ATTENTION and f"may be {' or '.join(sorted((one, two)))}" in said and new.taken() == {}
    roster = table(tmp_path / "w.csv", ["Identifier", "Full name", "Email address"])
    with roster.open("a") as file:
        csv.writer(file).writerows([["Participant 76", "x", f"{one}@example.edu"]])
        csv.writer(file).writerows([["Participant 77", "y", f"{two}@example.edu"]])
    assert collected(course, new, source, "--yes", "--roster", roster)[0] == DONE
    assert new.taken() == {two: new.notebooks[two]}


def test_moodle_s_worksheet_names_blind_participants_and_knows_the_times(
    course: Course, new: Class, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    files = {
        f"Participant_{1000 + n}_assignsubmission_file_/{NAME}": data for n, data in enumerate(new.notebooks.values())
    }
    heads = ["Identifier", "Full name", "Email address", "Status", "Last modified (submission)"]
    rows = [
        [f"Participant {1000 + n}", " ".join(new.names[s]), f"{s}@example.edu", "", "Thursday, 5 March 2026, 5:59 PM"]
        for n, s in enumerate(new.notebooks)
    ]
    source, roster = zipped(tmp_path / "m.zip", files), table(tmp_path / "w.csv", heads, *rows)
    assert collected(course, new, source, "--yes")[0] == ATTENTION and new.taken() == {}
    assert collected(course, new, source, "--yes", "--roster", roster)[0] == DONE
    assert new.taken() == new.notebooks
    assert handed_in_at(new.room, new.students[0], SLUG) == datetime(2026, 3, 5, 17, 59)


def test_canvas_gradebook_fills_an_empty_class_with_logins_as_ids(course: Course, new: Class, tmp_path: Path) -> None:
    room = Classroom(tmp_path / "empty")
    heads = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Layer (12)"]
    rows = [
        [f"{new.names[s][1]}, {new.names[s][0]}", str(500 + n), f"U{n}", s, "A", ""]
        for n, s in enumerate(new.notebooks)
    ]
    roster = table(
        tmp_path / "g.csv",
        heads,
        ["    Points Possible", "", "", "", "", "20"],
        *rows,
        ["Student, Test", "9", "", "", "", ""],
    )
    empty = Class(room, new.students, new.names, new.notebooks)
    code, said = collected(course, empty, zipped(tmp_path / "c.zip", canvas(new)), "--yes", "--roster", roster)
    assert code == DONE and "8 students of the list are new" in said
    assert empty.taken() == new.notebooks
    found = people(room)
    assert sorted(found) == new.students
    assert all((found[s].first_name, found[s].last_name) == new.names[s] for s in new.students)


def test_a_name_and_a_number_that_contradict_each_other_are_not_taken_in(
    course: Course, new: Class, tmp_path: Path
) -> None:
    one, two, *_ = new.students
    roster = table(tmp_path / "r.csv", ["id", "Identifier"], [one, "Participant 11"], [two, "22"], delimiter=";")
    first, last = new.names[one]
    files = {f"{first} {last}_22_assignsubmission_file_/{NAME}": b"{}"}
    code, said = collected(course, new, zipped(tmp_path / "m.zip", files), "--yes", "--roster", roster)
    assert code == ATTENTION and f"is {one}; number 22 is {two}" in said and new.taken() == {}


def test_a_number_of_another_system_names_nobody(course: Course, new: Class, tmp_path: Path) -> None:
    with new.room.gradebook() as gradebook:
        gradebook.update_or_create_student(new.students[0], lms_user_id="22")
    blind = zipped(tmp_path / "m.zip", {f"Participant_22_assignsubmission_file_/{NAME}": b"{}"})
    assert collected(course, new, blind, "--yes")[0] == ATTENTION and new.taken() == {}
    unnamed = zipped(tmp_path / "c.zip", {f"somebody_22_3_{NAME}": b"{}"})
    assert collected(course, new, unnamed, "--yes")[0] == DONE and list(new.taken()) == [new.students[0]]


def test_a_list_with_doubled_and_nameless_rows_says_so(course: Course, new: Class, tmp_path: Path) -> None:
    rows = [["zoe", "Zoe", "Zo"], ["zoe", "Zoë", "Zott"], ["", "No", "One"], ["../x", "Up", "Out"]]
    roster = table(tmp_path / "r.csv", ["student_id", "first_name", "last_name"], *rows)
    source = unpacked(tmp_path / "f", {"zoe.ipynb": new.notebooks[new.students[0]]})
    code, said = collected(course, new, source, "--yes", "--roster", roster)
    assert code == DONE and "is zoe again, as line 2" in said and "neither an id" in said and "'../x' cannot" in said


def test_what_is_no_list_is_refused(course: Course, new: Class, tmp_path: Path) -> None:
    roster = table(tmp_path / "r.csv", ["colour", "taste"], ["red", "sour"])
    code, said = collected(course, new, unpacked(tmp_path / "f", {"a.ipynb": b"{}"}), "--roster", roster)
    assert code == ATTENTION and "is no list of students" in said


def test_new_students_are_taken_in_only_when_told_and_only_under_a_safe_id(
    course: Course, new: Class, tmp_path: Path
) -> None:
    data = new.notebooks[new.students[0]]
    files = {"zoe.ipynb": data, "a[b].ipynb": data, "week 3/yan.ipynb": data}
    source = unpacked(tmp_path / "f", files)
    assert collected(course, new, source, "--yes")[0] == ATTENTION and new.taken() == {}
    code, said = collected(course, new, source, "--yes", "--new-students")
    assert code == ATTENTION and "a[b] cannot be the name of a folder" in said
    assert "the new student may be week 3 or yan" in said
    assert new.taken() == {"zoe": data}


def test_a_notebook_of_another_assignment_is_taken_in_with_a_warning(
    course: Course, new: Class, tmp_path: Path
) -> None:
    source = unpacked(tmp_path / "f", {f"{new.students[0]}.ipynb": b'{"cells": [], "nbformat": 4}'})
    code, said = collected(course, new, source, "--yes")
    assert (
        code == DONE and "is it the notebook of another assignment?" in said and list(new.taken()) == [new.students[0]]
    )


def test_a_student_without_a_notebook_is_listed(course: Course, new: Class, tmp_path: Path) -> None:
    first, last = new.names[new.students[0]]
    files = {f"{first} {last}_7_assignsubmission_file_/report.pdf": b"%PDF"}
    code, said = collected(course, new, zipped(tmp_path / "m.zip", files), "--yes")
    assert code == ATTENTION and f"{new.students[0]} handed in this, and no notebook" in said


@pytest.mark.parametrize(
    ("name", "who", "number", "again", "late"),
    [
        (f"lovelaceada_5_17_{NAME}", "lovelaceada", "5", 0, False),
        (f"lovelaceada_LATE_5_17_{NAME}", "lovelaceada", "5", 0, True),
        ("o_neilljo_5_17_attention-layer-2.ipynb", "o_neilljo", "5", 2, False),
        ("lovelaceada_5_17_attention-layer (1).ipynb", "lovelaceada", "5", 1, False),
        ("lovelaceada_5_17_my_work_3_4_x.ipynb", "lovelaceada", "5", 0, False),
    ],
)
def test_canvas_names_are_read(name: str, who: str, number: str, again: int, late: bool) -> None:
    claim = read_claim(Entry((name,)), "canvas", SPEC)
    assert (claim.name, claim.number, claim.again, claim.late) == (who, number, again, late)


@pytest.mark.parametrize(
    ("parts", "who", "number"),
    [
        (("Ada Lovelace_12_assignsubmission_file_", NAME), "Ada Lovelace", "12"),
        (("Ada Lovelace_12_assignsubmission_file", "sub", NAME), "Ada Lovelace", "12"),
        ((f"Ada Lovelace_12_assignsubmission_file_{NAME}",), "Ada Lovelace", "12"),
        (("all", f"Jean-Luc O'Neill_3_assignsubmission_file_{NAME}"), "Jean-Luc O'Neill", "3"),
    ],
)
def test_moodle_names_are_read(parts: tuple[str, ...], who: str, number: str) -> None:
    claim = read_claim(Entry(parts), "moodle", SPEC)
    assert (claim.name, claim.number, claim.notebook, claim.other) == (who, number, SPEC.notebook, "")


def test_text_typed_into_moodle_is_no_submission() -> None:
    entry = Entry(("Ada Lovelace_12_assignsubmission_onlinetext_", "onlinetext.html"))
    assert read_claim(entry, "moodle", SPEC).other and detect([entry]) == "moodle"


def test_names_are_the_same_with_and_without_accents_and_signs() -> None:
    assert folded("Müller-Lüdenscheidt, Đorđe") == folded("muller ludenscheidt dorde") == "mullerludenscheidtdorde"
    assert folded("Łukasz Świątek") == "lukaszswiatek" and folded("Zoë") == folded("Zoe\u0308")


def test_a_person_is_asked(course: Course, new: Class, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect_command.sys.stdin, "isatty", lambda: True)
    for answer in (False, True):
        monkeypatch.setattr(collect_command.Confirm, "ask", lambda *_, answer=answer, **__: answer)
        code, _ = collected(course, new, zipped(tmp_path / "m.zip", moodle(new)))
        assert (code == DONE, bool(new.taken())) == (answer, answer)
