from __future__ import annotations

from datetime import UTC, datetime

from monitoring.retraining import registry
from monitoring.rollout.publish import publish


async def registered(engine, version: str, uri: str) -> None:
    new = registry.NewVersion(
        model="org/small", version=version, kind="language_model", weights_uri=uri,
        weights_sha256="0" * 64, evaluation={}, lineage={},
    )  # fmt: skip
    await registry.register(engine, new, now=datetime(2026, 11, 26, tzinfo=UTC))


async def test_a_version_is_linked_once_by_its_name(engine, tmp_path):
    weights = tmp_path / "with a space" / "model"
    weights.mkdir(parents=True)
    await registered(engine, "2", weights.as_uri())
    link = await publish(engine, tmp_path / "versions", "org/small@2")
    assert link == tmp_path / "versions" / "org" / "small@2"
    assert link.resolve() == weights
    assert await publish(engine, tmp_path / "versions", "org/small@2") == link
    assert [path.name for path in link.parent.iterdir()] == ["small@2"]


async def test_what_is_not_here_is_not_linked(engine, tmp_path):
    await registered(engine, "3", "s3://bucket/small")
    assert await publish(engine, tmp_path, "org/small@3") is None
    assert await publish(engine, tmp_path, "org/small@9") is None
    assert list(tmp_path.iterdir()) == []
