from datetime import UTC, datetime

import pytest
from jinja2 import UndefinedError
from starlette.testclient import TestClient

from dashboards.filters import Filters
from dashboards.site import Shell
from dashboards.templating import HERE, Static, make_render, static_address
from guardrails.settings import Settings

SHELL = Shell("", "/", (), None, "", Filters(route="a&b"), datetime(2026, 11, 23, tzinfo=UTC))


def test_everything_is_escaped_and_a_missing_name_is_an_error():
    render = make_render(Settings())
    page = render("error.html", {"title": "<b>", "advice": "'\""}, SHELL)
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert "/?route=a%26b" in page
    with pytest.raises(UndefinedError):
        render("error.html", {"title": "x"}, SHELL)


def test_files_carry_their_hash_and_may_be_kept():
    address = static_address("banister.css")
    assert address.startswith("/static/banister.css?v=")
    answer = TestClient(Static(directory=HERE / "static")).get("/banister.css")
    assert "immutable" in answer.headers["cache-control"]
