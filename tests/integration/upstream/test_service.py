"""A service for detectors against real servers, well and ill."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from guardrails.errors import ConfigError, GuardUnavailable
from guardrails.upstream.service import MOST_ANSWER_BYTES, Service
from tests import fakes

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Score(msgspec.Struct):
    score: float


@asynccontextmanager
async def service(url: str, **changes: Any) -> AsyncIterator[Service[Score]]:
    made = Service("judge", url, Score, **changes)
    try:
        yield made
    finally:
        await made.aclose()


async def ask(made: Service[Score], count: int = 1, seconds: float = 5.0) -> list[float]:
    questions = [{"number": number} for number in range(count)]
    return [a.score for a in await made.ask("/score", questions, timeout_seconds=seconds)]


def echo(*, seconds: float = 0.0) -> fakes.Step:
    """The question's number, as a score."""

    async def step(request: fakes.Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await fakes.reply({"score": request.json["number"]})(request, writer)

    return step


async def test_answers_come_in_the_order_of_the_questions_over_few_connections() -> None:
    async with fakes.upstream(echo(seconds=0.01)) as server:
        async with service(server.url, concurrency=3, headers={"detector-id": "d"}) as made:
            assert await ask(made, 12) == list(range(12))
            assert await ask(made, 0) == []
        assert server.connections == 3
        assert server.last.path == "/v1/score" and server.last.headers["detector-id"] == "d"


async def test_the_key_is_taken_from_the_environment() -> None:
    async with (
        fakes.upstream(echo()) as server,
        service(server.url, api_key_env="KEY", environ={"KEY": "s3cret"}) as made,
    ):
        await ask(made)
        assert server.last.headers["authorization"] == "Bearer s3cret"
    with pytest.raises(ConfigError, match="KEY, which is not set"):
        Service("judge", "http://x", Score, api_key_env="KEY", environ={})


BIG = b'{"score": 0, "x": "' + b"x" * MOST_ANSWER_BYTES + b'"}'


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (fakes.status(500), "judge answered with status 500."),
        (fakes.status(404), "judge answered with status 404."),
        (fakes.status(302), "judge answered with status 302."),
        (fakes.reply({"score": "high"}), "judge answered in another shape: Expected `float`"),
        (fakes.reply({}), "judge answered in another shape: Object missing required field `score`"),
        (fakes.reply(b"<html>oops</html>"), "judge did not answer with JSON."),
        (fakes.reply(b""), "judge did not answer with JSON."),
        (fakes.reply(b'{"score": NaN}'), "judge did not answer with JSON."),
        (fakes.reply(b"[" * 100_000), "judge answered in another shape"),
        (fakes.reply(BIG), "judge answered with more than"),
        (fakes.garbage(), "judge failed: "),
        (fakes.silent_close(), "judge failed: "),
        (fakes.reset_mid_answer(), "judge failed: "),
        (fakes.gzipped({"score": 1}), "judge did not answer with JSON."),
    ],
)
async def test_whatever_goes_wrong_is_said_without_what_was_asked(
    step: fakes.Step, message: str
) -> None:
    async with fakes.upstream(step) as server, service(server.url) as made:
        with pytest.raises(GuardUnavailable) as raised:
            await ask(made)
        assert raised.value.message.startswith(message)


async def test_a_server_that_is_not_there_fails_at_once() -> None:
    with fakes.refusing_url() as url:
        async with service(url) as made:
            with pytest.raises(GuardUnavailable, match="cannot be reached"):
                await ask(made)


@pytest.mark.parametrize(("own", "whole"), [(0.1, 5.0), (5.0, 0.1)])
async def test_a_slow_server_is_left_when_the_time_is_over(own: float, whole: float) -> None:
    async with fakes.upstream(echo(seconds=3)) as server:
        async with service(server.url, timeout_seconds=own) as made:
            began = time.monotonic()
            with pytest.raises(GuardUnavailable, match="in time"):
                await ask(made, 2, whole)
            assert time.monotonic() - began < 1
            for request in server.requests:
                assert await request.wait_until_client_went_away() is True


async def test_one_failure_ends_the_other_requests() -> None:
    async with fakes.upstream(echo(seconds=3), fakes.status(503)) as server:
        async with service(server.url) as made:
            with pytest.raises(GuardUnavailable, match="503"):
                await ask(made, 2)
            assert await server.requests[0].wait_until_client_went_away()


async def test_who_waits_for_a_place_gives_up_in_time_and_the_place_is_not_lost() -> None:
    async with fakes.upstream(echo(seconds=0.3), echo()) as server:
        async with service(server.url, concurrency=1) as made:
            first = asyncio.create_task(ask(made))
            await server.wait_for_requests(1)
            with pytest.raises(GuardUnavailable, match="too busy"):
                await ask(made, seconds=0.05)
            assert await first == [0]
            assert await ask(made, 3) == [0, 1, 2]


async def test_a_service_that_fails_again_and_again_is_left_alone_and_tried_again_later() -> None:
    clock = [0.0]
    async with fakes.upstream(*[fakes.status(503)] * 5, echo()) as server:
        async with service(server.url, now=lambda: clock[0]) as made:
            for _ in range(5):
                with pytest.raises(GuardUnavailable, match="503"):
                    await ask(made)
            with pytest.raises(GuardUnavailable, match="left alone"):
                await ask(made)
            assert len(server.requests) == 5
            clock[0] += 10
            assert await ask(made) == [0]
            assert await ask(made) == [0]


async def test_the_time_that_an_exchange_had_left_is_not_held_against_the_service() -> None:
    async with fakes.upstream(echo(seconds=0.1)) as server, service(server.url) as made:
        for _ in range(6):
            with pytest.raises(GuardUnavailable, match="in time"):
                await ask(made, seconds=0.02)
        assert await ask(made) == [0]


async def test_a_caller_who_leaves_takes_the_request_along() -> None:
    async with fakes.upstream(echo(seconds=3)) as server, service(server.url) as made:
        task = asyncio.create_task(ask(made))
        await server.wait_for_requests(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await server.last.wait_until_client_went_away()


@pytest.mark.parametrize("wrong", [{"timeout_seconds": 0}, {"concurrency": 0}])
async def test_wrong_limits_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="judge"):
        Service("judge", "http://x", Score, **wrong)
