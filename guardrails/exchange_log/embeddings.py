"""Which prompts of the log have a vector, and who makes it?

A vector costs 30 to 40 ms of a core, more than all else of a record together. So a job takes what
is worth it, within a budget: every exchange that a rule stopped, changed or flagged, then a sample
of the rest, drawn by a hash of its id, so that another job that draws so finds its vectors made.
What the budget did not reach is not made up for: `coverage` says how much has one.

Only what the log may show is embedded: an encrypted or dropped text has no vector, and an erased
one loses it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from msgspec import Struct

from guardrails.exchange_log.own_traffic import USERS_ONLY
from guardrails.exchange_log.partitions import make_day_of
from guardrails.exchange_log.settled import next_range

JOB = "embeddings"
PROMPT_CHARACTERS = 2_000
ROWS_AT_ONCE = 200_000
TEXTS_AT_ONCE = 16

PROMPT = f"""
(SELECT left(said->>'text', {PROMPT_CHARACTERS})
 FROM jsonb_array_elements(inputs) WITH ORDINALITY AS list (said, place)
 WHERE said->>'role' = 'user' ORDER BY place DESC LIMIT 1)
"""  # noqa: S608
"""The text that stands for an exchange: the user's last, as far as the encoder reads it."""
DRAWN = "mod(abs(uuid_hash(id)::bigint), 1000000)"
"""The place of an exchange in every sample: one of a share `s` lies below `s` times a million."""

_WANTED = f"""
SELECT id, started_at, {PROMPT} AS prompt
FROM (SELECT id, started_at, inputs FROM exchanges
      WHERE xact >= %(start)s AND xact < %(end)s AND erased_at IS NULL
        AND {USERS_ONLY} AND (decision <> 'allow' OR {DRAWN} < %(per_million)s)
      ORDER BY decision = 'allow', {DRAWN} LIMIT %(budget)s) AS wanted
"""  # noqa: S608
# An erasure of the same moment waits for this, and then takes the vector too.
_KEEP = """
INSERT INTO exchange_embeddings (started_at, id, embedding)
SELECT started_at, id, %(vector)s::text::halfvec FROM exchanges
WHERE started_at = %(started_at)s AND id = %(id)s AND erased_at IS NULL FOR SHARE
ON CONFLICT DO NOTHING
"""
_FOUND = """
SELECT id, embedding::real[] FROM exchange_embeddings
WHERE started_at >= %s AND started_at <= %s AND id = ANY (%s)
"""
_WITHHELD = re.compile(r"\[[\w ]+\]·*|·+")

Vector = Sequence[float]
Embed = Callable[[Sequence[str]], Awaitable[Sequence[Vector]]]


class Prompt(Struct, frozen=True):
    """One exchange, by the text that stands for it."""

    id: UUID
    started_at: datetime
    text: str


class Embedded(Struct, frozen=True):
    """What one run of the job did: how many vectors it made, and whether its budget was enough."""

    made: int
    ranges: int
    spent: bool


async def catch_up(
    connection: psycopg.AsyncConnection, embed: Embed, *, budget: int, share: float
) -> Embedded:
    """Go through the settled rows that came since, and embed what is wanted of them.

    `share` of the allowed exchanges are wanted, besides all others; at most `budget` vectors are
    made. The connection must be in autocommit. Cost: what `embed` takes, with a transaction open:
    other jobs wait so long. Errors: those of `embed`; then its range is taken again.
    """
    made = ranges = 0
    while True:
        async with next_range(connection, JOB, rows=ROWS_AT_ONCE) as found:
            if found is None:
                return Embedded(made, ranges, False)
            values = {
                "start": found.start,
                "end": found.end,
                "per_million": round(share * 1_000_000),
                "budget": budget - made,
            }
            rows = await (await connection.execute(_WANTED, values)).fetchall()
            prompts = [Prompt(*row) for row in rows if is_shown(row[2])]
            await keep(connection, prompts, await vectors_of(embed, [p.text for p in prompts]))
        made, ranges = made + len(prompts), ranges + 1
        if made >= budget:
            return Embedded(made, ranges, True)


def is_shown(text: str | None) -> bool:
    """Whether a recorded text still says something: not all of it was withheld or masked."""
    return text is not None and bool(_WITHHELD.sub("", text).strip())


async def vectors_of(embed: Embed, texts: Sequence[str]) -> list[Vector]:
    """One vector a text, in order; texts of like length go together, which is cheaper."""
    vectors: dict[int, Vector] = {}
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    for start in range(0, len(order), TEXTS_AT_ONCE):
        part = order[start : start + TEXTS_AT_ONCE]
        vectors.update(zip(part, await embed([texts[at] for at in part]), strict=True))
    return [vectors[at] for at in range(len(texts))]


async def keep(
    connection: psycopg.AsyncConnection, prompts: Sequence[Prompt], vectors: Sequence[Vector]
) -> None:
    """Write the vectors of exchanges that are still there and not erased; each once."""
    days = sorted({prompt.started_at.astimezone(UTC).date() for prompt in prompts})
    async with connection.transaction():
        for day in days:
            await make_day_of(connection, "exchange_embeddings", day)
        rows: list[dict[str, Any]] = [
            {"id": p.id, "started_at": p.started_at, "vector": written(vector)}
            for p, vector in zip(prompts, vectors, strict=True)
        ]
        if rows:
            await connection.cursor().executemany(_KEEP, rows)


async def known(
    connection: psycopg.AsyncConnection, exchanges: Mapping[UUID, datetime]
) -> dict[UUID, list[float]]:
    """The vectors there are of some exchanges, given with their moments."""
    if not exchanges:
        return {}
    first, last = min(exchanges.values()), max(exchanges.values())
    found = await connection.execute(_FOUND, (first, last, list(exchanges)))
    return dict(await found.fetchall())


def written(vector: Vector) -> str:
    """A vector as pgvector reads it."""
    return "[" + ",".join(f"{value:.7g}" for value in vector) + "]"
