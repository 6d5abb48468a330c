"""How is a shard checked, with the proxy's own checker and policy, or asked through the proxy?"""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson
from msgspec import Struct

from guardrails.batch.lines import Faulty, Line, answered, parse, refused
from guardrails.checks import Checker
from guardrails.detectors import askers_of, cascades_of, finders_of
from guardrails.errors import ConfigError
from guardrails.grounding import cite
from guardrails.inference.client import InferenceClient
from guardrails.launch.addresses import answers, inference_socket
from guardrails.launch.children import Children
from guardrails.launch.programs import Programs
from guardrails.policy.decide import Ruling
from guardrails.policy.model import read_policy
from guardrails.settings import Settings
from guardrails.types import Caller, Stage

_CHECKED_AT_ONCE, _ASKED_AT_ONCE = 32, 8
_ASK_SECONDS = 600.0
_CHECK_SECONDS = 120.0
"""Nobody waits for a line, and one that is late would be decided by its rule's `on_error`."""


class How(Struct, frozen=True):
    """What is done with each line: checked only, or asked through a proxy at `ask`."""

    stage: Stage = Stage.INPUT
    route: str = "default"
    tenant: str = "default"
    ask: str | None = None
    model: str | None = None
    key: str | None = None


class Judge:
    """One worker's detectors and policy, for as long as it lives."""

    def __init__(self, settings: Settings, how: How) -> None:
        self._settings = settings
        self._how = how
        self._children = Children(lambda sentence: None)
        self._checker: Checker
        self._ruling: Ruling
        self._client: InferenceClient
        self._askers: dict[str, Any] = {}

    async def start(self) -> None:
        """Load the policy and its detectors; the inference worker of this machine is shared."""
        if self._how.ask is not None:
            return
        socket = inference_socket(self._settings.data_dir)
        if not answers(socket):
            await self._children.start(Programs(self._settings).inference())
        self._client = InferenceClient(socket)
        self._askers = askers_of(self._settings.detectors)
        self._checker = Checker(
            finders_of(self._settings.detectors),
            self._client,
            askers=self._askers,
            cascades=cascades_of(self._settings.detectors),
            now=time.perf_counter,
        )
        await self._checker.start()
        known = {**self._checker.known, cite.DETECTOR: cite.LABELS}
        self._ruling = Ruling(read_policy(self._settings.policy, known))

    async def stop(self) -> None:
        """Let go of the detectors."""
        if self._how.ask is None:
            for asker in self._askers.values():
                await asker.aclose()
            await self._client.close()
        await self._children.stop()

    async def answers(self, lines: Sequence[bytes]) -> list[bytes]:
        """One answer a line, in their order; a line that cannot be used is answered too."""
        asking = self._how.ask is not None
        turn = asyncio.Semaphore(_ASKED_AT_ONCE if asking else _CHECKED_AT_ONCE)

        async def one(raw: bytes) -> bytes:
            async with turn:
                try:
                    line = parse(raw, self._how.stage)
                except Faulty as error:
                    return refused(raw, str(error))
                if asking:
                    return await asyncio.to_thread(self._asked, line)
                return await self._checked(line)

        return list(await asyncio.gather(*map(one, lines)))

    async def _checked(self, line: Line) -> bytes:
        caller = Caller(tenant=self._how.tenant)
        stage = line.segments[0].stage
        side = Stage.INPUT if stage in (Stage.INPUT, Stage.TOOL_RESULT) else Stage.OUTPUT
        # Groundedness is measured against passages, and a text alone has none.
        wanted = self._ruling.detectors(self._how.route, caller, line.segments) - {cite.DETECTOR}
        checks = await self._checker.run(
            wanted, line.segments, side, timeout_seconds=_CHECK_SECONDS
        )
        verdict = self._ruling.decide(
            checks, line.segments, side=side, route=self._how.route, caller=caller
        )
        errors = {check.detector: check.error for check in checks if check.error}
        return answered(line, verdict, self._ruling.label, errors)

    def _asked(self, line: Line) -> bytes:
        url = urlsplit(self._how.ask or "")
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        if url.hostname is None:
            raise ConfigError(f"--ask needs the address of a proxy, not {self._how.ask!r}.")
        body = {"model": self._how.model, **line.body}
        headers = {"content-type": "application/json"}
        if self._how.key:
            headers["authorization"] = f"Bearer {self._how.key}"
        connection = kind(url.hostname, url.port, timeout=_ASK_SECONDS)
        known = {} if line.id is None else {"id": line.id}
        try:
            path = f"{url.path.rstrip('/')}/chat/completions"
            connection.request("POST", path, orjson.dumps(body), headers)
            response = connection.getresponse()
            raw = response.read()
            action = response.getheader("x-guardrail-decision")
            answer = orjson.loads(raw)
        except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
            return orjson.dumps({**known, "error": f"the proxy: {type(error).__name__}"})
        finally:
            connection.close()
        return orjson.dumps(
            {**known, "status": response.status, "action": action, "answer": answer}
        )
