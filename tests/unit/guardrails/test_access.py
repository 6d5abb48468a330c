"""Who is let in, and by what."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from guardrails.access import Access, presented_key
from guardrails.errors import BadRequest, GuardUnavailable
from guardrails.keys import KeyRing, create_key
from guardrails.rest import Parts, rest_app


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({b"authorization": b"Bearer abc"}, "abc"),
        ({b"authorization": b"bearer  abc "}, "abc"),
        ({b"authorization": b"Basic abc"}, None),
        ({b"authorization": b"Bearer "}, None),
        ({b"x-api-key": b"abc"}, "abc"),
        ({b"api-key": b"abc"}, "abc"),
        ({b"authorization": b"Basic x", b"x-api-key": b"abc"}, "abc"),
        ({b"authorization": b"Bearer \xff"}, "\xff"),
    ],
)
def test_a_key_is_found_where_each_sdk_puts_it(headers, key):
    assert presented_key(headers) == key


LOCAL = ({b"host": b"localhost:8080"}, ("127.0.0.1", 5), "default")


def test_before_the_keys_were_read_nobody_is_called_unknown():
    # Nothing listens at this address, so the keys stay unread.
    ring = KeyRing("postgresql://127.0.0.1:9/none", b"secret")
    assert not ring.loaded
    for headers in ({}, {b"authorization": b"Bearer bk_1_x"}):
        with pytest.raises(GuardUnavailable) as refused:
            Access(ring).caller({**LOCAL[0], **headers}, *LOCAL[1:])
        assert (refused.value.status, refused.value.code) == (503, "guard_unavailable")
        assert refused.value.retry_after_seconds


async def test_once_the_keys_were_read_an_unknown_one_is_refused(postgres_url):
    ring = KeyRing(postgres_url, b"secret")
    await ring.start()
    try:
        key, token = await create_key(postgres_url, b"secret", name="a", now=datetime.now(UTC))
        async with asyncio.timeout(5):
            while ring.empty:
                await asyncio.sleep(0.01)
        assert ring.loaded
        access = Access(ring)
        mine = {**LOCAL[0], b"authorization": b"Bearer " + token.encode()}
        assert access.caller(mine, *LOCAL[1:]).key_id == key.id
        with pytest.raises(BadRequest) as refused:
            access.caller(*LOCAL)
        assert refused.value.status == 401
    finally:
        await ring.stop()


def test_a_caller_is_told_when_to_come_back_while_the_keys_are_unread():
    ring = KeyRing("postgresql://127.0.0.1:9/none", b"secret")
    nothing: Any = None
    app = rest_app(Parts(*[nothing] * 7, Access(ring), nothing, ""))
    answer = TestClient(app, base_url="http://localhost").get("/v1/models")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "guard_unavailable"
    assert int(answer.headers["retry-after"]) > 0
