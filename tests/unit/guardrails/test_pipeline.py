"""The seven steps with small collaborators: what happens when one of them cannot do its part."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from guardrails.errors import GuardUnavailable, UpstreamTimeout
from guardrails.pipeline import Pipeline
from guardrails.policy.decide import Ruling
from guardrails.policy.model import Policy, Rule
from guardrails.prompt.render import load_templates
from guardrails.settings import GroundingSettings, RouteSettings, Settings, UpstreamSettings
from guardrails.types import Check, Detection, Exchange, Passage, Stage
from guardrails.wire import chat, moderations
from tests.factories import make_id

PASSAGE = Passage(
    number=1,
    passage_id="p1",
    document_id="d1",
    title="Stairs",
    source="stairs.md",
    text="A banister is the handrail of a stair, with its posts.",
    score=0.03,
)
UPSTREAM = UpstreamSettings(name="u", url="http://x/v1", model="small", served_as="/w/small")


class Log(list):
    trouble = None

    def admit(self) -> None:
        pass

    def append(self, exchange: Exchange) -> bool:
        super().append(exchange)
        return True

    async def keep(self, exchange: Exchange) -> bool:
        return self.append(exchange)


class Answer:
    """What the pool gives: a status and a body."""

    def __init__(self, body: bytes, status: int = 200, headers=()) -> None:
        self.status, self.body, self.headers = status, body, list(headers)
        self.upstream, self.upstream_model, self.attempts = "u", "small@1", 1
        self.closed = False

    async def __aiter__(self):
        yield self.body

    async def aclose(self) -> None:
        self.closed = True


class Pool:
    """Answers every request with the same text and remembers what it was asked."""

    def __init__(self, text: str = "A handrail.", error: Exception | None = None) -> None:
        self.text, self.error, self.sent, self.answers = text, error, [], []

    def split(self, model):
        return None

    async def send(self, model, path, encode, *, accept, headers=(), template=""):
        self.sent.append(orjson.loads(encode(UPSTREAM)))
        if self.error is not None:
            raise self.error
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = {"id": "c", "model": "/w/small@main", "choices": [choice]}
        self.answers.append(Answer(orjson.dumps(body)))
        return self.answers[-1]


class Checker:
    """Scores every text 0.9 that holds the word, 0.1 otherwise; or fails, or is slow."""

    def __init__(self, word: str = "bad", error: str | None = None, seconds: float = 0.0) -> None:
        self.word, self.error, self.seconds, self.asked = word, error, seconds, []
        self.questions = []

    def finders(self, detectors):
        return frozenset()

    async def run(self, detectors, segments, side, *, timeout_seconds, question=""):
        if not detectors:
            return ()
        self.asked.append((sorted(detectors), side))
        self.questions.append(question)
        await asyncio.sleep(self.seconds)
        found = tuple(
            Detection("harm", 0.9 if self.word in segment.text else 0.1, number)
            for number, segment in enumerate(segments)
        )
        return tuple(
            Check(name, "1", side, detections=() if self.error else found, error=self.error)
            for name in sorted(detectors)
        )


class Retriever:
    def __init__(self, *passages: Passage, error: Exception | None = None) -> None:
        self.passages, self.error, self.asked = passages, error, []

    async def retrieve(self, query, *, collection, limit):
        self.asked.append((query, collection, limit))
        if self.error is not None:
            raise self.error
        return self.passages


def rule(**changes):
    fields = {
        "id": "harm",
        "detector": "tox",
        "label": "harm",
        "stage": ["input", "output"],
        "threshold": 0.5,
        "action": "block",
        "on_error": "block",
    }
    return Rule(**{**fields, **changes})


def build(*rules, checker=None, pool=None, retriever=None, route=None):
    log = Log()
    policy = Policy(name="p", blocked_message="No.", rules=rules)
    pipeline = Pipeline(
        ruling=lambda: Ruling(policy),
        checker=checker or Checker(),
        pool=pool or Pool(),
        log=log,
        routes={"default": route or RouteSettings()},
        templates=load_templates(Path(Settings().templates)),
        retriever=retriever,
        check_seconds=1.0,
        most_answer_bytes=1_000_000,
    )
    return pipeline, log


def asked(text="What is a banister?", **fields):
    return Exchange(
        id=make_id(),
        started_at=datetime.now(UTC),
        protocol="chat",
        route="default",
        model="small",
        stream=False,
        request={"model": "small", "messages": [{"role": "user", "content": text}], **fields},
    )


async def test_an_exchange_passes_all_steps_and_is_recorded_once():
    pool = Pool()
    pipeline, log = build(rule(), pool=pool)
    exchange = await pipeline.run(asked(), chat)
    assert log == [exchange]
    assert exchange.completion["choices"][0]["message"]["content"] == "A handrail."
    assert exchange.completion["model"] == "small"
    assert pool.sent[0]["model"] == "/w/small"
    assert pool.answers[0].closed
    assert [check.side for check in exchange.checks] == [Stage.INPUT, Stage.OUTPUT]


async def test_an_answer_is_checked_with_the_question_at_hand():
    checker = Checker()
    pipeline, _ = build(rule(), pool=Pool(), checker=checker)
    await pipeline.run(asked("How do I do it?"), chat)
    assert checker.questions == ["", "How do I do it?"]


async def test_the_record_names_the_language_and_the_groups_of_the_users_last_text():
    pipeline, log = build(rule(), pool=Pool())
    await pipeline.run(asked("Was denken die Ausländer über die Stadt?"), chat)
    assert log[0].language == "de"
    assert log[0].groups == ("origin:immigrants",)


async def test_a_check_that_cannot_run_fails_closed():
    pool = Pool()
    pipeline, log = build(rule(), checker=Checker(error="late"), pool=pool)
    exchange = await pipeline.run(asked(), chat)
    assert exchange.failure.code == "guard_unavailable"
    assert exchange.failure.status == 503
    assert exchange.failure.retry_after_seconds == 1
    assert pool.sent == []
    assert log[0].checks[0].error == "late"


async def test_a_check_that_cannot_run_fails_open_only_where_the_rule_says_so_and_says_it():
    pipeline, log = build(rule(on_error="allow"), checker=Checker(error="late"))
    exchange = await pipeline.run(asked(), chat)
    assert exchange.failure is None
    for results in (
        exchange.answer["prompt_filter_results"][0]["content_filter_results"],
        exchange.answer["choices"][0]["content_filter_results"],
    ):
        assert results["error"]["code"] == "content_filter_error"
    assert [reason.error for reason in log[0].verdict.reasons] == ["late", "late"]


async def test_what_another_rule_blocks_is_blocked_even_when_a_check_could_not_run():
    class Half(Checker):
        async def run(self, detectors, segments, side, *, timeout_seconds, question=""):
            checks = await super().run(detectors, segments, side, timeout_seconds=timeout_seconds)
            return (checks[0], Check("zzz", "1", side, error="late"))

    pipeline, _ = build(rule(), rule(id="other", detector="zzz"), checker=Half())
    exchange = await pipeline.run(asked("bad"), chat)
    assert exchange.failure is None
    assert exchange.blocked


async def test_passages_reach_the_model_through_the_template_and_come_back_as_citations():
    pool = Pool("A banister is the handrail of a stair. It was invented on Mars in 1742.")
    retriever = Retriever(PASSAGE)
    route = RouteSettings(template="grounded@1", grounding=GroundingSettings(passages=3))
    pipeline, log = build(rule(), pool=pool, retriever=retriever, route=route)
    exchange = await pipeline.run(asked(), chat)
    assert retriever.asked == [("What is a banister?", "default", 3)]
    assert PASSAGE.text in pool.sent[0]["messages"][-1]["content"]
    assert exchange.request["messages"][0]["content"] == "What is a banister?"
    assert len(exchange.template_hash) == 64
    message = exchange.answer["choices"][0]["message"]
    (cited,) = message["annotations"]
    assert cited["url_citation"]["url"] == "stairs.md"
    text = message["content"]
    span = slice(cited["url_citation"]["start_index"], cited["url_citation"]["end_index"])
    assert text[span] == "A banister is the handrail of a stair."
    assert message["context"]["citations"][0]["chunk_id"] == "p1"
    assert [citation.passage for citation in exchange.citations] == [1, None]
    assert log == [exchange]


async def test_citations_point_into_the_answer_that_the_caller_gets():
    secret = rule(
        id="cut", detector="tox", label="harm", stage=["output"], action="redact"
    )  # fmt: skip

    class Spans(Checker):
        async def run(self, detectors, segments, side, *, timeout_seconds, question=""):
            found = Detection("harm", 0.9, 0, start=0, end=12, evidence="a-rule")
            return (Check("tox", "1", side, detections=(found,)),)

    route = RouteSettings(grounding=GroundingSettings())
    pipeline, _ = build(
        secret,
        checker=Spans(),
        pool=Pool("Key AKIA1234. A banister is the handrail of a stair."),
        retriever=Retriever(PASSAGE),
        route=route,
    )
    message = (await pipeline.run(asked(), chat)).answer["choices"][0]["message"]
    assert message["content"] == "[harm]. A banister is the handrail of a stair."
    cited = message["annotations"][-1]["url_citation"]
    text = message["content"][cited["start_index"] : cited["end_index"]]
    assert text == "A banister is the handrail of a stair."


async def test_a_claim_that_no_passage_bears_out_is_a_score_that_the_policy_may_act_on():
    ungrounded = rule(
        id="ungrounded", detector="groundedness", label="ungrounded", stage=["output"],
        action="flag", threshold=0.6,
    )  # fmt: skip
    route = RouteSettings(template="grounded@1", grounding=GroundingSettings())
    for passages, fired in (((PASSAGE,), ["ungrounded"]), ((), [])):
        pipeline, _ = build(
            ungrounded,
            pool=Pool("It was invented on Mars in 1742 by twelve cats."),
            retriever=Retriever(*passages),
            route=route,
        )
        exchange = await pipeline.run(asked(), chat)
        assert [reason.rule for reason in exchange.verdict.reasons] == fired


@pytest.mark.parametrize(("on_error", "failure"), [("fail", "guard_unavailable"), ("skip", None)])
async def test_grounding_that_cannot_run_follows_the_route(on_error, failure):
    route = RouteSettings(grounding=GroundingSettings(on_error=on_error))
    retriever = Retriever(error=GuardUnavailable("The passages cannot be looked up."))
    pipeline, log = build(retriever=retriever, route=route)
    exchange = await pipeline.run(asked(), chat)
    assert (exchange.failure.code if exchange.failure else None) == failure
    assert log[0].uncovered == (() if failure else ("grounding: unavailable",))


async def test_an_upstreams_failure_is_recorded_with_the_exchange():
    pipeline, log = build(rule(), pool=Pool(error=UpstreamTimeout("Too slow.")))
    exchange = await pipeline.run(asked(), chat)
    assert exchange.failure.status == 504
    assert log[0].failure.code == "upstream_timeout"
    assert log[0].checks


async def test_a_cancelled_exchange_leaves_a_record():
    pipeline, log = build(rule(), checker=Checker(seconds=30))
    task = asyncio.create_task(pipeline.run(asked(), chat))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [exchange.abandoned for exchange in log] == [True]


RACING = RouteSettings(race=True)


@pytest.mark.parametrize(
    ("rules", "route", "raced"),
    [
        ((rule(),), RACING, True),
        ((rule(action="flag", on_error="flag"),), RACING, True),
        ((rule(action="redact", mode="shadow"), rule(id="b")), RACING, True),
        ((rule(), rule(id="cut", stage=["output"], action="redact")), RACING, True),
        ((rule(), rule(id="cut", stage=["input"], action="redact")), RACING, False),
        ((rule(),), RouteSettings(), False),
    ],
)
async def test_the_model_is_asked_before_the_verdict_only_where_nothing_may_change_the_prompt(
    rules, route, raced
):
    pool = Pool()
    pipeline, _ = build(*rules, checker=Checker(seconds=0.1), pool=pool, route=route)
    task = asyncio.create_task(pipeline.run(asked(), chat))
    await asyncio.sleep(0.02)
    assert bool(pool.sent) is raced
    exchange = await task
    assert exchange.completion is not None
    assert len(pool.sent) == 1
    assert [check.side for check in exchange.checks] == [Stage.INPUT, Stage.OUTPUT]
    assert exchange.upstream == "u"


@pytest.mark.parametrize(
    ("text", "pool", "failure", "blocked"),
    [
        ("bad", Pool(), None, True),
        ("bad", Pool(error=UpstreamTimeout("Too slow.")), None, True),
        ("fine", Pool(error=UpstreamTimeout("Too slow.")), "upstream_timeout", False),
    ],
)
async def test_in_a_race_the_verdict_comes_before_all_that_the_model_does(
    text, pool, failure, blocked
):
    checker = Checker(seconds=0.05)
    pipeline, log = build(rule(), checker=checker, pool=pool, route=RACING)
    exchange = await pipeline.run(asked(text), chat)
    assert len(pool.sent) == 1
    assert all(answer.closed for answer in pool.answers)
    assert (exchange.failure.code if exchange.failure else None) == failure
    assert (exchange.blocked, exchange.completion) == (blocked, None)
    assert log[0].checks


async def test_a_check_that_fails_in_a_race_lets_nothing_through():
    pool = Pool()
    pipeline, log = build(rule(), checker=Checker(error="late"), pool=pool, route=RACING)
    exchange = await pipeline.run(asked(), chat)
    assert exchange.failure.code == "guard_unavailable"
    assert log[0].completion is None
    assert all(answer.closed for answer in pool.answers)


async def test_passages_and_doubts_of_both_sides_of_a_race_are_kept():
    retriever = Retriever(error=GuardUnavailable("The passages cannot be looked up."))
    route = RouteSettings(race=True, grounding=GroundingSettings(on_error="skip"))
    flag = rule(action="flag", on_error="flag")
    pipeline, log = build(flag, retriever=retriever, route=route)
    exchange = await pipeline.run(asked("bad"), chat)
    assert exchange.uncovered == ("grounding: unavailable",)
    assert [reason.rule for reason in exchange.verdict.reasons] == ["harm"]
    assert {"check_input", "model", "check_output"} <= exchange.seconds.keys()
    assert log == [exchange]


async def test_moderation_checks_each_text_by_itself():
    checker = Checker()
    pipeline, log = build(rule(), checker=checker)
    exchange = asked().evolve(request={"input": ["fine", "bad"], "model": "m"})
    exchange = await pipeline.moderate(exchange, moderations)
    assert [result["flagged"] for result in exchange.answer["results"]] == [False, True]
    assert len(checker.asked) == 2
    assert log == [exchange]
