import base64

import pytest
from starlette.testclient import TestClient

from dashboards.access import Access, password_of
from dashboards.security import SecurityHeaders

KEY = "bk_1_right"


async def inner(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"in"})


def client(*, bound_to: str = "127.0.0.1", peer: str = "127.0.0.1") -> TestClient:
    app = SecurityHeaders(Access(inner, bound_to=bound_to, allows=lambda key: key == KEY))
    return TestClient(app, base_url="http://localhost:8081", client=(peer, 50_000))


def basic(user: str, password: str) -> dict[str, str]:
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"authorization": f"Basic {token}"}


@pytest.mark.parametrize(
    ("bound_to", "peer", "headers", "status"),
    [
        ("127.0.0.1", "127.0.0.1", {}, 200),
        ("localhost", "127.0.0.1", {"host": "127.0.0.1:8081"}, 200),
        ("::1", "::1", {"host": "[::1]:8081"}, 200),
        # A name that points here by the attacker's own DNS.
        ("127.0.0.1", "127.0.0.1", {"host": "evil.example:8081"}, 401),
        ("127.0.0.1", "127.0.0.1", {"host": "localhost.evil.example"}, 401),
        ("127.0.0.1", "127.0.0.1", {"host": "127.0.0.1.evil.example"}, 401),
        ("127.0.0.1", "127.0.0.1", {"host": ""}, 401),
        # A proxy that forwards for others.
        ("127.0.0.1", "127.0.0.1", {"x-forwarded-for": "203.0.113.9"}, 401),
        ("127.0.0.1", "127.0.0.1", {"forwarded": "for=203.0.113.9"}, 401),
        # Bound to the world, or asked from it.
        ("0.0.0.0", "127.0.0.1", {}, 401),
        ("127.0.0.1", "203.0.113.9", {}, 401),
        ("0.0.0.0", "203.0.113.9", basic("anyone", KEY), 200),
        ("0.0.0.0", "203.0.113.9", basic("anyone", "bk_1_wrong"), 401),
        ("127.0.0.1", "127.0.0.1", {"host": "evil.example", **basic("", KEY)}, 200),
        ("0.0.0.0", "203.0.113.9", {"authorization": f"Bearer {KEY}"}, 401),
    ],
)
def test_who_may_enter(bound_to, peer, headers, status):
    answer = client(bound_to=bound_to, peer=peer).get("/", headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Basic realm=")


def test_health_is_open_to_all():
    assert client(bound_to="0.0.0.0", peer="203.0.113.9").get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("header", "password"),
    [
        ("", None),
        ("Basic", None),
        ("Basic !!!", None),
        ("Basic " + base64.b64encode(b"nocolon").decode(), None),
        ("Basic " + base64.b64encode(b"user:").decode(), None),
        ("Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(), None),
        ("basic " + base64.b64encode(b"u:a:b").decode(), "a:b"),
    ],
)
def test_password_of_a_basic_header(header, password):
    assert password_of(header) == password
