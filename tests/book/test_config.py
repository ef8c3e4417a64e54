"""The book's configuration agrees with itself and with the folders."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from sphinx_external_toc.parsing import parse_toc_yaml
from sphinxcontrib import katex

from tools.book import ROOT


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


SYLLABUS = read("book/syllabus.yml")
PAGES = list(parse_toc_yaml(ROOT / "_toc.yml"))
CHAPTERS = [Path(page).parent.name for page in PAGES if re.fullmatch(r"book/[^/]+/chapter", page)]
SLUGS = [chapter["slug"] for chapter in SYLLABUS["chapters"]]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_the_table_of_contents_exists(page: str) -> None:
    assert (ROOT / f"{page}.md").is_file()


def test_every_page_of_the_book_is_in_the_table_of_contents() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in ROOT.glob("book/**/*.md")}
    included = {
        path.parent / name for path, text in texts.items() for name in re.findall(r"```\{include\} (\S+)", text)
    }
    assert {path.relative_to(ROOT).with_suffix("").as_posix() for path in texts.keys() - included} == set(PAGES)


def test_chapters_stand_in_the_order_of_the_syllabus() -> None:
    assert [slug for slug in SLUGS if slug in CHAPTERS] == CHAPTERS


def test_slugs_are_numbered_without_a_gap() -> None:
    assert [int(slug[:2]) for slug in SLUGS] == list(range(1, len(SLUGS) + 1))


def test_a_written_chapter_has_its_title_in_the_syllabus() -> None:
    titles = {chapter["slug"]: chapter["title"] for chapter in SYLLABUS["chapters"]}
    for slug in CHAPTERS:
        text = (ROOT / "book" / slug / "chapter.md").read_text(encoding="utf-8")
        heading = re.search(r"^# (.+)$", text, re.MULTILINE)
        assert heading is not None
        assert heading[1] == titles[slug]


def test_no_two_chapters_stand_at_one_place_of_the_map() -> None:
    places = [tuple(chapter["place"]) for chapter in SYLLABUS["chapters"]]
    assert len(set(places)) == len(places)


def test_every_chapter_builds_on_chapters_that_exist() -> None:
    for chapter in SYLLABUS["chapters"]:
        assert set(chapter["needs"]) <= set(SLUGS) - {chapter["slug"]}


@pytest.mark.parametrize("slug", CHAPTERS)
def test_every_exercise_of_a_written_chapter_is_in_the_concept_index(slug: str) -> None:
    cells = [
        cell
        for path in (ROOT / "exercises" / slug).glob("*.ipynb")
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    ]
    metadata = [cell["metadata"].get("nbgrader", {}) for cell in cells]
    exercises = {meta["grade_id"] for meta in metadata if meta.get("solution")}
    practised = {c["exercise"] for c in SYLLABUS["concepts"] if c["chapter"] == slug and "exercise" in c}
    assert exercises
    assert practised == exercises


APART = re.compile(r".*-(numbers|mistakes|takeaway|exercises|quiz|questions|next)")


@pytest.mark.parametrize("slug", CHAPTERS)
def test_every_section_of_a_chapter_is_in_the_concept_index(slug: str) -> None:
    text = (ROOT / "book" / slug / "chapter.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^\(([\w-]+)\)=\n##+ ", text, re.MULTILINE))
    taught = {concept["section"] for concept in SYLLABUS["concepts"] if concept["chapter"] == slug}
    assert {section for section in sections if not APART.fullmatch(section)} == taught


@pytest.mark.parametrize("slug", CHAPTERS)
def test_a_chapter_ends_with_the_next_one_and_works_beyond_the_course(slug: str) -> None:
    text = (ROOT / "book" / slug / "chapter.md").read_text(encoding="utf-8")
    *others, last = re.split(r"^## ", text, flags=re.MULTILINE)
    assert last.startswith("What to read next\n")
    works = re.findall(r"^- \{cite:t\}`(\w+)` \w", last, re.MULTILINE)
    assert 2 <= len(works) <= 4
    assert len(re.findall(r"^- ", last, re.MULTILINE)) == len(works)
    cited = set(re.findall(r"\{cite[^`]*`([^`]+)`", "".join(others)))
    assert not cited & set(works)
    place = CHAPTERS.index(slug) + 1
    if place < len(CHAPTERS):
        assert f"[](../{CHAPTERS[place]}/chapter.md)" in last


def test_every_cited_work_is_in_the_bibliography_once() -> None:
    entries = re.findall(
        r"^@\w+\{(\w+),$", (ROOT / "book" / "references.bib").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(set(entries)) == len(entries)
    pages = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("book/**/*.md"))
    cited = {key.strip() for keys in re.findall(r"\{cite[^`}]*\}`([^`]+)`", pages) for key in keys.split(",")}
    assert cited <= set(entries)


def test_node_packages_are_pinned_and_name_no_host() -> None:
    package = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    lock = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))
    wanted = package["dependencies"] | package["devDependencies"]
    assert {name: lock["packages"][f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert not [name for name, entry in lock["packages"].items() if "resolved" in entry]


def test_style_sheet_and_renderer_of_the_maths_have_one_version() -> None:
    package = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    assert package["dependencies"]["katex"] == katex.katex_version
