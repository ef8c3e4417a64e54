"""What the book's extensions refuse, and what they put into a page."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import course_run_times
import nbformat
import pytest
import torch
from course_figures import FOLDER, TEXT, inline_svg, refer, write_files
from course_maths import PatientServer
from course_repairs import REPAIRS
from course_weight import trim_style
from safetensors.torch import save_file
from sphinxcontrib.katex import KaTeXError

from course_lib import scoreboard
from course_lib.figures import INK
from tools.book import ROOT

REAL_POPEN = subprocess.Popen

CONFIG = """
import sys
sys.path.insert(0, {extensions!r})
extensions = ["myst_nb", "sphinxcontrib.katex", "course_maths", "course_figures"]
html_math_renderer = "course_katex"
katex_prerender = True
katex_css_path = "katex.css"
myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "off"
"""


def build(folder: Path, notebook: nbformat.NotebookNode) -> tuple[int, str, str]:
    """Render one notebook as a book of its own: exit code, warnings, page."""
    (folder / "conf.py").write_text(CONFIG.format(extensions=str(ROOT / "book" / "_ext")))
    nbformat.write(notebook, folder / "index.ipynb")
    result = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(folder), str(folder / "html")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return result.returncode, result.stderr, (folder / "html" / "index.html").read_text(encoding="utf-8")


def make_notebook(text: str, svg: str | None = None, **metadata: object) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# A page\n\n{text}")])
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "python"}
    if svg is not None:
        output = nbformat.v4.new_output("display_data", {"image/svg+xml": svg})
        cell = nbformat.v4.new_code_cell("draw()", outputs=[output], metadata={"mystnb": metadata})
        notebook.cells.append(cell)
    return notebook


SVG = (
    '<svg {label}xmlns="http://www.w3.org/2000/svg" width="30pt" height="15pt" viewBox="0 0 30 15">'
    '<path id="p" d="M0 0" stroke="#767676"/></svg>'
)
LABELLED = SVG.format(label='role="img" aria-label="A line." ')
UNLABELLED = SVG.format(label="")
CAPTION = {"figure": {"caption": "What to see."}}


def test_a_maths_server_is_waited_for_until_it_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    binds = (
        "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); time.sleep(0.5); s.listen()"
    )
    command = [sys.executable, "-c", f"{binds}; s.accept()"]
    monkeypatch.setattr(PatientServer, "build_command", lambda socket: [*command, str(socket)])
    process, connection = PatientServer.start_server_process(tmp_path, 20.0)
    connection.close()
    assert process.wait(20) == 0


def test_a_maths_server_that_never_listens_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started = []

    def start(*args: object, **options: object) -> subprocess.Popen[bytes]:
        started.append(REAL_POPEN(*args, **options))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(PatientServer, "build_command", lambda socket: [sys.executable, "-c", "input()"])
    with pytest.raises(KaTeXError):
        PatientServer.start_server_process(tmp_path, 0.2)
    assert started[0].wait(20) != 0


def test_names_in_a_figure_are_its_own_and_its_ink_is_the_page_s() -> None:
    text = f'<g id="a"><use href="#a" xlink:href="#b"/><path clip-path="url(#a)" style="stroke: {INK}"/></g>'
    assert inline_svg(text, "figure3") == (
        '<g id="figure3-a"><use href="#figure3-a" xlink:href="#figure3-b"/>'
        '<path clip-path="url(#figure3-a)" style="stroke: currentColor"/></g>'
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('<script defer src="s/fontawesome.js?digest=1"></script><p>', "<p>"),
        ('<script src="s/bootstrap.js"></script>', '<script src="s/bootstrap.js"></script>'),
        ('<summary aria-label="Toggle hidden content">Show', "<summary>Show"),
        ('<button class="btn" aria-label="Search">', '<button class="btn" aria-label="Search">'),
        (
            '<button class="search-button-field" aria-label="Search" x="y">',
            '<button class="search-button-field" x="y">',
        ),
        ('<div class="citation" id="a" role="doc-biblioentry">', '<div class="citation" id="a">'),
        (
            '<a class="current reference internal" href="a.html">The library</a>'
            '<details open="open"><summary><span class="toctree-toggle"></span></summary>',
            '<a class="current reference internal" href="a.html">The library</a>'
            '<details open="open"><summary aria-label="Pages of: The library"><span class="toctree-toggle"></span>'
            "</summary>",
        ),
    ],
)
def test_repairs_touch_what_they_are_meant_for(before: str, after: str) -> None:
    for pattern, replacement in REPAIRS:
        before = pattern.sub(replacement, before)
    assert before == after


@pytest.mark.slow
def test_a_figure_with_a_script_stands_in_the_page_itself(tmp_path: Path) -> None:
    scripted = LABELLED.replace("</svg>", "<script>go()</script></svg>")
    code, warnings, page = build(tmp_path, make_notebook("", scripted, **CAPTION))
    assert (code, warnings) == (0, "")
    assert "<script>go()</script></svg>" in page and 'aria-label="A line."' in page
    assert 'stroke="currentColor"' in page
    assert not (tmp_path / "html" / FOLDER).exists()


def test_a_figure_s_file_has_another_name_once_its_content_changes(tmp_path: Path) -> None:
    before, again = write_files(LABELLED, tmp_path), write_files(LABELLED, tmp_path)
    after = write_files(LABELLED.replace("M0 0", "M1 1"), tmp_path)
    assert before == again and set(before) == {"light", "dark"}
    assert len({*before.values(), *after.values()}) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before.values(), *after.values()])


def test_words_of_a_figure_stay_as_they_are_written_in_it() -> None:
    page = refer(LABELLED.replace("A line.", "&quot;a&quot; &lt; b"), {"light": "a.svg"})
    assert 'src="a.svg" alt="&quot;a&quot; &lt; b" width="40" height="20"' in page


@pytest.mark.slow
def test_a_figure_stands_in_its_page_with_caption_and_alternative_text(tmp_path: Path) -> None:
    code, warnings, page = build(tmp_path, make_notebook("$x^2$", LABELLED, **CAPTION))
    assert (code, warnings) == (0, "")
    assert page.count('alt="A line." width="40" height="20" loading="lazy"') == len(TEXT)
    assert "<svg" not in page.partition("<article")[2].partition("</article>")[0]
    assert "What to see." in page
    for mode, colour in TEXT.items():
        (name,) = re.findall(rf'class="only-{mode}" src="({FOLDER}/[0-9a-f]+\.svg)"', page)
        assert (tmp_path / "html" / name).read_text("utf-8") == LABELLED.replace(INK, colour)
    assert 'class="katex"' in page


def test_a_style_keeps_the_icons_that_are_used() -> None:
    style = (
        '@font-face{src:url(../f/fa-solid-900.woff2) format("woff2"),url(../f/fa-solid-900.ttf) format("truetype")}'
        '.fa-lg{font-size:1em}.fa-bars:before,.fa-navicon:before{content:"\\f0c9"}.fa-sun:before{content:"\\f185"}'
        '.note::after{content:"\\f05a"}'
    )
    assert trim_style(style, {"fa-navicon", "fa-lg"}) == (
        '@font-face{src:url(../f/fa-solid-900.woff) format("woff")}'
        '.fa-lg{font-size:1em}.fa-bars:before,.fa-navicon:before{content:"\\f0c9"}.note::after{content:"\\f05a"}'
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("notebook", "message"),
    [
        (make_notebook(r"$\frac{1}{$"), "This formula cannot be typeset"),
        (make_notebook("$$\n\\nonsense{x}\n$$"), "This formula cannot be typeset"),
        (make_notebook("", UNLABELLED, **CAPTION), "A figure has no alternative text"),
        (make_notebook("", LABELLED), "A figure has no caption"),
    ],
    ids=["inline", "block", "no alternative text", "no caption"],
)
def test_what_a_reader_could_not_use_fails_the_build_and_names_the_page(
    tmp_path: Path, notebook: nbformat.NotebookNode, message: str
) -> None:
    code, warnings, _ = build(tmp_path, notebook)
    assert code == 1
    assert message in warnings
    assert "index.ipynb" in warnings


def test_run_times_count_the_results_that_pages_show_and_no_older_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row = replace(scoreboard.find_row("fixed"), seeds=(0, 1))
    for module in (scoreboard, course_run_times):
        monkeypatch.setattr(module, "ROWS", {"fixed": row})
    monkeypatch.setattr(scoreboard, "FOLDER", tmp_path)
    assert course_run_times.training_seconds() == 0
    older = tmp_path / "fixed-0-0123456789ab.safetensors"
    for path, seconds in ((scoreboard.path_of(row, 0), 2.0), (scoreboard.path_of(row, 1), 3.0), (older, 50.0)):
        result = scoreboard.Result("fixed", 0, 1, seconds, 1.0, {}, {}, 0.0, 0.0)
        save_file({"weight": torch.zeros(1)}, path, metadata={"result": result.to_json()})
    assert course_run_times.training_seconds() == 5
