"""Archives that are not what they should be cost nobody else anything, and each gets one clear sentence."""

from __future__ import annotations

import os
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest

from course_lib.commands import ATTENTION, DONE, USAGE
from course_lib.grading.intake import archive as archives
from tests.grading.classes import Course
from tests.grading.downloads import Class, collected, moodle, unpacked, zipped

SYMLINK, FIFO = 0o120777, 0o010644


def special(name: str, mode: int, data: bytes) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info, data


def test_names_that_lead_out_links_and_doubles_are_refused_and_harm_nothing(
    course: Course, new: Class, tmp_path: Path
) -> None:
    student, other, third, *_ = new.students
    path = tmp_path / "a" / "hostile.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name in (f"../{student}.ipynb", f"/{student}.ipynb", f"C:/{student}.ipynb", f"x/..\\..\\{student}.ipynb"):
            archive.writestr(name, b"out")
        for info, data in (
            special(f"{other}.ipynb", SYMLINK, b"/etc/passwd"),
            special(f"{third}.ipynb", FIFO, b""),
        ):
            archive.writestr(info, data)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("twice.ipynb", b"1")
            archive.writestr("twice.ipynb", b"2")
        archive.writestr("__MACOSX/._x.ipynb", b"junk")
    before = sorted(tmp_path.rglob("*"))
    code, said = collected(course, new, path, "--dry-run")
    assert code == ATTENTION and said.count("leads out of the archive") == 4
    assert "a symbolic link" in said and "no ordinary file" in said and "2 entries of the archive" in said
    assert "MACOSX" not in said and sorted(tmp_path.rglob("*")) == before
    assert collected(course, new, path, "--yes")[0] == ATTENTION and new.taken() == {}


def test_symbolic_links_in_a_folder_are_refused(course: Course, new: Class, tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "f", {f"{new.students[0]}.ipynb": new.notebooks[new.students[0]]})
    (folder / f"{new.students[1]}.ipynb").symlink_to("/etc/passwd")
    (folder / new.students[2]).symlink_to(tmp_path)
    code, said = collected(course, new, folder, "--yes")
    assert code == ATTENTION and said.count("a symbolic link") == 2 and list(new.taken()) == [new.students[0]]


def test_an_encrypted_archive_is_one_sentence(course: Course, new: Class, tmp_path: Path) -> None:
    path = zipped(tmp_path / "e.zip", {"a.ipynb": b"secret"})
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = data.index(mark) + offset
        struct.pack_into("<H", data, place, struct.unpack_from("<H", data, place)[0] | 1)
    path.write_bytes(data)
    code, said = collected(course, new, path, "--yes")
    assert code == ATTENTION and "is encrypted; unpack it with its password" in said and "Traceback" not in said


@pytest.mark.parametrize("cut", [0.0, 0.5, 0.99])
def test_a_damaged_archive_is_one_sentence(course: Course, new: Class, tmp_path: Path, cut: float) -> None:
    path = zipped(tmp_path / "d.zip", moodle(new))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * cut)])
    code, said = collected(course, new, path, "--yes")
    assert code == ATTENTION and "Download it again" in said and "Traceback" not in said and new.taken() == {}


def test_a_damaged_entry_costs_only_itself(course: Course, new: Class, tmp_path: Path) -> None:
    path = zipped(tmp_path / "d.zip", {f"{s}.ipynb": data for s, data in new.notebooks.items()})
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo(f"{new.students[3]}.ipynb").header_offset
    data = bytearray(path.read_bytes())
    data[place + 200] ^= 0xFF
    path.write_bytes(data)
    code, said = collected(course, new, path, "--yes")
    assert code == ATTENTION and "it is damaged in the archive" in said
    assert new.taken() == {s: d for s, d in new.notebooks.items() if s != new.students[3]}


def test_bombs_are_refused_before_they_unpack(
    course: Course, new: Class, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "b.zip", {f"{s}.ipynb": bytes(3_000_000) for s in new.students})
    monkeypatch.setattr(archives, "MAX_FILE", 1_000_000)
    code, said = collected(course, new, path, "--yes")
    assert code == ATTENTION and said.count("it has more than 1 MiB") == 8 and new.taken() == {}
    monkeypatch.setattr(archives, "MAX_TOTAL", 20_000_000)
    assert "would unpack to" in collected(course, new, path, "--yes")[1]
    monkeypatch.setattr(archives, "MAX_ENTRIES", 7)
    assert "8 files, 7 are accepted" in collected(course, new, path, "--yes")[1]


def test_an_entry_that_is_larger_than_its_archive_says_is_cut_at_the_limit(
    course: Course, new: Class, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "b.zip", {f"{new.students[0]}.ipynb": bytes(3_000_000)})
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\1\2") + 24, 10)
    path.write_bytes(data)
    code, said = collected(course, new, path, "--yes")
    assert code == ATTENTION and "it is damaged in the archive" in said and new.taken() == {}


def test_control_characters_in_names_do_not_reach_the_terminal(course: Course, new: Class, tmp_path: Path) -> None:
    source = zipped(tmp_path / "n.zip", {"\x1b[2Jevil\r.ipynb": b"{}"})
    _, said = collected(course, new, source, "--yes")
    assert "\x1b[2J" not in said and "evil" in said


def test_what_is_neither_folder_nor_archive_and_what_is_not_there_is_said(
    course: Course, new: Class, tmp_path: Path
) -> None:
    (tmp_path / "x.txt").write_text("hello")
    assert "no zip archive" in collected(course, new, tmp_path / "x.txt")[1]
    assert collected(course, new, tmp_path / "nothing")[0] == USAGE
    assert collected(course, new, tmp_path, "--from", "blackboard")[0] == USAGE
    (tmp_path / "empty").mkdir()
    code, said = collected(course, new, tmp_path / "empty", "--yes")
    assert code == ATTENTION and "holds no notebook" in said


def test_the_kind_can_be_forced(course: Course, new: Class, tmp_path: Path) -> None:
    source = unpacked(tmp_path / "f", {f"{new.students[0]}.ipynb": new.notebooks[new.students[0]]})
    code, said = collected(course, new, source, "--from", "canvas", "--yes")
    assert code == ATTENTION and "its name is not one that Canvas gives" in said


@pytest.mark.skipif(not Path("/usr/bin/zip").exists(), reason="the program zip is not there")
def test_an_archive_of_the_program_zip_with_accents_is_read(course: Course, new: Class, tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "f", moodle(new))
    subprocess.run(["zip", "-qr", tmp_path / "z.zip", "."], cwd=folder, check=True, env=os.environ | {"LC_ALL": "C"})
    assert collected(course, new, tmp_path / "z.zip", "--yes")[0] == DONE and new.taken() == new.notebooks
