from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from guardrails.exchange_log.moments import moment_of
from tests.factories import make_id


@pytest.mark.parametrize("year", [1970, 2026, 9999])
def test_a_uuid7_tells_its_moment(year: int) -> None:
    moment = datetime(year, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    assert moment_of(UUID(make_id(moment))) == moment


def test_another_uuid_tells_none() -> None:
    assert moment_of(uuid4()) is None


def test_a_uuid7_beyond_the_calendar_tells_none() -> None:
    assert moment_of(UUID("ffffffff-ffff-7000-8000-000000000000")) is None
