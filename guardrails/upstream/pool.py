"""Which endpoint serves a request, and what happens when it cannot."""

from __future__ import annotations

import asyncio
import math
import os
import random
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from guardrails.errors import ConfigError, UpstreamError, UpstreamTimeout
from guardrails.settings import UpstreamSettings
from guardrails.upstream.answer import Answer
from guardrails.upstream.client import Response
from guardrails.upstream.member import EndpointStatus, Member
from guardrails.upstream.retry import (
    RETRY_AFTER_CAP_SECONDS,
    RetryBudget,
    delay_seconds,
    retry_after_seconds,
)
from guardrails.upstream.roster import Roster

Headers = Sequence[tuple[bytes, bytes]]


class Pool:
    """All upstreams by the names of the models that they serve.

    A request for `model` first draws a version, by the summed weights of its endpoints, so that a
    canary gets its exact random share; then the endpoint of that version, least loaded for its
    weight or by weighted chance. `model@version` asks for one version, also one of weight 0.
    Where rollouts say who serves a model, its conversation draws the version; what the candidate
    cannot answer the champion does, never the other way round.

    A connection failure, an answer that is not HTTP, a 429 or 5xx is tried again: on another
    endpoint at once, on the same after a pause; never once the head of an answer was passed on, and
    never after a timeout of the answer itself. An error answer left at the end is passed on.
    """

    def __init__(
        self,
        upstreams: Sequence[UpstreamSettings],
        *,
        balance: Literal["least_loaded", "random"] = "least_loaded",
        retries: int = 2,
        now: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        environ: Mapping[str, str] = os.environ,
        tls: ssl.SSLContext | None = None,
        rollouts_known: bool = True,
    ) -> None:
        """`rollouts_known` False: nothing is sent before `use` said which versions serve."""
        self._balance = balance
        self._retries = retries
        self._now = now
        # Balancing needs no secrecy.
        self._rng = rng or random.Random()  # noqa: S311
        self._budget = RetryBudget(now)
        self._roster = Roster(
            upstreams, rollouts_known=rollouts_known, now=now, environ=environ, tls=tls
        )
        self.use = self._roster.use
        self.split = self._roster.split
        self.assign = self._roster.assign
        self.unserved = self._roster.unserved

    @property
    def models(self) -> list[str]:
        """The names that applications may ask for, in the order of the settings."""
        return self._roster.models

    @property
    def versions(self) -> list[str]:
        """Every `model@version`."""
        return self._roster.versions

    def status(self) -> list[EndpointStatus]:
        """Every endpoint's state, in the order of the settings."""
        return [
            EndpointStatus(
                name=name,
                model=member.settings.model,
                version=member.settings.version,
                weight=member.weight,
                breaker=member.breaker.state.value,
                in_flight=member.in_flight,
                connections=member.endpoint.connections,
                requests=member.requests,
                failures=member.failures,
            )
            for name, member in self._roster.members.items()
        ]

    def set_weight(self, name: str, weight: float) -> None:
        """Give an endpoint another share from the next request on; 0 takes it out."""
        if name not in self._roster.members:
            raise ConfigError(
                f"There is no upstream {name!r}; there are {', '.join(self._roster.members)}."
            )
        if not 0 <= weight < float("inf"):
            raise ConfigError("A weight is 0 or more.")
        self._roster.members[name].weight = weight

    async def send(
        self,
        model: str,
        path: str | Callable[[UpstreamSettings], str],
        encode: Callable[[UpstreamSettings], bytes],
        *,
        accept: str = "application/json",
        method: str = "POST",
        headers: Headers | Callable[[UpstreamSettings], Headers] = (),
        assigned: str | None = None,
        template: str | None = "",
    ) -> Answer:
        """Send a request to an endpoint that serves `model` (or `model@version`).

        `path` comes after the endpoint's url, as `/chat/completions`; `encode` makes the body for
        the endpoint that was picked, since each may know the model by another name; `path` and
        `headers`, which are sent beside the endpoint's own, may be functions for the same reason.
        `assigned` is the version that a rollout drew; `template` the hash of what formatted the
        prompt, None for a chat that no template formatted, "" where none could: then nothing is
        compared.
        Errors: BadRequest (404, `model_not_found`), UpstreamError, UpstreamTimeout.
        """
        versions = self._roster.of(model, assigned, template)
        self._budget.earn()
        tried: list[Member] = []
        held: Answer | None = None
        failure: UpstreamError | None = None
        try:
            while able := _able(versions, tried):
                member = able[0] if len(able) == 1 else self._pick(able)
                tried.append(member)
                try:
                    answer = await self._send_to(member, method, path, encode, accept, headers)
                except UpstreamError as error:
                    failure = error
                else:
                    if held is not None:
                        held._response.abort()
                    held, failure = answer, None
                    if not _is_retryable(answer.status, member not in versions[-1]):
                        break
                if len(tried) > self._retries:
                    break
                others = any(one not in tried for one in _able(versions, tried))
                pause = self._pause_before_retry(tried, others, None if failure else held)
                if pause is None:
                    break
                if pause:
                    await asyncio.sleep(pause)
        except BaseException:
            if held is not None:
                held._response.abort()
            raise
        if held is None:
            raise failure or self._none_left([m for members in versions for m in members])
        held.attempts = len(tried)
        return held

    async def aclose(self) -> None:
        """Close every connection."""
        for member in self._roster.members.values():
            await member.endpoint.aclose()

    def _pick(self, able: Sequence[Member]) -> Member:
        """The endpoint for the next attempt: a rested one, if there is one."""
        now = self._now()
        able = [m for m in able if m.rests_until <= now] or able
        drawn = self._rng.choices(able, [m.weight or 1.0 for m in able])[0]
        if self._balance == "random":
            return drawn
        # `drawn` settles the version, and the tie between equally loaded endpoints.
        load = drawn.load()
        for member in able:
            if member.label == drawn.label and member.load() < load:
                drawn, load = member, member.load()
        return drawn

    async def _send_to(
        self,
        member: Member,
        method: str,
        path: str | Callable[[UpstreamSettings], str],
        encode: Callable[[UpstreamSettings], bytes],
        accept: str,
        headers: Headers | Callable[[UpstreamSettings], Headers],
    ) -> Answer:
        target = path if isinstance(path, str) else path(member.settings)
        body = encode(member.settings)
        more = headers(member.settings) if callable(headers) else headers
        breaker = member.breaker
        probe = breaker.begin()
        member.in_flight += 1
        member.requests += 1
        try:
            response = await member.endpoint.request(
                method, target, body, accept=accept, headers=more
            )
        except (UpstreamError, UpstreamTimeout) as error:
            member.in_flight -= 1
            if error.code == "upstream_busy":
                breaker.give_up(probe=probe)
            else:
                member.failures += 1
                breaker.fail(probe=probe)
            raise
        except BaseException:
            member.in_flight -= 1
            breaker.give_up(probe=probe)
            raise
        if response.status >= 500:
            member.failures += 1
            # A 500 may be this one request's fault, and one caller must not shut out the others.
            breaker.fail(probe=probe, doubtful=response.status == 500)
        else:
            breaker.succeed(probe=probe)
        self._watch(member, response)
        return Answer(response, member.settings.name, member.label)

    def _watch(self, member: Member, response: Response) -> None:
        """Count the request until its answer has ended, and a break in its middle as a failure."""

        def ended(error: UpstreamError | UpstreamTimeout | None) -> None:
            member.in_flight -= 1
            if error is not None:
                member.failures += 1
                member.breaker.fail()

        if response.ended:
            ended(response.error)
        else:
            response.on_end = ended

    def _pause_before_retry(
        self, tried: Sequence[Member], others: bool, answer: Answer | None
    ) -> float | None:
        """How long to wait before the next attempt; None: there is none."""
        asked = retry_after_seconds(answer._response.headers) if answer is not None else None
        if asked:
            tried[-1].rests_until = self._now() + min(asked, RETRY_AFTER_CAP_SECONDS)
            if asked > RETRY_AFTER_CAP_SECONDS and not others:
                return None
        if not self._budget.spend():
            return None
        return 0.0 if others else max(asked or 0.0, delay_seconds(len(tried) - 1, self._rng))

    def _none_left(self, members: Sequence[Member]) -> UpstreamError:
        waits = [m.breaker.wait_seconds for m in members if not m.breaker.allows()]
        if not waits:
            return UpstreamError(
                "Every endpoint of this model is taken out of service.",
                code="upstream_unavailable",
                status=503,
            )
        return UpstreamError(
            "Every endpoint of this model is failing; try again later.",
            code="upstream_unavailable",
            status=503,
            retry_after_seconds=max(1, math.ceil(min(waits))),
        )


def _able(versions: Sequence[Sequence[Member]], tried: Sequence[Member]) -> list[Member]:
    """Who may be asked next: those of the first version that has one who was not asked yet."""
    able = [[m for m in members if m.breaker.allows()] for members in versions]
    fresh = ([m for m in members if m not in tried] for members in able)
    return next((members for members in (*fresh, *able) if members), [])


def _is_retryable(status: int, has_champion: bool) -> bool:
    """Whether another attempt may fare better; 501 and 505 would say the same again.

    A candidate that is not there, or lets nobody in, is no fault of the caller.
    """
    if has_champion and status in (401, 403, 404, 501, 505):
        return True
    return status == 429 or (status >= 500 and status not in (501, 505))
