"""Which version of a model answers a conversation while a rollout moves them over?

A conversation lies at one place in [0, 1) as long as the rollout lasts: below the share it is the
candidate's. So a share that grows only ever moves conversations to the candidate, one that falls
moves them back, and every proxy says the same.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import orjson
from msgspec import Struct

from guardrails.types import Exchange

HEADER = b"x-conversation-id"
MAX_NAME_BYTES = 512
_NAMES = ("conversation_id", "session_id", "thread_id")
_USERS = ("safety_identifier", "user")
_TURNS = ("messages", "input", "contents", "prompt", "inputs", "instances")
_BEFORE = ("system", "instructions", "systemInstruction")


class Split(Struct, frozen=True):
    """What a model's latest rollout says: the candidate has `share` of the conversations."""

    rollout_id: str
    model: str
    champion: str
    candidate: str
    share: float

    @property
    def undecided(self) -> bool:
        """Whether both versions serve."""
        return 0.0 < self.share < 1.0

    def place_of(self, conversation: int) -> float:
        """Where a conversation lies: uniform in [0, 1), and another place in another rollout."""
        key = self.rollout_id.encode()[:64]
        digest = hashlib.blake2b(
            conversation.to_bytes(8, signed=True), key=key, digest_size=8
        ).digest()
        return (int.from_bytes(digest) >> 11) * 2.0**-53

    def version_of(self, conversation: int) -> str:
        """The version that a conversation belongs to. Cost: about 2 µs."""
        return self.candidate if self.place_of(conversation) < self.share else self.champion


def conversation_of(exchange: Exchange, named: bytes | None, secret: bytes) -> int:
    """A number for the conversation that a request belongs to, the same on every proxy.

    What its caller calls it (the header, `conversation`, or one of `_NAMES` in `metadata`); without
    a name, how it began: what stands before the first answer, and whose it is. It tells nothing of
    either to whoever does not know the installation's secret.
    Cost: about 5 µs, and 1 µs for each KiB of how it began.
    """
    body, tenant = exchange.request, exchange.caller.tenant
    name = named.decode("latin-1") if named else _name(body)
    what: Any = [tenant, name] if name else [tenant, _user(body), _opening(body)]
    text = orjson.dumps(what, option=orjson.OPT_NON_STR_KEYS)
    return int.from_bytes(hmac.digest(secret, text, hashlib.sha256)[:8], signed=True)


def _name(body: dict[str, Any]) -> str | None:
    found = body.get("conversation")
    if isinstance(found, dict):
        found = found.get("id")
    metadata = body.get("metadata")
    if not isinstance(found, str) and isinstance(metadata, dict):
        found = next((metadata[n] for n in _NAMES if isinstance(metadata.get(n), str)), None)
    return found if isinstance(found, str) and found else None


def _user(body: dict[str, Any]) -> Any:
    for name in _USERS:
        if isinstance(body.get(name), str):
            return body[name]
    metadata = body.get("metadata")
    return metadata.get("user_id") if isinstance(metadata, dict) else None


def _opening(body: dict[str, Any]) -> list[Any]:
    """All that stands before the model's first answer; it comes again with every later turn."""
    before = [body.get(name) for name in _BEFORE]
    turns = next((body[name] for name in _TURNS if body.get(name)), None)
    if not isinstance(turns, list):
        return [*before, turns]
    roles = [turn.get("role") if isinstance(turn, dict) else None for turn in turns]
    end = next((i + 1 for i, role in enumerate(roles) if role == "user"), len(turns))
    return [*before, *turns[:end]]
