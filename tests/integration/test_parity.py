"""The same text gives the same verdict on every endpoint, in every field, streamed or not.

The cases are the product of what the endpoints have: endpoint × field and role × stream × n.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from guardrails.settings import UpstreamSettings
from tests import fakes, fakes_protocols
from tests.integration.conftest import Serve

EVERYWHERE = tuple(
    {"id": f"{stage}-rule", "label": "forbidden", "stage": stage, "action": "block"}
    for stage in ("input", "output", "tool_call", "tool_result")
)
TEXTS = {"harmless": ("a banister", "allow"), "forbidden": ("the xyzzy word", "block")}
PREDICT = "/v1/projects/p/locations/l/endpoints/small:predict"

Build = Callable[[str], dict[str, Any]]


def turns(*messages: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": "small", "max_tokens": 50, "messages": list(messages)}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **fields}


def chat_call(name: str = "look", arguments: str = "{}") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": "c1", "type": "function", "function": function}


def chat_tool(**function: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "look", **function}}]}


def halves(value: str, kind: str = "text") -> list[dict[str, Any]]:
    return [text(value[:6], kind), text(value[6:], kind)]


def called(**block: Any) -> list[dict[str, Any]]:
    return [{"type": "tool_use", "id": "t1", "name": "look", "input": {}, **block}]


def gave(content: Any) -> list[dict[str, Any]]:
    return [{"type": "tool_result", "tool_use_id": "t1", "content": content}]


def text(value: str, kind: str = "text") -> dict[str, Any]:
    return {"type": kind, "text": value}


def items(*given: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "small", "input": list(given), **fields}


def schema(value: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"at": {"type": "string", "description": value}}}


# Endpoint → field → the request that holds the text there.
CHAT: dict[str, Build] = {
    "user": lambda t: turns(user(t)),
    "system": lambda t: turns({"role": "system", "content": t}, user("hi")),
    "developer": lambda t: turns({"role": "developer", "content": t}, user("hi")),
    "made-up role": lambda t: turns({"role": "root", "content": t}, user("hi")),
    "earlier user turn": lambda t: turns(user(t), user("hi")),
    "assistant turn": lambda t: turns(user("hi"), assistant(t), user("ho")),
    "prefill": lambda t: turns(user("hi"), assistant(t)),
    "part": lambda t: turns(user([text("hi"), text(t)])),
    "split over turns": lambda t: turns(user(t[:6]), user(t[6:])),
    "split over parts": lambda t: turns(user(halves(t))),
    "name": lambda t: turns({**user("hi"), "name": t}),
    "unknown field": lambda t: turns({**user("hi"), "new": [{"deep": t}]}),
    "call name": lambda t: turns(user("hi"), assistant(None, tool_calls=[chat_call(name=t)])),
    "call arguments": lambda t: turns(
        user("hi"), assistant(None, tool_calls=[chat_call(arguments=f'{{"at": "{t}"}}')])
    ),
    "tool result": lambda t: turns(
        user("hi"),
        assistant(None, tool_calls=[chat_call()]),
        {"role": "tool", "tool_call_id": "c1", "content": t},
    ),
    "tool description": lambda t: turns(user("hi")) | chat_tool(description=t),
    "tool schema": lambda t: turns(user("hi")) | chat_tool(parameters=schema(t)),
}
MESSAGES: dict[str, Build] = {
    "user": lambda t: turns(user(t)),
    "system": lambda t: turns(user("hi")) | {"system": t},
    "system blocks": lambda t: turns(user("hi")) | {"system": [text(t)]},
    "earlier user turn": lambda t: turns(user(t), user("hi")),
    "assistant turn": lambda t: turns(user("hi"), assistant(t), user("ho")),
    "prefill": lambda t: turns(user("hi"), assistant(t)),
    "part": lambda t: turns(user([text("hi"), text(t)])),
    "split over turns": lambda t: turns(user(t[:6]), user(t[6:])),
    "split over parts": lambda t: turns(user(halves(t))),
    "unknown field": lambda t: turns(user([{**text("hi"), "new": [{"deep": t}]}])),
    "thinking": lambda t: turns(
        user("hi"),
        assistant([{"type": "thinking", "thinking": t, "signature": "c2ln"}, text("a")]),
        user("ho"),
    ),
    "call name": lambda t: turns(user("hi"), assistant(called(name=t)), user(gave("x"))),
    "call arguments": lambda t: turns(
        user("hi"), assistant(called(input={"at": [t]})), user(gave("x"))
    ),
    "call argument's name": lambda t: turns(
        user("hi"), assistant(called(input={t: 1})), user(gave("x"))
    ),
    "tool result": lambda t: turns(user("hi"), assistant(called()), user(gave(t))),
    "tool result block": lambda t: turns(user("hi"), assistant(called()), user(gave([text(t)]))),
    "document": lambda t: turns(
        user([{"type": "document", "source": {"type": "text", "data": t}}, text("hi")])
    ),
    "tool description": lambda t: (
        turns(user("hi")) | {"tools": [{"name": "look", "description": t, "input_schema": {}}]}
    ),
    "tool schema": lambda t: (
        turns(user("hi")) | {"tools": [{"name": "look", "input_schema": schema(t)}]}
    ),
}
RESPONSES: dict[str, Build] = {
    "input": lambda t: {"model": "small", "input": t},
    "instructions": lambda t: items(user("hi"), instructions=t),
    "user": lambda t: items(user(t)),
    "system": lambda t: items({"role": "system", "content": t}, user("hi")),
    "earlier user turn": lambda t: items(user(t), user("hi")),
    "assistant turn": lambda t: items(user("hi"), assistant([text(t, "output_text")]), user("ho")),
    "part": lambda t: items(user([text("hi", "input_text"), text(t, "input_text")])),
    "split over turns": lambda t: items(user(t[:6]), user(t[6:])),
    "split over parts": lambda t: items(user(halves(t, "input_text"))),
    "unknown field": lambda t: items({**user("hi"), "new": [{"deep": t}]}),
    "reasoning": lambda t: items(
        user("hi"), {"type": "reasoning", "id": "r", "summary": [text(t, "summary_text")]}
    ),
    "call name": lambda t: items(
        user("hi"), {"type": "function_call", "call_id": "c", "name": t, "arguments": "{}"}
    ),
    "call arguments": lambda t: items(
        user("hi"), {"type": "function_call", "call_id": "c", "name": "f", "arguments": t}
    ),
    "tool result": lambda t: items(
        user("hi"), {"type": "function_call_output", "call_id": "c", "output": t}
    ),
    "tool description": lambda t: items(
        user("hi"), tools=[{"type": "function", "name": "f", "description": t}]
    ),
    "tool schema": lambda t: items(
        user("hi"), tools=[{"type": "function", "name": "f", "parameters": schema(t)}]
    ),
}
VERTEX: dict[str, Build] = {
    "prompt": lambda t: {"instances": [{"prompt": t}]},
    "second instance": lambda t: {"instances": [{"prompt": "hi"}, {"prompt": t}]},
    "context": lambda t: {"instances": [{"context": t, "prompt": "hi"}]},
    "message": lambda t: {"instances": [{"messages": [{"author": "user", "content": t}]}]},
}


def sayable(builders: dict[str, Build]) -> dict[str, Build]:
    """What another protocol can say too; the rest is refused, as its own tests show."""
    refused = {"made-up role", "name", "unknown field"}
    if builders is RESPONSES:
        # The calls' arguments are no JSON here, and Anthropic's are objects.
        refused |= {"call arguments"}
    return {field: build for field, build in builders.items() if field not in refused}


ENDPOINTS: dict[str, tuple[str, str, dict[str, Build]]] = {
    "chat": ("/v1/chat/completions", "openai", CHAT),
    "completions": (
        "/v1/completions",
        "openai",
        {
            "prompt": lambda t: {"model": "small", "prompt": t},
            "prompts": lambda t: {"model": "small", "prompt": ["hi", t]},
            "suffix": lambda t: {"model": "small", "prompt": "hi", "suffix": t},
        },
    ),
    "embeddings": (
        "/v1/embeddings",
        "openai",
        {"input": lambda t: {"model": "small", "input": ["hi", t]}},
    ),
    "messages": ("/v1/messages", "anthropic", MESSAGES),
    "messages translated": ("/v1/messages", "openai", MESSAGES),
    "count tokens": ("/v1/messages/count_tokens", "anthropic", MESSAGES),
    "responses": ("/v1/responses", "openai", RESPONSES),
    "vertex": (PREDICT, "openai", VERTEX),
    "tgi": ("/generate", "openai", {"inputs": lambda t: {"inputs": t}}),
    "chat translated": ("/v1/chat/completions", "anthropic", sayable(CHAT)),
    "completions translated": (
        "/v1/completions",
        "anthropic",
        {"prompt": lambda t: {"model": "small", "prompt": t}},
    ),
    "responses translated": ("/v1/responses", "anthropic", sayable(RESPONSES)),
    "vertex translated": (PREDICT, "anthropic", VERTEX),
    "tgi translated": ("/generate", "anthropic", {"inputs": lambda t: {"inputs": t}}),
}
UNSTREAMED = {"embeddings", "count tokens", "vertex", "vertex translated"}


async def any_upstream(request: fakes.Request, writer: Any) -> None:
    """Answers as the path wants."""
    if request.path.endswith("/responses"):
        step = fakes_protocols.responses("fine")
    elif "/messages" in request.path:
        step = fakes_protocols.messages("fine")
    else:
        step = fakes.chat("fine")
    await step(request, writer)


def speaking(kind: str, url: str) -> dict[str, Any]:
    return {"upstreams": (UpstreamSettings(name="u", url=url, model="small", speaks=kind),)}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_a_request_is_judged_alike_wherever_its_text_stands(serve: Serve, endpoint: str):
    path, kind, builders = ENDPOINTS[endpoint]
    streams = (False,) if endpoint in UNSTREAMED else (False, True)
    counts = (1, 2) if endpoint in ("chat", "completions") else (1,)
    wrong = []
    async with (
        fakes.upstream(any_upstream) as model,
        serve("", rules=EVERYWHERE, **speaking(kind, model.url)) as b,
        httpx.AsyncClient(base_url=b.url, timeout=20) as http,
    ):
        for field, build in builders.items():
            for stream in streams:
                for n in counts:
                    for said, expected in TEXTS.values():
                        body = build(said) | ({"stream": True} if stream else {})
                        body |= {"n": n} if n > 1 else {}
                        before = len(model.requests)
                        answer = await http.post(path, json=body)
                        decision = answer.headers["x-guardrail-decision"]
                        asked = len(model.requests) > before
                        if decision != expected or asked is (expected == "block"):
                            wrong.append((field, stream, n, decision, answer.text[:200]))
    assert wrong == []


# Endpoint → field of the answer → the upstream's step that says the text there.
def item(**fields: Any) -> dict[str, Any]:
    usual = {"type": "function_call", "id": "f1", "call_id": "c", "name": "f", "arguments": "{}"}
    return {**usual, "status": "completed", **fields}


def thinking(said: str) -> list[dict[str, Any]]:
    return [{"type": "thinking", "thinking": said, "signature": "c2ln"}, text("fine")]


def cited(said: str) -> list[dict[str, Any]]:
    where = {"document_index": 0, "start_char_index": 0, "end_char_index": 1}
    citation = {"type": "char_location", "cited_text": said, "document_title": None, **where}
    return [{**text("fine"), "citations": [citation]}]


PREFILL = "the xy"
PREFILLED = turns(user("hi"), assistant(PREFILL))

Answer = Callable[[str], fakes.Step]
CHAT_ANSWERS: dict[str, Answer] = {
    "content": lambda t: fakes.chat(t),
    "reasoning": lambda t: fakes.chat("fine", reasoning=t),
    "refusal": lambda t: fakes.chat("", refusal=t),
    "call arguments": lambda t: fakes.chat("", tool_calls=[("look", {"at": t})]),
    "call argument's name": lambda t: fakes.chat("", tool_calls=[("look", {t: 1})]),
    "call name": lambda t: fakes.chat("", tool_calls=[(t, {})]),
}
MESSAGES_ANSWERS: dict[str, Answer] = {
    "text": lambda t: fakes_protocols.messages(t),
    "second block": lambda t: fakes_protocols.messages(content=[text("fine"), text(t)]),
    "thinking": lambda t: fakes_protocols.messages(content=thinking(t)),
    "call arguments": lambda t: fakes_protocols.messages(content=called(input={"at": t})),
    "call argument's name": lambda t: fakes_protocols.messages(content=called(input={t: 1})),
    "call name": lambda t: fakes_protocols.messages(content=called(name=t)),
}
ANSWERS: dict[str, tuple[str, str, dict[str, Any], dict[str, Answer]]] = {
    "chat": ("/v1/chat/completions", "openai", turns(user("hi")), CHAT_ANSWERS),
    "completions": (
        "/v1/completions",
        "openai",
        {"model": "small", "prompt": "hi"},
        {"text": lambda t: fakes.chat(t)},
    ),
    "messages translated": ("/v1/messages", "openai", turns(user("hi")), CHAT_ANSWERS),
    "chat prefilled": (
        "/v1/chat/completions",
        "openai",
        PREFILLED,
        {"content": lambda t: fakes.chat(t.removeprefix(PREFILL))},
    ),
    "messages prefilled": (
        "/v1/messages",
        "anthropic",
        PREFILLED,
        {"text": lambda t: fakes_protocols.messages(t.removeprefix(PREFILL))},
    ),
    "messages": (
        "/v1/messages",
        "anthropic",
        turns(user("hi")),
        MESSAGES_ANSWERS
        | {
            "citation": lambda t: fakes_protocols.messages(content=cited(t)),
            "unknown block": lambda t: fakes_protocols.messages(
                content=[{"type": "new", "odd": t}]
            ),
        },
    ),
    "chat translated": ("/v1/chat/completions", "anthropic", turns(user("hi")), MESSAGES_ANSWERS),
    "responses translated": (
        "/v1/responses",
        "anthropic",
        {"model": "small", "input": "hi"},
        MESSAGES_ANSWERS,
    ),
    "responses": (
        "/v1/responses",
        "openai",
        {"model": "small", "input": "hi"},
        {
            "text": lambda t: fakes_protocols.responses(t),
            "refusal": lambda t: fakes_protocols.responses(
                output=[fakes_protocols.message_item(t, kind="refusal")]
            ),
            "reasoning": lambda t: fakes_protocols.responses(
                output=[{"type": "reasoning", "id": "r", "summary": [text(t, "summary_text")]}]
            ),
            "call arguments": lambda t: fakes_protocols.responses(output=[item(arguments=t)]),
            "call name": lambda t: fakes_protocols.responses(output=[item(name=t)]),
            "unknown item": lambda t: fakes_protocols.responses(output=[{"type": "new", "odd": t}]),
        },
    ),
    "vertex": (
        PREDICT,
        "openai",
        {"instances": [{"prompt": "hi"}]},
        {"content": lambda t: fakes.chat(t)},
    ),
    "tgi": ("/generate", "openai", {"inputs": "hi"}, {"text": lambda t: fakes_protocols.tgi(t)}),
}


@pytest.mark.parametrize("endpoint", ANSWERS)
async def test_an_answer_is_judged_alike_wherever_its_text_stands(serve: Serve, endpoint: str):
    path, kind, asked, answers = ANSWERS[endpoint]
    streams = (False,) if endpoint in UNSTREAMED else (False, True)
    counts = (1, 2) if endpoint in ("chat", "completions") else (1,)
    wrong = []
    current: list[fakes.Step] = []

    async def step(request: fakes.Request, writer: Any) -> None:
        await current[0](request, writer)

    async with (
        fakes.upstream(step) as model,
        serve("", rules=EVERYWHERE, **speaking(kind, model.url)) as b,
        httpx.AsyncClient(base_url=b.url, timeout=20) as http,
    ):
        for field, answering in answers.items():
            for stream in streams:
                for n in counts:
                    for said, expected in TEXTS.values():
                        current[:] = [answering(said)]
                        body = asked | ({"stream": True} if stream else {})
                        body |= {"n": n} if n > 1 else {}
                        answer = await http.post(path, json=body)
                        # A stream's headers leave before its end is known: its events tell.
                        blocked = "Declined." in answer.text
                        leaked = expected == "block" and "xyzzy" in answer.text
                        if answer.status_code != 200 or blocked is (expected == "allow") or leaked:
                            wrong.append((field, stream, n, answer.text[:300]))
    assert wrong == []
