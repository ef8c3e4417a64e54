"""Ways to take a chapter or an assignment with you: a bar of links below a chapter's title, and `{assignment}`.

Downloads come out of the build and work without a network. Links to Colab, Binder and the source appear once
`repository: url:` in _config.yml names the public copy of this repository. Colab reads a chapter's notebook
from the branch that holds the built book, `gh-pages`.
"""

from __future__ import annotations

import html
import json
import posixpath
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

LOGGER = logging.getLogger(__name__)
CHAPTER = re.compile(r"book/(?P<slug>\d\d-[a-z0-9-]+)/chapter")
PAGES_BRANCH = "gh-pages"
FILES = (".ipynb", ".zip")
NOTATION = "book/notation"
HEADER = re.compile(
    r"^## (?P<title>.+)\n\n\*\*Difficulty\*\* (?P<difficulty>[●○]+) · \*\*Importance\*\* [●○]+"
    r" · \*\*(?P<minutes>\d+) min\*\* · \*\*(?P<points>\d+) points?\*\*",
    re.MULTILINE,
)
LEVELS = {1: "easy", 2: "medium", 3: "hard"}


@dataclass(frozen=True)
class Repository:
    """The public copy of this repository, or an empty address where there is none."""

    url: str
    branch: str = "main"

    @property
    def name(self) -> str:
        """owner/name"""
        return "/".join(self.url.rstrip("/").removesuffix(".git").split("/")[-2:])

    def colab(self, path: str, branch: str) -> str:
        return f"https://colab.research.google.com/github/{self.name}/blob/{branch}/{path}"

    def binder(self, path: str) -> str:
        return f"https://mybinder.org/v2/gh/{self.name}/{self.branch}?urlpath=lab/tree/{path}"

    def source(self, path: str) -> str:
        return f"{self.url.rstrip('/').removesuffix('.git')}/blob/{self.branch}/{path}"

    def remote_links(self, notebook: str, *, source: str, colab_branch: str) -> list[tuple[str, str]]:
        """Text and address of each link that needs the public copy; none without one."""
        if not self.url:
            return []
        return [
            ("Open in Colab", self.colab(notebook, colab_branch)),
            ("Open in Binder", self.binder(notebook)),
            ("View source", self.source(source)),
        ]


def read_repository(app: Sphinx) -> Repository:
    """The setting in _config.yml, read there: Jupyter Book hands it to the theme only, where our options hide it."""
    settings = yaml.safe_load(Path(app.srcdir, "_config.yml").read_text(encoding="utf-8"))["repository"]
    return Repository(settings["url"], settings["branch"])


def is_file(target: str) -> bool:
    """Whether a link leads to a file of the build that is no page."""
    return "://" not in target and target.endswith(FILES)


def make_bar(label: str, links: list[tuple[str, str]]) -> nodes.raw:
    """A row of links; those to files of the build download, the others are followed."""
    items = "".join(
        f'<a href="{html.escape(target)}"{" download" if is_file(target) else ""}>{html.escape(text)}</a>'
        for text, target in links
    )
    return nodes.raw("", f'<nav class="course-bar" aria-label="{html.escape(label)}">{items}</nav>', format="html")


class ChapterBar(SphinxPostTransform):
    """Put the bar below the title of each chapter."""

    default_priority = 410
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        found = CHAPTER.fullmatch(self.env.docname)
        title = next(self.document.findall(nodes.title), None)
        if found is None or title is None:
            return
        notebook = f"{found['slug']}.ipynb"
        path = posixpath.join(posixpath.dirname(self.env.docname), notebook)
        links = [("Download the chapter as a notebook", notebook)]
        links += read_repository(self.app).remote_links(
            path, source=f"{self.env.docname}.md", colab_branch=PAGES_BRANCH
        )
        if NOTATION in self.env.found_docs:
            address = self.app.builder.get_relative_uri(self.env.docname, NOTATION)
            links.append(("Its symbols", f"{address}#notation-{found['slug'][:2]}"))
        title.parent.insert(title.parent.index(title) + 1, make_bar("This chapter elsewhere", links))


class Assignment(SphinxDirective):
    """`{assignment} 04-attention-layer`: the bar of an assignment, and the table of its exercises."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        slug = self.arguments[0]
        folder = Path(self.env.srcdir, "exercises", slug)
        notebooks = sorted(folder.glob("*.ipynb"))
        if not notebooks:
            LOGGER.warning(
                "There is no released notebook in exercises/%s: run `course release %s`.",
                slug,
                slug,
                location=self.get_location(),
            )
            return []
        for path in folder.iterdir():
            self.env.note_dependency(str(path))
        archive = posixpath.relpath(f"exercises/{slug}.zip", posixpath.dirname(self.env.docname))
        links = [("Download the assignment", archive)]
        source = f"exercises/{slug}/{notebooks[0].name}"
        repository = read_repository(self.env.app)
        links += repository.remote_links(source, source=source, colab_branch=repository.branch)
        table = nodes.Element()
        self.state.nested_parse(StringList(list_exercises(notebooks[0])), 0, table)
        return [make_bar("This assignment elsewhere", links), *table.children]


def list_exercises(path: Path) -> list[str]:
    """The exercises of a released notebook as the lines of a Markdown table, read from their headers."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    found = [match for cell in cells if (match := HEADER.search("".join(cell["source"])))]
    rows = [
        f"| {match['title']} | {LEVELS[match['difficulty'].count('●')]} | {match['minutes']} | {match['points']} |"
        for match in found
    ]
    minutes, points = (sum(int(match[name]) for match in found) for name in ("minutes", "points"))
    rows.append(f"| **Together** | | **{minutes}** | **{points}** |")
    return ["| exercise | difficulty | minutes | points |", "|---|---|---:|---:|", *rows]


def make_notebook(text: str, repository: Repository) -> nbformat.NotebookNode:
    """A chapter as a notebook without outputs, with a first cell that says what it needs."""
    notebook = jupytext.reads(text, fmt="md:myst")
    lead = "This is a chapter of the book as a notebook. Formulas and figures are set better on its page."
    if repository.url:
        install = f'%pip install --quiet "course-lib @ git+{repository.url}@{repository.branch}"'
        start = [nbformat.v4.new_markdown_cell(lead), nbformat.v4.new_code_cell(install)]
    else:
        lead += " It needs `course_lib`: run it in the environment that `make setup` makes."
        start = [nbformat.v4.new_markdown_cell(lead)]
    notebook.cells[:0] = start
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    return notebook


def write_archive(folder: Path, target: Path) -> None:
    """All released files of an assignment as one zip, the same bytes on every run."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and ".ipynb_checkpoints" not in path.parts:
                entry = zipfile.ZipInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}", (1980, 1, 1, 0, 0, 0))
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


def write_downloads(app: Sphinx, error: Exception | None) -> None:
    if error is not None or not isinstance(app.builder, StandaloneHTMLBuilder):
        return
    repository = read_repository(app)
    for name in app.env.found_docs:
        if found := CHAPTER.fullmatch(name):
            text = Path(app.env.doc2path(name)).read_text(encoding="utf-8")
            target = Path(app.outdir, posixpath.dirname(name), f"{found['slug']}.ipynb")
            target.parent.mkdir(parents=True, exist_ok=True)  # the single-page build has no folder for a chapter
            nbformat.write(make_notebook(text, repository), target)
    for folder in sorted({path.parent for path in Path(app.srcdir, "exercises").glob("*/*.ipynb")}):
        write_archive(folder, Path(app.outdir, "exercises", f"{folder.name}.zip"))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("assignment", Assignment)
    app.add_post_transform(ChapterBar)
    app.connect("build-finished", write_downloads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
