"""The reference says what the code says, leads to the section that teaches a name and back, and search finds it all."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from api_reading import parse_docstring, read_module
from course_api import find_pages, known_names, list_names
from course_glossary import read_glossary
from lxml import html
from playwright.sync_api import Browser, Page, expect

from tests.browser import launch_browser, serve, watch
from tools.book import ROOT, vendor

DOCSTRING = """What it computes: softmax(Q).

    Q = X W

    K = X V

The rest of it,
in two lines.

Args:
    query, key: what looks
        and what is looked at, `(n, d)`.
    mask: True where allowed.

Raises:
    ValueError: if it does not fit.

Source: A paper, section 3;
    another.
Chapters: 04-attention-layer, 05-transformer.
"""


def test_a_docstring_is_taken_apart() -> None:
    doc = parse_docstring(DOCSTRING)
    assert [(block.text, block.literal) for block in doc.body] == [
        ("What it computes: softmax(Q).", False),
        ("Q = X W\n\nK = X V", True),
        ("The rest of it, in two lines.", False),
    ]
    assert doc.parts == {
        "Args": (("query, key", "what looks and what is looked at, `(n, d)`."), ("mask", "True where allowed.")),
        "Raises": (("ValueError", "if it does not fit."),),
        "Source": (("", "A paper, section 3; another."),),
    }
    assert doc.chapters == ("04-attention-layer", "05-transformer")
    assert doc.first_sentence == "What it computes: softmax(Q)."


def test_what_follows_a_heading_s_items_at_the_margin_belongs_to_the_text() -> None:
    doc = parse_docstring("First.\n\nSources:\n    A paper.\n\nMore of the text.")
    assert doc.parts == {"Source": (("", "A paper."),)}
    assert [block.text for block in doc.body] == ["First.", "More of the text."]


def test_signatures_are_those_of_the_code() -> None:
    entries = {entry.name: entry for entry in read_module("course_lib.models.attention").entries}
    assert entries["CrossAttention"].signature == "CrossAttention(*, d_model: int, d_data: int, head_dim: int)"
    assert entries["causal_mask"].signature.endswith(") -> Tensor")
    assert "CrossAttention.forward" in {member.name for member in entries["CrossAttention"].members}
    constants = {entry.name: entry.signature for entry in read_module("course_lib.data.digits").entries}
    assert constants["SIZE"] == "SIZE"
    fields = {entry.name: entry.signature for entry in read_module("course_lib.training").entries}
    assert "losses: list[float] = list()" in fields["History"]


def test_a_module_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="The library has no module"):
        read_module("course_lib.models.nonsense")


def test_every_module_that_a_reader_uses_has_a_page() -> None:
    files = [path for folder in ("models", "data", "metrics") for path in (ROOT / "course_lib" / folder).glob("*.py")]
    modules = {f"course_lib.{path.parent.name}.{path.stem}" for path in files if path.stem != "__init__"}
    assert modules | {"course_lib.training", "course_lib.figures"} <= set(find_pages())


def test_every_public_function_and_class_says_what_it_is() -> None:
    entries = [(module, entry) for module in find_pages() for entry in read_module(module).entries]
    assert len(entries) > 200
    assert [f"{module}.{entry.name}" for module, entry in entries if not entry.doc.body] == []


CONFIG = """
import sys
sys.path.insert(0, {extensions!r})
extensions = ["myst_nb", "sphinx_book_theme", "course_study", "course_glossary", "course_source", "course_api",
              "course_search"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
html_theme = "sphinx_book_theme"
html_static_path = [{theme!r}, "vendor"]
html_css_files = ["course.css"]
html_context = {{"default_mode": "auto"}}
exclude_patterns = ["course_lib"]
suppress_warnings = ["ref.ref"]
"""
CHAPTER = """# Attention as a layer

(attention-first)=
## A sum with weights

The smallest case is `contextual_embedding`, and `causal_mask(n)` is not one. Masks come from `causal_mask`.

## The general form

```{literalinclude} ../../course_lib/models/attention.py
:pyobject: scaled_dot_product_attention
:language: python
:without-docstrings:
```

```{literalinclude} ../../course_lib/models/recurrent_attention.py
:pyobject: LuongDecoderStep._look
:language: python
```

(attention-mistakes)=
## Mistakes

Nobody reads `merge_heads`.
"""


@pytest.fixture(scope="module")
def small_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole reference and the glossary, with one chapter that shows two pieces of code."""
    root = tmp_path_factory.mktemp("api")
    (root / "course_lib").symlink_to(ROOT / "course_lib")
    shutil.copytree(ROOT / "book" / "api", root / "book" / "api")
    for chapter in yaml.safe_load((ROOT / "book" / "syllabus.yml").read_text(encoding="utf-8"))["chapters"]:
        path = root / "book" / chapter["slug"] / "chapter.md"
        path.parent.mkdir()
        path.write_text(CHAPTER if chapter["slug"] == "04-attention-layer" else f"# {chapter['title']}\n")
    (root / "glossary.md").write_text("# Glossary\n\n```{glossary-list}\n```\n")
    (root / "index.md").write_text("# Index\n\n```{toctree}\n:glob:\nglossary\nbook/*/*\n```\n")
    places = {"extensions": str(ROOT / "book" / "_ext"), "theme": str(ROOT / "book" / "theme")}
    (root / "conf.py").write_text(CONFIG.format(**places))
    vendor(root / "vendor")
    command = [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "--keep-going", str(root), str(root / "html")]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return root / "html"


def read_page(book: Path, name: str) -> html.HtmlElement:
    return html.fromstring((book / f"{name}.html").read_bytes())


def taught(page: html.HtmlElement, name: str) -> list[tuple[str, str]]:
    links = page.xpath(f"//section[@id='{name}']/p[contains(@class, 'course-taught')]/a")
    return [(link.get("href"), link.text_content()) for link in links]


@pytest.mark.slow
def test_an_entry_leads_to_the_section_that_shows_it_else_to_the_one_that_names_it(small_book: Path) -> None:
    page = read_page(small_book, "book/api/attention")
    chapter = "../04-attention-layer/chapter.html"
    assert taught(page, "scaled_dot_product_attention") == [(f"{chapter}#the-general-form", "The general form")]
    assert taught(page, "contextual_embedding") == [(f"{chapter}#a-sum-with-weights", "A sum with weights")]
    assert taught(page, "causal_mask") == [(f"{chapter}#a-sum-with-weights", "A sum with weights")]
    assert taught(page, "merge_heads") == [(chapter, "Attention as a layer")]  # named among the mistakes only
    later = read_page(small_book, "book/api/recurrent_attention")
    assert [text for _, text in taught(later, "LuongDecoderStep")] == [
        "Attention in a recurrent decoder",
        "The general form",
    ]


@pytest.mark.slow
def test_code_in_a_chapter_leads_to_its_entry(small_book: Path) -> None:
    page = read_page(small_book, "book/04-attention-layer/chapter")
    links = page.xpath("//p[contains(@class, 'course-reference')]/a/@href")
    assert links == [
        "../api/attention.html#scaled_dot_product_attention",
        "../api/recurrent_attention.html#LuongDecoderStep",
    ]
    assert not page.xpath("//article//pre[contains(., 'what each position looks for')]")


@pytest.mark.slow
def test_an_entry_holds_signature_arguments_and_source_and_links_other_names(small_book: Path) -> None:
    page = read_page(small_book, "book/api/attention")
    (entry,) = page.xpath("//section[@id='fused_attention']")
    text = " ".join(entry.text_content().split())
    assert "fused_attention( query: Tensor, key: Tensor" in text or "fused_attention(query: Tensor, key" in text
    assert "Dao et al. 2022, section 3, for how it is computed." in text
    assert "#scaled_dot_product_attention" in entry.xpath(".//a/@href")
    assert page.xpath("//section[@id='MultiHeadAttention']//dt[contains(., 'num_heads')]")
    assert page.xpath("//section[@id='MultiHeadAttention-forward']")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_browser() as launched:
        yield launched


ASK = """
queries => queries.map(query => {
  const [text, ...terms] = Search._parseQuery(query);
  const found = Search._performSearch(text, ...terms).slice(-2).reverse();
  return [query, found.map(([page, title, anchor, about]) => [`${page}${anchor}`, title, about ?? ""])];
})
"""


def open_search(page: Page, address: str, query: str) -> None:
    page.goto(f"{address}/search.html?q={query}")
    expect(page.locator("#search-results li").first).to_be_visible(timeout=30_000)
    expect(page.locator(".search-summary")).to_have_text(re.compile("found"), timeout=30_000)


@pytest.mark.slow
def test_search_finds_every_term_of_the_glossary_first_and_every_name(browser: Browser, small_book: Path) -> None:
    page = browser.new_page()
    traffic = watch(page)
    open_search(page, f"file://{small_book}", "rotary")
    terms = [form for term in read_glossary() for form in (term["term"], *term.get("also", []))]
    for query, found in page.evaluate(ASK, terms):
        place, title, about = found[0]
        assert place.startswith("glossary#term-") and title and about.startswith("Glossary: "), query
    names = [entry.name for module in find_pages() for entry in list_names(read_module(module))]
    for query, found in page.evaluate(ASK, names):  # a word may be a term as well, which comes before it
        about = {place.partition("#")[2]: about for place, _, about in found}
        assert about.get(query.replace(".", "-")), query
    assert len(terms) > 100 and len(names) > 250
    assert traffic.faults() == []
    page.close()


@pytest.mark.slow
def test_results_can_be_read_and_reached_by_keyboard_from_a_folder(browser: Browser, small_book: Path) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 700})
    traffic = watch(page)
    page.goto(f"file://{small_book}/index.html", wait_until="networkidle")
    page.keyboard.press("Control+k")
    page.keyboard.type("label smoothing")
    page.keyboard.press("Enter")
    first = page.locator("#search-results li").first
    expect(first).to_contain_text("label smoothing (Glossary: ", timeout=30_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    first.locator("a").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/glossary.html*#term-label-smoothing")
    assert traffic.faults() == []
    page.close()


@pytest.mark.slow
def test_pages_of_the_reference_fit_a_narrow_screen(browser: Browser, small_book: Path) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 700}, color_scheme="dark")
    traffic = watch(page)
    with serve(small_book) as address:
        for name in sorted(set(find_pages().values())):
            page.goto(f"{address}/{name}.html")
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
    assert traffic.faults() == []
    page.close()


def test_a_name_that_stands_in_two_modules_is_linked_nowhere_without_its_module() -> None:
    assert known_names()["causal_mask"] == "course_lib.models.attention"
    assert "COLOURS" not in known_names()
