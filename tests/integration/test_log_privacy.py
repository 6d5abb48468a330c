"""What the proxy really writes down, where some of it must not be, or only encrypted."""

from __future__ import annotations

import base64

import httpx
import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.database.url import libpq_url
from guardrails.exchange_log import query
from guardrails.exchange_log.cipher import make_cipher
from guardrails.keys import key_secret
from guardrails.settings import CutSettings, PrivacySettings, Settings
from tests import fakes
from tests.integration.conftest import BLOCK_INPUT, REDACT_OUTPUT, Serve, Served

EMAIL = "ann@example.org"
CUT = (PrivacySettings(cut=(CutSettings(detector="patterns", labels=("personal_data",)),)),)
KEYS = "k1:" + base64.b64encode(b"n" * 32).decode()


async def ask(served: Served, path: str = "chat/completions", **body) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.post(f"{served.url}/v1/{path}", json={"model": "small", **body})


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


async def written(url: str) -> str:
    async with await psycopg.AsyncConnection.connect(libpq_url(url)) as connection:
        rows = await connection.execute("SELECT e::text FROM exchanges e")
        return "\n".join(row for (row,) in await rows.fetchall())


@pytest.mark.parametrize("mode", ["durable", "fast", "memory"])
async def test_cut_texts_reach_neither_spool_nor_database_on_any_path(
    serve: Serve, mode: str, tmp_path
) -> None:
    rules = (BLOCK_INPUT, REDACT_OUTPUT)
    async with (
        fakes.upstream() as model,
        serve(model.url, rules=rules, privacy=CUT, log_mode=mode) as served,
    ):
        passed = await ask(served, messages=said(f"Write to {EMAIL}."), user=EMAIL)
        assert EMAIL in passed.text
        streamed = await ask(served, messages=said(f"Write to {EMAIL}."), stream=True)
        assert "[DONE]" in streamed.text
        await ask(served, messages=said(f"xyzzy {EMAIL}"), metadata={"mail": EMAIL})
        await ask(served, messages=said(EMAIL), model=f"no such {EMAIL}"[:9])
        await ask(served, "moderations", input=["clean", f"Mail {EMAIL}"])
        await ask(served, "embeddings", input=f"Mail {EMAIL}")
        spool = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert EMAIL.encode() not in spool
        rows = await served.rows(6)
    assert EMAIL not in await written(served.database_url)
    assert [row["decision"] for row in rows].count("block") == 1
    assert rows[0]["inputs"][0]["text"] == "Write to [personal_data]."


async def test_encrypted_texts_are_read_with_the_ring_only(
    serve: Serve, engine: AsyncEngine
) -> None:
    async with fakes.upstream() as model, serve(model.url, log_keys=KEYS) as served:
        answer = await ask(served, messages=said("Do not read this."), user="ann")
        assert answer.status_code == 200
        (row,) = await served.rows(1)
    assert "Do not read this." not in await written(served.database_url)
    settings = Settings(log_keys=KEYS, data_dir=served.policy.parent)
    cipher = make_cipher(settings.log_keys, key_secret(settings))
    async with engine.connect() as connection:
        found = await query.get(connection, row["id"], cipher)
    assert found is not None
    assert found.request["messages"] == said("Do not read this.")
    assert found.completion["choices"][0]["message"]["content"] == "Echo: Do not read this."
    assert row["gen_ai_response_finish_reasons"] == ["stop"]
