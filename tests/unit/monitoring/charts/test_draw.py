from __future__ import annotations

import re
import struct
import subprocess
import sys

import msgspec
import pytest

from monitoring.charts.draw import png, spark, svg
from monitoring.charts.spec import Chart, Point, Series
from monitoring.charts.svg import NAMESPACE, tidy
from tests.factories_charts import ALL, DAYS, WEEK, a_line, a_stack, some_bars, some_intervals


@pytest.mark.parametrize("make", ALL)
def test_a_drawing_holds_what_a_strict_page_allows(make):
    drawn = svg(make())
    assert len(drawn) <= 40_000
    assert not re.search(r"\sstyle=|<style|<script|href=|\son\w+=", drawn)
    assert not re.search(r"#[0-9a-f]{3,6}\b", drawn.replace("url(#", "")), "a colour not by name"


@pytest.mark.parametrize("make", ALL)
def test_a_drawing_is_one_image_with_a_title_and_a_description(make):
    drawn = svg(make())
    (ids,) = re.findall(r'^<svg [^>]*role="img" aria-labelledby="(\S+ \S+)"', drawn)
    for identity in ids.split():
        assert f'id="{identity}"' in drawn
    assert drawn.count("role=") == 1
    assert "n = " in drawn


def test_what_has_no_data_is_hatched_and_no_line_runs_over_it():
    drawn = svg(a_line())
    assert drawn.count('fill="url(#') == 1
    assert "Thu 19 Nov: no data" in drawn
    lines = [path for path in drawn.split("<path ") if 'stroke="var(--block)"' in path]
    assert len(lines) == 2


def test_nothing_is_hatched_where_all_was_measured():
    chart = a_line()
    whole = tuple(Series(s.name, s.points[:3], s.tone) for s in chart.series)
    assert "pattern" not in svg(msgspec.structs.replace(chart, series=whole))


def test_a_side_by_side_value_without_data_says_so_with_its_n():
    assert "no data (n = 12)" in svg(some_intervals())


def test_a_pointer_over_a_mark_reads_its_value_interval_and_n():
    said = "Mon 16 Nov, block: 2.0\N{NO-BREAK SPACE}%; 95 % interval 1.3 to 3.1"
    assert f"<title>{said}" in svg(a_line())


def test_words_from_outside_are_escaped():
    drawn = svg(a_line())
    assert "<b>" not in drawn
    assert "policy &amp; 9f31" in drawn


def test_two_charts_on_a_page_share_no_id():
    ids = [re.findall(r'id="(\S+)"', svg(make())) for make in ALL]
    flat = [one for some in ids for one in some]
    assert len(flat) == len(set(flat))


def test_a_chart_has_the_same_bytes_whatever_was_drawn_before():
    anew = svg.__wrapped__
    first = [anew(make()) for make in ALL]
    assert [anew(make()) for make in reversed(ALL)] == first[::-1]


def test_another_process_draws_the_same_bytes():
    code = (
        "import sys; from tests.factories_charts import a_line; "
        "from monitoring.charts.draw import svg; sys.stdout.write(svg(a_line()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == svg(a_line())


@pytest.mark.parametrize("dark", [False, True])
def test_a_picture_for_a_mail_has_twice_its_size_and_its_own_colours(dark):
    picture = png(some_intervals(), dark=dark)
    width, height = struct.unpack(">II", picture[16:24])
    assert picture.startswith(b"\x89PNG")
    assert width == 2 * (500 + 2 * 18)
    assert height > 300
    assert len(picture) <= 100_000


def test_an_empty_chart_can_be_drawn():
    nothing = Series("block", tuple(Point(at, None) for at in DAYS))
    assert "url(#" in svg(msgspec.structs.replace(a_line(), series=(nothing,)))
    assert svg(msgspec.structs.replace(a_stack(), series=()))
    assert svg(msgspec.structs.replace(some_bars(), series=()))


def test_a_spark_has_a_size_and_no_axis():
    drawn = spark(a_line())
    assert 'class="spark" width="120" height="34"' in drawn
    assert "<text" not in drawn


def test_a_chart_over_time_without_a_step_is_refused():
    chart = msgspec.structs.replace(a_line(), step=None)
    with pytest.raises(ValueError, match="how long its steps are"):
        svg(chart)


def test_a_chart_is_empty_when_nothing_was_measured():
    assert not a_line().empty
    assert Chart(a_line().kind, "t", "share", 0, WEEK, ()).empty


def test_tidying_keeps_what_is_seen_and_drops_what_is_not():
    drawn = (
        f'<svg xmlns="{NAMESPACE}" width="9" height="9" viewBox="0 0 9 9"><g><g class="x">'
        '<path class="background" d="M0,0"/><path d="M0.123456,1" opacity="1" fill="hatch"/></g>'
        '<text opacity="0">x</text></g></svg>'
    )
    tidied = tidy(drawn, key="k", title="<t>", description="d", hatch="hatch")
    assert '<path d="M0.12,1" fill="url(#k-h)"' in tidied
    assert "background" not in tidied
    assert "<text" not in tidied
    assert "&lt;t&gt;" in tidied
