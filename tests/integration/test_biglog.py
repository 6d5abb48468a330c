"""The bench of a log of millions, on a small one: every question has its answer, and a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import biglog


@pytest.mark.slow
def test_a_small_log_is_filled_asked_and_removed(tmp_path: Path, capsys):
    to = tmp_path / "figures.json"
    assert biglog.main(20_000, rounds=2, to=to) == 0
    figures = json.loads(to.read_text())
    assert figures["rows"] == 20_000
    assert len(figures["asked"]) > 30
    assert all(one["n"] == 2 and one["p95_ms"] > 0 for one in figures["asked"].values())
    assert all(one["p95_ms"] > 0 and one["kilobytes"] < 300 for one in figures["pages"].values())
    assert figures["export"]["rows_per_second"] > 100
    assert "20,000 rows" in capsys.readouterr().out
