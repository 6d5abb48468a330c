"""Which versions of a model are there, how good were they, and which of them serves?

A version is written once. Only its stage changes:

    registered → canary → champion → retired
         └────────┴─────→ refused
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct, structs
from sqlalchemy import Row, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from guardrails.exchange_log.retraining_tables import model_versions

Kind = Literal["language_model", "detector"]
Stage = Literal["registered", "canary", "champion", "retired", "refused"]

_table = model_versions.c


class NewVersion(Struct, frozen=True):
    """What is told of a version when it is registered; `stage` is `refused` where a gate failed."""

    model: str
    version: str
    kind: Kind
    weights_uri: str
    weights_sha256: str
    evaluation: dict[str, Any]
    lineage: dict[str, Any]
    dataset_sha256: str | None = None
    template_hash: str | None = None
    parent: UUID | None = None
    stage: Stage = "registered"


class ModelVersion(NewVersion, frozen=True, kw_only=True):
    """A version as it stands in the registry."""

    id: UUID
    registered_at: datetime

    @property
    def name(self) -> str:
        """`model@version`, as it stands on exchanges and rollouts."""
        return f"{self.model}@{self.version}"


async def register(engine: AsyncEngine, new: NewVersion, *, now: datetime) -> ModelVersion:
    """Write a version once; where it stands already, that one is given back unchanged."""
    values = {**structs.asdict(new), "registered_at": now}
    async with engine.begin() as connection:
        await connection.execute(
            insert(model_versions)
            .values(values)
            .on_conflict_do_nothing(index_elements=["model", "version"])
        )
        found = await _one(connection, _table.model == new.model, _table.version == new.version)
    if found is None:
        raise LookupError(f"{new.model}@{new.version} was just registered and is gone")
    return found


async def get(engine: AsyncEngine, version_id: UUID) -> ModelVersion | None:
    """A version by its id."""
    async with engine.connect() as connection:
        return await _one(connection, _table.id == version_id)


async def find(engine: AsyncEngine, model: str, version: str) -> ModelVersion | None:
    """A version by its name."""
    async with engine.connect() as connection:
        return await _one(connection, _table.model == model, _table.version == version)


async def champion(engine: AsyncEngine, model: str) -> ModelVersion | None:
    """The version that serves; None where the model was never promoted through here."""
    async with engine.connect() as connection:
        return await _one(connection, _table.model == model, _table.stage == "champion")


async def versions(
    engine: AsyncEngine, *, model: str | None = None, limit: int = 100
) -> list[ModelVersion]:
    """The newest versions first, of one model or of all."""
    statement = select(model_versions).order_by(_table.registered_at.desc(), _table.id).limit(limit)
    if model is not None:
        statement = statement.where(_table.model == model)
    async with engine.connect() as connection:
        return [_version(row) for row in await connection.execute(statement)]


async def set_stage(connection: AsyncConnection, version_id: UUID, stage: Stage) -> None:
    """Move a version on; a new champion retires the one before it, in the same transaction.

    The caller commits, together with its own record of why. Errors: LookupError for an unknown id.
    """
    found = await _one(connection, _table.id == version_id)
    if found is None:
        raise LookupError(f"There is no model version {version_id}.")
    if stage == "champion":
        await connection.execute(
            update(model_versions)
            .where(_table.model == found.model, _table.stage == "champion", _table.id != version_id)
            .values(stage="retired")
        )
    await connection.execute(
        update(model_versions).where(_table.id == version_id).values(stage=stage)
    )


async def _one(connection: AsyncConnection, *conditions: Any) -> ModelVersion | None:
    row = (await connection.execute(select(model_versions).where(*conditions))).one_or_none()
    return None if row is None else _version(row)


def _version(row: Row[Any]) -> ModelVersion:
    return ModelVersion(**row._mapping)
