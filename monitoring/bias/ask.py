"""How are the prompts of an audit put to the model? Through the proxy, slowly, with its own key."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from guardrails.exchange_log.own_traffic import SOURCE
from monitoring.bias.paired import Measured
from monitoring.bias.prompts import Messages, Prompt
from monitoring.drift.descriptors import refuses

SECONDS = 120.0
MOST_TOKENS = 300


class Answer(Struct, frozen=True):
    """What came back: the exchange's id, what was decided, and what the model said."""

    exchange_id: str
    blocked: bool
    text: str

    def measured(self, toxicity: float | None) -> Measured:
        """What a pair is compared by; the text itself goes no further."""
        return Measured(self.blocked, self.blocked or refuses(self.text), toxicity, len(self.text))


class Asked(Struct, frozen=True):
    """One pair; None for an answer that did not come."""

    prompt: Prompt
    first: Answer | None
    second: Answer | None


async def ask(prompts: Sequence[Prompt], url: str, token: str, *, per_minute: float) -> list[Asked]:
    """Put every pair to the model, one after the other: the odd ones first side first.

    Limits: at most `per_minute` requests, so that users never wait for an audit.
    """
    pace = 60.0 / per_minute
    done = []
    for number, prompt in enumerate(prompts):
        sides = (prompt.first, prompt.second)
        answers: list[Answer | None] = [None, None]
        for side in (0, 1) if number % 2 else (1, 0):
            began = time.monotonic()
            answers[side] = await asyncio.to_thread(_post, url, token, prompt, sides[side])
            await asyncio.sleep(max(0.0, pace - (time.monotonic() - began)))
        done.append(Asked(prompt, *answers))
    return done


def _post(url: str, token: str, prompt: Prompt, messages: Messages) -> Answer | None:
    body: dict[str, Any] = {
        "model": prompt.model,
        "messages": messages,
        "temperature": 0,
        "seed": 1,
        "max_tokens": MOST_TOKENS,
    }
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    if prompt.source_id is not None:
        headers[SOURCE] = str(prompt.source_id)
    request = urllib.request.Request(  # noqa: S310  the proxy's address, from the settings
        f"{url.rstrip('/')}/v1/chat/completions", json.dumps(body).encode(), headers
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:  # noqa: S310  the same
            answer = json.load(response)
            message = answer["choices"][0]["message"]
            return Answer(
                response.headers["x-request-id"],
                response.headers["x-guardrail-decision"] == "block",
                message.get("content") or message.get("refusal") or "",
            )
    except (urllib.error.URLError, OSError, ValueError, LookupError):
        return None
