"""Charts on a page, drawn here or by a process beside."""

from __future__ import annotations

import asyncio
import signal

import pytest

from dashboards.drawing import Drawing
from tests.factories_charts import a_line, some_bars

pytestmark = pytest.mark.timeout(60)


async def test_each_chart_comes_whole_and_its_words_are_escaped():
    line, bars = await Drawing().drawn([a_line(), some_bars()])
    assert "Blocked &lt;b&gt;, by day" in line
    assert "<b>" not in line
    assert line.count("<svg") >= 1
    assert "by category" in bars


async def test_the_process_beside_draws_the_same_and_holds_nothing_up():
    drawing, ticks = Drawing(apart=True), 0
    await drawing.start()
    drawn = asyncio.create_task(drawing.drawn([a_line(), some_bars()]))
    while not drawn.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert await drawn == await Drawing().drawn([a_line(), some_bars()])
    # Its first chart takes half a second, in which a process that draws itself would not tick once.
    assert ticks > 10
    await drawing.stop()


async def test_a_page_has_its_charts_when_the_process_is_gone(caplog: pytest.LogCaptureFixture):
    drawing = Drawing(apart=True)
    await drawing.start()
    assert drawing._process is not None
    drawing._process.send_signal(signal.SIGKILL)
    await drawing._process.wait()
    expected = await Drawing().drawn([a_line()])
    assert await drawing.drawn([a_line()]) == expected
    assert "another is begun" in caplog.text
    assert await drawing.drawn([some_bars()]) == await Drawing().drawn([some_bars()])
    assert drawing._process is not None
    await drawing.stop()


async def test_an_answer_that_nobody_waits_for_is_not_taken_for_the_next():
    drawing = Drawing(apart=True)
    given_up = asyncio.create_task(drawing.drawn([a_line()]))
    await asyncio.sleep(0.05)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    (bars,) = await drawing.drawn([some_bars()])
    assert "by category" in bars
    await drawing.stop()
