from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from dashboards.filters import Filters
from dashboards.pages.exchanges import (
    PAGE_ROWS,
    Line,
    Search,
    conditions,
    read_place,
    read_search,
    view,
    write_place,
)
from guardrails.errors import BadRequest
from guardrails.exchange_log.rows import ExchangeRow

NOW = datetime(2026, 11, 23, 7, 40, 12, tzinfo=UTC)
ID = UUID("01a20766-b941-7985-a070-9a0489efc802")


def row(**changes: Any) -> ExchangeRow:
    fields: dict[str, Any] = {
        "id": ID,
        "started_at": NOW,
        "protocol": "chat",
        "route": "default",
        "tenant": "acme",
        "key_id": None,
        "model": "demo",
        "response_model": None,
        "stream": False,
        "decision": "allow",
        "rules": (),
        "failure_code": None,
        "failure_status": None,
        "abandoned": False,
        "policy_version": "default@1",
        "upstream": "gpu-1",
        "input_tokens": 1,
        "output_tokens": 1,
        "duration_seconds": 0.5,
        "excerpt": "What is\n a banister?",
    }
    return ExchangeRow(**{**fields, **changes})


def page(rows: list[ExchangeRow], **changes: Any):
    arguments: dict[str, Any] = {"filters": Filters(), "search": Search(), "before": None}
    return view(rows, **{**arguments, **changes})


def test_line_says_what_was_asked_and_which_rules_fired():
    blocked = row(decision="block", rules=("toxicity", "threat"), upstream=None)
    assert page([blocked]).rows == (
        Line(
            id=str(ID),
            started_at=NOW,
            kind="block",
            excerpt="What is a banister?",
            why="toxicity, threat",
            route="default",
            model="demo",
            seconds=0.5,
        ),
    )


@pytest.mark.parametrize(
    ("changes", "kind", "why"),
    [
        ({}, "allow", ""),
        ({"decision": "flag", "rules": ("insult",)}, "flag", "insult"),
        ({"failure_code": "no_answer", "failure_status": 502}, "failed", "no_answer (502)"),
        ({"abandoned": True}, "allow", "the caller left"),
        (
            {"decision": "block", "rules": ("r",), "failure_code": "guard_unavailable",
             "failure_status": 503},
            "failed",
            "guard_unavailable (503), r",
        ),
    ],
)  # fmt: skip
def test_kind_of_a_line(changes, kind, why):
    line = page([row(**changes)]).rows[0]
    assert (line.kind, line.why) == (kind, why)


def test_older_page_is_offered_only_where_there_is_one():
    rows = [row(started_at=NOW - timedelta(seconds=n)) for n in range(PAGE_ROWS + 1)]
    assert page(rows[:-1]).older_url is None
    full = page(rows, search=Search("block", "a b&c"))
    place = write_place(rows[PAGE_ROWS - 1].place)
    assert full.older_url == f"/exchanges?decision=block&text=a+b%26c&before={place}"
    assert len(full.rows) == PAGE_ROWS


def test_only_the_newest_page_is_live():
    newest, older = page([row()], filters=Filters(route="r")), page([row()], before=(NOW, ID))
    assert (newest.live_url, newest.newest_url) == ("/live/exchanges?route=r", None)
    assert (older.live_url, older.newest_url) == (None, "/exchanges")


@pytest.mark.parametrize(
    "at", [NOW, NOW.replace(microsecond=123_456), datetime(1970, 1, 1, tzinfo=UTC)]
)
def test_place_in_the_log_survives_its_address(at):
    assert read_place(write_place((at, ID))) == (at, ID)


@pytest.mark.parametrize("written", ["x", "1-", "-", "1-zz", f"{10**40}-{ID.hex}", f"abc-{ID.hex}"])
def test_place_that_is_none_is_a_bad_request(written):
    with pytest.raises(BadRequest):
        read_place(written)


def test_search_is_read_from_the_address_and_an_empty_one_is_none():
    assert read_search({"decision": "", "text": "  ", "before": "1-2"}) == Search()
    assert read_search({"decision": "block", "text": " rail "}) == Search("block", "rail")
    with pytest.raises(BadRequest, match="allow, flag"):
        read_search({"decision": "maybe"})


def test_failed_is_a_filter_of_its_own_and_text_reaches_a_week():
    failed = conditions(Filters(route="r", tenant="t"), Search("failed"), NOW)
    assert (failed["decision"], failed["failed"], failed["since"]) == (None, True, None)
    assert (failed["route"], failed["tenant"], failed["model"]) == ("r", "t", None)
    asked = conditions(Filters(), Search("block", "rail"), NOW)
    assert (asked["decision"], asked["failed"]) == ("block", None)
    assert asked["since"] == NOW - timedelta(days=7)
    month = Filters(span="30d").window(NOW)
    timed = conditions(Filters(span="30d"), Search(text="rail"), NOW)
    assert (timed["since"], timed["until"]) == (month.start, month.end)
