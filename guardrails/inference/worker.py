"""The process that holds the models: one a machine, shared by every proxy worker on it.

    python -m guardrails.inference.worker --socket PATH [--detectors '{"compact": {}}']

An asyncio front reads requests from a Unix socket; behind it each model has a lane of its own. The
process ends on SIGTERM, and when the process that started it has gone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from guardrails import detectors
from guardrails.errors import ConfigError
from guardrails.inference.batching import Job, Rows
from guardrails.inference.cache import Cache, Entry, key_of
from guardrails.inference.combine import highest_rows, mean_vectors
from guardrails.inference.endpoint import listening
from guardrails.inference.lane import Lane
from guardrails.inference.named import options_of
from guardrails.inference.protocol import (
    Cancel,
    Describe,
    Described,
    Embed,
    Embeddings,
    FrameReader,
    FrameTooLarge,
    Loaded,
    Refused,
    Reply,
    Request,
    Score,
    Scored,
    Scores,
    decode_request,
    encode,
)
from guardrails.settings import Settings

logger = logging.getLogger(__name__)

_OVERLOADED = "The inference worker is overloaded."
_PARENT_SECONDS = 0.5
_UNREAD_BYTES = 16 * 2**20


class Worker:
    """Answers requests from its lanes and its cache. Everything but the lanes runs in the loop."""

    def __init__(
        self,
        scorers: Mapping[str, Callable[[], Any]],
        load_embedder: Callable[[], Any],
        *,
        now: Callable[[], float] = time.monotonic,
        threads: int = 1,
        batch_windows: int | None = None,
        cache: Cache | None = None,
    ) -> None:
        self._now = now
        self._cache = Cache() if cache is None else cache
        self._lanes = {
            name: Lane(name, load, now=now, threads=threads, batch_windows=batch_windows)
            for name, load in scorers.items()
        }
        self._embedder = Lane("embedder", load_embedder, now=now, batch_windows=batch_windows)
        self._loaded: dict[str, Loaded] = {}
        self.failure: asyncio.Future[None]

    async def start(self) -> None:
        """Load every model in its lane. `failure` raises what kept a detector from loading."""
        self._loop = asyncio.get_running_loop()
        self.failure = self._loop.create_future()
        for name, lane in self._lanes.items():
            lane.start(partial(self._call, self._warm, name))
        if not self._lanes:
            self._embedder.start(_ignore)

    def stop(self) -> None:
        """Let the lanes come to rest."""
        for lane in (*self._lanes.values(), self._embedder):
            lane.stop()

    def answer(self, request: Request, reply: Callable[[Reply], None]) -> Callable[[], None] | None:
        """Answer now or later through `reply`; what is returned takes a later answer back."""
        if isinstance(request, Score):
            return self._score(request, reply)
        if isinstance(request, Embed):
            return self._embed(request, reply)
        if isinstance(request, Describe):
            if missing := [name for name in self._lanes if name not in self._loaded]:
                reply(Refused(request.id, f"Still loading: {', '.join(missing)}."))
            else:
                reply(Described(request.id, self._loaded))
        return None

    def _score(self, request: Score, reply: Callable[[Reply], None]) -> Callable[[], None] | None:
        lane = self._lanes.get(request.detector)
        if lane is None:
            reply(Refused(request.id, f"The worker has not loaded {request.detector!r}."))
            return None
        loaded = self._loaded.get(request.detector)
        if loaded is None:
            reply(Refused(request.id, f"Still loading: {request.detector}."))
            return None
        keys = [key_of(request.detector, loaded.version, text) for text in request.texts]
        entries = [self._cache.get(key) for key in keys]
        missing = [number for number, entry in enumerate(entries) if entry is None]
        if not missing:
            reply(Scores(request.id, _scored(entries, loaded.version)))
            return None

        def done(outcome: list[Entry] | str) -> None:
            if isinstance(outcome, str):
                reply(Refused(request.id, outcome))
                return
            for number, entry in zip(missing, outcome, strict=True):
                self._cache.put(keys[number], entry)
                entries[number] = entry
            reply(Scores(request.id, _scored(entries, loaded.version)))

        texts = [request.texts[number] for number in missing]
        return self._submit(
            lane, request, texts, reply, partial(_combined, highest_rows, texts, done)
        )

    def _submit(
        self,
        lane: Lane,
        request: Score | Embed,
        texts: Sequence[str],
        reply: Callable[[Reply], None],
        done: Callable[[Any], None],
    ) -> Callable[[], None] | None:
        job = lane.submit(texts, request.expires_at, partial(self._call, done))
        if job is None:
            reply(Refused(request.id, _OVERLOADED))
            return None
        return partial(_cancel, job)

    def _embed(self, request: Embed, reply: Callable[[Reply], None]) -> Callable[[], None] | None:
        def done(outcome: list[list[float]] | str) -> None:
            if isinstance(outcome, str):
                reply(Refused(request.id, outcome))
            else:
                reply(Embeddings(request.id, outcome))

        combined = partial(_combined, mean_vectors, request.texts, done)
        return self._submit(self._embedder, request, request.texts, reply, combined)

    def _warm(self, name: str, error: Exception | None) -> None:
        if error is None:
            model = self._lanes[name].model
            self._loaded[name] = Loaded(str(model.version), tuple(model.labels))
            logger.info("%s is warm", name)
            if len(self._loaded) == len(self._lanes):
                # Last, for it may share weights with a detector: at once, they would load twice.
                self._embedder.start(_ignore)
        elif not self.failure.done():
            self.failure.set_exception(ConfigError(f"{name} cannot be loaded: {error}"))

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        # A lane that ends its batch while the process stops has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)


def _combined(
    combine: Callable[[Rows, Sequence[str]], Any],
    texts: Sequence[str],
    done: Callable[[Any], None],
    outcome: Rows | str,
) -> None:
    done(outcome if isinstance(outcome, str) else combine(outcome, texts))


def _scored(entries: Sequence[Entry | None], version: str) -> Scored:
    found = [entry for entry in entries if entry is not None]
    return Scored([scores for scores, _ in found], [spans for _, spans in found], (), version)


def _ignore(error: Exception | None) -> None:
    """The lane has logged it, and answers each request with it."""


def _cancel(job: Job) -> None:
    job.cancelled = True


class _Connection(asyncio.Protocol):
    """One proxy worker's connection; when it ends, what it asked for is dropped."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._frames = FrameReader()
        self._under_way: dict[int, Callable[[], None]] = {}

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=_UNREAD_BYTES)

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._frames.feed(data):
                self._take(decode_request(body))
        except (FrameTooLarge, msgspec.DecodeError) as error:
            logger.warning("A connection was closed: %s", type(error).__name__)
            self._transport.abort()

    def _take(self, request: Request) -> None:
        if isinstance(request, Cancel):
            if take_back := self._under_way.pop(request.id, None):
                take_back()
            return
        take_back = self._worker.answer(request, self._reply)
        if take_back is not None:
            self._under_way[request.id] = take_back

    def _reply(self, reply: Reply) -> None:
        self._under_way.pop(reply.id, None)
        if self._transport.is_closing():
            return
        try:
            self._transport.write(encode(reply))
        except FrameTooLarge:
            self._transport.write(encode(Refused(reply.id, "The answer is too long.")))

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        for take_back in self._under_way.values():
            take_back()


async def serve(worker: Worker, path: Path, *, parent: int | None = None) -> None:
    """Serve until SIGTERM, SIGINT or the death of `parent`; raises what keeps a model from loading.

    The socket answers from the first moment on; until all is warm it says what is still loading.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with listening(path) as listener:
        server = await loop.create_unix_server(lambda: _Connection(worker), sock=listener)
        _watch(parent, stop)
        stopped = asyncio.create_task(stop.wait())
        try:
            await worker.start()
            either: set[asyncio.Future[Any]] = {worker.failure, stopped}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if worker.failure.done():
                worker.failure.result()
        finally:
            stopped.cancel()
            server.close()
            worker.stop()


def _watch(parent: int | None, stop: asyncio.Event) -> None:
    # Asked again and again, for a death signal would come with the parent's thread, not process.
    if parent is not None and os.getppid() != parent:
        stop.set()
    else:
        asyncio.get_running_loop().call_later(_PARENT_SECONDS, _watch, parent, stop)


def scorers_of(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Callable[[], Any]]:
    """How to load each detector that runs in the worker, by name; others are left out.

    Errors: ConfigError for a kind that does not exist.
    """
    return {
        name: partial(detectors.create, name, own)
        for name, own in options.items()
        if detectors.module_of(str(own.get("kind", name))).RUNS_IN == "worker"
    }


def _load_embedder() -> Any:
    # onnxruntime is slow to import: the embedder's own thread does it, beside the others' loading.
    compact = importlib.import_module("guardrails.inference.compact")
    return Embedding(compact.load_embedder())


class Embedding:
    """The sentence embedder, as a lane runs it."""

    def __init__(self, embedder: Any) -> None:
        self._embedder = embedder
        self.window_tokens: int = getattr(embedder, "window_tokens", 256)
        if hasattr(embedder, "windows"):
            self.windows = embedder.windows

    def detect(self, texts: Sequence[str]) -> np.ndarray:
        """One vector a text. Shape: (N, 384) float32."""
        return self._embedder.embed(texts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; 2 where the configuration does not hold."""
    parent = os.getppid()
    parser = argparse.ArgumentParser(prog="guardrails.inference.worker", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--detectors", type=json.loads, help="options by detector name, as JSON")
    parser.add_argument("--threads", type=int, default=_threads(), help="threads of each detector")
    parser.add_argument("--batch", type=int, help="windows in one batch")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        options = options_of(Settings()) if given.detectors is None else given.detectors
        worker = Worker(
            scorers_of(options), _load_embedder, threads=given.threads, batch_windows=given.batch
        )
        asyncio.run(serve(worker, given.socket, parent=parent))
    except ConfigError as error:
        logger.error("%s", error.message)
        return 2
    return 0


def _threads() -> int:
    """Half the cores, four at most: the proxy, the database and the other detectors need some."""
    return max(1, min(4, (os.cpu_count() or 1) // 2))


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # A model that is still computing in native code must not hold up the end, nor crash it.
    os._exit(status)
