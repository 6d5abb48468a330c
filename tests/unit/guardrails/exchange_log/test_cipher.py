from __future__ import annotations

import base64
import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from guardrails.errors import ConfigError
from guardrails.exchange_log.cipher import MARK, UNREADABLE, Cipher, make_cipher
from guardrails.exchange_log.privacy import pseudonym
from guardrails.exchange_log.record import encode, mend
from guardrails.types import Exchange, Passage
from tests.factories import make_exchange

OLD, NEW = b"o" * 32, b"n" * 32
SECRET = b"secret"
SAID = "Do not read this."
COLUMNS = ("request", "prompt", "completion", "answer", "inputs", "outputs", "passages")


def line_of(exchange: Exchange) -> bytes:
    line = encode(exchange)
    assert line is not None
    return line


def full() -> Exchange:
    passage = Passage(1, "p", "d", "t", "s", SAID, 0.9)
    exchange = make_exchange(SAID, SAID, passages=(passage,))
    return exchange.evolve(
        answer=exchange.completion, request={**exchange.request, "user": "ann@example.org"}
    )


def test_no_text_is_left_in_a_sealed_line_and_every_one_comes_back() -> None:
    cipher = Cipher({"k": NEW}, SECRET)
    plain = json.loads(line_of(full()))
    sealed = cipher.seal(line_of(full().evolve(id=plain["id"])))
    assert SAID.encode() not in sealed
    assert b"ann@example.org" not in sealed
    record = json.loads(sealed)
    for name, value in plain.items():
        if name in COLUMNS:
            assert record[name] != value
            assert cipher.open(plain["id"], name, record[name]) is not None
        elif name not in ("started_at",):
            assert record[name] == value
    opened = {name: cipher.open(plain["id"], name, record[name]) for name in COLUMNS}
    assert opened["inputs"][0]["text"] == SAID
    assert opened["request"]["user"] == "ann@example.org"


def test_what_the_columns_need_stays_readable() -> None:
    record = json.loads(Cipher({"k": NEW}, SECRET).seal(line_of(full())))
    assert record["completion"]["model"] == "demo-model-2026"
    assert record["completion"]["choices"] == [{"finish_reason": "stop"}]
    named = pseudonym(SECRET, "acme", "ann@example.org")
    assert record["request"]["safety_identifier"] == named
    assert set(record["inputs"][0]) == {MARK}


def test_the_first_key_writes_and_every_key_reads() -> None:
    exchange = full()
    by_old = json.loads(Cipher({"old": OLD}, SECRET).seal(line_of(exchange)))
    ring = Cipher({"new": NEW, "old": OLD}, SECRET)
    by_new = json.loads(ring.seal(line_of(exchange)))
    assert by_old["prompt"][MARK].startswith("old:")
    assert by_new["prompt"][MARK].startswith("new:")
    for record in (by_old, by_new):
        assert ring.open(exchange.id, "prompt", record["prompt"]) == exchange.prompt
    without_old = Cipher({"new": NEW}, SECRET)
    assert without_old.open(exchange.id, "prompt", by_old["prompt"]) == {MARK: UNREADABLE}
    assert without_old.open(exchange.id, "inputs", by_old["inputs"]) == []


@pytest.mark.parametrize("how", ["another row", "another column", "changed", "cut", "no base64"])
def test_a_ciphertext_that_was_moved_or_changed_is_not_read(how: str) -> None:
    cipher, exchange = Cipher({"k": NEW}, SECRET), full()
    value = json.loads(cipher.seal(line_of(exchange)))["prompt"]
    exchange_id, column = exchange.id, "prompt"
    match how:
        case "another row":
            exchange_id = make_exchange().id
        case "another column":
            column = "request"
        case "changed":
            raw = bytearray(base64.b64decode(value[MARK][2:]))
            raw[20] ^= 1
            value = {MARK: "k:" + base64.b64encode(bytes(raw)).decode()}
        case "cut":
            value = {MARK: value[MARK][:20]}
        case _:
            value = {MARK: "k:?"}
    assert cipher.open(exchange_id, column, value) == {MARK: UNREADABLE}


@pytest.mark.parametrize("value", [{}, [], None, {"a": 1}, [{"text": "x"}], [1], "x"])
def test_what_was_not_encrypted_is_given_back(value) -> None:
    assert Cipher({"k": NEW}, SECRET).open("i", "request", value) == value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_any_request_comes_back_as_it_was(request: dict) -> None:
    cipher = Cipher({"k": NEW}, SECRET)
    exchange = make_exchange(request=request)
    line = encode(exchange)
    line = mend(exchange) if line is None else line
    expected = json.loads(line)["request"]
    record = json.loads(cipher.seal(line))
    assert cipher.open(exchange.id, "request", record["request"]) == expected


def test_two_seals_of_one_record_differ() -> None:
    cipher, line = Cipher({"k": NEW}, SECRET), line_of(full())
    assert cipher.seal(line) != cipher.seal(line)


def test_a_record_of_a_mebibyte_does_not_hold_the_event_loop() -> None:
    line = line_of(make_exchange("x" * 300_000))
    cipher = Cipher({"k": NEW}, SECRET)
    began = time.process_time()
    cipher.seal(line)
    assert time.process_time() - began < 0.02


def key(raw: bytes = NEW) -> str:
    return base64.b64encode(raw).decode()


def test_the_ring_is_read_from_its_setting() -> None:
    assert make_cipher(None, SECRET) is None
    cipher = make_cipher(SecretStr(f"b:{key()}, a:{key(OLD)}"), SECRET)
    assert cipher is not None
    line = cipher.seal(line_of(full()))
    assert msgspec.json.decode(line)["prompt"][MARK].startswith("b:")


@pytest.mark.parametrize(
    "written", ["", key(), f"k:{key(b'short')}", f"k:{key()},k:{key(OLD)}", f"k k:{key()}", "k:?"]
)
def test_a_wrong_ring_stops_the_start_and_is_not_quoted(written: str) -> None:
    with pytest.raises(ConfigError, match="openssl rand") as caught:
        make_cipher(SecretStr(written), SECRET)
    assert key() not in str(caught.value)
