"""How is the model asked, and its whole answer read, guarded where it streams?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import orjson
from msgspec import Struct

from guardrails.errors import UpstreamError
from guardrails.output_check import OutputCheck
from guardrails.policy.decide import Ruling
from guardrails.seams import prefill
from guardrails.streams.guard import StreamGuard
from guardrails.types import Exchange, Failure
from guardrails.upstream.answer import Answer
from guardrails.upstream.pool import Pool
from guardrails.upstream.split import conversation_of
from guardrails.wire.spoken import Spoken, Translation

_PASSED_ON = frozenset({400, 404, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504, 529})
_PARTS_AT_ONCE = 8
_JSON, _EVENTS = "application/json", "text/event-stream"


class Asked(Struct, frozen=True):
    """A model that was asked and has begun to answer; nothing of that has been read."""

    exchange: Exchange
    spoken: Spoken
    answer: Answer
    began: float


class Model:
    """The upstreams, as the pipeline sees them."""

    def __init__(
        self,
        pool: Pool,
        outputs: OutputCheck,
        most_answer_bytes: int,
        secret: bytes = b"",
        plain: str | None = None,
    ) -> None:
        """`secret` keeps the number of a conversation from telling which one it is; `plain` is the
        hash of the template that changes nothing, which is what a chat has that none formatted.
        """
        self._secret = secret
        self._plain = plain
        self._pool = pool
        self._outputs = outputs
        self._most_answer_bytes = most_answer_bytes

    def assign(self, exchange: Exchange, named: bytes | None, template: str | None) -> Exchange:
        """Draw the version for an exchange's conversation, where a rollout compares two.

        `named` is what the caller calls the conversation, `template` as the pool takes it.
        """
        split = self._pool.split(exchange.model)
        if split is None or not split.undecided:
            return exchange
        if is_chat(exchange) and template is None:
            template = self._plain
        conversation = conversation_of(exchange, named, self._secret)
        assigned = self._pool.assign(split, conversation, template)
        return exchange.evolve(conversation=conversation, assigned_model=assigned)

    async def ask(
        self, exchange: Exchange, wire: ModuleType, headers: Sequence[tuple[bytes, bytes]]
    ) -> Asked:
        """Ask the model, and read nothing of what it says."""
        spoken, began = Spoken(exchange, wire), time.perf_counter()
        accept = _EVENTS if exchange.stream else _JSON
        answer, exchange = await self._send(exchange, spoken, 0, accept, headers)
        return Asked(exchange, spoken, answer, began)

    async def complete(
        self,
        exchange: Exchange,
        wire: ModuleType,
        ruling: Ruling,
        stream: StreamGuard | None,
        headers: Sequence[tuple[bytes, bytes]],
        asking: asyncio.Future[Asked] | None = None,
    ) -> Exchange:
        """Call the model, unless somebody is `asking` it, and read its whole answer; a stream with
        no rule for it is passed on.
        """
        if asking is None:
            spoken, began, answer = Spoken(exchange, wire), time.perf_counter(), None
        else:
            asked = await asking
            spoken, began, answer = asked.spoken, asked.began, asked.answer
            exchange = joined(exchange, asked.exchange)
        if stream is not None:
            if answer is None:
                answer, exchange = await self._send(exchange, spoken, 0, _EVENTS, headers)
            exchange = await self._stream(exchange, wire, ruling, stream, spoken, answer)
        elif spoken.parts == 1:
            if answer is None:
                answer, exchange = await self._send(exchange, spoken, 0, _JSON, headers)
            exchange = await self._whole(exchange, spoken, answer)
        else:
            exchange = await self._in_parts(exchange, spoken, headers)
        if exchange.completion is None:
            return exchange
        # The caller sees the name it asked for, not where the endpoint keeps the weights.
        completion = wire.named(exchange.completion, exchange.model)
        return exchange.evolve(
            completion=completion,
            usage=wire.usage(completion),
            seconds={**exchange.seconds, "model": time.perf_counter() - began},
        )

    async def _whole(self, exchange: Exchange, spoken: Spoken, answer: Answer) -> Exchange:
        try:
            raw = await self._read(answer)
        finally:
            await answer.aclose()
        if answer.status != 200:
            return refused(exchange, answer, raw, spoken)
        body = read_answer(raw, spoken.reader(answer.upstream))
        return exchange.evolve(completion=spoken.answer(answer.upstream, [body]))

    async def _in_parts(
        self, exchange: Exchange, spoken: Spoken, headers: Sequence[tuple[bytes, bytes]]
    ) -> Exchange:
        """A request of several prompts for an upstream that takes one: some at a time."""
        turn = asyncio.Semaphore(_PARTS_AT_ONCE)

        async def ask(number: int) -> tuple[Answer, bytes, Exchange]:
            async with turn:
                return await self._ask(exchange, spoken, number, headers)

        tasks = [asyncio.ensure_future(ask(number)) for number in range(spoken.parts)]
        try:
            asked = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        for answer, raw, told in asked:
            if answer.status != 200:
                return refused(told, answer, raw, spoken)
        answer, _, told = asked[-1]
        bodies = [read_answer(raw, spoken.reader(one.upstream)) for one, raw, _ in asked]
        return told.evolve(completion=spoken.answer(answer.upstream, bodies))

    async def _stream(
        self,
        exchange: Exchange,
        wire: ModuleType,
        ruling: Ruling,
        stream: StreamGuard,
        spoken: Spoken,
        answer: Answer,
    ) -> Exchange:
        try:
            if answer.status != 200:
                return refused(exchange, answer, await self._read(answer), spoken)
            stream.hold = self._outputs.hold(exchange, ruling, hidden=bool(stream.vault))
            stream.prefill = prefill(exchange.inputs)
            completion = await stream.run(
                spoken.chunks(answer.upstream, answer),
                exchange,
                self._outputs.looker(exchange, ruling),
                self._outputs.live_from(exchange, ruling),
            )
            return exchange.evolve(completion=completion)
        finally:
            await answer.aclose()

    async def _ask(
        self,
        exchange: Exchange,
        spoken: Spoken,
        number: int,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> tuple[Answer, bytes, Exchange]:
        answer, exchange = await self._send(exchange, spoken, number, _JSON, headers)
        try:
            return answer, await self._read(answer), exchange
        finally:
            await answer.aclose()

    async def _send(
        self,
        exchange: Exchange,
        spoken: Spoken,
        number: int,
        accept: str,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> tuple[Answer, Exchange]:
        more: dict[str, Any] = {}
        if exchange.assigned_model is not None:
            more["assigned"] = exchange.assigned_model
        if is_chat(exchange):
            more["template"] = exchange.template_hash or self._plain
        answer = await self._pool.send(
            exchange.model,
            spoken.path,
            spoken.encoder(number),
            accept=accept,
            headers=spoken.headers(headers),
            **more,
        )
        exchange = exchange.evolve(
            upstream=answer.upstream,
            upstream_model=answer.upstream_model,
            attempts=answer.attempts,
        )
        return answer, exchange

    async def _read(self, answer: Answer) -> bytes:
        chunks, size = [], 0
        async for chunk in answer:
            chunks.append(chunk)
            size += len(chunk)
            if size > self._most_answer_bytes:
                raise UpstreamError("The upstream's answer is too large.")
        return b"".join(chunks)


def is_chat(exchange: Exchange) -> bool:
    """Whether a template could format what the model is asked."""
    return "messages" in (exchange.prompt or {})


async def let_go(asking: asyncio.Future[Asked]) -> None:
    """End a generation whose answer is not wanted; one that was read to its end is not harmed."""
    asking.cancel()
    (left,) = await asyncio.gather(asking, return_exceptions=True)
    if isinstance(left, Asked):
        await left.answer.aclose()


def joined(checked: Exchange, asked: Exchange) -> Exchange:
    """What came of checking a request, and of asking the model at the same time."""
    return asked.evolve(
        checks=checked.checks,
        verdict=checked.verdict,
        uncovered=tuple(dict.fromkeys(checked.uncovered + asked.uncovered)),
        seconds={**asked.seconds, **checked.seconds},
    )


def refused(exchange: Exchange, answer: Answer, raw: bytes, spoken: Spoken) -> Exchange:
    """The upstream's own error, passed on; its doubts about *our* key are not the caller's."""
    status = answer.status if answer.status in _PASSED_ON else 502
    failure = Failure(
        code="upstream_status",
        message=f"The upstream answered with status {answer.status}.",
        status=status,
        type="invalid_request_error" if status < 500 else "api_error",
        retry_after_seconds=_retry_after(answer),
    )
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    exchange = exchange.evolve(failure=failure)
    told = isinstance(body, dict) and isinstance(body.get("error"), dict) and status != 502
    return (
        exchange.evolve(answer=spoken.error(answer.upstream, body, exchange)) if told else exchange
    )


def read_answer(raw: bytes, wire: ModuleType | Translation) -> dict[str, Any]:
    """An upstream's body, if it is an answer of its protocol."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    if not wire.is_answer(body):
        raise UpstreamError("The upstream's answer cannot be read.")
    return body


def _retry_after(answer: Answer) -> int | None:
    value = dict(answer.headers).get(b"retry-after", b"")
    return int(value) if value.isdigit() else None
