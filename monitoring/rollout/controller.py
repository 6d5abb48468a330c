"""What happens next to a rollout: on to the next step, back to the champion, or nothing?

    breach of the test ─▶ rolled back, whatever else
    the step's time and conversations ─▶ next step ─▶ … ─▶ promoted
    anything less, or no data ─▶ the share stays

All in one transaction: what was read, what it led to, and the notice to the proxies.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.rollout import outcomes, records
from monitoring.rollout.evidence import METRICS, Evidence, add, add_feedback, next_step
from monitoring.rollout.records import Kind, Rollout

WHO = "rollout controller"
FAR_TRANSACTIONS = 5_000


class Decision(Struct, frozen=True):
    """What is to be done, and why; `step` is the one that begins."""

    kind: Kind
    why: str
    step: int | None = None


async def tick(engine: AsyncEngine, rollout_id: UUID, now: datetime) -> Decision | None:
    """Read what is new of a rollout and act on it; None where it stays as it is.

    Errors: sqlalchemy.exc.DBAPIError where somebody changed it at the same moment, or Postgres is
    away: then nothing was done, and the next tick reads the same again.
    """
    async with engine.connect() as bare:
        connection = await bare.execution_options(isolation_level="REPEATABLE READ")
        async with connection.begin():
            rollout = await records.locked(connection, rollout_id)
            if rollout is None or not rollout.open:
                return None
            before = msgspec.convert(rollout.evidence, Evidence)
            seen_until = await outcomes.snapshot(connection)
            tolerated = rollout.plan.tolerated
            found = await outcomes.new(connection, rollout, before.snapshot or outcomes.NOTHING)
            evidence = add(before, found, tolerated=tolerated)
            said = await outcomes.feedback(connection, rollout)
            evidence = add_feedback(evidence, said, tolerated=tolerated)
            decision = decide(rollout, evidence, step_began(rollout), now)
            if decision is not None:
                detail = {"who": WHO, "why": decision.why, **figures(evidence)}
                await records.change(
                    connection, rollout, decision.kind, now=now, detail=detail, step=decision.step
                )
                evidence = next_step(evidence)
            if evidence != before or _is_far(before.snapshot, seen_until):
                kept = replace(evidence, snapshot=seen_until)
                await records.keep_evidence(connection, rollout.id, msgspec.to_builtins(kept))
    return decision


def _is_far(before: str | None, now: str) -> bool:
    """Whether so many transactions lie between that they are not to be gone through again."""
    old, new = (int((one or outcomes.NOTHING).partition(":")[0]) for one in (before, now))
    return new - old > FAR_TRANSACTIONS


def decide(rollout: Rollout, evidence: Evidence, began: datetime, now: datetime) -> Decision | None:
    """A pure function: what the evidence asks for at this moment."""
    threshold = 1 / rollout.plan.false_rollback
    if evidence.strength >= threshold:
        why = f"{blamed(evidence)}: evidence {evidence.strength:.0f}, {threshold:.0f} is enough"
        return Decision("rolled_back", why)
    step = rollout.plan.steps[rollout.step]
    waited = now - began >= timedelta(seconds=step.seconds)
    enough = min(evidence.seen, evidence.checked) >= step.conversations
    if rollout.state != "running" or not waited or not enough:
        return None
    why = f"{evidence.seen} conversations without harm at {step.share:.0%}"
    if rollout.step + 1 < len(rollout.plan.steps):
        return Decision("step", why, rollout.step + 1)
    return Decision("promoted", why)


def step_began(rollout: Rollout) -> datetime:
    """When the step that is under way began; a pause and its end are changes too."""
    return rollout.updated_at


def blamed(evidence: Evidence) -> str:
    """The metric that most of the evidence comes from, with its two rates."""
    by_metric = evidence.by_metric()
    name = max(METRICS, key=lambda metric: by_metric.get(metric, 0.0))
    k, m, other, n = evidence.totals[name]
    return f"{name} {k} of {m} against {other} of {n}"


def figures(evidence: Evidence) -> dict[str, Any]:
    """What goes into an event beside its reason, for people and pages."""
    won = evidence.by_metric()
    return {
        "strength": round(evidence.strength, 3),
        "conversations": evidence.seen,
        "checked": evidence.checked,
        "metrics": {
            name: {
                "candidate": {"hits": k, "n": m},
                "champion": {"hits": other, "n": n},
                "evidence": round(won.get(name, 0.0), 4),
            }
            for name, (k, m, other, n) in evidence.totals.items()
        },
    }
