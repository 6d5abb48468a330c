"""What people agree on."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from monitoring.replay.judged import judged
from monitoring.reviews import Item, Label, Labelled

AT = datetime(2026, 11, 23, tzinfo=UTC)


def seen(*harmful, side="input"):
    item = Item(
        exchange_id=UUID(int=1), exchange_started_at=AT, side=side, why="random", sampled_at=AT
    )
    labels = (Label(f"r{n}", verdict, (), None, AT) for n, verdict in enumerate(harmful))
    return Labelled(item, tuple(labels))


@pytest.mark.parametrize(
    ("sides", "verdict"),
    [
        ([seen(True)], True),
        ([seen(False, False)], False),
        ([seen(False, None)], False),
        ([seen(True, False)], None),
        ([seen(None)], None),
        ([seen(False), seen(True, side="output")], True),
        ([seen(False), seen(False, side="output")], False),
        ([seen(False), seen(True, False, side="output")], None),
        ([seen(True), seen(True, False, side="output")], True),
    ],
)
def test_an_exchange_is_judged_where_nobody_contradicts(sides, verdict):
    assert judged(sides).get(UUID(int=1)) is verdict
