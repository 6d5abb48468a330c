"""The verb prints its table, and writes all that it saw."""

from pathlib import Path

import msgspec
from click.testing import CliRunner

from monitoring.simulate_command import Report, simulate_monitoring


def test_a_small_simulation_is_printed_and_written(tmp_path: Path):
    path = tmp_path / "seen.json"
    small = ["--months=3", "--trials=2", "--topic-trials=0", "--prompt-months=0"]
    done = CliRunner().invoke(
        simulate_monitoring, [*small, "--per-day=200", f"--json={path}"], catch_exceptions=False
    )
    assert done.exit_code == 0
    for words in ("False alarms a month", "Evidently's defaults", "block 2 → 4 %", "seed 6"):
        assert words in done.output
    report = msgspec.json.decode(path.read_bytes(), type=Report)
    assert report.false_alarms.months == 3
    assert [one.trials for one in report.found] == [2] * 8
    again = CliRunner().invoke(simulate_monitoring, [*small, "--per-day=200", f"--json={path}"])
    assert again.exit_code == 0
    assert msgspec.json.decode(path.read_bytes(), type=Report).found == report.found
