"""The layer in front of `transformers serve`, on an application that behaves as that does."""

from __future__ import annotations

import asyncio
import json

import numpy as np

from guardrails.demo.embeddings import NAME, Embeddings
from guardrails.demo.server import DemoServer

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
CHUNK = {"id": "1", "created": 1, "object": "chunk", "choices": [{"index": 0, "delta": {}}]}


async def endless(scope, receive, send):
    """Streams the same chunk until the caller goes away, then notes that in the scope's state."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    gone = asyncio.create_task(receive())
    while not gone.done():
        data = b"data: " + json.dumps(CHUNK).encode() + b"\n\n"
        await send({"type": "http.response.body", "body": data, "more_body": True})
        await asyncio.sleep(0.001)
    scope["state"]["stopped"] = gone.result()["type"]


async def failing(scope, receive, send):
    body = b"Internal Server Error"
    await send({"type": "http.response.start", "status": 500, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def ask(app, body: dict, *, path="/v1/chat/completions", leave_after: int | None = None):
    """Send a body; leave after so many events. Gives the messages that came and the state."""
    messages: list[dict] = []
    left = asyncio.Event()
    requests = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive():
        if requests:
            return requests.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        messages.append(message)
        if leave_after is not None and len(messages) > leave_after:
            left.set()

    state: dict = {}
    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "state": state}
    await asyncio.wait_for(app(scope, receive, send), 5)
    return messages, state


async def test_a_caller_that_goes_away_stops_the_generation():
    messages, state = await ask(DemoServer(endless, "m"), {**CHAT, "stream": True}, leave_after=3)
    assert state == {"stopped": "http.disconnect"}
    assert len(messages) < 50


async def test_a_failure_of_the_inner_server_comes_in_the_envelope():
    messages, _ = await ask(DemoServer(failing, "m"), CHAT)
    assert messages[0]["status"] == 500
    assert json.loads(messages[1]["body"])["error"]["type"] == "api_error"


async def test_a_failure_before_the_first_event_is_no_stream():
    messages, _ = await ask(DemoServer(failing, "m"), {**CHAT, "stream": True})
    assert messages[0]["status"] == 500
    assert dict(messages[0]["headers"])[b"content-type"] == b"application/json"


async def test_other_paths_are_handed_through():
    messages, _ = await ask(DemoServer(failing, "m"), {}, path="/reset")
    assert messages[1]["body"] == b"Internal Server Error"


async def test_embeddings_are_answered_here_and_their_model_is_listed():
    embeddings = Embeddings(lambda texts: np.ones((len(texts), 2), np.float32), len)
    app = DemoServer(failing, "m", embeddings)
    messages, _ = await ask(app, {"model": NAME, "input": ["a", "b"]}, path="/v1/embeddings")
    assert messages[0]["status"] == 200
    rows = json.loads(messages[1]["body"])["data"]
    assert [row["embedding"] for row in rows] == [[1.0, 1.0]] * 2
    messages, _ = await ask(app, {"model": "m", "input": "a"}, path="/v1/embeddings")
    assert messages[0]["status"] == 404
    messages, _ = await ask(app, {}, path="/v1/models")
    assert [row["id"] for row in json.loads(messages[1]["body"])["data"]] == ["m", NAME]
