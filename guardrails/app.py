"""Builds everything once: settings → policy → detectors → log → upstreams → an ASGI app."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime

import uuid_utils

from guardrails import detectors, memory, proxy
from guardrails.access import Access
from guardrails.checks import Checker
from guardrails.database import make_engine
from guardrails.errors import ConfigError, GuardUnavailable
from guardrails.exchange_log.cipher import make_cipher
from guardrails.exchange_log.privacy import Privacy
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.grounding import cite
from guardrails.grounding.retrieve import Retriever
from guardrails.heartbeats import Heartbeat
from guardrails.inference.client import InferenceClient
from guardrails.inference.named import named
from guardrails.keys import KeyRing, key_secret
from guardrails.launch.addresses import inference_socket
from guardrails.metrics import state
from guardrails.metrics.exchanges import Exchanges
from guardrails.metrics.workers import Workers, directory_of
from guardrails.pipeline import Pipeline
from guardrails.policy.releases import Releases
from guardrails.policy.store import PolicyStore
from guardrails.prompt.render import Templates, load_templates
from guardrails.proxy import Proxy, Receive, Scope, Send
from guardrails.rest import Parts, readiness, rest_app
from guardrails.settings import Settings
from guardrails.tracing.tracer import Exported, PassedOn, Tracer
from guardrails.types import Exchange
from guardrails.upstream.pool import Pool
from guardrails.upstream.rollouts import Rollouts

logger = logging.getLogger(__name__)

WORKER_SECONDS = 90.0


class App:
    """The ASGI app: guarded paths go to the proxy, all others to FastAPI."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._table = proxy.table(settings.routes)
        self._stack = AsyncExitStack()
        self._proxy: Proxy
        self._rest: Callable[[Scope, Receive, Send], Awaitable[None]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the server's start and stop."""
        if scope["type"] == "http":
            guarded = self._table.get(scope["path"])
            if guarded is not None:
                await self._proxy.serve(scope, receive, send, *guarded)
            else:
                await self._rest(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except ConfigError as error:
            await send({"type": "lifespan.startup.failed", "message": error.message})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def start(self) -> None:
        """Bring every part up, in the order of their needs. Errors: ConfigError."""
        settings, stack = self._settings, self._stack
        templates = _templates(settings)
        pool = Pool(
            settings.upstreams,
            balance=settings.balance,
            retries=settings.retries,
            rollouts_known=False,
        )
        stack.push_async_callback(pool.aclose)
        if settings.database_url is None:
            raise ConfigError("There is no database: set BANISTER_DATABASE_URL or `banister up`.")
        secret = key_secret(settings)
        cipher = make_cipher(settings.log_keys, secret)
        log = ExchangeLog(
            settings.database_url,
            settings.log_queue_records,
            mode=settings.log_mode,
            directory=settings.log_spool or settings.data_dir.expanduser() / "spool",
            spool_bytes=settings.log_spool_bytes,
            refuse=settings.log_full == "refuse",
            seal=bytes if cipher is None else cipher.seal,
        )
        await log.start()
        stack.push_async_callback(log.stop)
        keys = KeyRing(settings.database_url, secret)
        await keys.start()
        stack.push_async_callback(keys.stop)
        rollouts = Rollouts(settings.database_url, pool)
        await rollouts.start()
        stack.push_async_callback(rollouts.stop)
        inference = self._inference()
        askers = detectors.askers_of(settings.detectors)
        for asker in askers.values():
            stack.push_async_callback(asker.aclose)
        checker = Checker(
            detectors.finders_of(settings.detectors),
            inference,
            askers=askers,
            cascades=detectors.cascades_of(settings.detectors),
        )
        await _warm(checker)
        known = {**checker.known, cite.DETECTOR: cite.LABELS}
        policies = PolicyStore(
            settings.policy, known, log.remember_policy, shadow=settings.shadow_policy
        )
        watching = asyncio.create_task(policies.watch(), name="policy-watch")
        stack.push_async_callback(_cancelled, watching)
        releases = Releases(settings.database_url, policies)
        await releases.start()
        stack.push_async_callback(releases.stop)
        for template in templates.values():
            log.remember_template(template.hash, template.label, template.source)
        counted, tracer = Exchanges(), _tracer(settings)
        stack.push_async_callback(tracer.stop)

        def ended(exchange: Exchange) -> None:
            counted.observe(exchange)
            tracer.end(exchange)

        pipeline = Pipeline(
            ruling=lambda: policies.current,
            settled=releases.admit,
            checker=checker,
            pool=pool,
            log=log,
            routes=settings.routes,
            templates=templates,
            retriever=self._retriever(settings.database_url, inference),
            check_seconds=settings.check_seconds,
            most_answer_bytes=settings.max_answer_bytes,
            privacy=Privacy(
                settings.privacy,
                known=known,
                finders=[n for n in checker.known if _runs_in(settings, n) == "loop"],
                secret=secret,
            ),
            secret=secret,
            observe=ended,
        )
        access = Access(keys)
        self._proxy = Proxy(
            pipeline=pipeline,
            access=access,
            now=lambda: datetime.now(UTC),
            new_id=lambda: str(uuid_utils.uuid7()),
            most_body_bytes=settings.max_body_bytes,
            most_messages=settings.max_messages,
            most_answer_bytes=settings.max_answer_bytes,
            most_at_once=settings.max_concurrency,
            heartbeat_seconds=settings.heartbeat_seconds,
            tracer=tracer,
        )
        workers = Workers(
            lambda: [*counted.families(), *state.families(checker, pool, log, self._proxy)],
            directory_of(settings.data_dir, settings.workers),
        )
        leaving = asyncio.create_task(workers.keep_leaving(), name="metrics")
        stack.push_async_callback(_cancelled, leaving)
        parts = Parts(
            pool,
            rollouts,
            log,
            policies,
            releases,
            checker,
            self._proxy,
            access,
            workers,
            settings.database_url,
        )
        self._rest = rest_app(parts)
        heartbeat = Heartbeat(settings.database_url, "proxy", lambda: readiness(parts))
        heartbeat.start()
        stack.push_async_callback(heartbeat.stop)
        memory.settle()

    async def stop(self) -> None:
        """Let every part go, last one first; the log writes what it still holds."""
        await self._stack.aclose()

    def _inference(self) -> InferenceClient | None:
        """The worker's client, unless nothing asks for a model."""
        settings = self._settings
        asked = named(settings) - {cite.DETECTOR}
        scorers = {name for name in asked if _runs_in(settings, name) == "worker"}
        grounded = any(route.grounding is not None for route in settings.routes.values())
        if not scorers and not grounded:
            return None
        client = InferenceClient(inference_socket(settings.data_dir))
        self._stack.push_async_callback(client.close)
        return client

    def _retriever(self, url: str, inference: InferenceClient | None) -> Retriever | None:
        settings = self._settings
        if inference is None or not any(r.grounding for r in settings.routes.values()):
            return None
        engine = make_engine(url)
        self._stack.push_async_callback(engine.dispose)

        async def embed(texts: Sequence[str]) -> list[list[float]]:
            return await inference.embed(texts, timeout_seconds=settings.check_seconds)

        return Retriever(engine, embed)


def create() -> App:
    """The app with the settings of the environment, for an ASGI server's factory."""
    return App(Settings())


def _tracer(settings: Settings) -> Tracer:
    if settings.otlp_endpoint is None:
        return PassedOn()
    headers = {name: value.get_secret_value() for name, value in settings.otlp_headers.items()}
    return Exported(settings.otlp_endpoint, headers, settings.otlp_share)


def _templates(settings: Settings) -> Templates:
    """The templates, once every route's own is known to be there."""
    templates = load_templates(settings.templates)
    for route in settings.routes.values():
        if route.template is not None:
            templates[route.template]
    return templates


def _runs_in(settings: Settings, name: str) -> str:
    kind = settings.detectors.get(name, {}).get("kind", name)
    where: str = detectors.module_of(kind).RUNS_IN
    return where


async def _warm(checker: Checker) -> None:
    """Wait for the worker's detectors: nothing is served that could not be checked."""
    try:
        async with asyncio.timeout(WORKER_SECONDS):
            while True:
                try:
                    await checker.start()
                    return
                except GuardUnavailable:
                    await asyncio.sleep(0.05)
    except TimeoutError:
        raise ConfigError(
            f"The inference worker did not come up within {WORKER_SECONDS:.0f} s; see its log."
        ) from None


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
