"""Which exchanges may teach a model? Those of an alert and of reviewers, as recorded."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.errors import ConfigError
from guardrails.exchange_log import query
from guardrails.exchange_log.cipher import Cipher
from guardrails.exchange_log.rows import ExchangeDetail
from guardrails.types import Passage
from monitoring import reviews
from monitoring.retraining.plan import Plan
from monitoring.reviews import Labelled
from monitoring.types import Window


class Candidate(Struct, frozen=True, kw_only=True):
    """A conversation that might become a row of training data.

    `messages` end with the user's last turn. `harmful` is what the reviewers' majority said of each
    side; None: nobody did, or they disagree. `target` is "example" for a pair that people wrote.
    """

    id: str
    conversation: str
    tenant: str
    route: str
    messages: list[dict[str, str]]
    answer: str
    passages: tuple[Passage, ...] = ()
    blocked: bool = False
    input_harmful: bool | None = None
    output_harmful: bool | None = None
    harms: tuple[str, ...] = ()
    source: str = "review"


class Found(Struct, frozen=True):
    """The candidates in the order of their ids, and how many were left out for which reason."""

    candidates: list[Candidate]
    left_out: dict[str, int]


async def gather(engine: AsyncEngine, plan: Plan, cipher: Cipher | None) -> Found:
    """What the plan names: reviewed exchanges of its window, its evidence, its example files."""
    labelled = await reviews.labelled(engine, Window(plan.since, plan.until))
    said: dict[UUID, list[Labelled]] = defaultdict(list)
    for one in labelled:
        said[one.item.exchange_id].append(one)
    left_out: dict[str, int] = defaultdict(int)
    found = []
    async with engine.connect() as connection:
        for exchange_id in sorted({*said, *plan.exchange_ids}):
            detail = await query.get(connection, exchange_id, cipher)
            fault = unusable(detail, plan)
            if detail is None or fault is not None:
                left_out[fault or "gone"] += 1
            elif not said[exchange_id]:
                left_out["not reviewed"] += 1
            else:
                source = "alert" if exchange_id in plan.exchange_ids else "review"
                found.append(candidate_of(detail, said[exchange_id], source))
    for path in plan.examples:
        found += read_examples(Path(path))
    return Found(sorted(found, key=lambda candidate: candidate.id), dict(left_out))


def unusable(detail: ExchangeDetail | None, plan: Plan) -> str | None:
    """Why an exchange cannot be a row; None where it can."""
    if detail is None:
        return "gone"
    if plan.tenants is not None and detail.row.tenant not in plan.tenants:
        return "another tenant's"
    if detail.erased_at is not None:
        return "erased"
    if any(segment["stage"] in ("tool_call", "tool_result") for segment in detail.inputs):
        return "with tools"
    if not any(segment["role"] == "user" for segment in detail.inputs):
        return "no user's turn"
    return None


def candidate_of(detail: ExchangeDetail, said: Sequence[Labelled], source: str) -> Candidate:
    """A recorded exchange with what the reviewers said of it."""
    messages = messages_of(detail.inputs)
    verdicts = {
        side: majority(
            label.harmful for one in said if one.item.side == side for label in one.labels
        )
        for side in ("input", "output")
    }
    return Candidate(
        id=str(detail.row.id),
        conversation=conversation_of(detail.request, detail.row.tenant, messages),
        tenant=detail.row.tenant,
        route=detail.row.route,
        messages=messages,
        answer="\n".join(
            s["text"] for s in detail.outputs if s["index"] == 0 and s["stage"] == "output"
        ),
        passages=tuple(
            Passage(**{name: p[name] for name in Passage.__struct_fields__ if name in p})
            for p in detail.passages
        ),
        blocked=detail.row.decision == "block",
        input_harmful=verdicts["input"],
        output_harmful=verdicts["output"],
        harms=tuple(
            sorted({name for one in said for label in one.labels for name in label.labels})
        ),
        source=source,
    )


def messages_of(inputs: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    """The recorded texts as messages, of whatever protocol, up to the last user's turn."""
    texts: dict[tuple[int, str], list[str]] = defaultdict(list)
    for segment in inputs:
        texts[segment["index"], segment["role"]].append(segment["text"])
    messages = [{"role": role, "content": "\n".join(parts)} for (_, role), parts in texts.items()]
    messages.sort(key=lambda message: message["role"] not in ("system", "developer"))
    last = max(i for i, message in enumerate(messages) if message["role"] == "user")
    return messages[: last + 1]


def conversation_of(request: Any, tenant: str, messages: Sequence[dict[str, str]]) -> str:
    """What keeps the turns of one conversation together: its own name, else how it began."""
    metadata = request.get("metadata") if isinstance(request, dict) else None
    named = metadata.get("conversation_id") if isinstance(metadata, dict) else None
    first = next(message["content"] for message in messages if message["role"] == "user")
    begin = str(named) if named is not None else first
    return hashlib.sha256(f"{tenant}\0{begin}".encode("utf-8", "replace")).hexdigest()[:16]


def majority(said: Iterable[bool | None]) -> bool | None:
    """What most said; None for a tie, and where all who spoke cannot tell."""
    votes = [vote for vote in said if vote is not None]
    yes = sum(votes)
    return None if 2 * yes == len(votes) else 2 * yes > len(votes)


def read_examples(path: Path) -> list[Candidate]:
    """Pairs that people wrote or accepted: JSON lines of `prompt` or `messages`, and `answer`.

    Errors: ConfigError that names the line.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            messages = row.get("messages") or [{"role": "user", "content": row["prompt"]}]
            passages = tuple(
                Passage(i, "", "", p.get("title", ""), p.get("source", ""), p["text"], 1.0)
                for i, p in enumerate(row.get("passages", ()), start=1)
            )
            identity = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16]
            found.append(
                Candidate(
                    id=f"example-{identity}",
                    conversation=row.get("conversation") or conversation_of({}, "", messages),
                    tenant=row.get("tenant", ""),
                    route=row.get("route", "default"),
                    messages=messages,
                    answer=row["answer"],
                    passages=passages,
                    input_harmful=row.get("harmful", False),
                    output_harmful=False,
                    source="example",
                )
            )
        except (KeyError, TypeError, AttributeError, StopIteration, json.JSONDecodeError) as error:
            raise ConfigError(
                f"{path}, line {number}: each needs `prompt` or `messages`, and `answer`."
            ) from error
    return found
