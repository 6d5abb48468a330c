"""Charts on a page."""

from __future__ import annotations

from dashboards.drawing import drawn
from tests.factories_charts import a_line, some_bars


async def test_each_chart_comes_whole_and_its_words_are_escaped():
    line, bars = await drawn([a_line(), some_bars()])
    assert "Blocked &lt;b&gt;, by day" in line
    assert "<b>" not in line
    assert line.count("<svg") >= 1
    assert "by category" in bars
