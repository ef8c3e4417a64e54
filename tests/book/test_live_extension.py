"""`{live}`: what stands in the page before a model is started, what lies beside it, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from course_live import in_words, list_scripts

from course_lib.live import MIME, PREFIX
from tools.book import ROOT

CONFIG = """
import sys
sys.path.insert(0, {extensions!r})
extensions = ["myst_nb", "course_live"]
html_static_path = [{theme!r}]
nb_execution_mode = "off"
"""
CONTENT = {
    "about": {"words": ["è"]},
    "tensors": {"weight": {"shape": [2], "offset": 0}},
    "data": "ADwAwA==",
    "still": '<svg role="img" aria-label="A line."><path id="p" stroke="#767676"/></svg>',
}


def write_page(path: Path, text: str, *published: str) -> None:
    """A notebook of one text and one cell that published models."""
    outputs = [
        nbformat.v4.new_output(
            "display_data",
            {f"application/papermill.record/{MIME}": json.dumps(CONTENT, ensure_ascii=False)},
            metadata={"scrapbook": {"name": PREFIX + name, "mime_prefix": "application/papermill.record/"}},
        )
        for name in published
    ]
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(f"# A page\n\n{text}"),
            nbformat.v4.new_code_cell("publish()", outputs=outputs),
        ]
    )
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def render(root: Path) -> tuple[int, str]:
    """Exit code and warnings of a book whose pages are written."""
    (root / "conf.py").write_text(
        CONFIG.format(extensions=str(ROOT / "book" / "_ext"), theme=str(ROOT / "book" / "theme"))
    )
    scripts = root / "book" / "live"
    scripts.mkdir(parents=True, exist_ok=True)
    for name, text in {
        "nn.js": "",
        "needed.js": "",
        "demo.js": "// needs: needed.js\n",
        "lost.js": "// needs: no.js\n",
    }.items():
        (scripts / name).write_text(text)
    result = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(root), str(root / "build" / "html")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return result.returncode, result.stderr


def test_scripts_run_in_the_order_in_which_they_need_each_other() -> None:
    for demo in ROOT.glob("book/live/*.js"):
        scripts = list_scripts(ROOT / "book" / "live", demo.stem)
        assert scripts[0] == "nn.js" and scripts[-1] == demo.name


@pytest.mark.parametrize(("size", "words"), [(80, "1 kB"), (49_600, "50 kB"), (2_960_000, "3.0 MB")])
def test_a_size_is_said_in_words(size: int, words: str) -> None:
    assert in_words(size) == words


@pytest.mark.slow
def test_a_page_shows_the_still_and_its_weights_lie_in_a_file_beside_it(tmp_path: Path) -> None:
    live = "```{live} demo\n:title: Try\n:models: one two\nWhat to **see**.\n```\n"
    write_page(tmp_path / "part" / "page.ipynb", live, "one", "two")
    (tmp_path / "index.md").write_text("# A book\n\n```{toctree}\npart/page\n```\n")
    assert render(tmp_path) == (0, "")
    html = tmp_path / "build" / "html"
    page = (html / "part" / "page.html").read_text(encoding="utf-8")
    assert CONTENT["data"] not in page
    assert 'data-scripts="nn.js needed.js demo.js" data-models="one two"' in page
    assert 'data-folder="../live"' in page
    assert page.index('class="live-still"') < page.index('aria-label="A line."') < page.index("<strong>see</strong>")
    assert 'id="live-demo-p" stroke="currentColor"' in page
    assert "live.js" in page and "live.js" not in (html / "index.html").read_text(encoding="utf-8")
    assert sorted(path.name for path in (html / "live").glob("*.js")) == ["demo.js", "lost.js", "needed.js", "nn.js"]
    weights = (html / "live" / "weights" / "two.js").read_text(encoding="utf-8")
    assert weights.startswith('courseLive.receive("two", {"about": {"words": ["è"]}') and CONTENT["data"] in weights


@pytest.mark.slow
def test_what_a_reader_could_not_start_fails_the_build_and_says_why(tmp_path: Path) -> None:
    directives = {
        "no cell of this page publishes 'demo'": "```{live} demo\n:title: Try\n```\n",
        "give demo a `:title:`": "```{live} demo\n:models: one\n```\n",
        "There is no nothing.js": "```{live} nothing\n:title: Try\n:models: one\n```\n",
        "There is no no.js": "```{live} lost\n:title: Try\n:models: one\n```\n",
    }
    write_page(tmp_path / "index.ipynb", "\n".join(directives.values()), "one")
    code, warnings = render(tmp_path)
    assert code != 0
    assert [reason for reason in directives if reason not in warnings] == []


@pytest.mark.slow
def test_two_pages_cannot_publish_under_one_name(tmp_path: Path) -> None:
    write_page(tmp_path / "index.ipynb", "```{toctree}\nother\n```\n", "same")
    write_page(tmp_path / "other.ipynb", "", "same")
    code, warnings = render(tmp_path)
    assert code != 0
    assert "index and other both publish 'same'" in warnings
