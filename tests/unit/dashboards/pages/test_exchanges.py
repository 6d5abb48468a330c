from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from dashboards.pages.exchanges import (
    PAGE_ROWS,
    STEP,
    Filters,
    Line,
    conditions,
    day_until,
    figures,
    read_filters,
    read_place,
    view,
    write_place,
)
from guardrails.errors import BadRequest
from guardrails.exchange_log.query import Bucket, ExchangeRow, Totals

NOW = datetime(2026, 11, 23, 7, 40, 12, tzinfo=UTC)
ID = UUID("01a20766-b941-7985-a070-9a0489efc802")
TOTALS = Totals(
    exchanges=1204,
    allowed=1100,
    flagged=40,
    redacted=14,
    blocked=50,
    failed=6,
    abandoned=3,
    input_tokens=1,
    output_tokens=1,
    p50_seconds=0.4211,
    p95_seconds=1.8,
)
SILENT = Totals(0, 0, 0, 0, 0, 0, 0, 0, 0, None, None)


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


def series(counts: int) -> list[Bucket]:
    window = day_until(NOW)
    return [
        Bucket(window.start + n * STEP, window.start + (n + 1) * STEP,
               counts, counts, 0, 0, 0, 0, 0, None, None)
        for n in range(24)
    ]  # fmt: skip


def page(rows: list[ExchangeRow], **changes: Any):
    arguments: dict[str, Any] = {
        "reached": 1150,
        "window": day_until(NOW),
        "filters": Filters(),
        "before": None,
    }
    return view(rows, TOTALS, series(50), **{**arguments, **changes})


def plain(text: str | None) -> str | None:
    return text and text.replace("\N{NO-BREAK SPACE}", " ")


def test_figures_come_with_unit_n_and_interval():
    assert [(f.name, plain(f.value), [plain(s) for s in f.lines], f.unit, f.tone)
            for f in figures(TOTALS, 1150)] == [
        ("Exchanges", "1,204", ["1,100 allowed, 40 flagged", "14 redacted, 3 left by the caller"],
         "", ""),
        ("Blocked", "4.2 %", ["50 of n = 1,204", "interval 3.2–5.4 %"], "", "acted"),
        ("Failed", "0.50 %", ["6 of n = 1,204", "interval 0.2–1.1 %"], "", ""),
        ("Duration, p50 / p95", "0.421 / 1.80", ["n = 1,150 that reached a model"], "s", ""),
    ]  # fmt: skip


def test_silence_is_no_data_and_never_a_good_number():
    assert {figure.value for figure in figures(SILENT, 0)} == {None}
    assert view(
        [], SILENT, series(0), reached=0, window=day_until(NOW), filters=Filters(), before=None
    ).chart is None  # fmt: skip


def test_durations_are_no_data_when_nothing_reached_a_model():
    blocked_all = Totals(5, 0, 0, 0, 5, 0, 0, 0, 0, None, None)
    assert [figure.value is None for figure in figures(blocked_all, 0)] == [False] * 3 + [True]


def test_window_is_the_day_that_ends_with_this_minute():
    window = day_until(NOW)
    assert window.end == datetime(2026, 11, 23, 7, 41, tzinfo=UTC)
    assert window.end - window.start == timedelta(hours=24)


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
    full = page(rows, filters=Filters(decision="block", text="a b&c"))
    place = write_place(rows[PAGE_ROWS - 1].place)
    assert full.older_url == f"/?decision=block&text=a+b%26c&before={place}#latest"
    assert len(full.rows) == PAGE_ROWS


def test_only_the_newest_page_is_live():
    newest, older = page([row()], filters=Filters(route="r")), page([row()], before=(NOW, ID))
    assert (newest.fragment_url, newest.newest_url) == ("/fragments/latest?route=r", None)
    assert (older.fragment_url, older.newest_url) == (None, "/#latest")


@pytest.mark.parametrize(
    "at", [NOW, NOW.replace(microsecond=123_456), datetime(1970, 1, 1, tzinfo=UTC)]
)
def test_place_in_the_log_survives_its_address(at):
    assert read_place(write_place((at, ID))) == (at, ID)


@pytest.mark.parametrize("written", ["x", "1-", "-", "1-zz", f"{10**40}-{ID.hex}", f"abc-{ID.hex}"])
def test_place_that_is_none_is_a_bad_request(written):
    with pytest.raises(BadRequest):
        read_place(written)


def test_filters_are_read_from_the_address_and_empty_ones_are_none():
    query = {"decision": "", "route": " legal ", "model": "", "text": "  ", "before": "1-2"}
    assert read_filters(query) == Filters(route="legal")
    with pytest.raises(BadRequest, match="allow, flag"):
        read_filters({"decision": "maybe"})


def test_failed_is_a_filter_of_its_own_and_text_reaches_a_week():
    failed = conditions(Filters(decision="failed"), NOW)
    assert (failed["decision"], failed["failed"], failed["since"]) == (None, True, None)
    asked = conditions(Filters(decision="block", text="rail"), NOW)
    assert (asked["decision"], asked["failed"]) == ("block", None)
    assert asked["since"] == NOW - timedelta(days=7)
