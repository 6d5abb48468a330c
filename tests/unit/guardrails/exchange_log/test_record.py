from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.exchange_log.record import MAX_RECORD_BYTES, encode, mend
from guardrails.types import Exchange
from tests.factories import make_blocked, make_check, make_exchange


def mended(exchange: Exchange) -> dict[str, Any]:
    return json.loads(mend(exchange))


@pytest.mark.parametrize("make", [make_exchange, make_blocked])
def test_an_ordinary_exchange_is_one_line_that_reads_back_as_itself(make: Any) -> None:
    exchange = make("Ünïcödé\n\"and\" \\ 'quotes' 😀")
    line = encode(exchange)
    assert line is not None
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=Exchange) == exchange


@pytest.mark.parametrize(
    ("request_", "kept"),
    [
        ({"a": "x\x00y"}, {"a": "x�y"}),
        ({"a\x00": 1}, {"a�": 1}),
        ({"a": "\ud800"}, {"a": "�"}),
        ({"a": "\ud83d\ude00"}, {"a": "😀"}),
        ({"\udfff": [None, True, 1, 1.5]}, {"�": [None, True, 1, 1.5]}),
        ({"a": 10**5_000}, {"a": "[cut: a number of 16610 bits]"}),
    ],
)
def test_what_jsonb_cannot_hold_is_replaced(request_: dict, kept: dict) -> None:
    exchange = make_exchange(request=request_)
    assert encode(exchange) is None
    assert mended(exchange)["request"] == kept


def test_what_nests_too_deep_is_cut_and_noted() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"a": deep}
    exchange = make_exchange(request=deep)
    assert encode(exchange) is None
    record = mended(exchange)
    assert record["uncovered"][0].startswith("cut: request.a.a.a")
    assert "[cut: nested too deep]" in json.dumps(record["request"])


@pytest.mark.parametrize(
    "request_",
    [
        {"prompt": "x" * (5 * 2**20)},
        {"prompt": ["x" * 20_000] * 300},
        {"prompt": ["x" * 300] * 20_000},
        {"prompt": list(range(1_000_000))},
        {str(n): n for n in range(300_000)},
    ],
    ids=["one long", "some long", "many short", "numbers", "keys"],
)
def test_a_huge_record_is_cut_to_the_limit_and_says_so(request_: dict) -> None:
    exchange = make_exchange(request=request_, checks=(make_check(),) * 3)
    assert encode(exchange) is None
    line = mend(exchange)
    assert len(line) <= MAX_RECORD_BYTES
    record = json.loads(line)
    assert record["uncovered"][0].startswith("cut: request")
    assert record["verdict"]["action"] == "allow"
    assert record["id"] == exchange.id


def test_notes_of_cuts_do_not_grow_without_end() -> None:
    record = mended(make_exchange(request={"prompt": ["x" * 20_000] * 300}))
    assert 0 < len(record["uncovered"]) <= 50


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=4), children, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_every_request_becomes_a_line_that_holds_neither_nul_nor_lone_surrogate(
    request_: dict,
) -> None:
    exchange = make_exchange(request=request_)
    line = encode(exchange) or mend(exchange)
    text = line.decode()
    assert "\x00" not in json.dumps(json.loads(text), ensure_ascii=False)
    if "\\u0000" not in text:
        assert json.loads(text)["id"] == exchange.id


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00")))
def test_mending_changes_nothing_that_is_fine(text: str) -> None:
    exchange = make_exchange(text)
    assert msgspec.json.decode(mend(exchange), type=Exchange) == exchange
