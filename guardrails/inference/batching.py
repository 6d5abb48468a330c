"""Which windows of which requests the model sees together next.

Requests take turns, so that one long text never keeps the short ones waiting, and a batch holds
windows of like length only: padding mixed lengths together more than halves the throughput.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from guardrails.inference.protocol import Span


@dataclass(slots=True, frozen=True)
class Rows:
    """All windows of one job, scored: of which text each is, its span in it, and its numbers."""

    numbers: list[int]
    spans: list[Span]
    rows: np.ndarray


@dataclass(slots=True, eq=False)
class Job:
    """One request: its texts, after `split` the windows still to be scored, then their rows.

    `done` is called once, with the rows or with the reason why there are none.
    """

    texts: Sequence[str]
    expires_at: float
    done: Callable[[Rows | str], None]
    cancelled: bool = False
    finished: bool = False
    windows: deque[Window] = field(default_factory=deque)
    scored: list[tuple[Window, np.ndarray]] = field(default_factory=list)
    outstanding: int = 0

    def split(self, spans: Callable[[str], Sequence[Span]]) -> None:
        """Cut every text into its windows, longest first, so that like lengths stand together."""
        cut = [
            Window(self, number, span, text[span[0] : span[1]])
            for number, text in enumerate(self.texts)
            for span in spans(text)
        ]
        cut.sort(key=lambda window: len(window.text), reverse=True)
        self.windows = deque(cut)
        self.outstanding = len(cut)


@dataclass(slots=True, frozen=True, eq=False)
class Window:
    """A piece of one text: text number `number` of `job`, its characters `span`."""

    job: Job
    number: int
    span: Span
    text: str


def bucket(text: str) -> int:
    """The length class of a text: the lengths within one differ by less than a factor of 1.5."""
    length = max(len(text), 16)
    octave = length.bit_length()
    return 2 * octave + (length >= 3 << (octave - 2))


class Backlog:
    """The jobs whose turn will come.

    Limits: `batch_windows` windows a batch. Cost of a turn: O(jobs with windows + batch).
    """

    def __init__(self, *, batch_windows: int) -> None:
        self._batch_windows = batch_windows
        self._jobs: deque[Job] = deque()

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def add(self, job: Job) -> None:
        """Take in a job that has been split and has windows."""
        self._jobs.append(job)

    def take(self) -> list[Window]:
        """The next batch: the first job's windows of one length, filled up from the others'."""
        if not self._jobs:
            return []
        length = bucket(self._jobs[0].windows[0].text)
        batch: list[Window] = []
        served: list[Job] = []
        waiting: deque[Job] = deque()
        for job in self._jobs:
            windows = job.windows
            before = len(batch)
            while (
                windows and len(batch) < self._batch_windows and bucket(windows[0].text) == length
            ):
                batch.append(windows.popleft())
            if len(batch) == before:
                waiting.append(job)
            elif windows:
                served.append(job)
        waiting.extend(served)
        self._jobs = waiting
        return batch

    def drop(self, useless: Callable[[Job], bool]) -> list[Job]:
        """Remove and return the jobs for which nobody waits any more."""
        dropped = [job for job in self._jobs if useless(job)]
        if dropped:
            self._jobs = deque(job for job in self._jobs if not useless(job))
        return dropped
