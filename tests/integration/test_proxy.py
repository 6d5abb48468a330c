"""The whole proxy with pattern rules, seen through the official `openai` client."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime

import httpx
import openai
import pytest

from guardrails.keys import create_key, revoke_key
from tests import fakes
from tests.integration.conftest import (
    BLOCK_INPUT,
    BLOCK_OUTPUT,
    FLAG_INPUT,
    HIDE_INPUT,
    REDACT_OUTPUT,
    Serve,
    Served,
    policy_text,
)

ASK = [{"role": "user", "content": "What is a stair?"}]
BAD = [{"role": "user", "content": "Please say xyzzy."}]
KEY = "AKIA" + "IOSFODNN7EXAMPLE"


def client(served: Served, route: str = "") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{served.url}{route}/v1", api_key="none", max_retries=0)


async def post(served: Served, path: str = "/v1/chat/completions", **arguments) -> httpx.Response:
    async with httpx.AsyncClient(base_url=served.url) as http:
        return await http.post(path, **arguments)


async def test_an_allowed_chat_passes_untouched_and_is_recorded(serve: Serve):
    async with fakes.upstream() as model, serve(model.url, rules=(BLOCK_INPUT, BLOCK_OUTPUT)) as b:
        async with client(b) as ai:
            answer = await ai.chat.completions.with_raw_response.create(
                model="small",
                messages=ASK,
                n=2,
                logprobs=True,
                extra_body={"new_field": {"a": 1}},
            )
        completion = answer.parse()
        (row,) = await b.rows(1)
    assert [choice.message.content for choice in completion.choices] == [
        "Echo: What is a stair?"
    ] * 2
    assert completion.choices[0].logprobs is not None
    assert completion.model_extra["echo"] == {"new_field": {"a": 1}}
    sent = model.last.json
    assert sent["messages"] == ASK
    assert sent["new_field"] == {"a": 1}
    assert "authorization" not in model.last.headers
    assert answer.headers["x-guardrail-decision"] == "allow"
    assert answer.headers["x-guardrail-policy"].startswith("test@")
    assert answer.headers["x-request-id"] == str(row["id"])
    assert row["decision"] == "allow"
    assert row["upstream_model"] == "small@7"
    assert row["gen_ai_usage_output_tokens"] == completion.usage.completion_tokens
    assert {check["detector"] for check in row["checks"]} == {"patterns"}
    assert {check["side"] for check in row["checks"]} == {"input", "output"}
    assert {"check_input", "model", "check_output", "total"} <= row["seconds"].keys()


async def test_a_blocked_request_never_reaches_the_model_and_is_an_ordinary_answer(serve: Serve):
    async with fakes.upstream() as model, serve(model.url, rules=(BLOCK_INPUT,)) as b:
        async with client(b) as ai:
            raw = await ai.chat.completions.with_raw_response.create(model="small", messages=BAD)
            answer = raw.parse()
            stream = await ai.chat.completions.create(
                model="small", messages=BAD, stream=True, stream_options={"include_usage": True}
            )
            chunks = [chunk async for chunk in stream]
        rows = await b.rows(2)
    assert model.requests == []
    assert answer.choices[0].message.content == "Declined."
    assert answer.choices[0].message.refusal == "Declined."
    assert answer.choices[0].finish_reason == "content_filter"
    assert answer.usage.total_tokens == 0
    assert raw.headers["x-guardrail-decision"] == "block"
    assert raw.headers["x-guardrail-categories"] == "forbidden"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Declined."
    assert chunks[-2].choices[0].finish_reason == "content_filter"
    assert chunks[-1].usage.total_tokens == 0
    assert [row["decision"] for row in rows] == ["block", "block"]
    assert rows[0]["reasons"][0]["rule"] == "block-in"
    assert rows[0]["completion"] is None


async def test_a_blocked_answer_is_withheld_streamed_or_not(serve: Serve):
    upstream = fakes.upstream(fakes.chat("The magic word is xyzzy, friend.", chunk_characters=2))
    async with upstream as model, serve(model.url, rules=(BLOCK_OUTPUT,)) as b:
        async with client(b) as ai:
            answer = await ai.chat.completions.create(model="small", messages=ASK)
        streamed = await post(b, json={"model": "small", "messages": ASK, "stream": True})
        rows = await b.rows(2)
    assert answer.choices[0].message.content == "Declined."
    assert answer.usage.completion_tokens > 0
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert "xyzzy" not in streamed.text and "magic" not in streamed.text
    assert "Declined." in streamed.text
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert streamed.headers["x-guardrail-decision"] == "block"
    for row in rows:
        assert row["decision"] == "block"
        assert "xyzzy" in row["completion"]["choices"][0]["message"]["content"]


async def test_a_secret_is_cut_out_of_the_answer_streamed_or_not(serve: Serve):
    upstream = fakes.upstream(fakes.chat(f"Use {KEY} for it.", chunk_characters=3))
    async with upstream as model, serve(model.url, rules=(REDACT_OUTPUT,)) as b:
        async with client(b) as ai:
            whole = await ai.chat.completions.create(model="small", messages=ASK)
            stream = await ai.chat.completions.create(model="small", messages=ASK, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert whole.choices[0].message.content == text == "Use [secret] for it."


async def test_an_allowed_stream_keeps_its_events_and_unknown_fields(serve: Serve):
    upstream = fakes.upstream(fakes.chat("one two three", chunk_characters=4))
    async with upstream as model, serve(model.url, rules=(BLOCK_OUTPUT,)) as b, client(b) as ai:
        stream = await ai.chat.completions.create(
            model="small",
            messages=ASK,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"odd": 1},
        )
        chunks = [chunk async for chunk in stream]
        assert model.last.headers["accept"] == "text/event-stream"
        (row,) = await b.rows(1)
    said = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert said == ["one ", "two ", "thre", "e"]
    assert chunks[0].model_extra["echo"] == {"odd": 1}
    assert chunks[-1].usage is not None
    assert row["completion"]["choices"][0]["message"]["content"] == "one two three"
    assert row["gen_ai_usage_output_tokens"] == chunks[-1].usage.completion_tokens


async def test_a_stream_that_no_rule_looks_at_is_passed_on_as_it_comes(serve: Serve):
    upstream = fakes.upstream(fakes.chat("a b c d", chunk_characters=2, delay_seconds=0.1))
    async with upstream as model, serve(model.url, rules=(BLOCK_INPUT,)) as b, client(b) as ai:
        stream = await ai.chat.completions.create(model="small", messages=ASK, stream=True)
        loop = asyncio.get_running_loop()
        arrived = [loop.time() async for _ in stream]
    assert arrived[-1] - arrived[0] > 0.2


async def test_a_guarded_stream_leaves_clause_by_clause(serve: Serve):
    said = "The first clause is fine, so is the second one here, and the third ends it. " * 4
    upstream = fakes.upstream(fakes.chat(said, chunk_characters=4, delay_seconds=0.01))
    async with upstream as model, serve(model.url, rules=(BLOCK_OUTPUT,)) as b, client(b) as ai:
        loop = asyncio.get_running_loop()
        began = loop.time()
        stream = await ai.chat.completions.create(model="small", messages=ASK, stream=True)
        arrived, text = [], ""
        async for chunk in stream:
            arrived.append(loop.time() - began)
            text += chunk.choices[0].delta.content or ""
    assert text == said
    assert arrived[0] < 0.5 * arrived[-1]


def said(text: str, finish: str | None = None) -> bytes:
    """One event of a chat stream as bytes, for scripts that write by themselves."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"


async def test_a_silent_stream_is_kept_open_and_no_client_minds(serve: Serve):
    head = b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    step = fakes.raw(
        head + said("A first clause,") + said(" and a second, "), said("then the end.", "stop")
        + b"data: [DONE]\n\n", delay_seconds=0.5,
    )  # fmt: skip
    ask = {"model": "small", "messages": ASK, "stream": True}
    async with (
        fakes.upstream(step) as model,
        serve(model.url, rules=(BLOCK_OUTPUT,), heartbeat_seconds=0.1) as b,
        client(b) as ai,
    ):
        raw = (await post(b, json=ask)).text
        stream = await ai.chat.completions.create(**ask)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == "A first clause, and a second, then the end."
    assert 2 <= raw.count(": held\n\n") <= 6
    assert raw.index("data: ") < raw.index(": held")
    assert raw.endswith("data: [DONE]\n\n")


async def test_no_comment_begins_a_response(serve: Serve):
    """Until the first text has passed an error can still be a status."""
    step = fakes.slow(0.5, fakes.status(422, {"error": {"message": "no"}}))
    async with fakes.upstream(step) as model:
        async with serve(model.url, rules=(BLOCK_OUTPUT,), heartbeat_seconds=0.1) as b:
            answer = await post(b, json={"model": "small", "messages": ASK, "stream": True})
    assert answer.status_code == 422
    assert ": held" not in answer.text


async def test_a_stream_is_stopped_in_its_middle_and_so_is_the_model(serve: Serve):
    events = [
        {"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        for text in ["A harmless", " beginning,", " with", " xyzzy"] + [" in it,"] * 500
    ]
    step = fakes.sse(events, delay_seconds=0.01)
    async with fakes.upstream(step) as model, serve(model.url, rules=(BLOCK_OUTPUT,)) as b:
        answer = await post(b, json={"model": "small", "messages": ASK, "stream": True})
        assert await model.last.wait_until_client_went_away()
        (row,) = await b.rows(1)
    assert "A harmless" in answer.text and " beginning," in answer.text
    assert "xyzzy" not in answer.text
    assert '"finish_reason":"content_filter"' in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")
    assert row["decision"] == "block"
    assert "xyzzy" in row["completion"]["choices"][0]["message"]["content"]


async def test_tool_calls_survive_and_are_checked(serve: Serve):
    calls = [("send", {"to": "xyzzy"})]
    tools = [{"type": "function", "function": {"name": "send", "parameters": {}}}]
    rule = {**BLOCK_OUTPUT, "stage": "tool_call"}
    async with fakes.upstream(fakes.chat("", tool_calls=calls)) as model:
        async with serve(model.url, rules=(BLOCK_INPUT,)) as b, client(b) as ai:
            answer = await ai.chat.completions.create(model="small", messages=ASK, tools=tools)
            call = answer.choices[0].message.tool_calls[0]
            assert json.loads(call.function.arguments) == {"to": "xyzzy"}
            assert answer.choices[0].finish_reason == "tool_calls"
        async with serve(model.url, rules=(rule,)) as b, client(b) as ai:
            answer = await ai.chat.completions.create(model="small", messages=ASK, tools=tools)
            assert answer.choices[0].message.tool_calls is None
            assert answer.choices[0].finish_reason == "content_filter"


async def test_a_flag_is_told_beside_the_answer(serve: Serve):
    async with fakes.upstream() as model, serve(model.url, rules=(FLAG_INPUT,)) as b:
        answer = await post(
            b, json={"model": "small", "messages": [{"role": "user", "content": "plugh"}]}
        )
    assert answer.headers["x-guardrail-decision"] == "flag"
    assert answer.json()["choices"][0]["message"]["content"] == "Echo: plugh"
    found = answer.json()["prompt_filter_results"][0]["content_filter_results"]
    assert found["suspect"] == {"filtered": False, "detected": True, "redacted": False}


async def test_a_blocked_turn_in_the_history_does_not_poison_the_conversation(serve: Serve):
    history = [*BAD, {"role": "assistant", "content": "Declined."}, *ASK]
    async with fakes.upstream() as model, serve(model.url, rules=(BLOCK_INPUT,)) as b:
        async with client(b) as ai:
            answer = await ai.chat.completions.create(model="small", messages=history)
    assert answer.choices[0].message.content == "Echo: What is a stair?"
    assert "xyzzy" not in json.dumps(model.last.json)


async def test_a_route_may_answer_blocks_as_azures_error(serve: Serve):
    routes = {"default": {}, "strict": {"blocked_as": "error"}}
    async with (
        fakes.upstream() as model,
        serve(model.url, rules=(BLOCK_INPUT,), routes=routes) as b,
        client(b, "/strict") as ai,
    ):
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError) as raised:
                await ai.chat.completions.create(model="small", messages=BAD, stream=stream)
            assert raised.value.code == "content_filter"
            assert raised.value.response.headers["x-should-retry"] == "false"
        ok = await ai.chat.completions.create(model="small", messages=ASK)
        rows = await b.rows(3)
    assert ok.choices[0].finish_reason == "stop"
    assert {row["route"] for row in rows} == {"strict"}


async def test_completions_embeddings_models_and_moderations(serve: Serve):
    async with (
        fakes.upstream() as model,
        serve(model.url, rules=(BLOCK_INPUT, BLOCK_OUTPUT)) as b,
        client(b) as ai,
    ):
        text = await ai.completions.create(model="small", prompt="Once")
        assert text.choices[0].text == "Echo: Once"
        blocked = await ai.completions.create(model="small", prompt="xyzzy")
        assert blocked.choices[0].finish_reason == "content_filter"
        stream = await ai.completions.create(model="small", prompt="Once", stream=True)
        assert "".join([c.choices[0].text async for c in stream if c.choices]) == "Echo: Once"
        vectors = await ai.embeddings.create(model="small", input=["a", "b"])
        assert len(vectors.data) == 2
        with pytest.raises(openai.BadRequestError, match="Declined"):
            await ai.embeddings.create(model="small", input="xyzzy")
        assert [m.id async for m in await ai.models.list()] == ["small"]
        assert (await ai.models.retrieve("small@7")).id == "small@7"
        with pytest.raises(openai.NotFoundError):
            await ai.models.retrieve("none")
        verdicts = await ai.moderations.create(input=["fine", "xyzzy"])
        assert [result.flagged for result in verdicts.results] == [False, True]
        assert verdicts.results[1].category_scores.model_extra["forbidden"] == 1.0
        rows = await b.rows(6)
    assert [row["protocol"] for row in rows].count("moderations") == 1


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{nope", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b'{"model": "small"}', 400, "invalid_type"),
        (b'{"messages": []}', 400, "invalid_request"),
        (b'{"model": "small", "messages": [{"role": 1}]}', 400, "invalid_type"),
        (b'{"model": "none", "messages": [{"role": "user", "content": "x"}]}', 404,
         "model_not_found"),
        (b'{"model": "small", "messages": ' + b"[" * 50_000, 400, "invalid_json"),
        (b'{"x": "' + b"a" * 10_000_000 + b'"}', 413, "request_too_large"),
    ],
    ids=["not json", "not an object", "no messages", "no model", "wrong types", "unknown model",
         "deep", "10 MB"],
)  # fmt: skip
async def test_bad_input_is_a_clear_error_and_is_recorded(serve: Serve, content, status, code):
    async with fakes.upstream() as model, serve(model.url) as b:
        answer = await post(b, content=content)
        (row,) = await b.rows(1)
        healthy = await post(b, json={"model": "small", "messages": ASK})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["type"] == "invalid_request_error"
    assert row["failure_code"] == code
    assert row["failure_status"] == status
    assert healthy.status_code == 200


@pytest.mark.parametrize(
    ("step", "status", "code"),
    [
        (fakes.status(500), 500, "upstream_status"),
        (fakes.status(429, retry_after="30"), 429, "upstream_status"),
        (fakes.status(422, {"detail": "no"}), 422, "upstream_status"),
        (fakes.status(401), 502, "upstream_status"),
        (fakes.status(302, {}), 502, "upstream_status"),
        (fakes.garbage(), 502, None),
        (fakes.silent_close(), 502, None),
        (fakes.reset_mid_answer(), 502, None),
        (fakes.reply(["no", "answer"]), 502, "upstream_error"),
        (fakes.reply({"choices": [3]}), 502, "upstream_error"),
        (fakes.reply({"hello": 1}), 502, "upstream_error"),
    ],
)
async def test_an_upstream_that_fails_is_a_clear_error_and_is_recorded(
    serve: Serve, step, status, code
):
    async with fakes.upstream(step) as model, serve(model.url, retries=0) as b:
        answer = await post(b, json={"model": "small", "messages": ASK})
        (row,) = await b.rows(1)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert row["failure_status"] == status
    assert code is None or row["failure_code"] == code
    if status == 429:
        assert answer.headers["retry-after"] == "30"


@pytest.mark.parametrize("rules", [(), (BLOCK_OUTPUT,)], ids=["relayed", "held"])
@pytest.mark.parametrize(
    "step",
    [
        fakes.broken_stream(),
        fakes.sse(['{"choices": [{"index": 0, "delta": {"content": "x"}}]}', "not json"]),
        fakes.sse([{"error": {"message": "out of memory"}}]),
    ],
)
async def test_a_stream_that_breaks_is_an_error_for_the_client(serve: Serve, step, rules):
    async with (
        fakes.upstream(step) as model,
        serve(model.url, rules=rules, retries=0) as b,
        client(b) as ai,
    ):
        with pytest.raises(openai.APIError):
            stream = await ai.chat.completions.create(model="small", messages=ASK, stream=True)
            async for _ in stream:
                pass
        (row,) = await b.rows(1)
    assert row["failure_code"]


async def test_an_upstream_that_is_down_is_502(serve: Serve):
    with fakes.refusing_url() as url:
        async with serve(url) as b:
            answer = await post(b, json={"model": "small", "messages": ASK})
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "upstream_unreachable"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("rules", [(), (BLOCK_OUTPUT,)], ids=["relayed", "held"])
async def test_a_caller_who_goes_away_stops_the_model_and_is_recorded(serve: Serve, stream, rules):
    step = fakes.never_ends() if stream else fakes.slow(30)
    async with fakes.upstream(step) as model, serve(model.url, rules=rules) as b:
        with pytest.raises(httpx.TimeoutException):
            async with httpx.AsyncClient(timeout=0.4) as http, asyncio.timeout(0.5):
                async with http.stream(
                    "POST",
                    f"{b.url}/v1/chat/completions",
                    json={"model": "small", "messages": ASK, "stream": stream},
                ) as answer:
                    async for _ in answer.aiter_bytes():
                        await asyncio.sleep(0.3)
                        raise httpx.ReadTimeout("enough")
        assert await model.last.wait_until_client_went_away()
        (row,) = await b.rows(1)
    assert row["abandoned"]


async def test_the_policy_is_reloaded_and_a_bad_one_refused(serve: Serve):
    async with fakes.upstream() as model, serve(model.url) as b:
        before = await post(b, json={"model": "small", "messages": BAD})
        b.policy.write_text(policy_text(BLOCK_INPUT))
        async with asyncio.timeout(5):
            while True:
                after = await post(b, json={"model": "small", "messages": BAD})
                if after.headers["x-guardrail-decision"] == "block":
                    break
                await asyncio.sleep(0.1)
        b.policy.write_text("rules: 3")
        await asyncio.sleep(1.5)
        last = await post(b, json={"model": "small", "messages": BAD})
        async with httpx.AsyncClient(base_url=b.url) as http:
            ready = (await http.get("/readyz")).json()
    assert before.headers["x-guardrail-decision"] == "allow"
    assert last.headers["x-guardrail-policy"] == after.headers["x-guardrail-policy"]
    assert "not valid" in ready["policy_error"]


async def test_health_readiness_and_unknown_paths(serve: Serve):
    async with fakes.upstream() as model, serve(model.url) as b:
        async with httpx.AsyncClient(base_url=b.url) as http:
            assert (await http.get("/healthz")).json() == {"status": "ok"}
            ready = await http.get("/readyz")
            lost = await http.get("/v1/nothing")
            wrong = await http.get("/v1/chat/completions")
    assert ready.status_code == 200
    assert ready.json()["ready"] is True
    assert lost.status_code == 404
    assert lost.json()["error"]["code"] == "not_found"
    assert wrong.status_code == 405
    assert wrong.json()["error"]["code"] == "method_not_allowed"


async def test_without_keys_only_this_machine_is_served(serve: Serve):
    async with fakes.upstream() as model, serve(model.url) as b:
        body = {"model": "small", "messages": ASK}
        for headers in (
            {"host": "evil.example"},
            {"host": "127.0.0.1.evil.example"},
            {"x-forwarded-for": "203.0.113.9"},
        ):
            answer = await post(b, json=body, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
        assert (await post(b, json=body, headers={"host": "localhost:1"})).status_code == 200


async def test_a_key_opens_its_routes_until_it_is_revoked(serve: Serve, postgres_url: str):
    secret = b"s" * 32
    key, token = await create_key(
        postgres_url, secret, name="app", tenant="acme", routes=["default"], now=datetime.now(UTC)
    )
    routes = {"default": {}, "other": {}}
    body = {"model": "small", "messages": ASK}
    async with (
        fakes.upstream() as model,
        serve(model.url, key_secret=secret.decode(), routes=routes) as b,
    ):
        shown = {"authorization": f"Bearer {token}"}
        assert (await post(b, json=body)).status_code == 401
        wrong = await post(b, json=body, headers={"authorization": f"Bearer {token}x"})
        assert wrong.status_code == 401
        assert wrong.headers["www-authenticate"] == "Bearer"
        assert token not in wrong.text
        assert (await post(b, json=body, headers={"x-api-key": token})).status_code == 200
        elsewhere = await post(b, "/other/v1/chat/completions", json=body, headers=shown)
        assert elsewhere.status_code == 403
        assert elsewhere.json()["error"]["code"] == "key_not_allowed"
        allowed = await post(b, json=body, headers={**shown, "host": "guard.example"})
        assert allowed.status_code == 200
        await revoke_key(postgres_url, key.id, now=datetime.now(UTC))
        async with asyncio.timeout(1):
            while (await post(b, json=body, headers=shown)).status_code == 200:
                await asyncio.sleep(0.02)
        rows = await b.rows(len(model.requests) + 4)
    tenants = {row["tenant"] for row in rows if row["failure_code"] is None}
    assert tenants == {"acme"}
    assert token not in str(rows)


async def test_of_several_choices_every_one_at_fault_is_withheld(serve: Serve):
    choices = [
        {"index": n, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for n, text in enumerate(["fine", "xyzzy", "also xyzzy"])
    ]
    async with fakes.upstream(fakes.reply({"id": "c", "choices": choices})) as model:
        async with serve(model.url, rules=(BLOCK_OUTPUT,)) as b:
            answer = await post(b, json={"model": "small", "messages": ASK, "n": 3})
    said = [choice["message"]["content"] for choice in answer.json()["choices"]]
    assert said == ["fine", "Declined.", "Declined."]


MAIL = "anna.schmidt@example.org"


@pytest.mark.parametrize("rules", [(HIDE_INPUT,), (HIDE_INPUT, BLOCK_OUTPUT)])
@pytest.mark.parametrize("stream", [False, True])
async def test_personal_data_is_hidden_from_the_model_and_comes_back(serve: Serve, rules, stream):
    ask = [{"role": "user", "content": f"Write to {MAIL} and tell {MAIL} about x@y.org, please."}]
    async with fakes.upstream(fakes.chat(chunk_characters=3)) as model:
        async with serve(model.url, rules=rules) as b, client(b) as ai:
            answer = await ai.chat.completions.create(model="small", messages=ask, stream=stream)
            if stream:
                text = "".join([c.choices[0].delta.content or "" async for c in answer])
            else:
                text = answer.choices[0].message.content
            (row,) = await b.rows(1)
    assert text == f"Echo: {ask[0]['content']}"
    hidden = (
        "Write to [personal_data_1] and tell [personal_data_1] about [personal_data_2], please."
    )
    assert model.last.json["messages"][0]["content"] == hidden
    assert MAIL not in json.dumps([row["prompt"], row["completion"], row["answer"], row["outputs"]])


async def test_hidden_values_are_never_another_callers(serve: Serve, postgres_url):
    """Two hundred streams of twenty tenants at once, each with a value of its own, repeated."""
    secret = b"s" * 40
    now = datetime.now(UTC)
    names = [f"tenant-{number}" for number in range(20)]
    made = [
        await create_key(postgres_url, secret, name=name, tenant=name, now=now) for name in names
    ]
    tokens = [token for _, token in made]
    async with fakes.upstream(fakes.chat(chunk_characters=5, delay_seconds=0.005)) as model:
        rules = (HIDE_INPUT, BLOCK_OUTPUT)
        async with serve(model.url, rules=rules, key_secret=secret.decode()) as b:

            async def one(ai: openai.AsyncOpenAI, number: int) -> tuple[str, str]:
                said = f"My address is user{number}@example.org, is that a good one? "
                ask = [{"role": "user", "content": said}]
                key = {"authorization": f"Bearer {tokens[number % len(tokens)]}"}
                stream = await ai.chat.completions.create(
                    model="small", messages=ask, stream=True, extra_headers=key
                )
                return said, "".join([c.choices[0].delta.content or "" async for c in stream])

            async with client(b) as ai:
                answers = await asyncio.gather(*(one(ai, number) for number in range(200)))
            rows = await b.rows(200)
    assert all(answer == f"Echo: {said}" for said, answer in answers)
    assert all("@example.org" not in request.body.decode() for request in model.requests)
    for row in rows:
        (number,) = set(re.findall(r"user(\d+)@", json.dumps(row["request"])))
        assert row["tenant"] == names[int(number) % len(names)]
        assert "@example.org" not in json.dumps([row["completion"], row["outputs"]])


async def test_a_rule_that_advises_tells_and_lets_pass(serve: Serve):
    rule = {**BLOCK_INPUT, "mode": "advise"}
    async with fakes.upstream() as model, serve(model.url, rules=(rule,)) as b:
        answer = await post(b, json={"model": "small", "messages": BAD})
    assert answer.json()["choices"][0]["message"]["content"] == "Echo: Please say xyzzy."
    assert answer.headers["x-guardrail-decision"] == "flag"
    assert answer.headers["x-guardrail-advised"] == "block"


async def test_a_second_policy_in_shadow_is_only_recorded(serve: Serve, tmp_path):
    other = tmp_path / "next.yaml"
    other.write_text(policy_text(BLOCK_INPUT).replace("name: test", "name: next"))
    async with fakes.upstream() as model, serve(model.url, shadow_policy=other) as b:
        answer = await post(b, json={"model": "small", "messages": BAD})
        (row,) = await b.rows(1)
    assert answer.headers["x-guardrail-decision"] == "allow"
    assert "x-guardrail-categories" not in answer.headers
    (reason,) = row["reasons"]
    assert reason["shadow"] is True
    assert reason["rule"].startswith("next@")
    assert row["decision"] == "allow"
