from __future__ import annotations

from datetime import date

from guardrails.exchange_log.partitions import partition_name


def test_a_partition_is_named_after_its_day() -> None:
    assert partition_name(date(2026, 1, 2)) == "exchanges_2026_01_02"
