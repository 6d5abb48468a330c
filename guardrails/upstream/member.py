"""One endpoint of the pool, with what is known of it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from msgspec import Struct

from guardrails.errors import ConfigError
from guardrails.settings import UpstreamSettings
from guardrails.upstream.breaker import Breaker
from guardrails.upstream.client import Endpoint


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


class Member:
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

    def load(self) -> float:
        """How much it has to do for its weight."""
        return (self.in_flight + 1) / (self.weight or 1.0)


def endpoint_of(
    settings: UpstreamSettings, environ: Mapping[str, str], tls: ssl.SSLContext | None
) -> Endpoint:
    """The endpoint of an upstream. Errors: ConfigError where its key is not there."""
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
