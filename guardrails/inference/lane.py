"""How one model is run: its own queue, its own thread or threads, off the event loop.

A lane loads its model in its thread, runs it once, then answers jobs. It is bounded: what does not
fit, or would not be done in time, is refused at once, and a job whose deadline has passed or whose
asker has gone is dropped before it costs anything. So under overload the lane works for those whom
it can still answer, and not for nobody.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from guardrails.faults import fault_of
from guardrails.inference.batching import BLOCK_CHARACTERS, Backlog, Job, Rows, Window
from guardrails.inference.protocol import Span
from guardrails.text.windows import windows

logger = logging.getLogger(__name__)

# Texts of ordinary language have two to six characters a token; at two, a window that is cut by
# characters stays within the model's tokens for all but strings of rare symbols.
_CHARACTERS_A_TOKEN = 2
_OVERLAP = 8
# How much of the time until its deadline a job may be expected to wait for those before it.
_WAIT_SHARE = 0.5
_PACE_MEMORY = 0.9
_LATE = "The deadline passed before the detector could run."
# On a CPU a larger batch computes no faster and keeps the others waiting; a GPU idles without.
_BATCH_ON_CPU = 4
_BATCH_ON_GPU = 32
# transformers imports its parts lazily, and two threads that do so at once see half a module.
_LOADING = threading.Lock()
_WARM_TEXT = "The weather is fine today."


class Model(Protocol):
    """What a lane runs: a Scorer, or the embedder behind `Embedding`.

    Three more are its choice: `windows(text) -> list[(start, end)]`, where it can count its own
    tokens; else `window_characters`, where it loses nothing in texts of that length; `concurrent`,
    where several threads may call it at once; `device`, where it computes.
    """

    window_tokens: int

    def detect(self, texts: Sequence[str]) -> np.ndarray:
        """One row of numbers a text."""
        ...


class Faulty(Exception):
    """A model raised, or gave rows that cannot be scores."""


class Lane:
    """Runs one model on jobs from any thread; each job is answered once, through its `done`.

    With several `threads`, each has a copy of a model that is not `concurrent`. `batch_windows` is
    chosen by the model's device where it is None.
    Limits: `queued_texts` jobs' texts and `queued_characters` characters wait at most.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], Any],
        *,
        now: Callable[[], float],
        batch_windows: int | None = None,
        threads: int = 1,
        queued_texts: int = 4_096,
        queued_characters: int = 16 * 2**20,
    ) -> None:
        self.name = name
        self.model: Any = None
        self._load = load
        self._now = now
        self._threads = threads
        self._queued_texts = queued_texts
        self._queued_characters = queued_characters
        self._texts = 0
        self._characters = 0
        self._seconds_a_character = 0.0
        self._incoming: deque[Job] = deque()
        self._batch_windows = batch_windows
        self._backlog = Backlog(batch_windows=batch_windows or _BATCH_ON_CPU)
        self._changed = threading.Condition()
        self._stopped = False

    def start(self, loaded: Callable[[Exception | None], None]) -> None:
        """Load and warm the model in the lane's thread, then say so through `loaded`."""
        self._spawn(lambda: self._begin(loaded))

    def stop(self) -> None:
        """Take nothing new from the queue; a batch that is under way ends."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def submit(
        self, texts: Sequence[str], expires_at: float, done: Callable[[Rows | str], None]
    ) -> Job | None:
        """Queue a job; None when the lane is full, or too busy to come to it in time.

        `done` gets its rows, or why there are none.
        """
        characters = sum(map(len, texts))
        with self._changed:
            # An empty lane takes any job, else one text over the limit could never be scored.
            if self._texts and (
                self._texts + len(texts) > self._queued_texts
                or self._characters + characters > self._queued_characters
                or self._wait_seconds() > _WAIT_SHARE * (expires_at - self._now())
            ):
                return None
            self._texts += len(texts)
            self._characters += characters
            job = Job(texts, expires_at, done)
            self._incoming.append(job)
            self._changed.notify()
        return job

    def _wait_seconds(self) -> float:
        return self._characters * self._seconds_a_character / self._threads

    def _spawn(self, target: Callable[[], None]) -> None:
        threading.Thread(target=target, name=f"lane-{self.name}", daemon=True).start()

    def _begin(self, loaded: Callable[[Exception | None], None]) -> None:
        models: list[Model] = []
        try:
            for _ in range(self._threads):
                if not models or not _shared(models[0]):
                    models.append(self._warm())
        except Exception as error:
            logger.exception("%s could not be loaded", self.name)
            models = [_Broken()]
            self.model = models[0]
            loaded(error)
        else:
            self.model = models[0]
            if self._batch_windows is None and _on_gpu(self.model):
                self._backlog = Backlog(batch_windows=_BATCH_ON_GPU)
            loaded(None)
        if getattr(self.model, "concurrent", False):
            models *= self._threads
        for model in models[1:]:
            self._spawn(partial(self._serve, model))
        self._serve(models[0])

    def _warm(self) -> Model:
        with _LOADING:
            model = self._load()
        _check_rows(np.asarray(model.detect([_WARM_TEXT])), 1, _width(model))
        return model

    def _serve(self, model: Model) -> None:
        while True:
            with self._changed:
                while not (self._stopped or self._incoming or self._backlog):
                    self._changed.wait()
                if self._stopped:
                    return
            self._split_some(model)
            with self._changed:
                dropped = self._backlog.drop(self._useless)
                batch = self._backlog.take()
            for job in dropped:
                self._finish(job, _LATE)
            if batch:
                self._run(model, batch)

    def _split_some(self, model: Model) -> None:
        # All short jobs that have come, so that they share batches; of a long text one block.
        characters = 0
        while characters < BLOCK_CHARACTERS:
            with self._changed:
                if not self._incoming:
                    return
                job = self._incoming.popleft()
            characters += self._split(model, job)

    def _useless(self, job: Job) -> bool:
        return job.cancelled or job.expires_at <= self._now()

    def _split(self, model: Model, job: Job) -> int:
        """Cut some of a job into windows; how many characters."""
        if self._useless(job):
            self._finish(job, _LATE)
            return 0
        try:
            windows = job.split(partial(_spans, model))
        except Exception as error:
            logger.error("%s could not cut a text into windows: %s", self.name, fault_of(error))
            self._finish(job, f"The detector {self.name} failed: {type(error).__name__}.")
            return 0
        with self._changed:
            self._backlog.add(job, windows)
            if job.blocks:
                self._incoming.append(job)
            self._changed.notify_all()
        if not job.blocks:
            self._settle(job)
        return sum(len(window.text) for window in windows)

    def _run(self, model: Model, batch: list[Window]) -> None:
        began = self._now()
        try:
            rows = self._detect(model, batch)
        except Faulty as error:
            jobs = {id(window.job): window.job for window in batch}
            if len(jobs) == 1:
                self._fail(batch[0].job, str(error))
                return
            # One of them may be at fault alone: each request answers for itself.
            for job in jobs.values():
                self._run(model, [window for window in batch if window.job is job])
            return
        self._learn_pace(self._now() - began, sum(len(window.text) for window in batch))
        for window, row in zip(batch, rows, strict=True):
            self._collect(window, row)

    def _learn_pace(self, seconds: float, characters: int) -> None:
        with self._changed:
            memory = _PACE_MEMORY if self._seconds_a_character else 0.0
            pace = seconds / max(characters, 1)
            self._seconds_a_character = memory * self._seconds_a_character + (1 - memory) * pace

    def _detect(self, model: Model, batch: list[Window]) -> np.ndarray:
        try:
            rows = np.asarray(model.detect([window.text for window in batch]))
            return _check_rows(rows, len(batch), _width(model))
        except Exception as error:
            logger.error("%s failed: %s", self.name, fault_of(error))
            reason = str(error) if isinstance(error, Faulty) else type(error).__name__
            raise Faulty(f"The detector {self.name} failed: {reason}.") from error

    def _collect(self, window: Window, row: np.ndarray) -> None:
        with self._changed:
            window.job.scored.append((window, row))
        self._settle(window.job)

    def _settle(self, job: Job) -> None:
        with self._changed:
            job.outstanding -= 1
            if job.outstanding:
                return
        numbers = [window.number for window, _ in job.scored]
        spans = [window.span for window, _ in job.scored]
        empty = np.zeros((0, _width(self.model) or 0), np.float32)
        rows = np.stack([row for _, row in job.scored]) if job.scored else empty
        self._finish(job, Rows(numbers, spans, rows))

    def _fail(self, job: Job, reason: str) -> None:
        with self._changed:
            job.cancelled = True
            self._backlog.drop(lambda other: other is job)
        self._finish(job, reason)

    def _finish(self, job: Job, outcome: Rows | str) -> None:
        with self._changed:
            if job.finished:
                return
            job.finished = True
            self._texts -= len(job.texts)
            self._characters -= sum(map(len, job.texts))
        job.done(outcome)


class _Broken:
    """Stands where a model could not be loaded, so that each request hears it."""

    window_tokens = 1 << 30

    def detect(self, texts: Sequence[str]) -> np.ndarray:
        raise Faulty("it could not be loaded")


def _spans(model: Model, text: str) -> Sequence[Span]:
    own = getattr(model, "windows", None)
    if own is not None:
        return own(text)
    size = getattr(model, "window_characters", model.window_tokens * _CHARACTERS_A_TOKEN)
    if len(text) <= size:
        return [(0, len(text))]
    return windows(text, size, size // _OVERLAP)


def _on_gpu(model: Model) -> bool:
    return str(getattr(model, "device", "cpu")).startswith("cuda")


def _shared(model: Model) -> bool:
    return getattr(model, "concurrent", False) or _on_gpu(model)


def _width(model: Any) -> int | None:
    labels = getattr(model, "labels", None)
    return None if labels is None else len(labels)


def _check_rows(rows: np.ndarray, count: int, width: int | None) -> np.ndarray:
    """Rows as float32; raises Faulty where they are not `count` rows of sound numbers."""
    if rows.ndim != 2 or len(rows) != count or (width is not None and rows.shape[1] != width):
        raise Faulty(f"it gave numbers of shape {rows.shape}")
    rows = rows.astype(np.float32, copy=False)
    if not np.isfinite(rows).all():
        raise Faulty("it gave a number that is not finite")
    if width is not None and rows.size and (rows.min() < 0 or rows.max() > 1):
        raise Faulty("it gave a score outside of [0, 1]")
    return rows
