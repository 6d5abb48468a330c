"""How is it proved that no recorded exchange was changed, removed or slipped in?

Each day has a chain of seals. A seal holds the digests of the rows of some transactions, and its
hash goes over them and the seal before; with BANISTER_SEAL_SECRET it is an HMAC, which whoever has
only the database cannot make. An erased row keeps the digest of its texts, so its seal still holds;
the erasure is a seal of its own.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from uuid import UUID

import psycopg
from msgspec import Struct

from guardrails.exchange_log.one_row import one_row
from guardrails.exchange_log.settled import Range, next_range
from guardrails.settings import Settings

JOB = "seal"
LEAF_BYTES = 24
ID_BYTES = 16
CHAIN_LOCK = 0x63686E  # "chn"

Kind = Literal["rows", "erasure", "dropped"]

_DAYS = """
SELECT DISTINCT (started_at AT TIME ZONE 'UTC')::date FROM exchanges
WHERE xact >= %s AND xact < %s ORDER BY 1
"""
# OFFSET 0: the digest of a row is made once.
_DIGEST = """
SELECT count(*)::int, sha256(coalesce(string_agg(digest, ''::bytea ORDER BY id), '')),
       coalesce(string_agg(uuid_send(id) || substr(digest, 1, 8), ''::bytea ORDER BY id), '')
FROM (SELECT id, exchange_digest(e) AS digest FROM exchanges AS e
      WHERE started_at >= %s AND started_at < %s AND xact >= %s AND xact < %s OFFSET 0) AS rows
"""
_LAST = "SELECT number, hash FROM exchange_seals WHERE day = %s ORDER BY number DESC LIMIT 1"
_ADD = """
INSERT INTO exchange_seals (day, number, kind, xact_from, xact_to, rows, leaves, digest, previous,
                            hash, keyed, sealed_at, note)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


class Seal(Struct, frozen=True):
    """One link of a day's chain, as it stands in `exchange_seals`."""

    day: date
    number: int
    kind: Kind
    xact_from: int
    xact_to: int
    rows: int
    leaves: bytes
    digest: bytes
    previous: bytes
    hash: bytes
    keyed: bool
    sealed_at: datetime
    note: str | None


class Sealed(Struct, frozen=True):
    """What one run sealed."""

    rows: int
    seals: int
    heads: dict[date, bytes]


class Sealer:
    """Adds seals to the chains.

    `secret` None makes plain hashes. One process at a time adds to a day's chain; others wait.
    """

    def __init__(self, secret: bytes | None, now: Callable[[], datetime]) -> None:
        self._secret = secret
        self._now = now

    async def seal(self, connection: psycopg.AsyncConnection) -> Sealed:
        """Seal every settled row that no seal holds yet.

        The connection must be in autocommit. Cost: about 30 µs a row of 5 KB, in the server.
        """
        rows = seals = 0
        heads: dict[date, bytes] = {}
        while True:
            async with next_range(connection, JOB) as found:
                if found is None:
                    return Sealed(rows, seals, heads)
                days = await connection.execute(_DAYS, (found.start, found.end))
                for (day,) in await days.fetchall():
                    count, digest, leaves = await digest_of(connection, day, found)
                    heads[day] = await self.add(
                        connection, day, "rows", found, count, leaves, digest
                    )
                    rows, seals = rows + count, seals + 1

    async def add(
        self,
        connection: psycopg.AsyncConnection,
        day: date,
        kind: Kind,
        found: Range,
        rows: int,
        leaves: bytes,
        digest: bytes,
        note: str | None = None,
    ) -> bytes:
        """Put one seal at the end of a day's chain, in the caller's transaction; its hash."""
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (CHAIN_LOCK,))
        last = await (await connection.execute(_LAST, (day,))).fetchone()
        number, previous = (last[0] + 1, last[1]) if last else (1, genesis(day))
        seal = Seal(
            day,
            number,
            kind,
            found.start,
            found.end,
            rows,
            leaves,
            digest,
            previous,
            b"",
            self._secret is not None,
            self._now(),
            note,
        )
        hashed = hash_of(seal, self._secret)
        await connection.execute(
            _ADD,
            (
                day,
                number,
                kind,
                found.start,
                found.end,
                rows,
                leaves,
                digest,
                previous,
                hashed,
                seal.keyed,
                seal.sealed_at,
                note,
            ),
        )
        return hashed

    async def add_erasure(
        self, connection: psycopg.AsyncConnection, day: date, ids: Sequence[UUID], erasure: UUID
    ) -> bytes:
        """Put on record which rows of a day an erasure took the texts of."""
        leaves = b"".join(sorted(one.bytes for one in ids))
        digest = hashlib.sha256(leaves).digest()
        return await self.add(
            connection, day, "erasure", Range(0, 0), len(ids), leaves, digest, str(erasure)
        )


def sealer_of(settings: Settings) -> Sealer:
    """What adds to the chains, with the installation's secret if it has one."""
    return Sealer(seal_secret(settings), lambda: datetime.now(UTC))


def seal_secret(settings: Settings) -> bytes | None:
    """The key of the seals; None where they are plain hashes."""
    secret = settings.seal_secret
    return None if secret is None else secret.get_secret_value().encode()


async def digest_of(
    connection: psycopg.AsyncConnection, day: date, found: Range
) -> tuple[int, bytes, bytes]:
    """How many rows of a day a range holds, their digest, and a leaf for each."""
    count, digest, leaves = await one_row(
        connection, _DIGEST, (*span_of(day), found.start, found.end)
    )
    return count, bytes(digest), bytes(leaves)


def span_of(day: date) -> tuple[datetime, datetime]:
    """A UTC day's first moment and the next day's."""
    start = datetime.combine(day, time(), UTC)
    return start, start + timedelta(days=1)


def genesis(day: date) -> bytes:
    """What the first seal of a day follows."""
    return hashlib.sha256(f"banister exchange log {day.isoformat()}".encode()).digest()


def hash_of(seal: Seal, secret: bytes | None) -> bytes:
    """The hash of a seal over all that it says; keyed where there is a secret."""
    said = (
        f"{seal.day.isoformat()}|{seal.number}|{seal.kind}|{seal.xact_from}|{seal.xact_to}|"
        f"{seal.rows}|{seal.keyed}|{seal.sealed_at.astimezone(UTC).isoformat()}|{seal.note or ''}|"
    ).encode()
    leaves = hashlib.sha256(seal.leaves).digest()
    content = said + leaves + seal.digest + seal.previous
    if secret is None:
        return hashlib.sha256(content).digest()
    return hmac.new(secret, content, hashlib.sha256).digest()
