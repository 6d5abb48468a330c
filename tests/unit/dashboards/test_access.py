import base64

import pytest
from starlette.testclient import TestClient

from dashboards.access import Access, cookies_of, password_of
from dashboards.security import SecurityHeaders
from tests.unit.dashboards.doors import KEY, TOKEN, make_door


async def inner(scope, receive, send):
    visitor = scope["visitor"]
    told = f"{visitor.name}/{visitor.role}/{visitor.tenants}" if visitor else "nobody"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": told.encode()})


def client(*, bound_to: str = "127.0.0.1", peer: str = "127.0.0.1", **door) -> TestClient:
    app = SecurityHeaders(Access(inner, door=make_door(bound_to, **door)))
    return TestClient(
        app, base_url="http://localhost:8081", client=(peer, 50_000), follow_redirects=False
    )


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


def test_who_is_known_has_a_name_a_role_and_tenants():
    assert client().get("/").text == "local admin/admin/None"
    assert client().get("/", headers=basic("", KEY)).text == "key 1/viewer/None"
    assert client(tenant="acme").get("/", headers=basic("", KEY)).text == "key 1/viewer/('acme',)"
    known = client(users=True, peer="203.0.113.9")
    known.cookies.set("banister_session", TOKEN)
    assert known.get("/").text == "ada/reviewer/('acme',)"


def test_once_there_is_a_user_this_machine_needs_a_login_too():
    assert client(users=True).get("/").status_code == 401
    page = client(users=True).get("/audit?who=x&y=1", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (
        303,
        "/login?next=%2Faudit%3Fwho%3Dx%26y%3D1",
    )
    posted = client(users=True).post("/audit", headers={"accept": "text/html"})
    assert posted.status_code == 401
    assert client(users=True).get("/login").text == "nobody"


def test_a_page_gets_a_seat_once():
    known = client()
    cookie = known.get("/").headers["set-cookie"]
    assert cookie.startswith("banister_seat=")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "set-cookie" not in known.get("/").headers


def test_cookies_that_cannot_be_read_are_none():
    assert cookies_of({"type": "http", "headers": [(b"cookie", b"a=1; b=2")]}) == {
        "a": "1",
        "b": "2",
    }
    assert cookies_of({"type": "http", "headers": [(b"cookie", b"\x00;;=;")]}) == {}


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
