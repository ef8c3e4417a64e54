"""What the chapters' diagrams are drawn with stands where it was asked for."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.text import Annotation

from course_lib.diagrams import arrow, box, canvas, operation


@pytest.fixture
def ax():
    figure, ax = canvas(4, 2, (0, 8), (0, 4))
    yield ax
    plt.close(figure)


def test_a_canvas_has_square_units_and_no_frame(ax) -> None:
    assert ax.get_aspect() == 1
    assert not ax.axison


def test_a_box_and_an_operation_stand_around_their_labels(ax) -> None:
    outlines = [box(ax, (2, 1), "cell", width=1.2), operation(ax, (5, 3), "+")]
    for outline, text, centre in zip(outlines, ax.texts, [(2, 1), (5, 3)], strict=True):
        extent = outline.get_window_extent()
        middle = ax.transData.transform(centre)
        assert [(extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2] == pytest.approx(list(middle))
        assert text.get_position() == centre


def test_an_arrow_passes_its_points_and_has_its_head_at_the_last(ax) -> None:
    arrow(ax, (0, 0), (1, 0), (1, 2), (3, 2))
    assert [list(map(tuple, line.get_xydata())) for line in ax.lines] == [[(0, 0), (1, 0)], [(1, 0), (1, 2)]]
    (head,) = (text for text in ax.texts if isinstance(text, Annotation))
    assert head.xy == (3, 2)
    assert head.xyann == (1, 2)
