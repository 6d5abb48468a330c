"""Which policy held when an exchange was judged: read back by the version that stands on it."""

from __future__ import annotations

import yaml
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.tables import policies
from guardrails.policy.model import Policy


async def policy_of(connection: AsyncConnection, label: str) -> Policy | None:
    """The policy that `name@version` names; None where its text was not kept or reads no more."""
    version = label.rpartition("@")[2]
    statement = select(policies.c.source).where(policies.c.hash == version)
    source = (await connection.execute(statement)).scalar_one_or_none()
    return None if source is None else parse(source)


def parse(source: str) -> Policy | None:
    """A policy from its text, as it was judged by then: labels are not checked again."""
    try:
        return Policy.model_validate(yaml.safe_load(source))
    except (yaml.YAMLError, ValidationError):
        return None
