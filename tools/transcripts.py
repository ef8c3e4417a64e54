"""Keep what the commands of an instructor's round print in build/transcripts.json, for the page that tells them.

    python -m tools.transcripts      run the round, where a command or what it grades has changed

The round is one assignment of a made-up class that comes as Moodle gives it: an archive of notebooks, one of them of
somebody unknown, and the grading worksheet. Without the sandbox, nothing is graded and the page says so.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import zipfile
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "build" / "transcripts.json"
SLUG = "04-attention-layer"
NOTEBOOK = "attention-layer.ipynb"
DUE = datetime(2026, 3, 6, 18)
ROUND = {
    "doctor": ["doctor"],
    "due": ["due", SLUG, f"{DUE:%Y-%m-%d %H:%M} UTC"],
    "collect": ["collect", SLUG, "submissions.zip", "--roster", "worksheet.csv", "--yes"],
    "grade": ["grade", SLUG],
    "feedback": ["feedback", SLUG],
    "report": ["report", SLUG],
    "export": ["export"],
    "fill": ["export", SLUG, "--fill", "worksheet.csv", "--waiting", "--feedback"],
    "audit": ["audit"],
}
"""The commands in their order, each by the name under which the page asks for it."""
GROUPS = {
    "release-a": ["release", SLUG, "--variant", "A/2027", "--class", "groups"],
    "release-b": ["release", SLUG, "--variant", "B/2027", "--class", "groups"],
    "grade-groups": ["grade", SLUG, "--class", "groups"],
}
"""The same for a class with two groups, in which one student is written down in the wrong one."""

GRADING = [
    "cli.py",
    "commands/*.py",
    "check/*.py",
    "runner/*.py",
    "grading/*.py",
    "grading/*/*.py",
    "models/attention.py",
]
WIDTH = 84
SECONDS, LATE = 900, 124
HEADINGS = ["Identifier", "Full name", "ID number", "Email address", "Status", "Grade", "Maximum Grade"]
HEADINGS += ["Last modified (submission)", "Feedback comments"]


def key() -> str:
    """Hash of everything that decides what the commands print."""
    library = ROOT / "course_lib"
    files = {path for pattern in GRADING for path in library.glob(pattern)}
    specs = library / "grading" / "specs"
    files -= {path for path in specs.glob("*.py") if "attention_layer" not in path.name and path.name != "_cases.py"}
    files |= {*(ROOT / "solutions" / SLUG).glob("*.py"), ROOT / "nbgrader_config.py", Path(__file__).resolve()}
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()


def refresh() -> bool:
    """Run the round where what is kept is out of date, or no sandbox was there; say whether it was run."""
    if KEPT.is_file():
        kept = json.loads(KEPT.read_text(encoding="utf-8"))
        if kept["key"] == key() and kept["said"]:
            return False
    said = run_round()
    KEPT.parent.mkdir(exist_ok=True)
    part = KEPT.with_suffix(".part")
    text = json.dumps({"key": key(), "round": [*ROUND, *GROUPS], "said": said}, indent=1, ensure_ascii=False)
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(KEPT)
    return True


def run_round() -> dict[str, str]:
    """Hand in made-up classes and grade them; what was printed, up to the first command that this machine cannot do."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        course(["sample-class", SLUG, "--into", str(folder / "made")], folder)
        pack(folder / "made", folder)
        said = said_by(ROUND, folder)
        if len(said) == len(ROUND):
            course(["sample-class", SLUG, "--size", "6", "--groups", "A/2027,B/2027", "--into", "groups"], folder)
            misplace(folder / "groups" / "groups.csv")
            said |= said_by(GROUPS, folder)
    return said


def said_by(commands: Mapping[str, list[str]], folder: Path) -> dict[str, str]:
    """What each command printed, up to the first that this machine cannot do."""
    said: dict[str, str] = {}
    for name, words in commands.items():
        code, printed = course(words, folder)
        if code not in (0, 1):  # 1 says that something is left to a person, as it often is
            break
        said[name] = tidy(printed, folder)
    return said


def misplace(groups: Path) -> None:
    """Write the first student down in the other group."""
    heading, first, *rest = groups.read_text(encoding="utf-8").splitlines()
    student, group = first.split(",")
    groups.write_text("\n".join([heading, f"{student},{'B' if group == 'A' else 'A'}", *rest, ""]), encoding="utf-8")


def course(words: list[str], folder: Path) -> tuple[int, str]:
    """Run the command for the class in this folder; exit code and what it printed."""
    settings = {
        "COURSE_CLASS": str(folder / "class"),
        "COLUMNS": str(WIDTH),
        "TERM": "dumb",
        "NO_COLOR": "1",
        "TZ": "UTC",
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("COURSE_")}
    command = [str(Path(sys.executable).with_name("course")), *words]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=others | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return LATE, ""
    return done.returncode, done.stdout


def pack(made: Path, folder: Path) -> None:
    """The archive and the worksheet that Moodle would give of a sample class."""
    truth = json.loads((made / "truth.json").read_text(encoding="utf-8"))[SLUG]
    rows = []
    with zipfile.ZipFile(folder / "submissions.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (student, plan) in enumerate(truth.items(), 1001):
            name = f"{plan['first_name']} {plan['last_name']}"
            time = DUE + timedelta(hours=plan["hours_late"])
            archive.write(made / "submitted" / student / SLUG / NOTEBOOK, _entry(name, number))
            handed_in = f"{time:%A}, {time.day} {time:%B} {time:%Y, %I:%M %p}"
            who = [f"Participant {number}", name, student, plan["email"]]
            rows.append([*who, "Submitted", "", f"{full_marks():.2f}", handed_in, ""])
        archive.writestr(_entry("Kim Nobody", 1999), "{}")
    with (folder / "worksheet.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([HEADINGS, *rows])


def _entry(name: str, number: int) -> str:
    return f"{name}_{number}_assignsubmission_file_/{NOTEBOOK}"


def full_marks() -> float:
    """The points of the assignment, as its notebook states them."""
    cells = json.loads((ROOT / "exercises" / SLUG / NOTEBOOK).read_text(encoding="utf-8"))["cells"]
    return sum(cell["metadata"].get("nbgrader", {}).get("points", 0) for cell in cells)


def tidy(printed: str, folder: Path) -> str:
    """The text with paths from where the command ran, and lines no longer than a terminal is wide."""
    printed = printed.replace(f"{folder}/", "").replace(f"{ROOT}/", "")
    lines = []
    for line in printed.splitlines():
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        short = textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        lines += short if len(line) > WIDTH else [line.rstrip()]
    return "\n".join(lines).strip("\n")


if __name__ == "__main__":
    made = refresh()
    print(f"{KEPT.relative_to(ROOT)} {'was made anew' if made else 'is up to date'}")
