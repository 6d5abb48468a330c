"""Colours that everybody can tell apart, on both grounds, the same in charts and in the CSS.

The colour-blind are simulated by the matrices of Machado, Oliveira and Fernandes (2009), and
colours are compared as CIE 1976 ΔE, of which 2.3 can just be noticed.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from monitoring.charts.palette import DARK, LIGHT, with_values

CSS = Path(__file__).parents[4] / "dashboards/static/banister.css"
EYES = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "deuteranopia": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "tritanopia": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}
FAMILIES = (
    ("allow", "flag", "redact", "block"),
    ("series-1", "series-2", "series-3", "series-4"),
)


def linear(colour: str) -> list[float]:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]


def luminance(colour: str) -> float:
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear(colour), strict=True))


def lab(rgb: list[float]) -> tuple[float, float, float]:
    rows = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    xyz = [sum(a * b for a, b in zip(row, rgb, strict=True)) for row in rows]
    white = (0.9505, 1.0, 1.089)
    x, y, z = (
        r ** (1 / 3) if (r := v / w) > 0.008856 else 7.787 * r + 16 / 116
        for v, w in zip(xyz, white, strict=True)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_the_colour_blind_can_tell_the_colours_of_a_chart_apart(palette, family, eyes):
    seen = {}
    for name in family:
        rgb = linear(palette[name])
        mixed = [sum(a * b for a, b in zip(row, rgb, strict=True)) for row in EYES[eyes]]
        seen[name] = lab([min(1.0, max(0.0, part)) for part in mixed])
    for one, other in itertools.combinations(family, 2):
        apart = sum((a - b) ** 2 for a, b in zip(seen[one], seen[other], strict=True)) ** 0.5
        assert apart >= 13, (one, other)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("name", "least"), [("ink", 7), ("muted", 4.5), ("block", 3),
                                             *((one, 3) for one in FAMILIES[1])])  # fmt: skip
def test_words_and_lines_stand_out_from_the_ground(palette, name, least):
    low, high = sorted((luminance(palette[name]), luminance(palette["surface"])))
    assert (high + 0.05) / (low + 0.05) >= least


def test_charts_and_pages_have_the_same_colours():
    written = re.findall(
        r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", CSS.read_text()
    )
    for palette, place in ((LIGHT, 1), (DARK, 2)):
        colours = {names[0]: names[place] for names in written}
        assert {name: colours.get(name) for name in palette} == palette


def test_values_take_the_place_of_names():
    svg = '<rect fill="var(--block)" font-family="var(--sans)"/>'
    assert with_values(svg).startswith('<rect fill="#a92c17" font-family="Roboto')
    assert "#ff9078" in with_values(svg, dark=True)
