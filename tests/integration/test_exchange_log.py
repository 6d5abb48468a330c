from __future__ import annotations

import psycopg

from guardrails.database_url import libpq_url
from guardrails.exchange_log.writer import ExchangeLog
from tests.factories import make_blocked, make_exchange


async def rows(url: str, query: str, *arguments: object) -> list[tuple]:
    async with await psycopg.AsyncConnection.connect(libpq_url(url)) as connection:
        return await (await connection.execute(query, arguments)).fetchall()


async def test_what_is_appended_is_found_in_its_columns(postgres_url: str) -> None:
    log = ExchangeLog(postgres_url, 100)
    await log.start()
    allowed, blocked = make_exchange(), make_blocked()
    assert log.append(allowed)
    assert log.append(blocked)
    await log.stop()
    found = await rows(
        postgres_url,
        "SELECT id::text, decision, tenant, key_id, gen_ai_request_model, gen_ai_response_model,"
        " gen_ai_usage_input_tokens, gen_ai_response_finish_reasons, duration_seconds, prompt,"
        " failure_code, reasons->0->>'rule', inputs->0->>'text', bytes > 100"
        " FROM exchanges ORDER BY decision",
    )
    assert found == [
        (allowed.id, "allow", "acme", "k1", "demo", "demo-model-2026", 12, ["stop"], 0.26,
         allowed.prompt, None, None, "What is a banister?", True),
        (blocked.id, "block", "acme", "k1", "demo", None, None, [], 0.26,
         blocked.prompt, None, "no-insults", "You are an idiot.", True),
    ]  # fmt: skip
    assert (log.stats.written, log.stats.dropped, log.stats.queued) == (2, 0, 0)
