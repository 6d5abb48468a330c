import xml.etree.ElementTree as ElementTree

import pytest

from guardrails.evaluation.curves import Bin
from guardrails.evaluation.measures import wilson
from guardrails.evaluation.plots import histogram, line_chart, reliability_chart

BINS = [Bin(0.0, 10, 0.05, wilson(1, 10)), Bin(0.9, 4, 0.95, wilson(4, 4))]


@pytest.mark.parametrize(
    ("svg", "tag", "marks"),
    [
        (line_chart("a & b", "x", "y", [(0, 0), (1, 1)]), "polyline", 1),
        (histogram("h", [3, 0, 1], [0, 0, 2]), "rect", 7),
        (histogram("none", [0, 0], [0, 0]), "rect", 5),
        (reliability_chart("r", BINS), "circle", 2),
    ],
)
def test_each_chart_is_well_formed_with_its_marks(svg: str, tag: str, marks: int) -> None:
    assert len(ElementTree.fromstring(svg).findall(f".//{tag}")) == marks


def test_the_corners_of_a_line_are_those_of_the_frame() -> None:
    drawn = ElementTree.fromstring(line_chart("t", "x", "y", [(0, 0), (1, 1)]))
    frame, line = drawn.find("rect"), drawn.find("polyline")
    x, y, size = (float(frame.get(name)) for name in ("x", "y", "width"))
    assert line.get("points") == f"{x:.1f},{y + size:.1f} {x + size:.1f},{y:.1f}"
