"""The seven steps that an exchange takes; the only file that knows their order.

    normalise → check input → ground → format prompt → call the model → check output → record

Each step takes an exchange and returns a new one. What a step needs is handed in by `app.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Protocol

from guardrails import seams
from guardrails.checks import Checker
from guardrails.completion import Asked, Model, is_chat, let_go
from guardrails.errors import BanisterError, GuardUnavailable, LogUnavailable
from guardrails.exchange_log.privacy import RECORD_ALL, Privacy
from guardrails.grounding import cite
from guardrails.moderation import together
from guardrails.output_check import UNCHECKED, OutputCheck
from guardrails.policy.decide import Ruling, only_unchecked
from guardrails.prompt.render import Templates, render
from guardrails.race import NOTHING_KNOWN, at_once
from guardrails.redact import redacted
from guardrails.settings import RouteSettings
from guardrails.streams.guard import StreamGuard
from guardrails.text.groups import groups_in
from guardrails.text.language import language_of
from guardrails.types import (
    Check,
    Citation,
    Exchange,
    Failure,
    Passage,
    Segment,
    Stage,
    Verdict,
    strictest,
)
from guardrails.upstream.pool import Pool
from guardrails.vault import Vault
from guardrails.wire import results
from guardrails.wire.spoken import Spoken

PLAIN = "plain@1"  # leaves messages as they are, as a route without a template does

_SPOKEN = ("content", "text")


class Retriever(Protocol):
    """Finds the passages for a question."""

    async def retrieve(self, query: str, *, collection: str, limit: int) -> tuple[Passage, ...]:
        """The best passages, best first; none where nothing is near enough."""
        ...


class Log(Protocol):
    """Remembers exchanges."""

    @property
    def trouble(self) -> str | None:
        """Why nothing can be recorded at the moment; None when all is well."""

    def admit(self) -> None:
        """Raise LogUnavailable where an exchange may not begin, since it could not be recorded."""

    def append(self, exchange: Exchange) -> bool:
        """Take an exchange in without waiting; False when it could not be kept."""

    async def keep(self, exchange: Exchange) -> bool:
        """Take an exchange in, and return once it is as safe as was configured; False if not kept.

        Errors: LogUnavailable, where an exchange that is not kept may not be answered.
        """


class Pipeline:
    """Takes requests of every protocol through all steps."""

    def __init__(
        self,
        *,
        ruling: Callable[[], Ruling],
        settled: Callable[[], None] = lambda: None,
        checker: Checker,
        pool: Pool,
        log: Log,
        routes: Mapping[str, RouteSettings],
        templates: Templates,
        retriever: Retriever | None,
        check_seconds: float,
        most_answer_bytes: int,
        privacy: Privacy = RECORD_ALL,
        observe: Callable[[Exchange], None] = lambda _exchange: None,
        secret: bytes = b"",
    ) -> None:
        self._ruling = ruling
        self._settled = settled
        self._checker = checker
        self._pool = pool
        self._log = log
        self._routes = routes
        self._templates = templates
        self._retriever = retriever
        self._check_seconds = check_seconds
        self._privacy = privacy
        self._observe = observe
        self._outputs = OutputCheck(checker, self._always, check_seconds)
        plain = next((t.hash for t in templates.values() if t.label == PLAIN), None)
        self._model = Model(pool, self._outputs, most_answer_bytes, secret, plain)

    def admit(self, exchange: Exchange) -> Exchange:
        """Let an exchange begin, where it is known what policy holds and it can be recorded."""
        self._settled()
        self._log.admit()
        return exchange if self._log.trouble is None else exchange.evolve(unrecorded=True)

    @property
    def models(self) -> Sequence[str]:
        """The names of the models that are served."""
        return self._pool.models

    async def run(
        self,
        exchange: Exchange,
        wire: ModuleType,
        stream: StreamGuard | None = None,
        *,
        vault: Vault | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
        conversation: bytes | None = None,
    ) -> Exchange:
        """Take one request through all steps and return what happened.

        `headers` go to the upstream; `conversation` is its caller's name for it; the `vault` is the
        exchange's own. A failure is kept in `exchange.failure`, so that it is recorded too; a
        caller who goes away (cancellation) leaves a record as well.
        """
        ruling = self._ruling()
        began = time.perf_counter()
        asking: asyncio.Future[Asked] | None = None
        try:
            exchange = normalise(exchange, wire, ruling)
            exchange = self._model.assign(exchange, conversation, self._template_of(exchange))
            known = NOTHING_KNOWN
            if self._routes[exchange.route].race and Spoken(exchange, wire).parts == 1:
                needed = self._needed(exchange, ruling)
                known = await at_once(exchange, ruling, self._checker, needed, self._check_seconds)
            if known.race:
                asking = asyncio.ensure_future(self._ask_ahead(exchange, wire, headers))
            exchange = await self.check(
                exchange, ruling, Stage.INPUT, vault=vault, known=known.checks
            )
            if not exchange.over:
                if asking is None:
                    exchange = await self.ground(exchange, wire)
                    exchange = self.format_prompt(exchange, wire)
                exchange = await self._model.complete(
                    exchange, wire, ruling, stream, headers, asking
                )
                if not exchange.over:
                    exchange = read_outputs(exchange, wire)
                    exchange = await self.cite(exchange, exchange.outputs)
                    exchange = await self.check(exchange, ruling, Stage.OUTPUT, stream)
                    if exchange.answer is not None:
                        # Something was cut out, so the citations' offsets have moved.
                        exchange = await self.cite(exchange, wire.outputs(exchange.answer)[0])
        except BanisterError as error:
            exchange = failed(exchange, error)
        except asyncio.CancelledError:
            self.abandon(exchange, began)
            raise
        finally:
            if asking is not None:
                await let_go(asking)
        if exchange.failure is None:
            notice = ruling.notice(exchange.verdict)
            exchange = answered(exchange, wire, self._routes[exchange.route], notice)
            if stream is not None:
                stream.notice = notice
        return await self.record(exchange, began)

    async def moderate(self, exchange: Exchange, wire: ModuleType) -> Exchange:
        """Only check the input, each text by itself, and answer with the scores."""
        ruling = self._ruling()
        began = time.perf_counter()
        try:
            exchange = normalise(exchange, wire, ruling)
            each = [
                await self.check(exchange.evolve(inputs=(segment,)), ruling, Stage.INPUT)
                for segment in exchange.inputs
            ]
        except BanisterError as error:
            return await self.record(failed(exchange, error), began)
        exchange = together(exchange, each).evolve(answer=wire.answer(exchange, each))
        return await self.record(exchange, began)

    async def check(
        self,
        exchange: Exchange,
        ruling: Ruling,
        side: Stage,
        stream: StreamGuard | None = None,
        vault: Vault | None = None,
        known: tuple[Check, ...] = (),
    ) -> Exchange:
        """Measure one side's texts with every detector that a rule needs, and decide.

        A `stream` has measured its text already, while it grew; `known` are checks of the input
        that were run before. What is redacted to be put back goes into the `vault`.
        Errors: `failure` is guard_unavailable when a rule that fails closed could not be checked
        and no other rule blocks anyway.
        """
        began = time.perf_counter()
        segments = exchange.inputs if side is Stage.INPUT else exchange.outputs
        route, caller = exchange.route, exchange.caller
        if side is Stage.OUTPUT:
            checks = await self._outputs.run(exchange, ruling, stream)
        else:
            needed = self._needed(exchange, ruling) - {check.detector for check in known}
            checks = known + await seams.measure(
                self._checker, needed, segments, timeout_seconds=self._check_seconds
            )
        if not checks:
            return exchange
        verdict = ruling.decide(checks, segments, side=side, route=route, caller=caller)
        exchange = exchange.evolve(
            checks=exchange.checks + checks,
            verdict=Verdict(
                strictest((exchange.verdict.action, verdict.action)),
                exchange.verdict.reasons + verdict.reasons,
            ),
            uncovered=exchange.uncovered + tuple(u for check in checks for u in check.uncovered),
            seconds={**exchange.seconds, f"check_{side}": time.perf_counter() - began},
        )
        if only_unchecked(verdict):
            return failed(exchange, GuardUnavailable(UNCHECKED, retry_after_seconds=1))
        body = exchange.prompt if side is Stage.INPUT else exchange.completion
        changed = redacted(body, segments, verdict.reasons, side, vault, ruling.restoring)
        if changed is body:
            return exchange
        return exchange.evolve(**{"prompt" if side is Stage.INPUT else "answer": changed})

    async def _ask_ahead(
        self, exchange: Exchange, wire: ModuleType, headers: Sequence[tuple[bytes, bytes]]
    ) -> Asked:
        exchange = self.format_prompt(await self.ground(exchange, wire), wire)
        return await self._model.ask(exchange, wire, headers)

    def _needed(self, exchange: Exchange, ruling: Ruling) -> frozenset[str]:
        """The detectors that the input needs."""
        segments = exchange.inputs
        needed = ruling.detectors(exchange.route, exchange.caller, segments)
        return needed | self._always(exchange) if segments else needed

    async def ground(self, exchange: Exchange, wire: ModuleType) -> Exchange:
        """Find the passages that belong to the question, where the route asks for them."""
        grounding = self._routes[exchange.route].grounding
        if grounding is None or self._retriever is None:
            return exchange
        question = wire.question(exchange.prompt)
        if question is None:
            return exchange
        began = time.perf_counter()
        try:
            passages = await self._retriever.retrieve(
                question, collection=grounding.collection, limit=grounding.passages
            )
        except GuardUnavailable:
            if grounding.on_error == "fail":
                raise
            return exchange.evolve(uncovered=(*exchange.uncovered, "grounding: unavailable"))
        return exchange.evolve(
            passages=passages,
            seconds={**exchange.seconds, "ground": time.perf_counter() - began},
        )

    def format_prompt(self, exchange: Exchange, wire: ModuleType) -> Exchange:
        """Put the messages into the route's template, as they were in training."""
        name = self._routes[exchange.route].template
        prompt = exchange.prompt
        if name is None or prompt is None or "messages" not in prompt:
            return exchange
        began = time.perf_counter()
        template = self._templates[name]
        messages = render(template, prompt["messages"], exchange.passages)
        if hasattr(wire, "with_messages"):
            prompt = wire.with_messages(prompt, messages)
        else:
            prompt = {**prompt, "messages": messages}
        return exchange.evolve(
            prompt=prompt,
            template_hash=template.hash,
            seconds={**exchange.seconds, "format": time.perf_counter() - began},
        )

    def _template_of(self, exchange: Exchange) -> str | None:
        """The hash that `format_prompt` will leave on an exchange; "" where it formats nothing."""
        if not is_chat(exchange):
            return ""
        name = self._routes[exchange.route].template
        return None if name is None else self._templates[name].hash

    async def cite(self, exchange: Exchange, outputs: Sequence[Segment]) -> Exchange:
        """Hold each sentence of an answer's texts against the passages, if there are any."""
        if not exchange.passages:
            return exchange
        began = time.perf_counter()
        # About a millisecond a sentence: too long for the event loop where an answer is long.
        citations = await asyncio.to_thread(cited, outputs, exchange.passages)
        return exchange.evolve(
            citations=citations,
            seconds={
                **exchange.seconds,
                "cite": exchange.seconds.get("cite", 0.0) + time.perf_counter() - began,
            },
        )

    async def record(self, exchange: Exchange, began: float) -> Exchange:
        """Hand the exchange to the log; its answer may leave then, or `failure` says why not."""
        exchange = ended(exchange, began)
        try:
            if not await self._log.keep(self._privacy.of(exchange, self._ruling().notices)):
                exchange = exchange.evolve(unrecorded=True)
        except LogUnavailable as error:
            exchange = failed(exchange, error).evolve(answer=None)
        self._observe(exchange)
        return exchange

    def abandon(self, exchange: Exchange, began: float) -> None:
        """Hand an exchange to the log whose caller has gone; nobody waits for it."""
        exchange = ended(exchange.evolve(abandoned=True), began)
        self._log.append(self._privacy.of(exchange, self._ruling().notices))
        self._observe(exchange)

    def _always(self, exchange: Exchange) -> frozenset[str]:
        """The detectors that run whatever the rules say: what is recorded is masked by them."""
        return self._privacy.detectors(exchange.route, exchange.caller.tenant)


def ended(exchange: Exchange, began: float) -> Exchange:
    """The exchange as it ends: what it was about, and the time that it took in all."""
    said = exchange.question
    about: Any = {"language": language_of(said), "groups": groups_in(said)} if said else {}
    seconds = {**exchange.seconds, "total": time.perf_counter() - began}
    return exchange.evolve(**about, seconds=seconds, unrecorded=False)


def normalise(exchange: Exchange, wire: ModuleType, ruling: Ruling) -> Exchange:
    """Find every text of the request, with earlier blocked turns masked."""
    prompt = wire.without_blocked_turns(exchange.request, ruling.notices)
    inputs, uncovered = wire.inputs(prompt)
    return exchange.evolve(
        prompt=prompt, inputs=inputs, uncovered=uncovered, policy_version=ruling.label
    )


def read_outputs(exchange: Exchange, wire: ModuleType) -> Exchange:
    """Find every text of the answer."""
    outputs, uncovered = wire.outputs(exchange.completion)
    return exchange.evolve(outputs=outputs, uncovered=exchange.uncovered + uncovered)


def cited(outputs: Sequence[Segment], passages: Sequence[Passage]) -> tuple[Citation, ...]:
    """Every claim of every choice with its support and its passage."""
    spoken = [s for s in outputs if s.stage is Stage.OUTPUT and s.pointer[-1] in _SPOKEN]
    return tuple(
        citation
        for segment in spoken
        for citation in cite.cite(segment.text, passages, segment.index)
    )


def answered(exchange: Exchange, wire: ModuleType, route: RouteSettings, notice: str) -> Exchange:
    """Give the exchange the answer that its caller gets, where that is not the model's own."""
    if exchange.blocked:
        as_error = getattr(wire, "blocked_error", results.blocked_error)
        write = as_error if route.blocked_as == "error" else wire.blocked
        return exchange.evolve(answer=write(exchange, notice))
    given = exchange.answer or exchange.completion
    finished = wire.finished(exchange, given)
    return exchange if finished is exchange.completion else exchange.evolve(answer=finished)


def failed(exchange: Exchange, error: BanisterError) -> Exchange:
    """The exchange with what went wrong."""
    return exchange.evolve(
        failure=Failure(
            code=error.code,
            message=error.message,
            status=error.status,
            type=error.type,
            param=error.param,
            retry_after_seconds=error.retry_after_seconds,
        )
    )
