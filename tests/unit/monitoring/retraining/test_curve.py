from __future__ import annotations

from xml.etree import ElementTree

from monitoring.retraining.curve import loss_curve

SVG = "{http://www.w3.org/2000/svg}"


def test_the_curve_shows_each_step_and_a_running_mean() -> None:
    page = ElementTree.fromstring(loss_curve([3.0, 2.0, 2.5, 1.0]))
    assert len(page.findall(f".//{SVG}circle")) == 4
    (line,) = page.findall(f".//{SVG}polyline")
    heights = [float(point.split(",")[1]) for point in line.attrib["points"].split()]
    assert heights == sorted(heights)


def test_no_step_is_said_to_be_none() -> None:
    assert "no step was done yet" in loss_curve([])
    ElementTree.fromstring(loss_curve([1.0]))
