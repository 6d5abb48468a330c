from __future__ import annotations

import msgspec

from monitoring.charts.figure import described, figure, subtitle, table
from monitoring.charts.picture import framed
from tests.factories_charts import a_line, a_stack, some_bars, some_intervals


def test_every_figure_says_unit_n_and_window():
    assert subtitle(a_line()) == "share of exchanges · n = 5,342 · 16 to 22 Nov 2026"
    assert subtitle(some_intervals()) == "share of reviewed · n = 90 · 16 to 22 Nov 2026"


def test_the_table_holds_every_number_and_names_what_is_missing():
    rows = table(a_line())
    assert rows.header == ("From (UTC)", "block", "flag")
    assert rows.rows[0][1] == "2.0\xa0% (1.3 to 3.1\xa0%)"
    assert rows.rows[3] == ("Thu 19 Nov", "no data", "no data")
    assert len(table(a_stack()).rows) == 28


def test_the_table_of_intervals_names_series_bounds_and_n():
    rows = table(some_intervals())
    assert rows.header == ("Of", "Series", "Value", "95 % interval", "n")
    assert rows.rows[1] == ("insult", "precision", "no data", "", "12")


def test_the_table_of_bars_shows_what_was_before():
    assert table(some_bars()).header == ("Of", "Value", "Before")
    assert table(some_bars()).rows[0] == ("injection", "210", "189")


def test_the_description_says_range_gaps_and_changes():
    words = described(a_line())
    assert "block: 2.0\xa0% to 8.6\xa0%, last 7.5\xa0%." in words
    assert "2 without data." in words
    assert "policy & 9f31 on Wed 18 Nov." in words


def test_a_figure_escapes_names_its_series_and_brings_its_table():
    whole = figure(a_line(), "<svg></svg>")
    assert "Blocked &lt;b&gt;" in whole
    assert whole.count("<li>") == 2
    assert 'stroke-dasharray="4 2"' in whole
    assert "The same as a table" in whole
    assert "<details>" not in figure(a_line(), "<svg></svg>", shown=False)


def test_a_figure_without_any_data_says_so_and_draws_nothing():
    chart = msgspec.structs.replace(a_line(), series=())
    whole = figure(chart, "<svg>drawn</svg>")
    assert "No data" in whole
    assert "drawn</svg>" not in whole


def test_a_picture_of_its_own_has_its_words_and_legend_within():
    whole = framed(a_line(), '<svg viewBox="0 0 500 200"></svg>')
    assert "n = 5,342" in whole
    assert ">flag</text>" in whole
    assert 'width="536"' in whole
