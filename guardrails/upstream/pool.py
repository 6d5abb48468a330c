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

from msgspec import Struct

from guardrails.errors import BadRequest, ConfigError, UpstreamError, UpstreamTimeout
from guardrails.settings import UpstreamSettings
from guardrails.upstream.answer import Answer
from guardrails.upstream.breaker import Breaker
from guardrails.upstream.client import Endpoint, Response
from guardrails.upstream.retry import (
    RETRY_AFTER_CAP_SECONDS,
    RetryBudget,
    delay_seconds,
    retry_after_seconds,
)

Headers = Sequence[tuple[bytes, bytes]]


class EndpointStatus(Struct, frozen=True):
    """How one endpoint fares, for `/readyz` and the dashboards."""

    name: str
    model: str
    version: str
    weight: float
    breaker: str
    in_flight: int
    connections: int
    requests: int
    failures: int

    @property
    def ready(self) -> bool:
        """Whether a request may go there now."""
        return self.breaker != "open" and self.weight > 0


class _Member:
    """One endpoint in the pool with what is known of it."""

    __slots__ = (
        "breaker",
        "endpoint",
        "failures",
        "in_flight",
        "label",
        "requests",
        "rests_until",
        "settings",
        "weight",
    )

    def __init__(self, settings: UpstreamSettings, endpoint: Endpoint, breaker: Breaker) -> None:
        self.settings = settings
        self.endpoint = endpoint
        self.breaker = breaker
        self.label = f"{settings.model}@{settings.version}"
        self.weight = settings.weight
        self.in_flight = 0
        self.requests = 0
        self.failures = 0
        self.rests_until = 0.0

    def is_able(self, *, named_version: bool) -> bool:
        return (self.weight > 0 or named_version) and self.breaker.allows()

    def load(self) -> float:
        return (self.in_flight + 1) / (self.weight or 1.0)


class Pool:
    """All upstreams by the names of the models that they serve.

    A request for `model` first draws a version, by the summed weights of its endpoints, so that a
    canary gets its exact random share; then the endpoint of that version, least loaded for its
    weight or by weighted chance. `model@version` asks for one version, also one of weight 0.

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
    ) -> None:
        self._balance = balance
        self._retries = retries
        self._now = now
        # Balancing needs no secrecy.
        self._rng = rng or random.Random()  # noqa: S311
        self._budget = RetryBudget(now)
        self._members: dict[str, _Member] = {}
        self._by_model: dict[str, list[_Member]] = {}
        self._by_label: dict[str, list[_Member]] = {}
        for settings in upstreams:
            if settings.name in self._members:
                raise ConfigError(f"Two upstreams are named {settings.name!r}.")
            member = _Member(settings, _endpoint(settings, environ, tls), Breaker(now))
            self._members[settings.name] = member
            self._by_model.setdefault(settings.model, []).append(member)
            self._by_label.setdefault(member.label, []).append(member)

    @property
    def models(self) -> list[str]:
        """The names that applications may ask for, in the order of the settings."""
        return list(self._by_model)

    @property
    def versions(self) -> list[str]:
        """Every `model@version`."""
        return list(self._by_label)

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
            for name, member in self._members.items()
        ]

    def set_weight(self, name: str, weight: float) -> None:
        """Give an endpoint another share from the next request on; 0 takes it out."""
        if name not in self._members:
            raise ConfigError(
                f"There is no upstream {name!r}; there are {', '.join(self._members)}."
            )
        if not 0 <= weight < float("inf"):
            raise ConfigError("A weight is 0 or more.")
        self._members[name].weight = weight

    async def send(
        self,
        model: str,
        path: str | Callable[[UpstreamSettings], str],
        encode: Callable[[UpstreamSettings], bytes],
        *,
        accept: str = "application/json",
        method: str = "POST",
        headers: Headers | Callable[[UpstreamSettings], Headers] = (),
    ) -> Answer:
        """Send a request to an endpoint that serves `model` (or `model@version`).

        `path` comes after the endpoint's url, as `/chat/completions`; `encode` makes the body for
        the endpoint that was picked, since each may know the model by another name; `path` and
        `headers`, which are sent beside the endpoint's own, may be functions for the same reason.
        Errors: BadRequest (404, `model_not_found`), UpstreamError, UpstreamTimeout.
        """
        named_version = model not in self._by_model
        members = (self._by_label if named_version else self._by_model).get(model)
        if members is None:
            raise BadRequest(
                "There is no such model here; GET /v1/models lists them.",
                code="model_not_found",
                status=404,
                param="model",
            )
        self._budget.earn()
        tried: list[_Member] = []
        held: Answer | None = None
        failure: UpstreamError | None = None
        try:
            while able := [m for m in members if m.is_able(named_version=named_version)]:
                member = able[0] if len(able) == 1 else self._pick(able, tried)
                tried.append(member)
                try:
                    answer = await self._send_to(member, method, path, encode, accept, headers)
                except UpstreamError as error:
                    failure = error
                else:
                    if held is not None:
                        held._response.abort()
                    held, failure = answer, None
                    if not _is_retryable(answer.status):
                        break
                if len(tried) > self._retries:
                    break
                others = [
                    m for m in members if m not in tried and m.is_able(named_version=named_version)
                ]
                pause = self._pause_before_retry(tried, bool(others), None if failure else held)
                if pause is None:
                    break
                if pause:
                    await asyncio.sleep(pause)
        except BaseException:
            if held is not None:
                held._response.abort()
            raise
        if held is None:
            raise failure or self._none_left(members)
        held.attempts = len(tried)
        return held

    async def aclose(self) -> None:
        """Close every connection."""
        for member in self._members.values():
            await member.endpoint.aclose()

    def _pick(self, able: Sequence[_Member], tried: Sequence[_Member]) -> _Member:
        """The endpoint for the next attempt: a rested one that was not tried, if there is one."""
        able = [m for m in able if m not in tried] or able
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
        member: _Member,
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

    def _watch(self, member: _Member, response: Response) -> None:
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
        self, tried: Sequence[_Member], others: bool, answer: Answer | None
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

    def _none_left(self, members: Sequence[_Member]) -> UpstreamError:
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


def _is_retryable(status: int) -> bool:
    """Whether another attempt may fare better; 501 and 505 would say the same again."""
    return status == 429 or (status >= 500 and status not in (501, 505))


def _endpoint(
    settings: UpstreamSettings, environ: Mapping[str, str], tls: ssl.SSLContext | None
) -> Endpoint:
    headers = dict(settings.headers)
    if settings.api_key_env is not None:
        key = environ.get(settings.api_key_env)
        if not key:
            raise ConfigError(
                f"The upstream {settings.name!r} wants its key in the environment variable "
                f"{settings.api_key_env}, which is not set."
            )
        if settings.speaks == "anthropic":
            headers["x-api-key"] = key
        else:
            headers["authorization"] = f"Bearer {key}"
    return Endpoint(
        settings.url,
        headers=headers,
        connect_seconds=settings.connect_seconds,
        first_byte_seconds=settings.first_byte_seconds,
        idle_seconds=settings.idle_seconds,
        max_connections=settings.max_connections,
        tls=tls,
    )
