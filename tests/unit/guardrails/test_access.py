"""Who is let in, and by what."""

import pytest

from guardrails.access import is_local, presented_key


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


@pytest.mark.parametrize(
    ("host", "client", "local"),
    [
        (b"127.0.0.1:8080", ("127.0.0.1", 5), True),
        (b"localhost", ("127.0.0.1", 5), True),
        (b"LOCALHOST:8080", ("127.0.0.1", 5), True),
        (b"[::1]:8080", ("::1", 5), True),
        (b"[::1]", ("::1", 5), True),
        (b"localhost:8080", ("127.9.9.9", 5), True),
        (b"localhost:8080", ("192.0.2.7", 5), False),
        (b"evil.example", ("127.0.0.1", 5), False),
        (b"localhost.evil.example:80", ("127.0.0.1", 5), False),
        (b"", ("127.0.0.1", 5), False),
        (b"localhost", None, False),
        (b"localhost", ("/run/socket", 0), False),
    ],
)
def test_local_is_a_loopback_peer_that_names_a_loopback_host(host, client, local):
    assert is_local({b"host": host}, client) is local


@pytest.mark.parametrize("header", [b"x-forwarded-for", b"forwarded"])
def test_what_came_through_another_proxy_is_not_local(header):
    headers = {b"host": b"localhost", header: b"203.0.113.9"}
    assert not is_local(headers, ("127.0.0.1", 5))
