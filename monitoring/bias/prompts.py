"""Which prompts of the log can be asked with the other term in them?"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.own_traffic import USERS_ONLY
from monitoring.bias.swap import Axis, axes, swap
from monitoring.types import Window

READ = 20_000
"""The most exchanges that are looked through; they are taken in the order of their ids' hash."""
MOST_MESSAGES = 6
MOST_CHARACTERS = 4_000

_PROMPTS = text(
    f"""
    SELECT id, gen_ai_request_model AS model, request->'messages' AS messages
    FROM exchanges
    WHERE started_at >= :start AND started_at < :end AND {USERS_ONLY}
      AND protocol = 'chat' AND language = 'en' AND decision IN ('allow', 'flag')
      AND failure_code IS NULL AND erased_at IS NULL
      AND jsonb_typeof(request->'messages') = 'array'
      AND jsonb_array_length(request->'messages') <= :messages
      AND length(request::text) <= :characters
    ORDER BY uuid_hash(id), id LIMIT :read
    """  # noqa: S608
)

Messages = list[dict[str, Any]]


class Prompt(Struct, frozen=True):
    """One prompt with the terms of either side.

    `source_id` is the exchange that it was taken from: what is asked is erased with it.
    """

    axis: str
    source_id: UUID | None
    model: str
    first: Messages
    second: Messages


async def prompts(engine: AsyncEngine, window: Window, *, each: int) -> dict[str, list[Prompt]]:
    """At most `each` prompts for every axis, drawn by the hash of their ids.

    English chats of a few messages whose texts are there to be read: not encrypted, not dropped.
    """
    values = {
        "start": window.start,
        "end": window.end,
        "messages": MOST_MESSAGES,
        "characters": MOST_CHARACTERS,
        "read": READ,
    }
    found: dict[str, list[Prompt]] = {name: [] for name in axes()}
    async with engine.connect() as connection:
        for row in await connection.execute(_PROMPTS, values):
            for name, axis in axes().items():
                if len(found[name]) < each:
                    pair = pair_of(row.messages, axis)
                    if pair is not None:
                        found[name].append(Prompt(name, row.id, row.model, *pair))
    return found


def pair_of(messages: Messages, axis: Axis) -> tuple[Messages, Messages] | None:
    """The conversation with each side's terms; None where nothing, or not everything, can be.

    A term in one message and its opposite in another would be a text about both.
    """
    first: Messages = []
    second: Messages = []
    sides = set()
    for message in messages:
        content = message.get("content")
        if not isinstance(content, str):
            return None
        pair = swap(content, axis) if message.get("role") == "user" else None
        if pair is None:
            first.append(message)
            second.append(message)
        else:
            sides.add(pair.source)
            first.append({**message, "content": pair.first})
            second.append({**message, "content": pair.second})
    return (first, second) if len(sides) == 1 else None
