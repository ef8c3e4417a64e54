"""Gradebook files of Canvas and Moodle: only score cells change, and nobody's row is guessed."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.commands import ATTENTION, DONE, USAGE
from course_lib.grading.lms.fill import fill, match_rows
from course_lib.grading.lms.layout import CANVAS, MOODLE, OTHER, find_column, read_layout
from course_lib.grading.lms.people import Known, Students
from course_lib.grading.lms.table import Table, TableError, read_table
from course_lib.grading.standing import CellGrade, Standing, standings
from tests.grading.class_fixtures import Made
from tests.grading.classes import SLUG, SPEC, Course

TITLE = f"{SPEC.title} (9001)"
CANVAS_HEAD = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", TITLE, "Essay (9002)", "Final Score"]
MOODLE_HEAD = [
    "Identifier",
    "Full name",
    "Email address",
    "Status",
    "Grade",
    "Maximum Grade",
    "Last modified (submission)",
    "Last modified (grade)",
    "Feedback comments",
]
POINTS = ["    Points Possible", "", "", "", "", f"{SPEC.points:.2f}", "100.00", "(read only)"]

delimiters = st.sampled_from([",", ";", "\t"])
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
signs = st.text(st.sampled_from(['"', ",", ";", "\t", "\r", "\n", "=", "é", "a"]), max_size=6)


def written(rows: list[list[str]], *, delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL, end: str = "\r\n") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(rows)
    return text.getvalue()


def read_back(data: bytes, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=delimiter))


def standing(score: float, *, waits: bool = False) -> Standing:
    return Standing(None, 0.0, 0.0, {"cell": CellGrade(score, None, waits)})


def canvas(*rows: list[str], **how: str) -> Table:
    return read_table(written([CANVAS_HEAD, POINTS, *rows], **how).encode())  # type: ignore[arg-type]


def person(name: str, number: str, login: str, score: str = "") -> list[str]:
    return [name, number, f"S{number}", login, "Monday", score, "", "50"]


def filled(table: Table, standing_of: Mapping[str, Standing], **how: object):  # type: ignore[no-untyped-def]
    layout = read_layout(table)
    people = Students([Known(s, email=f"{s}@example.edu") for s in ("ada", "bob", "eve", *standing_of)])
    rows, problems = match_rows(table, layout, people)
    return fill(table, layout, rows, SPEC, standing_of, **how), problems  # type: ignore[arg-type]


@given(st.lists(st.lists(texts | signs, min_size=2, max_size=5), min_size=1, max_size=6), delimiters, st.data())
def test_a_table_reads_as_csv_does_and_is_written_byte_for_byte(
    rows: list[list[str]], delimiter: str, data: st.DataObject
) -> None:
    rows[0] = ["Student", "ID", *rows[0]]
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    end = data.draw(st.sampled_from(["\r\n", "\n"]))
    plain = written(rows, delimiter=delimiter, quoting=quoting, end=end).encode()
    raw = data.draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + plain
    table = read_table(raw)
    assert table.to_bytes() == raw
    if table.delimiter == delimiter:  # a heading full of another one is a table of that
        assert [table.values(n) for n in range(len(table.raw))] == [row or [""] for row in read_back(raw, delimiter)]


@given(
    st.lists(st.lists(texts | signs, min_size=4, max_size=4), min_size=2, max_size=6),
    st.integers(0, 5),
    st.integers(0, 3),
    st.floats(0, 200).map(lambda x: f"{x:.2f}"),
    st.sampled_from([",", ";"]),
)
def test_writing_a_cell_changes_that_cell_alone(
    rows: list[list[str]], row: int, column: int, score: str, delimiter: str
) -> None:
    rows[0] = ["a", "b", "c", "d"]
    row = 1 + row % (len(rows) - 1)
    table = read_table(written(rows, delimiter=delimiter).encode())
    table.put(row, column, score)
    expected = [list(fields) for fields in rows]
    expected[row][column] = score
    assert read_back(table.to_bytes(), delimiter) == expected


@given(st.binary(max_size=60))
def test_any_bytes_are_a_table_or_refused_in_words(data: bytes) -> None:
    try:
        table = read_table(data)
    except TableError as error:
        assert str(error)
    else:
        assert table.to_bytes() == data


def test_scores_go_into_the_column_of_the_assignment_and_all_else_stays() -> None:
    names = ['Lovelace, "Ada"', "=cmd()", "Ó Súilleabháin, Bob\nJr."]
    table = canvas(person(names[0], "1", "ada"), person(names[1], "2", "bob", "3.50"), person(names[2], "3", "eve"))
    before = read_back(table.to_bytes())
    done, problems = filled(table, {"ada": standing(12.5), "bob": standing(7.0)})
    after = read_back(table.to_bytes())
    assert problems == [] and done.heading == TITLE and done.absent == ["eve"]
    assert [row[5] for row in after] == [TITLE, POINTS[5], "12.5", "7", ""]
    assert [[w.student, w.before, w.after] for w in done.replaced] == [["bob", "3.50", "7"]]
    assert [row[:5] + row[6:] for row in after] == [row[:5] + row[6:] for row in before]


@given(
    st.lists(st.tuples(texts | signs, st.floats(0, SPEC.points)), min_size=1, max_size=12),
    st.sampled_from([",", ";"]),
    st.booleans(),
    st.sampled_from(["\r\n", "\n"]),
)
def test_whatever_the_names_are_no_row_or_column_is_lost(
    people: list[tuple[str, float]], delimiter: str, marked: bool, end: str
) -> None:
    people = [(name.replace("\r", ""), score) for name, score in people]  # Python writes it without quotes
    rows = [person(f"x{name}", str(n), f"s{n}") for n, (name, _) in enumerate(people)]
    text = written([CANVAS_HEAD, POINTS, *rows], delimiter=delimiter, end=end)
    data = (b"\xef\xbb\xbf" if marked else b"") + text.encode()
    table = read_table(data)
    scores = {f"s{n}": standing(score) for n, (_, score) in enumerate(people)}
    done, problems = filled(table, scores)
    after = read_back(table.to_bytes(), delimiter)
    expected = read_back(data, delimiter)
    assert problems == [] and len(done.written) == len(people)
    assert table.to_bytes()[:3] == data[:3] and len(after) == len(expected)
    for n, (row, now) in enumerate(zip(expected, after, strict=True)):
        assert now[:5] + now[6:] == row[:5] + row[6:]
        if n >= 2:
            assert float(now[5]) == pytest.approx(people[n - 2][1], abs=0.0051)


def test_the_same_score_is_not_written_again() -> None:
    table = canvas(person("A", "1", "ada", "12.50"))
    before = table.to_bytes()
    done, _ = filled(table, {"ada": standing(12.5)})
    assert (done.same, done.written, table.to_bytes()) == (1, [], before)


def test_numbers_are_written_with_the_decimal_sign_of_the_file() -> None:
    rows = [CANVAS_HEAD, [text.replace(".", ",") for text in POINTS], person("A", "1", "ada"), person("B", "2", "bob")]
    table = read_table(written(rows, delimiter=";").encode())
    filled(table, {"ada": standing(12.5)})
    assert [row[5] for row in read_back(table.to_bytes(), ";")][2:] == ["12,5", ""]
    table = read_table(written(rows).encode())
    filled(table, {"ada": standing(12.5)})
    assert read_back(table.to_bytes())[2][5] == "12,5"


def test_students_are_found_by_canvas_number_login_and_address_and_contradictions_are_told() -> None:
    students = Students([Known("ada", email="ada@x.edu", number="77"), Known("bob", email="bob@x.edu")])
    assert students.owner([("id", "77"), ("login", "")]).student == "ada"
    assert students.owner([("id", "5"), ("login", "ADA")]).student == "ada"
    assert students.owner([("id", "5"), ("login", "Bob@X.edu")]).student == "bob"
    assert students.owner([("e-mail address", "bob@x.edu")]).student == "bob"
    assert students.owner([("id", "77"), ("e-mail address", "bob@x.edu")]).why == (
        "id 77 is ada; e-mail address bob@x.edu is bob"
    )
    assert "nobody in the class has id 9" in students.owner([("id", "9")]).why


def test_an_address_of_two_students_is_nobodys() -> None:
    students = Students([Known("ada", email="both@x.edu"), Known("bob", email="both@x.edu")])
    assert students.owner([("e-mail address", "both@x.edu")]).why == "e-mail address both@x.edu may be ada or bob"
    assert students.owner([("login", "bob"), ("e-mail address", "both@x.edu")]).student == "bob"


def test_unknown_and_doubled_rows_are_listed_and_left_as_they_are() -> None:
    table = canvas(
        person("A", "1", "ada", "1"), person("A again", "2", "ada", "2"), person("Zoe", "3", "zoe", "3"),
        person("Student, Test", "4", "4f6e", "4"), person("B", "5", "bob"),
    )  # fmt: skip
    done, problems = filled(table, {"ada": standing(10.0), "bob": standing(5.0), "eve": standing(1.0)})
    assert [row[5] for row in read_back(table.to_bytes())][2:] == ["1", "2", "3", "4", "5"]
    assert [where for where, _ in problems] == ["row 3, A", "row 4, A again", "row 5, Zoe"]
    assert "2 rows are those of ada" in problems[0][1] and "nobody in the class" in problems[2][1]
    assert done.no_row == ["ada", "eve"]


def test_excused_students_and_those_who_wait_for_a_person_keep_their_cell() -> None:
    table = canvas(person("A", "1", "ada", "EX"), person("B", "2", "bob"), person("E", "3", "eve"))
    scores = {"ada": standing(1.0), "bob": standing(2.0, waits=True), "eve": standing(3.0)}
    done, _ = filled(table, scores)
    assert (done.kept, done.waiting) == ([("ada", "EX")], ["bob"])
    assert [row[5] for row in read_back(table.to_bytes())][2:] == ["EX", "", "3"]
    filled(table, scores, waiting=True)
    assert read_back(table.to_bytes())[3][5] == "2"


@pytest.mark.parametrize(
    ("heading", "column"),
    [
        (TITLE, None),
        (f"{SLUG} (9001)", None),
        (f"Assignment: {SPEC.title} (Real)", None),
        ("Homework four (9001)", "Homework four"),
        ("Homework four (9001)", "Homework four (9001)"),
        ("Homework four (9001)", "9001"),
    ],
)
def test_the_column_is_found_by_the_assignments_names_or_by_the_one_given(heading: str, column: str | None) -> None:
    table = read_table(written([[*CANVAS_HEAD[:5], "Essay (1)", heading], POINTS]).encode())
    assert find_column(read_layout(table), SPEC, column) == 6


@pytest.mark.parametrize(
    ("headings", "said"),
    [
        (["Essay (1)", "Attention (2)"], "a new one is never made"),
        ([TITLE, f"{SPEC.title} (9002)"], "several columns"),
    ],
)
def test_a_column_that_is_not_clear_is_an_error_that_lists_what_there_is(headings: list[str], said: str) -> None:
    layout = read_layout(read_table(written([[*CANVAS_HEAD[:5], *headings], POINTS]).encode()))
    with pytest.raises(TableError, match=said) as told:
        find_column(layout, SPEC, None)
    assert all(heading in str(told.value) for heading in headings)


def test_other_points_in_the_system_need_a_decision() -> None:
    points = [*POINTS[:5], "100", *POINTS[6:]]
    table = read_table(written([CANVAS_HEAD, points, person("A", "1", "ada")]).encode())
    with pytest.raises(TableError, match=f"counts 100 points and {SLUG} {SPEC.points:g}"):
        filled(table, {"ada": standing(SPEC.points / 2)})
    filled(table, {"ada": standing(SPEC.points / 2)}, scale=True)
    assert read_back(table.to_bytes())[2][5] == "50"


def test_a_column_that_the_system_computes_is_never_written() -> None:
    table = canvas(person("A", "1", "ada"))
    before = table.to_bytes()
    with pytest.raises(TableError, match="the system computes it"):
        filled(table, {"ada": standing(1.0)}, column="Final Score")
    assert table.to_bytes() == before


def test_each_systems_file_is_known() -> None:
    hidden = ["", "", "", "", "", "Manual Posting", " ", ""]
    layout = read_layout(read_table(written([CANVAS_HEAD, hidden, POINTS, person("A", "1", "ada")]).encode()))
    assert (layout.system, layout.students, layout.points) == (CANVAS, [3], 2)
    apart = ["LastName", "FirstName", *CANVAS_HEAD[1:]]
    assert read_layout(read_table(written([apart]).encode())).system == CANVAS
    german = ["ID", "Vollständiger Name", "Email address", "Status", "Bewertung"]
    row = ["Teilnehmer/in123", "A", "ada@example.edu", "", ""]
    assert read_layout(read_table(written([german, row]).encode())).system == MOODLE
    assert read_layout(read_table(b"Username,Score\nada,\n")).system == OTHER
    with pytest.raises(TableError, match="no column names a student"):
        read_layout(read_table(b"Nickname,Score\nada,\n"))


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf\r\n", "Student,ID".encode("utf-16")])
def test_a_file_that_is_no_table_is_refused(data: bytes) -> None:
    with pytest.raises(TableError):
        read_layout(read_table(data))


def download(graded: Made, path: Path, *, complete: bool = True) -> list[str]:
    """Moodle's worksheet of a class in which, unless told otherwise, every answer in words is graded."""
    if complete:
        with graded.room.gradebook() as gradebook:
            for submission in gradebook.assignment_submissions(SLUG):
                for notebook in submission.notebooks:
                    for grade in notebook.grades:
                        grade.needs_manual_grade = False
                        grade.manual_score = 0.0 if grade.auto_score is None else grade.manual_score
            gradebook.db.commit()
    rows = [
        [f"Participant {700 + n}", f"{p.first_name}_{p.last_name}", p.email, "", "", f"{SPEC.points:.2f}", "-", "-", ""]
        for n, p in enumerate(graded.plans.values())
    ]
    path.write_bytes(b"\xef\xbb\xbf" + written([MOODLE_HEAD, *rows], end="\n").encode())
    return list(graded.plans)


def test_moodles_worksheet_of_a_class_is_filled_and_the_download_stays(
    course: Course, graded: Made, tmp_path: Path
) -> None:
    source = tmp_path / "Grades-CS.csv"
    students = download(graded, source)
    before = source.read_bytes()
    code, said = course("export", SLUG, "--fill", source, "--class", graded.room.folder)
    path = graded.room.folder / "lms" / source.name
    assert code == DONE and "read as Moodle's grading worksheet, 8 students" in said and str(path) in said
    rows = read_back(path.read_bytes())
    known = standings(graded.room, SLUG)
    assert [float(row[4]) for row in rows[1:]] == pytest.approx([known[s].score for s in students], abs=0.005)
    assert [row[:4] + row[5:] for row in rows] == [row[:4] + row[5:] for row in read_back(before)]
    assert source.read_bytes() == before and path.read_bytes().startswith(b"\xef\xbb\xbfIdentifier")


def test_feedback_goes_into_an_archive_by_moodles_numbers(course: Course, graded: Made, tmp_path: Path) -> None:
    source = tmp_path / "worksheet.csv"
    students = download(graded, source)
    for student in students[:2]:
        page = graded.room.feedback(student, SLUG) / f"{SPEC.notebook}.html"
        page.parent.mkdir(parents=True)
        page.write_text(f"<p>{student}")
    code, said = course("export", SLUG, "--fill", source, "--feedback", "--class", graded.room.folder)
    assert code == DONE and "2 feedback pages in" in said and "No feedback page for (6)" in said
    path = graded.room.folder / "lms" / f"{SLUG}-feedback.zip"
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert [name.split("_")[1:4] for name in names] == [
            ["700", "assignsubmission", "file"],
            ["701", "assignsubmission", "file"],
        ]
        assert all(name.endswith(f"_/{SPEC.notebook}.html") and name.count("/") == 1 for name in names)
        assert [archive.read(name).decode() for name in names] == [f"<p>{student}" for student in students[:2]]


def test_scores_that_are_not_complete_end_in_attention(course: Course, graded: Made, tmp_path: Path) -> None:
    source = tmp_path / "worksheet.csv"
    download(graded, source, complete=False)
    code, said = course("export", SLUG, "--fill", source, "--class", graded.room.folder)
    assert code == ATTENTION and "are not complete and were left" in said
    code, said = course("export", SLUG, "--fill", source, "--waiting", "--class", graded.room.folder)
    assert code == DONE and "8 scores written" in said


def test_what_cannot_be_done_is_one_sentence(course: Course, graded: Made, tmp_path: Path) -> None:
    source, room = tmp_path / "worksheet.csv", graded.room.folder
    download(graded, source)
    assert course("export", "--fill", tmp_path / "gone.csv", "--class", room)[0] == USAGE
    code, said = course("export", SLUG, "--fill", source, "--to", source, "--class", room)
    assert code == USAGE and "stays as it is" in said
    code, said = course("export", SLUG, "--column", "Grade", "--class", room)
    assert code == USAGE and "--fill" in said
    source.write_bytes(written([CANVAS_HEAD, POINTS]).encode())
    code, said = course("export", SLUG, "--fill", source, "--feedback", "--class", room)
    assert code == ATTENTION and "Moodle's grading worksheet, and this is" in said
    assert "scores written" not in said and not (room / "lms" / source.name).exists()


def test_a_student_who_stands_twice_in_the_file_is_not_said_to_be_missing(
    course: Course, graded: Made, tmp_path: Path
) -> None:
    source = tmp_path / "worksheet.csv"
    student = download(graded, source)[0]
    lines = source.read_bytes().splitlines(keepends=True)
    source.write_bytes(b"".join([*lines, lines[1]]))
    code, said = course("export", SLUG, "--fill", source, "--class", graded.room.folder)
    assert code == ATTENTION and f"no row that is theirs alone (1): {student}" in said
    assert "student's alone: 2;" in said and f"for {SLUG} and no row that is theirs alone: 1." in said
