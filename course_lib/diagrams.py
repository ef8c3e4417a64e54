"""The few pieces that the chapters' diagrams of networks are drawn with: a canvas, boxes, operations, arrows."""

from itertools import pairwise

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from course_lib.figures import INK

Point = tuple[float, float]


def canvas(width: float, height: float, x: Point, y: Point) -> tuple[Figure, Axes]:
    """An empty figure to draw on.

    Args:
        width, height: of the figure in inches.
        x, y: the first and last coordinate that the drawing uses; one unit is as long across as upwards.

    Returns:
        The figure and its axes, without frame and ticks.
    """
    figure, ax = plt.subplots(figsize=(width, height))
    ax.set(xlim=x, ylim=y, aspect="equal")
    ax.axis("off")
    return figure, ax


def box(
    ax: Axes, centre: Point, label: str, colour: str = INK, *, width: float = 0.8, height: float = 0.44
) -> FancyBboxPatch:
    """A box with rounded corners and a label in its middle; returns the box."""
    x, y = centre
    corner = (x - width / 2, y - height / 2)
    patch = FancyBboxPatch(corner, width, height, boxstyle="round,pad=0.03", fc="none", ec=colour, lw=2)
    ax.text(x, y, label, ha="center", va="center", color=INK)
    ax.add_patch(patch)
    return patch


def operation(ax: Axes, centre: Point, label: str, *, radius: float = 0.2) -> Circle:
    """A circle with the sign of an operation in it; returns the circle."""
    circle = Circle(centre, radius, fc="none", ec=INK, lw=1.6)
    ax.text(*centre, label, ha="center", va="center", color=INK)
    ax.add_patch(circle)
    return circle


def arrow(ax: Axes, *points: Point, colour: str = INK, style: str = "-") -> None:
    """A line through the points with a head at the last one.

    Args:
        ax: where to draw.
        points: two or more, in order.
        colour, style: of the line.
    """
    for first, second in pairwise(points[:-1]):
        ax.plot(*zip(first, second, strict=True), color=colour, lw=1.6, ls=style)
    head = {"arrowstyle": "-|>", "color": colour, "lw": 1.6, "ls": style, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=points[-1], xytext=points[-2], arrowprops=head)
