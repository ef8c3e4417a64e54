"""The map draws what is written as written, and the rest as still to come."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import course_map

SVG = "{http://www.w3.org/2000/svg}"
CHAPTERS = course_map.read_syllabus()["chapters"]


def draw(targets: dict[str, str]) -> ElementTree.Element:
    text = course_map.draw_map(CHAPTERS, targets)
    return ElementTree.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def test_only_a_written_chapter_is_a_link() -> None:
    root = draw({"04-attention-layer": "04-attention-layer/chapter.html"})
    links = root.findall(f"{SVG}a")
    assert [link.get("href") for link in links] == ["04-attention-layer/chapter.html"]
    assert "to come" not in "".join(links[0].itertext())


def test_every_chapter_stands_on_the_map_and_the_unwritten_ones_say_so() -> None:
    text = "".join(draw({"04-attention-layer": "x"}).itertext())
    assert all(chapter["slug"][:2] in text for chapter in CHAPTERS)
    assert text.count("to come") == len(CHAPTERS) - 1


def test_alternative_text_tells_every_arrow() -> None:
    label = draw({}).get("aria-label")
    assert label is not None
    assert "Chapter 4, Attention as a layer, builds on 3." in label
    assert "Chapter 11, Rectified flow, builds on 8 and 9 and 10." in label


def test_one_arrow_for_each_need() -> None:
    assert len(draw({}).findall(f"{SVG}line")) == sum(len(chapter["needs"]) for chapter in CHAPTERS)
