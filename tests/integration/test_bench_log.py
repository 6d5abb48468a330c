from __future__ import annotations

import json
from pathlib import Path

from tests.bench import log


def test_the_figures_of_the_log_are_measured_and_shown(tmp_path: Path, capsys):
    to = tmp_path / "figures.json"
    assert log.main(rounds=1, seconds=0.2, rows=500, to=to) == 0
    figures = json.loads(to.read_text())
    assert list(figures["spool"]) == ["1", "16", "64", "256"]
    for one in figures["spool"].values():
        assert one["records_per_second"] > 10
        assert 0 < one["p50_ms"] <= one["p99_ms"]
    assert figures["postgres"]["rows_per_second"] > 10
    assert figures["outage"]["mb_on_disk"] > 5
    assert "rows/s" in capsys.readouterr().out
