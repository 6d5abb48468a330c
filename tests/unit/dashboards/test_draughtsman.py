"""The process that draws, as it is spoken with."""

from __future__ import annotations

import pickle
from io import BytesIO

import msgspec

from dashboards.draughtsman import PREFIX, framed, serve
from monitoring.charts.draw import svg
from tests.factories_charts import a_line, some_bars


def test_each_list_of_charts_is_answered_until_no_more_come():
    broken = msgspec.structs.replace(a_line(), step=None)
    asked = [[a_line(), some_bars()], [broken], [some_bars()]]
    out = BytesIO()
    serve(BytesIO(b"".join(map(framed, asked))), out)
    out.seek(0)
    answers = []
    while prefix := out.read(PREFIX):
        answers.append(pickle.loads(out.read(int.from_bytes(prefix))))
    assert answers == [[svg(a_line()), svg(some_bars())], None, [svg(some_bars())]]
