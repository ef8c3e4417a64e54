"""The reference of the library: `{api}` writes a page from docstrings, `{api-index}` the table that leads to the pages.

A page of book/api names its modules in `{api}`; nothing is imported. Each name is linked with the section of a chapter
that teaches it: where its code is shown, else where its exercise belongs, else where the text first names it, else
where a cell first calls it. course_source.py links the other way, from the code in a chapter to the name's entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import yaml
from api_reading import ROOT, Docstring, Entry, Module, read_module
from course_downloads import CHAPTER
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

SYLLABUS = ROOT / "book" / "syllabus.yml"
LOGGER = logging.getLogger(__name__)
LIBRARY = "course_lib."
DIRECTIVE = re.compile(r"^```\{api\} (?P<modules>.+)$", re.MULTILINE)
HEADINGS = {"Args": "Arguments"}
SHOWN, NAMED, CALLED = range(3)
APART = re.compile(r".*-(mistakes|takeaway|exercises|quiz|questions|next)")
"""Sections that name much and teach nothing."""


@cache
def find_pages() -> dict[str, str]:
    """The page of each module that has one, as Sphinx names pages, in the order of the table of contents."""
    pages = re.findall(r"file: (book/api/\S+)", (ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return {
        module: page
        for page in pages
        for found in DIRECTIVE.finditer((ROOT / f"{page}.md").read_text(encoding="utf-8"))
        for module in found["modules"].split()
    }


def list_names(module: Module) -> Iterator[Entry]:
    """The entries of a module, each followed by its methods."""
    for entry in module.entries:
        yield from (entry, *entry.members)


@cache
def known_names() -> dict[str, str]:
    """Module of each name that stands in one module only."""
    found: dict[str, set[str]] = {}
    for module in find_pages():
        for entry in list_names(read_module(module)):
            found.setdefault(entry.name, set()).add(module)
    return {name: modules.pop() for name, modules in found.items() if len(modules) == 1}


def find_entry(module: str, name: str) -> str | None:
    """The entry that holds a name of a module: its own, or that of its class; None where neither has one."""
    if module not in find_pages():
        return None
    names = {entry.name for entry in list_names(read_module(module))}
    return next((form for form in (name, name.partition(".")[0]) if form in names), None)


def anchor_of(name: str) -> str:
    """Where an entry stands on its page."""
    return name.replace(".", "-")


class PageLink(nodes.Inline, nodes.TextElement):
    """A link to a page, or to an anchor on it, which becomes an address once all pages are known."""


def link_page(page: str, *content: nodes.Node) -> PageLink:
    return PageLink("", "", *content, page=page, anchor="")


def link_entry(module: str, name: str) -> PageLink:
    """The name of an entry, which leads to it."""
    return PageLink("", "", nodes.literal(text=name), page=find_pages()[module], anchor=anchor_of(name))


class TaughtIn(nodes.General, nodes.Element):
    """Stands where the sections that teach something are named, until all chapters are known."""


class Api(SphinxDirective):
    """The public names of modules, with a section for each."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        result: list[nodes.Node] = []
        modules = [read_module(name) for name in self.arguments[0].split()]
        for module in modules:
            self.env.note_dependency(str(ROOT.joinpath(*module.name.split(".")).with_suffix(".py")))
            self.module = module.name
            content = [*self.write_module(module), *(self.write_entry(entry) for entry in module.entries)]
            if len(modules) > 1:
                name = module.name.removeprefix(LIBRARY)
                content = [self.make_section(name, *content, anchor=module_anchor(module.name))]
            result += content
        return result

    def write_module(self, module: Module) -> list[nodes.Node]:
        line = nodes.paragraph("", "", nodes.strong(text="Module "), nodes.literal(text=module.name))
        taught = TaughtIn(module=module.name, name="", chapters=module.doc.chapters)
        return [line, *self.write_body(module.doc), taught, *self.write_parts(module.doc)]

    def write_entry(self, entry: Entry) -> nodes.section:
        signature = nodes.literal_block(entry.signature, entry.signature, language="python")
        signature["classes"].append("course-signature")
        inherited = read_module(self.module).doc.chapters if "." not in entry.name else ()
        return self.make_section(
            entry.name,
            signature,
            *self.write_body(entry.doc),
            *self.write_parts(entry.doc),
            TaughtIn(module=self.module, name=entry.name, chapters=entry.doc.chapters or inherited),
            *(self.write_entry(member) for member in entry.members),
        )

    def make_section(self, name: str, *content: nodes.Node, anchor: str = "") -> nodes.section:
        section = nodes.section("", nodes.title("", "", nodes.literal(text=name)), *content)
        section["ids"] = [anchor or anchor_of(name)]
        self.state.document.set_id(section)  # one that stands on the page already is an error
        return section

    def write_body(self, doc: Docstring) -> list[nodes.Node]:
        return [
            nodes.literal_block(block.text, block.text, language="none", classes=["course-formula"])
            if block.literal
            else nodes.paragraph("", "", *self.write_text(block.text))
            for block in doc.body
        ]

    def write_parts(self, doc: Docstring) -> list[nodes.Node]:
        result: list[nodes.Node] = []
        for part, items in doc.parts.items():
            heading = nodes.strong(text=HEADINGS.get(part, part))
            if len(items) == 1 and not items[0][0]:
                result.append(nodes.paragraph("", "", heading, nodes.Text(". "), *self.write_text(items[0][1])))
            elif any(name for name, _ in items):
                listed = nodes.definition_list("", *(self.write_item(*item) for item in items))
                listed["classes"].append("course-parameters")
                result += [nodes.paragraph("", "", heading), listed]
            else:
                texts = (nodes.paragraph("", "", *self.write_text(text)) for _, text in items)
                listing = nodes.bullet_list("", *(nodes.list_item("", text) for text in texts))
                result += [nodes.paragraph("", "", nodes.strong(text=f"{part}s")), listing]
        return result

    def write_item(self, name: str, text: str) -> nodes.definition_list_item:
        names: list[nodes.Node] = []
        for number, part in enumerate(name.split(", ")):
            names += [nodes.Text(", ")] if number else []
            names.append(nodes.literal(text=part))
        paragraph = nodes.paragraph("", "", *self.write_text(text))
        return nodes.definition_list_item("", nodes.term("", "", *names), nodes.definition("", paragraph))

    def write_text(self, text: str) -> list[nodes.Node]:
        """Text with what stands in backticks as code, linked where the library has an entry of that name."""
        parts = re.split(r"`([^`]+)`", text)
        return [self.write_code(part) if number % 2 else nodes.Text(part) for number, part in enumerate(parts) if part]

    def write_code(self, text: str) -> nodes.Node:
        if text in find_pages():
            return link_page(find_pages()[text], nodes.literal(text=text))
        module, _, name = text.rpartition(".") if text.startswith(LIBRARY) else (self.module, "", text)
        if find_entry(module, name) == name:
            return link_entry(module, name)
        return link_entry(known_names()[text], text) if text in known_names() else nodes.literal(text=text)


class ApiIndex(SphinxDirective):
    """What each module holds, and the page that lists its names."""

    def run(self) -> list[nodes.Node]:
        group = nodes.tgroup(cols=3)
        group += [nodes.colspec(colwidth=width) for width in (2, 4, 1)]
        group += nodes.thead("", make_row([nodes.Text(text)] for text in ("Module", "What it holds", "Chapters")))
        rows = []
        for module, page in find_pages().items():
            self.env.note_dependency(str(ROOT.joinpath(*module.split(".")).with_suffix(".py")))
            doc = read_module(module).doc
            link = link_page(page, nodes.literal(text=module.removeprefix(LIBRARY)))
            if list(find_pages().values()).count(page) > 1:
                link["anchor"] = module_anchor(module)
            rows.append(make_row(([link], write_plain(doc.first_sentence), list_chapters(doc.chapters))))
        group += nodes.tbody("", *rows)
        return [nodes.table("", group, classes=["course-modules"])]


def module_anchor(module: str) -> str:
    """Where a module stands on a page that has several."""
    return f"module-{module.removeprefix(LIBRARY).replace('.', '-')}"


def list_chapters(slugs: Iterable[str]) -> list[nodes.Node]:
    """The numbers of chapters, which lead to them."""
    result: list[nodes.Node] = []
    for slug in slugs:
        result += [nodes.Text(", ")] if result else []
        result.append(link_page(f"book/{slug}/chapter", nodes.Text(str(int(slug[:2])))))
    return result


def write_plain(text: str) -> list[nodes.Node]:
    parts = re.split(r"`([^`]+)`", text)
    return [nodes.literal(text=part) if number % 2 else nodes.Text(part) for number, part in enumerate(parts) if part]


def make_row(cells: Iterable[list[nodes.Node]]) -> nodes.row:
    return nodes.row("", *[nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells])


def note_places(app: Sphinx, doctree: nodes.document) -> None:
    """Where a chapter shows, names or calls what the library holds: the best section for each name."""
    if CHAPTER.fullmatch(app.env.docname) is None:
        return
    places: dict[str, tuple[int, str, nodes.title]] = {}
    for node in doctree.findall(lambda node: isinstance(node, nodes.literal | nodes.literal_block)):
        section = find_section(node)
        if section is None:
            continue
        for name, kind in list_mentions(node):
            if kind == SHOWN or (name in known_names() and not any(map(APART.fullmatch, section["ids"]))):
                key = name if kind == SHOWN else f"{known_names()[name]}.{name}"
                if key not in places or kind < places[key][0]:
                    places[key] = (kind, section["ids"][0], detach(section[0]))
    all_places(app.env)[app.env.docname] = places


def list_mentions(node: nodes.Element) -> Iterator[tuple[str, int]]:
    """Names of the library in a piece of code, and how they stand there; one that is shown has its module."""
    if "course_object" in node:
        yield node["course_object"], SHOWN
        yield node["course_object"].rpartition(".")[0], SHOWN
    elif isinstance(node, nodes.literal):
        yield node.astext().removesuffix("()"), NAMED
    elif "course-signature" not in node["classes"]:
        yield from ((name, CALLED) for name in re.findall(r"(?<![\w.])(\w+)\(", node.astext()))


def find_section(node: nodes.Node) -> nodes.section | None:
    """The section around a node; None for what stands outside all but the page's own."""
    parent = node.parent
    while parent is not None and not isinstance(parent, nodes.section):
        parent = parent.parent
    return parent if parent is not None and isinstance(parent.parent, nodes.section) else None


def detach(title: nodes.title) -> nodes.title:
    """A copy that does not hold on to its page."""
    copy = title.deepcopy()
    for node in copy.findall():
        node.document = None
    return copy


def all_places(env: BuildEnvironment) -> dict[str, dict[str, tuple[int, str, nodes.title]]]:
    if not hasattr(env, "course_places"):
        env.course_places = {}
    return env.course_places


def forget_places(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    all_places(env).pop(docname, None)


def merge_places(app: Sphinx, env: BuildEnvironment, docnames: list[str], other: BuildEnvironment) -> None:
    all_places(env).update({name: places for name, places in all_places(other).items() if name in docnames})


@cache
def exercise_sections() -> dict[tuple[str, str], str]:
    """The section's label of each exercise, by chapter and name."""
    concepts = yaml.safe_load(SYLLABUS.read_text(encoding="utf-8"))["concepts"]
    return {(c["chapter"], c["exercise"]): c["section"] for c in reversed(concepts) if "exercise" in c}


class ResolveLinks(SphinxPostTransform):
    """Give links their addresses, and each entry and module those of the sections that teach it."""

    default_priority = 400

    def run(self, **kwargs: Any) -> None:
        for link in list(self.document.findall(PageLink)):
            if link["page"] not in self.env.found_docs:
                LOGGER.warning("There is no page %s: name it in _toc.yml.", link["page"], location=link)
            address = self.app.builder.get_relative_uri(self.env.docname, link["page"])
            address += f"#{link['anchor']}" if link["anchor"] else ""
            link.replace_self(nodes.reference("", "", *link.children, refuri=address, internal=True))
        for node in list(self.document.findall(TaughtIn)):
            key = f"{node['module']}.{node['name']}"
            places = all_places(self.env)
            shown = {page for page, found in places.items() if found.get(key, (CALLED,))[0] == SHOWN}
            pages = sorted({f"book/{slug}/chapter" for slug in node["chapters"]} | shown)
            links = [self.link(page, node["name"], key) for page in pages if page in self.env.found_docs]
            if not links:
                node.parent.remove(node)
                continue
            line = nodes.paragraph("", "", nodes.strong(text="Taught in"), classes=["course-taught"])
            for number, link in enumerate(links):
                line += [nodes.Text(" and " if number else " "), *link]
            line += nodes.Text(".")
            node.replace_self(line)

    def link(self, page: str, name: str, key: str) -> list[nodes.Node]:
        """The chapter's number, and the section if one is known, else its title."""
        slug = page.split("/")[1]
        place = all_places(self.env).get(page, {}).get(key)
        labels = self.env.get_domain("std").labels  # type: ignore[attr-defined]
        exercise = labels.get(exercise_sections().get((slug, name), ""))
        address = self.app.builder.get_relative_uri(self.env.docname, page)
        title: list[nodes.Node] = [nodes.Text(self.env.titles[page].astext())]
        if exercise and not (place and place[0] == SHOWN):
            address, title = f"{address}#{exercise[1]}", [nodes.Text(exercise[2])]
        elif place:
            address, title = f"{address}#{place[1]}", [child.deepcopy() for child in place[2].children]
        return [
            nodes.Text(f"chapter {int(slug[:2])}, "),
            nodes.reference("", "", *title, refuri=address, internal=True),
        ]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_node(TaughtIn)
    app.add_node(PageLink)
    app.add_directive("api", Api)
    app.add_directive("api-index", ApiIndex)
    app.add_post_transform(ResolveLinks)
    app.connect("doctree-read", note_places)
    app.connect("env-purge-doc", forget_places)
    app.connect("env-merge-info", merge_places)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
