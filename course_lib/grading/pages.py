"""Pages for people, made from templates: complete in one file, no script needed, nothing loaded from elsewhere."""

from __future__ import annotations

import html
from functools import cache
from pathlib import Path
from typing import Any

import mistune
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: Any) -> str:
    """Fill a template; every value is escaped unless it is ``Markup``."""
    css = Markup((TEMPLATES / "page.css").read_text(encoding="utf-8"))
    return _environment().get_template(template).render(css=css, **values)


def points(value: float) -> str:
    """Points for people: whole where they are whole, else with a half or two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def percent(value: float) -> str:
    """A share for people."""
    return f"{100 * value:.0f} %"


def as_code(source: str) -> Markup:
    """Python source with its parts marked; the keyboard can scroll it."""
    return Markup(f'<pre tabindex="0">{highlight(source, PythonLexer(), HtmlFormatter(nowrap=True))}</pre>')


def as_prose(source: str) -> Markup:
    """What a person wrote in Markdown. HTML in it is shown, not obeyed; pictures become their description."""
    return Markup(_markdown()(source))


class _Prose(mistune.HTMLRenderer):
    """Loads nothing: a picture's address could be any host's."""

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return f"[{html.escape(text or 'picture')}]"


@cache
def _markdown() -> mistune.Markdown:
    return mistune.create_markdown(renderer=_Prose(escape=True), plugins=["math", "table"])


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["points"] = points
    return environment
