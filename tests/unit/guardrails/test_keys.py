from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from guardrails.errors import ConfigError
from guardrails.keys import Key, KeyRing, create_key, key_secret
from guardrails.settings import Settings

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def make_key(**changes: object) -> Key:
    fields = {
        "id": "a1",
        "name": "app",
        "tenant": "default",
        "scopes": frozenset({"infer"}),
        "routes": None,
        "created_at": NOW,
    }
    return Key(**{**fields, **changes})


@pytest.mark.parametrize(
    ("scope", "route", "changes", "allowed"),
    [
        ("infer", None, {}, True),
        ("infer", "default", {}, True),
        ("dashboard", None, {}, False),
        ("infer", "support", {"routes": frozenset({"support"})}, True),
        ("infer", "default", {"routes": frozenset({"support"})}, False),
        ("infer", "default", {"routes": frozenset()}, False),
    ],
)
def test_a_key_is_good_only_for_its_scopes_and_routes(
    scope: str, route: str | None, changes: dict, allowed: bool
) -> None:
    assert make_key(**changes).may(scope, route) is allowed


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({}, True),
        ({"expires_at": NOW + timedelta(seconds=1)}, True),
        ({"expires_at": NOW}, False),
        ({"revoked_at": NOW - timedelta(days=1)}, False),
        ({"revoked_at": NOW, "expires_at": NOW + timedelta(days=1)}, False),
    ],
)
def test_a_key_stops_when_it_expires_or_is_revoked(changes: dict, valid: bool) -> None:
    assert make_key(**changes).valid(NOW) is valid


def test_the_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new")
    first = key_secret(settings)
    assert len(first) >= 32
    assert key_secret(settings) == first
    mode = (tmp_path / "new" / "key-secret").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["key-secret"]


def test_many_that_ask_first_at_once_get_one_secret(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(key_secret, [settings] * 64))) == 1


def test_a_configured_secret_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "none", key_secret="of the house")
    assert key_secret(settings) == b"of the house"
    assert not (tmp_path / "none").exists()


def test_a_damaged_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key-secret").write_text("short")
    with pytest.raises(ConfigError, match="damaged"):
        key_secret(Settings(data_dir=tmp_path))


async def test_an_unknown_scope_is_refused_before_postgres_is_asked() -> None:
    with pytest.raises(ConfigError, match="infer, dashboard"):
        await create_key("postgresql://nowhere/x", b"s", name="app", scopes=("root",), now=NOW)


@pytest.mark.parametrize("token", [None, "", "bk", "bk_", "bk__", "bk_a_b", "\ud800", "é" * 10_000])
def test_a_ring_that_never_loaded_lets_nobody_in_and_is_not_called_empty(token: str | None) -> None:
    ring = KeyRing("postgresql://nowhere/x", b"secret")
    assert ring.authenticate(token) is None
    assert not ring.empty
