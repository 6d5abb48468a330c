"""What becomes of an upstream's answer, and of one that nobody wants any more."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from guardrails.completion import Asked, joined, let_go, read_answer, refused
from guardrails.errors import UpstreamError
from guardrails.settings import UpstreamSettings
from guardrails.types import Action, Check, Stage, Verdict
from guardrails.wire import chat
from guardrails.wire.spoken import Spoken
from tests.factories import make_exchange

ERROR = {"error": {"message": "no", "type": "t", "code": None}}


class Answer:
    upstream = "u"

    def __init__(self, status: int = 200, headers: tuple = ()) -> None:
        self.status, self.headers, self.closed = status, headers, False

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("status", "told", "passed_on"), [(429, 429, True), (401, 502, False), (302, 502, False)]
)
def test_an_upstreams_refusal_is_passed_on_unless_it_is_about_us(status, told, passed_on):
    exchange = make_exchange().evolve(prompt={"messages": []})
    spoken = Spoken(exchange, chat)
    spoken.path(UpstreamSettings(name="u", url="http://x/v1", model="m"))
    answer = Answer(status, ((b"retry-after", b"30"),))
    exchange = refused(exchange, answer, orjson.dumps(ERROR), spoken)
    assert (exchange.failure.status, exchange.failure.retry_after_seconds) == (told, 30)
    assert (exchange.answer == ERROR) is passed_on


@pytest.mark.parametrize("raw", [b"nonsense", b"[]", b"{}"])
def test_what_is_no_answer_is_the_upstreams_error(raw):
    with pytest.raises(UpstreamError):
        read_answer(raw, chat)


async def test_an_answer_that_is_not_wanted_is_closed_whenever_it_comes():
    answer = Answer()

    async def ask(seconds: float) -> Asked:
        await asyncio.sleep(seconds)
        return Asked(make_exchange(), None, answer, 0.0)

    begun = asyncio.create_task(ask(0))
    await asyncio.sleep(0.01)
    await let_go(begun)
    assert answer.closed
    waiting = asyncio.create_task(ask(30))
    await asyncio.sleep(0.01)
    await let_go(waiting)
    assert waiting.cancelled()


def test_what_checking_and_asking_found_is_joined():
    base = make_exchange().evolve(uncovered=("image",))
    checked = base.evolve(
        checks=(Check("d", "1", Stage.INPUT),),
        verdict=Verdict(Action.FLAG, ()),
        uncovered=("image", "tokens"),
        seconds={"check_input": 1.0},
    )
    told = base.evolve(upstream="u", uncovered=("image", "grounding"), seconds={"ground": 2.0})
    whole = joined(checked, told)
    assert (whole.upstream, whole.checks, whole.verdict) == ("u", checked.checks, checked.verdict)
    assert whole.uncovered == ("image", "tokens", "grounding")
    assert whole.seconds == {"check_input": 1.0, "ground": 2.0}
