"""Bodies that cannot be read are refused with the reason."""

import time

import pytest

from guardrails.errors import BadRequest
from guardrails.wire.body import parse_body, require_model


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[1]",
        b'"text"',
        b"nul",
        b'{"a":1}x',
        b"\xff\xfe",
        b'{"a":' * 5_000,
        b"[" * 10**6,
    ],
)
def test_what_is_not_a_json_object_is_refused(raw):
    with pytest.raises(BadRequest) as raised:
        parse_body(raw)
    assert raised.value.code == "invalid_json"


def test_the_message_never_quotes_the_body():
    with pytest.raises(BadRequest) as raised:
        parse_body(b'{"messages": "my secret is 1234" oops}')
    assert "secret" not in raised.value.message
    assert "column" in raised.value.message


def test_a_body_of_many_small_values_is_refused_before_it_is_parsed():
    raw = b'{"a":[' + b"0," * 1_000_000 + b"0]}"
    seconds = []
    for _ in range(3):
        began = time.thread_time()
        with pytest.raises(BadRequest) as raised:
            parse_body(raw)
        seconds.append(time.thread_time() - began)
        assert raised.value.status == 413
    assert min(seconds) < 0.02


@pytest.mark.parametrize("model", [None, "", 3, ["m"]])
def test_a_request_names_its_model(model):
    with pytest.raises(BadRequest) as raised:
        require_model({"model": model})
    assert raised.value.param == "model"
