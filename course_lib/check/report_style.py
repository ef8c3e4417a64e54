"""The style of a report. It follows the page where the page says whether it is light or dark."""

_LIGHT = "--g:#fff;--i:#1f2328;--s:#57606a;--l:#d0d7de;--ok:#116329;--no:#a40e26;--box:#fff3e6;--bar:#bc4c00"
_DARK = "--g:#16191d;--i:#e6e9ec;--s:#a9b2bb;--l:#3a424b;--ok:#56d364;--no:#ff8d85;--box:#33230f;--bar:#f0883e"
_DARK_PAGES = (
    'body[data-jp-theme-light="false"]',
    "body.vscode-dark",
    "body.vscode-high-contrast:not(.vscode-high-contrast-light)",
    'html[data-theme="dark"]',
)
_SHADES = "".join(
    f".course-check.course-check .cc-p{level}{{background:rgb(11 148 217/{0.09 * level:.2f})}}"
    f".course-check.course-check .cc-n{level}{{background:rgb(217 119 20/{0.09 * level:.2f})}}"
    for level in range(1, 6)
)
_RULES = {
    "": "background:var(--g);color:var(--i);border:1px solid var(--l);border-radius:6px;padding:10px 14px;"
    "max-width:60em;font:14px/1.5 var(--jp-ui-font-family,system-ui,sans-serif);overflow-wrap:anywhere",
    "p": "margin:0 0 4px;color:inherit;font-size:inherit",
    ".cc-head": "font-size:15px;margin-bottom:6px",
    ".cc-head b,code,pre,.cc-array,figcaption": "font-family:var(--jp-code-font-family,ui-monospace,monospace)",
    ".cc-box": "background:var(--box);border-left:4px solid var(--bar);padding:8px 12px;margin:6px 0",
    ".cc-box p:last-child,.cc-details p:last-child": "margin-bottom:0",
    "ul": "list-style:none;margin:0;padding:0",
    "ul>li": "display:grid;grid-template-columns:1.4em 1fr auto;gap:0 6px;padding:3px 0;margin:0",
    ".cc-sign": "font-weight:bold",
    ".cc-right .cc-sign": "color:var(--ok)",
    ".cc-wrong .cc-sign,.cc-wrong .cc-points": "color:var(--no)",
    ".cc-points": "white-space:nowrap",
    ".cc-details": "grid-column:2/-1;min-width:0;border-left:2px solid var(--l);padding:2px 0 2px 10px;"
    "margin:2px 0 6px",
    ".cc-box .cc-details": "border:0;padding:0;margin:0",
    ".cc-small,.cc-note,summary": "color:var(--s);font-size:13px",
    ".cc-frames": "list-style:none;margin:0 0 4px;padding:0",
    ".cc-frames li": "margin:0",
    "code": "background:none;color:inherit;padding:0;font-size:13px;white-space:pre-wrap",
    "pre": "background:none;color:inherit;font-size:12px;max-height:16em;overflow:auto;white-space:pre-wrap;"
    "margin:4px 0",
    ".cc-pair": "display:flex;flex-wrap:wrap;gap:6px 24px;overflow-x:auto;padding:4px 0",
    "table.cc-array": "border-collapse:separate;border-spacing:1px;margin:0;width:auto;font-size:12px;color:inherit;"
    "border:0;table-layout:auto;background:none",
    "figure": "margin:0",
    "figcaption": "color:var(--s);font-size:12px",
    ".cc-array th": "color:var(--s);font-weight:normal;padding:1px 5px;text-align:right;background:none;border:0",
    ".cc-array td": "padding:1px 6px;text-align:right;white-space:nowrap;border:0;color:inherit;"
    "font-variant-numeric:tabular-nums",
    ".cc-array tr": "background:none",
    ".cc-array td.cc-t": "background:var(--i);color:var(--g);text-align:center",
    ".cc-array td.cc-f": "background:var(--g);color:var(--i);text-align:center;box-shadow:inset 0 0 0 1px var(--l)",
    ".cc-array td.cc-d": "outline:2px solid var(--no);outline-offset:-2px",
    ".cc-array td.cc-d::before": "content:'≠';font-size:9px;vertical-align:super;margin-right:2px",
}


def _scoped(selectors: str) -> str:
    """Under the report's class, twice, to outweigh what a page says of lists, tables and code."""
    return ",".join(f".course-check.course-check {part}".strip() for part in selectors.split(","))


STYLE = (
    f".course-check{{{_LIGHT}}}"
    + "@media(prefers-color-scheme:dark){html:not([data-theme]) body:not([data-jp-theme-light]):not(.vscode-light) "
    + f".course-check{{{_DARK}}}}}"
    + ",".join(f"{page} .course-check" for page in _DARK_PAGES)
    + f"{{{_DARK}}}"
    + "".join(f"{_scoped(selectors)}{{{rules}}}" for selectors, rules in _RULES.items())
    + _SHADES
)
