from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from dashboards.pages.people import shown
from guardrails.keys import Key

NOW = datetime(2026, 11, 23, 7, 40, tzinfo=UTC)
KEY = Key("1", "shop", "acme", frozenset({"infer"}), None, NOW)


@pytest.mark.parametrize(
    ("changes", "state", "works"),
    [
        ({}, "works", True),
        ({"expires_at": NOW + timedelta(days=1)}, "until 24 Nov 2026", True),
        ({"expires_at": NOW}, "expired 23 Nov 2026", False),
        ({"revoked_at": NOW}, "revoked 23 Nov 2026", False),
    ],
)
def test_a_key_says_whether_it_works(changes, state, works):
    found = shown(msgspec.structs.replace(KEY, **changes), NOW)
    assert (found.state, found.works) == (state, works)
