"""Which windows of which requests the model sees together next.

Requests take turns, so that one long text never keeps the short ones waiting, and a batch holds
windows of like length only: padding mixed lengths together more than halves the throughput.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from guardrails.inference.protocol import Span

BLOCK_CHARACTERS = 16_384
_BLOCK_OVERLAP = 512


@dataclass(slots=True, frozen=True)
class Rows:
    """All windows of one job, scored: of which text each is, its span in it, and its numbers."""

    numbers: list[int]
    spans: list[Span]
    rows: np.ndarray


@dataclass(slots=True, eq=False)
class Job:
    """One request: its texts, cut into windows block by block, and the rows that they gave.

    `done` is called once, with the rows or with the reason why there are none.
    """

    texts: Sequence[str]
    expires_at: float
    done: Callable[[Rows | str], None]
    cancelled: bool = False
    finished: bool = False
    waiting: bool = False
    blocks: deque[tuple[int, Span]] = field(init=False)
    windows: deque[Window] = field(default_factory=deque)
    scored: list[tuple[Window, np.ndarray]] = field(default_factory=list)
    # One is the cutting itself, so that a job is not complete while blocks are left.
    outstanding: int = 1

    def __post_init__(self) -> None:
        self.blocks = deque(
            (number, block)
            for number, text in enumerate(self.texts)
            for block in _blocks(len(text))
        )

    def split(self, spans: Callable[[str], Sequence[Span]]) -> list[Window]:
        """Cut the next blocks into windows, longest first, so that like lengths stand together.

        Limits: about BLOCK_CHARACTERS a call; `blocks` holds what is left.
        """
        cut: list[Window] = []
        characters = 0
        while self.blocks and characters < BLOCK_CHARACTERS:
            number, (begin, finish) = self.blocks.popleft()
            characters += finish - begin
            text = self.texts[number][begin:finish]
            cut += [
                Window(self, number, (begin + start, begin + end), text[start:end])
                for start, end in spans(text)
            ]
        cut.sort(key=lambda window: len(window.text), reverse=True)
        return cut


@dataclass(slots=True, frozen=True, eq=False)
class Window:
    """A piece of one text: text number `number` of `job`, its characters `span`."""

    job: Job
    number: int
    span: Span
    text: str


def _blocks(length: int) -> Iterator[Span]:
    start = 0
    while length - start > BLOCK_CHARACTERS + _BLOCK_OVERLAP:
        yield start, start + BLOCK_CHARACTERS + _BLOCK_OVERLAP
        start += BLOCK_CHARACTERS
    yield start, length


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

    def add(self, job: Job, windows: Sequence[Window]) -> None:
        """Take in windows of a job, which may have others here already."""
        job.windows.extend(windows)
        job.outstanding += len(windows)
        if windows and not job.waiting:
            job.waiting = True
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
            else:
                job.waiting = False
        waiting.extend(served)
        self._jobs = waiting
        return batch

    def drop(self, useless: Callable[[Job], bool]) -> list[Job]:
        """Remove and return the jobs for which nobody waits any more."""
        dropped = [job for job in self._jobs if useless(job)]
        if dropped:
            self._jobs = deque(job for job in self._jobs if not useless(job))
        return dropped
