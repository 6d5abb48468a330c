import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from dashboards.csrf import check, token_of

SECRET = b"s" * 32
RIGHT = token_of(SECRET, "seat")


def request(method: str = "POST", body: bytes = b"", **headers: str) -> Request:
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/", "query_string": b"", "headers": named}
    return Request(scope, receive)


FORM = {"content_type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "sent",
    [
        request("GET"),
        request("HEAD"),
        request(body=f"a=1&csrf={RIGHT}".encode(), **FORM),
        request(x_csrf_token=RIGHT),
        request(x_csrf_token=RIGHT, sec_fetch_site="same-origin"),
    ],
)
async def test_what_a_page_of_ours_sends_is_taken(sent):
    await check(sent, SECRET, "seat")


@pytest.mark.parametrize(
    "sent",
    [
        request(),
        request("DELETE"),
        request(body=b"a=1", **FORM),
        request(body=f"csrf={token_of(SECRET, 'another')}".encode(), **FORM),
        request(x_csrf_token="ü"),
        request(x_csrf_token=RIGHT, sec_fetch_site="cross-site"),
        request(x_csrf_token=RIGHT, sec_fetch_site="same-site"),
        request(body=b'{"csrf": "' + RIGHT.encode() + b'"}', content_type="text/plain"),
    ],
)
async def test_what_another_page_sends_is_refused(sent):
    with pytest.raises(HTTPException) as caught:
        await check(sent, SECRET, "seat")
    assert caught.value.status_code == 403


async def test_without_a_seat_there_is_no_right_token():
    with pytest.raises(HTTPException):
        await check(request(x_csrf_token=token_of(SECRET, "")), SECRET, "")
