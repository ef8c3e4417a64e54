"""Less to load: of the theme's two thousand icons the few that pages show, in the style sheet and in the fonts."""

from __future__ import annotations

import re
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder

ICON_RULE = re.compile(r'(?P<names>(?:\.fa-[\w-]+:{1,2}before,?)+)\{content:"(?P<glyph>[^"]+)"\}')
NAME = re.compile(r"\bfa-[\w-]+")
GLYPH = re.compile(r"\\(?P<code>[0-9a-f]{4})\b|(?P<itself>[\ue000-\uf8ff])")  # written as a code, or as it is
SOURCES = re.compile(
    r'url\((?P<path>[^)]*/fa-[a-z]+-\d+)\.woff2\) format\("woff2"\),url\([^)]*\.ttf\) format\("truetype"\)'
)


def trim_style(text: str, used: set[str]) -> str:
    """A style sheet without the rules of icons whose names are not used, and with the trimmed fonts' addresses."""

    def keep(rule: re.Match[str]) -> str:
        return rule[0] if used & set(NAME.findall(rule["names"])) else ""

    return SOURCES.sub(r'url(\g<path>.woff) format("woff")', ICON_RULE.sub(keep, text))


def trim_font(path: Path, glyphs: set[int]) -> None:
    """Write the font beside a `.ttf` file with these characters only, as `.woff`; the whole ones go."""
    font = TTFont(path)
    options = subset.Options(layout_features=[], name_IDs=[0, 1, 2, 13, 14], notdef_outline=True)  # 13, 14: licence
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=glyphs)
    subsetter.subset(font)
    font.flavor = "woff"
    font.save(path.with_suffix(".woff"))
    for whole in (path, path.with_suffix(".woff2")):
        whole.unlink(missing_ok=True)


def trim(app: Sphinx, error: Exception | None) -> None:
    if error is not None or not isinstance(app.builder, StandaloneHTMLBuilder):
        return
    out = Path(app.outdir)
    fonts = sorted(out.glob("_static/vendor/fontawesome/webfonts/*.ttf"))
    if not fonts:
        return
    texts = (path.read_text(encoding="utf-8") for kind in ("html", "js") for path in out.rglob(f"*.{kind}"))
    used = {name for text in texts for name in NAME.findall(text)}
    glyphs: set[int] = set()
    for path in out.glob("_static/**/*.css"):
        text = path.read_text(encoding="utf-8")
        trimmed = trim_style(text, used)
        glyphs |= {
            int(found["code"], 16) if found["code"] else ord(found["itself"]) for found in GLYPH.finditer(trimmed)
        }
        if trimmed != text:
            path.write_text(trimmed, encoding="utf-8")
    for font in fonts:
        trim_font(font, glyphs)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", trim, priority=900)  # after all that writes pages
    return {"parallel_read_safe": True, "parallel_write_safe": True}
