import pytest

from dashboards.security import HEADERS
from tests.unit.dashboards.test_access import client


@pytest.mark.parametrize("path", ["/", "/healthz", "/missing"])
@pytest.mark.parametrize("peer", ["127.0.0.1", "203.0.113.9"])
def test_every_answer_has_the_security_headers(path, peer):
    headers = client(peer=peer).get(path).headers
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert headers["cache-control"] == "no-store"


def test_policy_allows_nothing_inline_and_nothing_from_elsewhere():
    policy = HEADERS["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "*" not in policy
