"""The proxy itself, served on a free port over a real database and real upstreams."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import uvicorn
from psycopg.rows import dict_row

from guardrails.app import App
from guardrails.database.url import libpq_url
from guardrails.settings import Settings, UpstreamSettings

RULE = """
  - id: {id}
    detector: {detector}
    label: {label}
    stage: [{stage}]
    threshold: 0.5
    action: {action}
    on_error: block
    restore: {restore}
    mode: {mode}
"""


def policy_text(*rules: dict[str, str]) -> str:
    """A policy of rules, of patterns by default; each needs `id`, `label`, `stage`, `action`."""
    defaults = {"detector": "patterns", "restore": "false", "mode": "enforce"}
    written = "".join(RULE.format(**{**defaults, **rule}) for rule in rules)
    return f"name: test\nblocked_message: Declined.\nrules:{written or ' []'}"


BLOCK_INPUT = {"id": "block-in", "label": "forbidden", "stage": "input", "action": "block"}
BLOCK_OUTPUT = {"id": "block-out", "label": "forbidden", "stage": "output", "action": "block"}
REDACT_OUTPUT = {"id": "redact-out", "label": "secret", "stage": "output", "action": "redact"}
HIDE_INPUT = {"id": "hide-in", "label": "personal_data", "stage": "input", "action": "redact",
              "restore": "true"}  # fmt: skip
FLAG_INPUT = {"id": "flag-in", "label": "suspect", "stage": "input", "action": "flag"}


@dataclass
class Served:
    """A running proxy."""

    url: str
    app: App
    database_url: str
    policy: Path

    async def rows(self, count: int) -> list[dict[str, Any]]:
        """The recorded exchanges, oldest first, once there are `count` of them."""
        async with (
            asyncio.timeout(10),
            await psycopg.AsyncConnection.connect(
                libpq_url(self.database_url), autocommit=True, row_factory=dict_row
            ) as connection,
        ):
            while True:
                query = "SELECT * FROM exchanges ORDER BY started_at, id"
                rows = await (await connection.execute(query)).fetchall()
                if len(rows) >= count:
                    assert len(rows) == count
                    return rows
                await asyncio.sleep(0.02)


Serve = Callable[..., contextlib.AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve(postgres_url: str, tmp_path: Path) -> Serve:
    """A function that serves the proxy: `serve(upstream_url, rules, **settings)`."""

    @contextlib.asynccontextmanager
    async def started(
        *upstream_urls: str, rules: tuple[dict[str, str], ...] = (), **changes: Any
    ) -> AsyncIterator[Served]:
        policy = tmp_path / "policy.yaml"
        policy.write_text(policy_text(*rules))
        upstreams = tuple(
            UpstreamSettings(name=f"u{number}", url=url, model="small", version="7")
            for number, url in enumerate(upstream_urls)
        )
        settings = Settings(
            **{
                "data_dir": tmp_path,
                "database_url": postgres_url,
                "policy": policy,
                "upstreams": upstreams,
                "detectors": {
                    "patterns": {"words": {"forbidden": ["xyzzy"], "suspect": ["plugh"]}}
                },
                **changes,
            }
        )
        app = App(settings)
        server = uvicorn.Server(
            uvicorn.Config(
                app, port=0, log_level="warning", lifespan="on", ws="none", proxy_headers=False
            )
        )
        serving = asyncio.create_task(server.serve())
        async with asyncio.timeout(10):
            while not server.started:
                if serving.done():
                    serving.result()
                await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield Served(f"http://127.0.0.1:{port}", app, postgres_url, policy)
        finally:
            server.should_exit = True
            await serving

    return started
