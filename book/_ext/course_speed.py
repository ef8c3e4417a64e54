"""Pages that show their text early: one style sheet of what pages use, and no script before the text.

The theme and the extensions bring a dozen style sheets, most of whose rules no page needs, and as many scripts that a
browser must have before it draws a line. Here the sheets become one, without the rules that match nothing, and the
scripts wait until the page is read. This comes last, after all that writes pages.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import tinycss2
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.errors import ExtensionError

BUNDLE = "_static/book.css"
GROUPS = {"media", "supports", "layer", "container"}  # rules that hold rules
MADE = ("bs-",)  # beginnings of names that scripts put together, so that they stand nowhere in full

ROOT = re.compile(r'<html[^>]* data-content_root="(?P<root>[^"]*)"')
SHEET = re.compile(
    r'[ \t]*<link(?=[^>]* rel="stylesheet")(?![^>]* media=)(?=[^>]* href="(?P<href>[^"?]+)[^"]*")[^>]*>\n?'
)
SCRIPT = re.compile(r'<script(?P<rest>(?![^>]*\b(?:defer|async|type="module")\b)[^>]* src=[^>]*)>')
PRELOAD = re.compile(r'[ \t]*<link rel="preload" as="script"[^>]*>\n?')
OPTIONS = re.compile(r'<script src="[^"]*documentation_options\.js[^"]*"></script>')
SEARCH = re.compile(r'[ \t]*<script src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*"></script>\n?')
RESULTS = re.compile(r'[ \t]*<script defer="defer" src="[^"]*/search\.js[^"]*"></script>\n?')
MODE = 'dataset.theme = localStorage.getItem("theme") || "auto"'
RESOLVED = (
    'dataset.theme = ["light", "dark"].find((mode) => mode === localStorage.getItem("mode"))'
    ' || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")'
)
THEME = "_static/scripts/pydata-sphinx-theme.js"
STOPS = re.compile(
    r'document\.querySelectorAll\(\["pre"[^)]*?\]\.join\(", "\)\)'
    r"\.forEach\(e=>\{e\.tabIndex=[^}]*\}\)"
)
DRAW = "window.drawPage()"
"""The theme gives what scrolls a stop for the keyboard. It asked for all sizes at once, so that a browser had to lay
out the whole page before it answered; drawing.js does it by parts."""

ATTRIBUTE = re.compile(r'\b(?:class|id)="([^"]*)"')
WORD = re.compile(r"[A-Za-z_][\w-]*")
ADDRESS = re.compile(r"""url\((?P<quote>['"]?)(?!data:|#|[a-z]+:|/)(?P<path>[^)'"]+)(?P=quote)\)""")
IMPORT = re.compile(r"""@import\s+(?:url\()?["']?(?P<path>[^"')]+?)["']?\)?\s*;""")


def find_names(pages: Iterable[str], scripts: Iterable[str]) -> set[str]:
    """Classes and ids that pages bear, and every word of a script, which may give it to an element."""
    names = {name for page in pages for found in ATTRIBUTE.findall(page) for name in found.split()}
    inline = (code for page in pages for code in re.findall(r"<script[^>]*>(.+?)</script>", page, re.DOTALL))
    return names.union(*(WORD.findall(text) for text in scripts), *(WORD.findall(code) for code in inline))


def _matches(selector: list[Any], used: set[str]) -> bool:
    """Whether each class and id of the selector is used; what stands in brackets is taken to match."""
    for before, token in zip([None, *selector], selector, strict=False):
        is_class = token.type == "ident" and before is not None and before == "."
        if (is_class or token.type == "hash") and token.value not in used and not token.value.startswith(MADE):
            return False
    return True


def _write(tokens: list[Any]) -> str:
    """The tokens without comments, and with one space where there are several."""
    kept = [token for token in tokens if token.type != "comment"]
    for token in kept:
        if token.type == "whitespace":
            token.value = " "
    return tinycss2.serialize(kept).strip()


def shrink(rules: list[Any], used: set[str]) -> str:
    """Style rules as text, without those that match nothing.

    Args:
        rules: what tinycss2 parsed.
        used: the names that `find_names` found.

    Raises:
        ValueError: if the sheet has an error, which a browser would pass over in silence.
    """
    parts = []
    for rule in rules:
        if rule.type == "error":
            raise ValueError(f"line {rule.source_line}: {rule.message}")
        if rule.type == "at-rule" and rule.lower_at_keyword in GROUPS and rule.content is not None:
            inner = tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
            if text := shrink(inner, used):
                parts.append(f"@{rule.at_keyword} {_write(rule.prelude)}{{{text}}}")
        elif rule.type == "at-rule":
            body = ";" if rule.content is None else f"{{{_write(rule.content)}}}"
            parts.append(f"@{rule.at_keyword} {_write(rule.prelude)}{body}")
        else:
            selectors: list[list[Any]] = [[]]
            for token in rule.prelude:
                if token == ",":
                    selectors.append([])
                else:
                    selectors[-1].append(token)
            kept = [_write(selector) for selector in selectors if _matches(selector, used)]
            if kept and (body := _write(rule.content)):
                parts.append(f"{','.join(kept)}{{{body}}}")
    return "".join(parts)


def order_sheets(pages: Iterable[list[str]]) -> list[str]:
    """One order for the sheets of all pages that keeps each page's own."""
    order: list[str] = []
    for sheets in pages:
        for place, name in enumerate(sheets):
            if name not in order:
                later = (order.index(other) for other in sheets[place + 1 :] if other in order)
                order.insert(next(later, len(order)), name)
    return order


def move_addresses(text: str, folder: str) -> str:
    """A sheet of this folder with the addresses in it as seen from the bundle's folder."""
    steps = PurePosixPath(folder).relative_to(PurePosixPath(BUNDLE).parent)

    def move(match: re.Match[str]) -> str:
        parts: list[str] = []
        for part in (steps / match["path"]).parts:
            if part == "..":
                parts.pop()
            else:
                parts.append(part)
        return f'url("{"/".join(parts)}")'

    return ADDRESS.sub(move, text)


def read_sheet(out: Path, name: str) -> str:
    """A sheet with those that it imports, and with addresses as seen from the bundle's folder."""
    folder = PurePosixPath(name).parent
    text = (out / name).read_text(encoding="utf-8")
    imported = "".join(read_sheet(out, str(folder / match["path"])) for match in IMPORT.finditer(text))
    return imported + move_addresses(IMPORT.sub("", text), str(folder))


def bundle_sheets(out: Path, pages: Mapping[Path, str]) -> str:
    """Write the one style sheet; returns its address from the root, with a mark that changes with its content."""
    found = []
    for text in pages.values():
        root = ROOT.search(text)
        assert root is not None
        found.append([match["href"].removeprefix(root["root"]) for match in SHEET.finditer(text)])
    scripts = (path.read_text(encoding="utf-8") for path in out.rglob("*.js") if path.name != "searchindex.js")
    used = find_names(list(pages.values()), scripts)
    parts = []
    for name in order_sheets(found):
        text = read_sheet(out, name)
        try:
            parts.append(shrink(tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True), used))
        except ValueError as error:
            raise ValueError(f"The style sheet {name} cannot be read: {error}.") from None
    text = "\n".join(parts)
    (out / BUNDLE).write_text(text, encoding="utf-8")
    return f"{BUNDLE}?v={hashlib.sha256(text.encode()).hexdigest()[:8]}"


def quicken(text: str, *, sheet: str, options: str) -> str:
    """A page with one style sheet, and with scripts that do not hold up its text.

    Args:
        text: the page.
        sheet: address of the style sheet from the book's root.
        options: the script that the others read their settings from; it is small and stands in the page.
    """
    root = ROOT.search(text)
    assert root is not None
    links = iter([f'    <link rel="stylesheet" href="{root["root"]}{sheet}" />\n'])
    text = SHEET.sub(lambda match: next(links, ""), text)
    # The index of all words is read where it is asked. There our own script goes on from Sphinx's, so it comes last.
    searching = "".join(SEARCH.findall(text)) if 'id="search-results"' in text else ""
    text = SEARCH.sub("", text)
    text = RESULTS.sub(lambda match: searching + match[0], text)
    text = OPTIONS.sub(lambda match: f"<script>{options.strip()}</script>", text)
    text = SCRIPT.sub(r"<script defer\g<rest>>", PRELOAD.sub("", text))
    return text.replace(MODE, RESOLVED)


def soften(path: Path) -> None:
    """Let the theme's script leave the blocks that scroll to drawing.js.

    Raises:
        ExtensionError: if the script is not the one that this was written for.
    """
    text, count = STOPS.subn(DRAW, path.read_text(encoding="utf-8"))
    if count != 1:
        raise ExtensionError(f"{path.name} of the theme has changed: write STOPS in course_speed.py anew.")
    path.write_text(text, encoding="utf-8")


def finish(app: Sphinx, error: Exception | None) -> None:
    if error is not None or not isinstance(app.builder, StandaloneHTMLBuilder):
        return
    out = Path(app.outdir)
    texts = ((path, path.read_text(encoding="utf-8")) for path in sorted(out.rglob("*.html")))
    pages = {path: text for path, text in texts if ROOT.search(text)}
    sheet = bundle_sheets(out, pages)
    soften(out / THEME)
    options = (out / "_static" / "documentation_options.js").read_text(encoding="utf-8")
    for path, text in pages.items():
        path.write_text(quicken(text, sheet=sheet, options=options), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", finish, priority=950)  # after the icons are trimmed
    return {"parallel_read_safe": True, "parallel_write_safe": True}
