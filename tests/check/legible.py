"""Whether what a browser shows can be read: contrast as WCAG measures it, and axe-core's findings."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Locator, Page

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"


def least_contrast(element: Locator) -> float:
    """The least contrast between a text inside an element and the ground it stands on."""
    return float(element.evaluate(CONTRAST))


def serious_findings(page: Page) -> list[str]:
    """What axe-core calls serious or critical inside reports."""
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("axe.run('.course-check')")
    return [
        f"{v['id']}: {v['nodes'][0]['html']}" for v in found["violations"] if v["impact"] in ("serious", "critical")
    ]


CONTRAST = """
root => {
  const parse = colour => { const n = colour.match(/[\\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const over = (top, ground) => [0, 1, 2].map(i => top[3] * top[i] + (1 - top[3]) * ground[i]);
  const light = colour => {
    const [r, g, b] = colour.map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    const own = parse(getComputedStyle(element).backgroundColor);
    if (own[3] === 1) return own.slice(0, 3);
    return over(own, element.parentElement ? ground(element.parentElement) : [255, 255, 255]);
  };
  const ratios = [...root.querySelectorAll('*')]
    .filter(e => e.tagName !== 'STYLE' && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
    .map(e => {
      const below = ground(e);
      const [a, b] = [light(over(parse(getComputedStyle(e).color), below)), light(below)].sort((x, y) => y - x);
      return (a + 0.05) / (b + 0.05);
    });
  return Math.min(...ratios);
}
"""
