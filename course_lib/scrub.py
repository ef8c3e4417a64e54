"""A figure of moving points that a reader scrubs through time, in plain SVG with a few lines of script.

The figure is a still that shows every path as a whole and every point at its end: that is what is printed, and what a
reader without scripts sees. The script reads the paths from the drawing itself and adds a slider below; nothing is
loaded from anywhere.
"""

from __future__ import annotations

import html
from collections.abc import Mapping

from IPython.display import display
from torch import Tensor

from course_lib.figures import COLOURS, INK

SIDE, GAP, HEAD, EDGE = 240.0, 24.0, 26.0, 4.0  # in points: a panel, between panels, above them, around them

# No "<" and no "&": inside an SVG that stands in a page, the browser would take them for markup.
SCRIPT = """
(function () {
  var svg = document.currentScript.closest("svg");
  var trails = Array.from(svg.querySelectorAll("polyline"));
  var dots = Array.from(svg.querySelectorAll("circle"));
  var paths = trails.map(function (trail) {
    return trail.getAttribute("points").split(" ").map(function (point) { return point.split(",").map(Number); });
  });
  var label = document.createElement("label");
  var slider = document.createElement("input");
  var text = document.createElement("span");
  label.className = "course-scrub";
  slider.type = "range";
  slider.min = 0;
  slider.max = 100;
  slider.value = 100;
  slider.setAttribute("aria-label", "Time");
  label.append("Time", slider, text);
  function go(t) {
    paths.forEach(function (path, i) {
      var place = t * (path.length - 1);
      var k = Math.min(Math.floor(place), path.length - 2);
      var point = [0, 1].map(function (axis) {
        return path[k][axis] + (place - k) * (path[k + 1][axis] - path[k][axis]);
      });
      dots[i].setAttribute("cx", point[0]);
      dots[i].setAttribute("cy", point[1]);
      trails[i].setAttribute("points", path.slice(0, k + 1).concat([point]).join(" "));
    });
    text.textContent = "t = " + t.toFixed(2);
    slider.setAttribute("aria-valuetext", text.textContent);
  }
  slider.addEventListener("input", function () { go(slider.value / 100); });
  window.addEventListener("beforeprint", function () { slider.value = 100; go(1); });
  go(1);
  svg.parentElement.insertAdjacentElement("afterend", label);
})();
"""


def paths_svg(panels: Mapping[str, Tensor], *, alt: str, limit: float) -> str:
    """Draw paths in the plane, panels side by side, as one SVG with its script.

    Args:
        panels: for each title, paths (steps + 1, count, 2) at equal steps of time.
        alt: what a reader who cannot see the figure needs to know: what is drawn, and what it shows.
        limit: each panel shows -limit to limit on both axes.

    Returns:
        One `<svg role="img" aria-label="...">` element.

    Raises:
        ValueError: if `alt` is empty, or a panel holds no paths in the plane.
    """
    if not alt.strip():
        raise ValueError("A figure needs alternative text: pass alt='what is drawn, and what it shows'.")
    width = len(panels) * SIDE + (len(panels) - 1) * GAP + 2 * EDGE
    height = HEAD + SIDE + 2 * EDGE
    parts = [
        f'<svg role="img" aria-label="{html.escape(" ".join(alt.split()))}" xmlns="http://www.w3.org/2000/svg" '
        f'width="{width:g}pt" height="{height:g}pt" viewBox="0 0 {width:g} {height:g}" '
        'font-family="DejaVu Sans, sans-serif">'
    ]
    for number, (title, path) in enumerate(panels.items()):
        if path.dim() != 3 or path.shape[-1] != 2 or len(path) < 2:
            raise ValueError(f"{title!r} needs paths (steps + 1, count, 2), not {tuple(path.shape)}.")
        left, top = EDGE + number * (SIDE + GAP), EDGE + HEAD
        parts.append(
            f'<text x="{left + SIDE / 2:g}" y="{top - 9:g}" text-anchor="middle" font-size="11.5" fill="{INK}">'
            f"{html.escape(title)}</text>"
            f'<rect x="{left:g}" y="{top:g}" width="{SIDE:g}" height="{SIDE:g}" fill="none" stroke="{INK}" '
            'stroke-opacity="0.5"/>'
        )
        scale = SIDE / (2 * limit)
        places = (path.clamp(-limit, limit) * path.new_tensor([1.0, -1.0]) + limit) * scale + path.new_tensor(
            [left, top]
        )
        lines = [[f"{x:.1f},{y:.1f}" for x, y in line] for line in places.transpose(0, 1).tolist()]
        parts += [
            f'<polyline points="{" ".join(line)}" fill="none" stroke="{COLOURS["blue"]}" stroke-width="0.8" '
            'stroke-opacity="0.55"/>'
            for line in lines
        ]
        for line in lines:
            x, y = line[-1].split(",")
            parts.append(f'<circle cx="{x}" cy="{y}" r="2.2" fill="{COLOURS["orange"]}"/>')
    return "\n".join([*parts, f"<script>{SCRIPT}</script>", "</svg>"])


def show_paths(panels: Mapping[str, Tensor], *, alt: str, limit: float) -> None:
    """Display the figure as the output of a notebook cell.

    Args:
        panels, alt, limit: as for `paths_svg`.

    Raises:
        ValueError: as `paths_svg`.
    """
    svg = paths_svg(panels, alt=alt, limit=limit)
    display({"image/svg+xml": svg, "text/plain": " ".join(alt.split())}, raw=True)
