"""`{live} name`: a model that the reader starts in the page, in the place of its still picture.

    ```{live} language
    :title: Let the model write
    What the picture shows.
    ```

`name` is that of a script in book/live, and of weights that a cell of the same page has published
(`course_lib.live.publish`); `:models:` lists them where they are several. The still of the first and the directive's
content stand in the page. live.js adds a button; on a press it loads nn.js, the scripts that the demo's first line
names after `// needs:`, the demo, and the weights. All of these are classic scripts in the folder `live` of the book,
so nothing is fetched before, and it works from a folder as well as from a server.
"""

from __future__ import annotations

import html
import json
import posixpath
import re
import shutil
from pathlib import Path
from typing import Any, ClassVar

from course_figures import frame, inline_svg
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from course_lib.live import MIME, PREFIX

SOURCE = Path("book", "live")
FOLDER = "live"
FIRST = "nn.js"
NEEDS = re.compile(r"^// needs: (?P<files>.+)$", re.MULTILINE)


def list_scripts(folder: Path, demo: str) -> list[str]:
    """The scripts of a demo in the order in which they must run: the layers, what it needs, itself.

    Raises:
        FileNotFoundError: if one of them is not in the folder.
    """
    path = folder / f"{demo}.js"
    needed = NEEDS.search(path.read_text(encoding="utf-8")) if path.is_file() else None
    names = [FIRST, *(needed["files"].split() if needed else []), path.name]
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"There is no {name} in {folder.as_posix()}.")
    return names


def write_weights(name: str, content: dict[str, Any]) -> str:
    """A model as a classic script that hands it to live.js."""
    header = json.dumps({"about": content["about"], "tensors": content["tensors"]}, ensure_ascii=False)
    return f'courseLive.receive("{name}", {header}, "{content["data"]}");\n'


def in_words(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"


class Live(SphinxDirective):
    """The directive."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {
        "title": directives.unchanged_required,
        "models": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        demo = self.arguments[0]
        if "title" not in self.options:
            raise self.error(f"live: give {demo} a `:title:`, which says what it is.")
        folder = Path(self.env.srcdir, SOURCE)
        try:
            scripts = list_scripts(folder, demo)
        except FileNotFoundError as error:
            raise self.error(f"live: {error}") from error
        for script in scripts:
            self.env.note_dependency(str(folder / script))
        models = self.options.get("models", demo).split()
        published = [self.find(model) for model in models]
        size = sum((folder / script).stat().st_size for script in scripts)
        size += sum(len(write_weights(model, found)) for model, found in zip(models, published, strict=True))
        attributes = {
            "class": "live",
            "aria-label": self.options["title"],
            "data-demo": demo,
            "data-folder": posixpath.relpath(FOLDER, posixpath.dirname(self.env.docname)),
            "data-scripts": " ".join(scripts),
            "data-models": " ".join(models),
            "data-size": in_words(size),
        }
        written = "".join(f' {name}="{html.escape(value)}"' for name, value in attributes.items())
        title = f'<p class="live-title">{html.escape(self.options["title"])}</p>'
        still = frame(inline_svg(published[0]["still"], f"live-{demo}")) if published[0]["still"] else ""
        words = nodes.Element()
        self.state.nested_parse(StringList(list(self.content), source=self.get_source_info()[0]), 0, words)
        return [
            nodes.raw("", f'<section{written}>{title}<div class="live-still">{still}', format="html"),
            *words.children,
            nodes.raw("", "</div></section>", format="html"),
        ]

    def find(self, name: str) -> dict[str, Any]:
        """What a cell of this page published under this name."""
        document = self.state.document
        records = document["nb_renderer"].renderer.nb_client.glue_data if "nb_renderer" in document else {}
        if f"{PREFIX}{name}" not in records:
            raise self.error(f"live: no cell of this page publishes {name!r}: call course_lib.live.publish in one.")
        content: dict[str, Any] = json.loads(records[f"{PREFIX}{name}"]["data"][MIME])
        return content


def add_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """The button's script and style on pages that have something to start, and on no other."""
    if 'class="live"' in context.get("body", ""):
        app.add_js_file("live.js", loading_method="defer")
        app.add_css_file("live.css")


def write_files(app: Sphinx, error: Exception | None) -> None:
    """The folder of scripts and weights; myst-nb keeps the records of each page beside its executed notebook."""
    if error is not None or not isinstance(app.builder, StandaloneHTMLBuilder):
        return
    target = Path(app.outdir, FOLDER)
    shutil.rmtree(target, ignore_errors=True)
    owners: dict[str, str] = {}
    for page in sorted(app.env.found_docs):
        path = Path(app.outdir).parent / "jupyter_execute" / f"{page}.glue.json"
        records = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        for key, record in records.items():
            name = key.removeprefix(PREFIX)
            if name == key:
                continue
            if name in owners:
                raise ExtensionError(f"{owners[name]} and {page} both publish {name!r}: give one of them another name.")
            owners[name] = page
            (target / "weights").mkdir(parents=True, exist_ok=True)
            text = write_weights(name, json.loads(record["data"][MIME]))
            (target / "weights" / f"{name}.js").write_text(text, encoding="utf-8")
    if owners:
        for script in sorted(Path(app.srcdir, SOURCE).glob("*.js")):
            shutil.copy(script, target)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("live", Live)
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", write_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
