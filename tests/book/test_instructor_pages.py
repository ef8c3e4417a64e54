"""The instructor's pages quote what the commands really say, and add up what the assignments state."""

from __future__ import annotations

import ast
import re

import course_grading
import pytest
import yaml

from course_lib.grading.spec import assignments
from tools.book import ROOT

PAGES = ROOT / "book" / "instructor"
CHAPTERS = yaml.safe_load((ROOT / "book" / "syllabus.yml").read_text(encoding="utf-8"))["chapters"]


def said_by_the_course() -> str:
    """Every text of the course's own code and of the Makefile, one to a line; what is filled in is an ellipsis."""
    texts = [(ROOT / "Makefile").read_text(encoding="utf-8")]
    for path in (ROOT / "course_lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                texts.append("".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values))
    return "\n".join(texts)


def quoted() -> list[str]:
    rows = re.findall(r"^\| `([^|]+)` \|", (PAGES / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 20
    return [part.strip() for row in rows for part in row.split("…") if len(part.strip()) > 3]


def test_each_message_in_the_troubleshooting_is_one_that_the_course_says() -> None:
    said = said_by_the_course()
    assert [part for part in quoted() if part not in said] == []


OF_OTHERS = {"--skip-old-files", "--no-browser"} | {
    f"--{name}" for name in ("host", "memory-limit", "no-dashboard", "nthreads", "nworkers", "port", "worker-port")
}
"""Options of Jupyter, of Dask and of tar."""


def test_each_option_and_command_that_the_pages_name_is_there() -> None:
    cli = (ROOT / "course_lib" / "cli.py").read_text(encoding="utf-8")
    commands = set(re.findall(r"^def (\w+)\(", cli, re.MULTILINE))
    for page in PAGES.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        named = set(re.findall(r"(?:^|`)(?:\.venv/bin/)?course ([a-z][a-z-]+)", text, re.MULTILINE))
        assert {name.replace("-", "_") for name in named} <= commands, page
        for option in set(re.findall(r"--[a-z][a-z-]+", text)) - OF_OTHERS:
            known = f'"{option}"' in cli or f"    {option[2:].replace('-', '_')}:" in cli
            assert known or option == "--help" or page.name == "kill-table.md", (page, option)


def test_the_plan_has_a_week_for_each_chapter_and_hours_that_add_up() -> None:
    rows = course_grading.weeks(CHAPTERS)
    assert len(rows) == len(CHAPTERS) + 3
    minutes = [course_grading.exercise_minutes(slug) for slug in assignments()]
    assert min(minutes) > 60 and f"**{course_grading.hours(sum(minutes))}**" in rows[-1]
    assert f"| {course_grading.hours(minutes[0])} |" in rows[2]


@pytest.mark.parametrize(("minutes", "said"), [(0, "0"), (1, "0.25"), (60, "1"), (61, "1.25"), (138, "2.5")])
def test_hours_are_rounded_up_to_quarters(minutes: int, said: str) -> None:
    assert course_grading.hours(minutes) == said


def test_whatever_a_chapter_builds_on_stands_in_its_path() -> None:
    rows = {re.search(r"\.\./([\w-]+)/", row)[1]: row for row in course_grading.paths(CHAPTERS)[2:]}  # type: ignore[index]
    needed = {slug for chapter in CHAPTERS for slug in chapter["needs"]}
    assert set(rows) == {chapter["slug"] for chapter in CHAPTERS} - needed
    assert "| 1, 2, 3, 4, 5 | 6 |" in rows["06-language-models"]
    assert rows["11-rectified-flow"].startswith("| [](../11-rectified-flow/chapter.md) | 1, 2, 3, 4, 5, 8, 9, 10 | 9 |")
