"""How is a detector on another machine asked, without waiting long, crowding it or hammering it?

One question is one POST with a JSON body. Whatever goes wrong is a GuardUnavailable whose message
names the service and holds nothing of what was asked or answered.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from guardrails.errors import ConfigError, GuardUnavailable, UpstreamError, UpstreamTimeout
from guardrails.upstream.breaker import Breaker
from guardrails.upstream.client import Endpoint, Response

MOST_ANSWER_BYTES = 4 * 2**20
MOST_WAITING = 4_096

Answer = TypeVar("Answer")


class Service(Generic[Answer]):
    """One server that answers questions with JSON of one type. Belongs to one event loop.

    Limits: `concurrency` requests at once, MOST_WAITING more wait their turn; an answer of more
    than MOST_ANSWER_BYTES is refused. Nothing is tried again, but for a request on a kept-alive
    connection that the server closed before it answered at all.
    """

    def __init__(
        self,
        name: str,
        url: str,
        answer: type[Answer],
        *,
        headers: Mapping[str, str] | None = None,
        api_key_env: str | None = None,
        timeout_seconds: float = 2.0,
        concurrency: int = 16,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout_seconds` is for one request, `api_key_env` the variable that holds a key.

        Errors: ConfigError for a url, a header or a key that cannot be used.
        """
        if timeout_seconds <= 0 or concurrency < 1:
            raise ConfigError(f"{name}: timeout_seconds and concurrency must be greater than 0.")
        self.name = name
        self._timeout_seconds = timeout_seconds
        self._decoder = msgspec.json.Decoder(answer)
        self._breaker = Breaker(now)
        self._places = asyncio.Semaphore(concurrency)
        self._waiting = 0
        self._endpoint = Endpoint(
            url,
            headers={**(headers or {}), **_authorization(name, api_key_env, environ)},
            connect_seconds=min(timeout_seconds, 3.0),
            first_byte_seconds=timeout_seconds,
            idle_seconds=timeout_seconds,
            max_connections=concurrency,
        )

    async def ask(
        self, path: str, questions: Sequence[Any], *, timeout_seconds: float
    ) -> list[Answer]:
        """The answers to all questions, in their order, within `timeout_seconds`.

        Errors: GuardUnavailable. The first failure ends the others, and their connections.
        """
        expires_at = asyncio.get_running_loop().time() + timeout_seconds
        if len(questions) == 1:
            return [await self._ask(path, questions[0], expires_at)]
        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._ask(path, q, expires_at)) for q in questions]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in asked]

    def unavailable(self, why: str) -> GuardUnavailable:
        """The error that says what is wrong with this service."""
        return GuardUnavailable(f"{self.name} {why}")

    async def aclose(self) -> None:
        """Close every connection."""
        await self._endpoint.aclose()

    async def _ask(self, path: str, question: Any, expires_at: float) -> Answer:
        if self._waiting >= MOST_WAITING:
            raise self.unavailable("has too many requests waiting for it.")
        self._waiting += 1
        try:
            async with asyncio.timeout_at(expires_at):
                await self._places.acquire()
        except TimeoutError:
            raise self.unavailable("was too busy to be asked in time.") from None
        finally:
            self._waiting -= 1
        try:
            return await self._exchange(path, msgspec.json.encode(question), expires_at)
        finally:
            self._places.release()

    async def _exchange(self, path: str, body: bytes, expires_at: float) -> Answer:
        breaker = self._breaker
        if not breaker.allows():
            raise self.unavailable("is left alone for a while, for it failed again and again.")
        probe = breaker.begin()
        own_limit = asyncio.get_running_loop().time() + self._timeout_seconds
        try:
            async with asyncio.timeout_at(min(own_limit, expires_at)):
                response = await self._endpoint.request("POST", path, body)
                data = await _body(response)
        except TimeoutError:
            # The exchange had less time left than the service may take: perhaps not its fault.
            breaker.fail(probe=probe, doubtful=expires_at < own_limit)
            raise self.unavailable("did not answer in time.") from None
        except (UpstreamError, UpstreamTimeout) as error:
            breaker.fail(probe=probe)
            raise self.unavailable(f"failed: {error.message}") from error
        except BaseException:
            breaker.give_up(probe=probe)
            raise
        if response.status >= 500 or response.status == 429:
            # A 500 may be this one question's fault, a 429 that of others.
            breaker.fail(probe=probe, doubtful=response.status in (429, 500))
        else:
            breaker.succeed(probe=probe)
        if response.status != 200:
            raise self.unavailable(f"answered with status {response.status}.")
        if data is None:
            raise self.unavailable(f"answered with more than {MOST_ANSWER_BYTES} bytes.")
        try:
            return self._decoder.decode(data)
        except msgspec.ValidationError as error:
            # It names places and types of our own schema, never a value.
            raise self.unavailable(f"answered in another shape: {error}.") from None
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise self.unavailable("did not answer with JSON.") from None


async def _body(response: Response) -> bytes | None:
    parts, size = [], 0
    async for part in response:
        size += len(part)
        if size > MOST_ANSWER_BYTES:
            response.abort()
            return None
        parts.append(part)
    return b"".join(parts)


def _authorization(name: str, variable: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    if variable is None:
        return {}
    key = environ.get(variable)
    if not key:
        raise ConfigError(
            f"The detector {name!r} wants its key in the environment variable {variable}, "
            "which is not set."
        )
    return {"authorization": f"Bearer {key}"}
