from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.retraining import registry
from monitoring.retraining.registry import NewVersion

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def version(name: str, **changes: object) -> NewVersion:
    values = {
        "model": "small",
        "version": name,
        "kind": "language_model",
        "weights_uri": f"file:///models/{name}",
        "weights_sha256": "a" * 64,
        "template_hash": "b" * 64,
        "dataset_sha256": "c" * 64,
        "evaluation": {"gates": []},
        "lineage": {"base": "small@1"},
    }
    return NewVersion(**{**values, **changes})


async def test_a_version_is_written_once_and_stands(engine: AsyncEngine) -> None:
    first = await registry.register(engine, version("2"), now=NOW)
    again = await registry.register(
        engine, version("2", weights_sha256="d" * 64), now=NOW + timedelta(1)
    )
    assert again == first
    assert first.name == "small@2"
    assert await registry.find(engine, "small", "2") == first
    assert await registry.get(engine, first.id) == first
    assert await registry.find(engine, "small", "3") is None


async def test_versions_come_newest_first(engine: AsyncEngine) -> None:
    for number in range(3):
        await registry.register(engine, version(str(number)), now=NOW + timedelta(hours=number))
    await registry.register(engine, version("1", model="other"), now=NOW)
    found = await registry.versions(engine, model="small")
    assert [one.version for one in found] == ["2", "1", "0"]
    assert len(await registry.versions(engine)) == 4


async def test_a_new_champion_retires_the_one_before(engine: AsyncEngine) -> None:
    old = await registry.register(engine, version("1", stage="champion"), now=NOW)
    new = await registry.register(engine, version("2", parent=old.id), now=NOW)
    assert await registry.champion(engine, "small") == old
    async with engine.begin() as connection:
        await registry.set_stage(connection, new.id, "champion")
    serving = await registry.champion(engine, "small")
    assert serving is not None
    assert (serving.id, serving.parent) == (new.id, old.id)
    retired = await registry.get(engine, old.id)
    assert retired is not None
    assert retired.stage == "retired"


async def test_no_stage_is_set_for_a_version_that_is_not_there(engine: AsyncEngine) -> None:
    with pytest.raises(LookupError):
        async with engine.begin() as connection:
            await registry.set_stage(connection, uuid4(), "canary")
