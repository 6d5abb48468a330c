import pytest

from guardrails.loopback import is_local, is_loopback


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


@pytest.mark.parametrize("header", [b"x-forwarded-for", b"forwarded", b"via", b"x-real-ip"])
def test_what_came_through_another_proxy_is_not_local(header):
    headers = {b"host": b"localhost", header: b"203.0.113.9"}
    assert not is_local(headers, ("127.0.0.1", 5))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("LOCALHOST", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_what_counts_as_this_machine(host, loopback):
    assert is_loopback(host) is loopback
