"""What an endpoint refuses before it sends a byte."""

import pytest

from guardrails.errors import ConfigError
from guardrails.upstream.client import Endpoint


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/v1",
        "http://",
        "host:8000/v1",
        "http://user:secret@host/v1",
        "http://host/v1?key=1",
        "http://host/v1#part",
    ],
)
def test_a_url_that_is_no_plain_base_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Endpoint(url)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-a", "one\r\nx-b: two"),
        ("x-a", "tab\tor\nline"),
        ("x-a", "ü"),
        ("x a", "1"),
        ("x:a", "1"),
        ("", "1"),
        ("Content-Length", "5"),
        ("transfer-encoding", "chunked"),
        ("Connection", "close"),
    ],
)
def test_a_header_that_would_change_the_framing_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError):
        Endpoint("http://host/v1", headers={name: value})


@pytest.mark.parametrize("path", ["", "chat", "/a b", "/a\r\nx: y", "/ü", "/a\x00"])
async def test_a_path_that_is_no_request_target_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="request target"):
        await Endpoint("http://127.0.0.1:1/v1").request("POST", path)


@pytest.mark.parametrize("method", ["", "GET /", "PO ST", "GET\r\n"])
async def test_a_method_that_is_no_token_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match="request target"):
        await Endpoint("http://127.0.0.1:1/v1").request(method, "/x")
