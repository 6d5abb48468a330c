from datetime import UTC, datetime

import pytest

from dashboards.audit import Entry
from dashboards.pages.audit import view

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("entry", "detail", "exchange"),
    [
        (Entry(1, NOW, "ada", "exchange.open", "x-1", {"tenant": "a"}), "tenant: a", "x-1"),
        (Entry(1, NOW, "ada", "review.open", "i-1", {"exchange": "x-2", "marked": True}),
         "exchange: x-2, marked: true", "x-2"),
        (Entry(1, NOW, "ada", "key.create", "shop", {"scopes": ["infer"]}), 'scopes: ["infer"]',
         None),
        (Entry(1, NOW, "ada", "login.out", "", {}), "", None),
    ],
)  # fmt: skip
def test_an_act_is_told_in_words_and_leads_to_its_exchange(entry, detail, exchange):
    (line,) = view([entry], "", "", None).lines
    assert (line.detail, line.exchange) == (detail, exchange)
