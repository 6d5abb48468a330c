"""Who may call? API keys: `bk_<id>_<secret>`, kept in Postgres as digests, cached in memory.

A token's HMAC-SHA256 under the installation's own secret is all that is stored, so neither the
table nor a copy of it lets anyone in.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from msgspec import Struct

from guardrails.database.following import Following
from guardrails.database.url import libpq_url
from guardrails.errors import ConfigError
from guardrails.settings import Settings

logger = logging.getLogger(__name__)

SCOPES = ("infer", "dashboard", "metrics")
ALL_TENANTS = "*"
"""The tenant of a key for the dashboards that sees every tenant's exchanges."""
CHANNEL = "banister_keys"
POLL_SECONDS = 30.0
FIRST_LOAD_SECONDS = 5.0
SECRET_BYTES = 32
MAX_TOKEN_CHARACTERS = 200

_COLUMNS = "id, name, tenant, scopes, routes, created_at, expires_at, revoked_at"
_SELECT = f"SELECT {_COLUMNS} FROM api_keys ORDER BY created_at, id"  # noqa: S608
_SELECT_DIGESTS = f"SELECT digest, {_COLUMNS} FROM api_keys"  # noqa: S608
_INSERT = """
INSERT INTO api_keys (id, digest, name, tenant, scopes, routes, created_at, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
_REVOKE = "UPDATE api_keys SET revoked_at = %s WHERE id = %s AND revoked_at IS NULL"


class Key(Struct, frozen=True):
    """What a key's bearer may do. `routes` None: all of them."""

    id: str
    name: str
    tenant: str
    scopes: frozenset[str]
    routes: frozenset[str] | None
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def may(self, scope: str, route: str | None = None) -> bool:
        """Whether it is good for a scope, and for a route where one is named."""
        return scope in self.scopes and (
            route is None or self.routes is None or route in self.routes
        )

    def valid(self, now: datetime) -> bool:
        """Whether it works at this moment: neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class KeyRing:
    """All keys in memory, so that a request never waits for Postgres.

    A change reaches it by NOTIFY within milliseconds, and by a poll every 30 s should a message be
    lost. While Postgres is away it serves what it knows; before the first load it knows nobody.
    """

    def __init__(
        self,
        url: str,
        secret: bytes,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._secret = secret
        self._now = now
        self._keys: dict[str, tuple[bytes, Key]] = {}
        self._following = Following(
            url,
            CHANNEL,
            self._load,
            what="keys",
            poll_seconds=poll_seconds,
            first_seconds=FIRST_LOAD_SECONDS,
        )

    @property
    def loaded(self) -> bool:
        """Whether the keys have been read once; before that nobody can be told to be unknown."""
        return self._following.loaded

    @property
    def empty(self) -> bool:
        """Whether it is known that no key was ever made.

        Revoked and expired keys count: revoking the last one must not open the door to all. Unknown
        counts too, so a start without Postgres lets nobody in.
        """
        return self.loaded and not self._keys

    async def start(self) -> None:
        """Load all keys and follow their changes; waits at most 5 s for the first load."""
        await self._following.start()

    async def stop(self) -> None:
        """Follow no longer; what is known stays."""
        await self._following.stop()

    def authenticate(self, token: str | None) -> Key | None:
        """The key that a token belongs to, or None.

        Cost: about 3 µs, the same for an unknown id, a wrong secret and a revoked key: each costs
        one HMAC and one comparison in constant time.
        """
        token = (token or "")[:MAX_TOKEN_CHARACTERS]
        _, _, rest = token.partition("_")
        stored, key = self._keys.get(rest.partition("_")[0], (bytes(32), None))
        right = hmac.compare_digest(digest_of(token, self._secret), stored)
        return key if right and key is not None and key.valid(self._now()) else None

    async def _load(self, connection: psycopg.AsyncConnection) -> None:
        rows = await (await connection.execute(_SELECT_DIGESTS)).fetchall()
        keys = ((digest, _key(row)) for digest, *row in rows)
        self._keys = {key.id: (digest, key) for digest, key in keys}


def digest_of(token: str, secret: bytes) -> bytes:
    """What is stored of a token."""
    return hmac.digest(secret, token.encode(errors="replace"), hashlib.sha256)


def key_secret(settings: Settings) -> bytes:
    """The installation's secret: the configured one, or one made once in `data_dir/key-secret`.

    Several processes may ask first at once: all get the same. Without it no key can be checked, so
    back it up with the database. Errors: ConfigError where it cannot be read or made.
    """
    if settings.key_secret is not None:
        return settings.key_secret.get_secret_value().encode()
    path = settings.data_dir / "key-secret"
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return _read_or_make(path)
    except OSError as error:
        raise ConfigError(
            f"The secret of the API keys cannot be kept in {path}: {error.strerror}. "
            "Make the directory writable, or set BANISTER_KEY_SECRET."
        ) from error


def _read_or_make(path: Path) -> bytes:
    with suppress(FileNotFoundError):
        return _whole(path)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # A link appears whole or not at all, and only the first of several succeeds.
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    return _whole(path)


def _whole(path: Path) -> bytes:
    text = path.read_bytes().strip()
    if len(text) < SECRET_BYTES:
        raise ConfigError(f"{path} is damaged: restore it, or remove it and make all keys anew.")
    return text


async def create_key(
    url: str,
    secret: bytes,
    *,
    name: str,
    scopes: Collection[str] = ("infer",),
    routes: Collection[str] | None = None,
    tenant: str = "default",
    expires_at: datetime | None = None,
    now: datetime,
) -> tuple[Key, str]:
    """A new key and its token, which is shown once and stored nowhere.

    `tenant` ALL_TENANTS: its bearer sees all of them in the dashboards.
    Errors: ConfigError for an unknown or missing scope; psycopg.Error where Postgres is away.
    """
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise ConfigError(f"A key needs scopes of: {', '.join(SCOPES)}; not {unknown}.")
    if tenant == ALL_TENANTS and set(scopes) != {"dashboard"}:
        raise ConfigError("A key for all tenants only looks: its one scope is `dashboard`.")
    key = Key(
        id=secrets.token_hex(6),
        name=name,
        tenant=tenant,
        scopes=frozenset(scopes),
        routes=None if routes is None else frozenset(routes),
        created_at=now,
        expires_at=expires_at,
    )
    token = f"bk_{key.id}_{secrets.token_hex(SECRET_BYTES)}"
    async with await psycopg.AsyncConnection.connect(libpq_url(url)) as connection:
        await connection.execute(
            _INSERT,
            (
                key.id,
                digest_of(token, secret),
                name,
                tenant,
                sorted(key.scopes),
                None if key.routes is None else sorted(key.routes),
                now,
                expires_at,
            ),
        )
    return key, token


async def list_keys(url: str) -> list[Key]:
    """All keys, oldest first, also those that are revoked or expired."""
    async with await psycopg.AsyncConnection.connect(libpq_url(url)) as connection:
        return [_key(row) async for row in await connection.execute(_SELECT)]


async def revoke_key(url: str, key_id: str, *, now: datetime) -> bool:
    """Stop a key for good; False where there is none of that id, or it is revoked already."""
    async with await psycopg.AsyncConnection.connect(libpq_url(url)) as connection:
        return (await connection.execute(_REVOKE, (now, key_id))).rowcount == 1


def _key(row: tuple | list) -> Key:
    key_id, name, tenant, scopes, routes, created_at, expires_at, revoked_at = row
    return Key(
        id=key_id,
        name=name,
        tenant=tenant,
        scopes=frozenset(scopes),
        routes=None if routes is None else frozenset(routes),
        created_at=created_at,
        expires_at=expires_at,
        revoked_at=revoked_at,
    )
