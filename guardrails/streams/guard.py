"""Reads a stream, has it checked as it grows, and lets each event go when all its text may.

    upstream ─▶ events ─▶ lanes ─▶ pieces ─▶ checks ─▶ the policy
                  │                                        │
                  └──── held, in order ◀── safe up to ─────┘──▶ caller

The upstream is read on while a piece is checked; what arrives meanwhile is checked together next.
What ends the stream waits for `finish`, so that the record stands before the answer ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from enum import Enum
from types import ModuleType
from typing import Any, Protocol

from msgspec import Struct

from guardrails.errors import UpstreamError
from guardrails.streams.events import Event, as_it_leaves, only
from guardrails.streams.heartbeat import Heartbeat
from guardrails.streams.intake import Intake, Read
from guardrails.streams.lanes import Edit, Growing, Slice, goes_on
from guardrails.types import Action, Check, Exchange, Reason, Segment, Verdict
from guardrails.vault import Vault, holds_json
from guardrails.wire.deltas import Lane


class Sink(Protocol):
    """Where a stream leaves for the caller."""

    async def start(self, exchange: Exchange) -> None:
        """Send the status and the headers."""
        ...

    def write(self, data: bytes) -> Awaitable[None]:
        """Send some of the body; waits while the caller does not read."""
        ...


_AHEAD_BYTES = 256 * 2**10
HEARTBEAT_SECONDS = 10.0


class Hold(Enum):
    """How long a stream is held back."""

    NOTHING = "nothing"  # no rule looks at it
    PIECES = "pieces"  # until each piece is checked
    WHOLE = "whole"  # a rule must see all of it first


class Looked(Struct, frozen=True):
    """What came of some slices: the checks, and what the policy says of them."""

    checks: tuple[Check, ...]
    verdict: Verdict


Look = Callable[[Sequence[Segment], Sequence[Slice], Sequence[Slice]], Awaitable[Looked]]
"""Checks slices (for finders, for scorers) of the texts that the segments name."""


class StreamGuard:
    """One answer on its way.

    Limits: `most_bytes` of events are held, else UpstreamError; a caller who reads slowly slows the
            upstream down.
    Cost:   each character is read by a scorer 2.5 times at most, by a finder 2.7 times; a finder
            reads on from the beginning of a match that is still growing.
    """

    def __init__(
        self,
        wire: ModuleType,
        sink: Sink,
        most_bytes: int,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._wire = wire
        self._sink = sink
        self._heartbeat = Heartbeat(sink.write, heartbeat_seconds)
        self._most_bytes = most_bytes
        self._intake = Intake(wire, most_bytes)
        # A protocol that opens and closes its parts must know which ones are open.
        self._sent = wire.Sent() if hasattr(wire, "Sent") else None
        self._lanes: dict[Lane, Growing] = {}
        self._held: deque[Event] = deque()
        self._held_bytes = 0
        self._stopped: set[int] = set()
        self._said: set[int] = set()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._busy = False
        self.hold = Hold.WHOLE
        self.notice = ""
        self.prefill = ""
        self.vault = Vault()
        self.started = False
        self.checks: list[Check] = []

    @property
    def segments(self) -> list[Segment]:
        """The texts of the answer so far, in the order of their numbers; the text itself is not
        repeated here.
        """
        place = self._intake.place
        return [
            Segment(lane.stage, lane.role, lane.index, place(lane.pointer), "")
            for lane in self._lanes
        ]

    async def run(
        self,
        answer: AsyncIterator[bytes],
        exchange: Exchange,
        look: Look,
        live_from: Callable[[str], int],
    ) -> dict[str, Any]:
        """Take in the whole stream and release what may leave; returns the folded answer.

        `live_from` says from where on a text may still grow into a match. Returns early when the
        policy has stopped every choice.
        Errors: UpstreamError for a stream that is none, or that breaks off; what `look` raises.
        """
        if self.hold is Hold.PIECES:
            await self._check_while_reading(answer, exchange, look, live_from)
        elif self.hold is Hold.NOTHING:
            await self._pass_on(answer, exchange)
        else:
            async for chunk in answer:
                self._take(chunk, exchange)
            self._end(exchange)
        return self._intake.result()

    async def finish(self, exchange: Exchange) -> None:
        """Let the rest go: what is held, or what the policy says instead, then the stream's end."""
        if not self.started:
            await self._start(exchange)
        if self._stopped and self._said:
            events = self._endings(exchange)
        elif (answer := self._whole(exchange)) is not None:
            wanted = exchange.request.get("stream_options") or {}
            usage = bool(wanted.get("include_usage"))
            events = list(self._wire.unfold(answer, include_usage=usage))
        else:
            rest = (as_it_leaves(event, self._stopped) for event in self._held)
            events = [*self._addenda(exchange), *rest]
        frames = [self._wire.frame(event) for event in events if event is not None]
        await self._last(b"".join(frames) + self._wire.END)

    async def fail(self, error: dict[str, Any]) -> None:
        """End a stream that has begun with an error event."""
        await self._last(self._wire.frame(error))

    async def close(self) -> None:
        """Nothing more is sent; a stream whose caller has gone must be closed too."""
        await self._heartbeat.stop()

    async def _pass_on(self, answer: AsyncIterator[bytes], exchange: Exchange) -> None:
        """Let everything go as it comes."""
        async for chunk in answer:
            if self._intake.pass_by(chunk):
                await self._heartbeat.write(chunk)
            else:
                self._take(chunk, exchange)
                await self._release(exchange)
        self._end(exchange)

    async def _check_while_reading(
        self,
        answer: AsyncIterator[bytes],
        exchange: Exchange,
        look: Look,
        live_from: Callable[[str], int],
    ) -> None:
        reader = asyncio.create_task(self._read(answer, exchange), name="stream-reader")
        try:
            while self._unread() or not reader.done():
                await self._wake.wait()
                self._wake.clear()
                self._busy = True
                if self._unread():
                    await self._check(look, live_from)
                    if self._all_stopped(exchange):
                        return
                    # What came meanwhile may be a piece already; the reader need not wake us.
                    self._wake.set()
                await self._release(exchange)
                self._busy = False
                self._room.set()
            reader.result()
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self, answer: AsyncIterator[bytes], exchange: Exchange) -> None:
        try:
            async for chunk in answer:
                if self._take(chunk, exchange):
                    self._wake.set()
                if self._held_bytes > _AHEAD_BYTES:
                    # The detectors or the caller are slower than the model: so let it wait.
                    await asyncio.sleep(0)
                    while self._busy and self._held_bytes > _AHEAD_BYTES:
                        self._room.clear()
                        await self._room.wait()
            self._end(exchange)
        finally:
            self._wake.set()

    def _take(self, chunk: bytes, exchange: Exchange) -> bool:
        """Hold the events that this chunk completes; whether a piece of text waits to be read."""
        waits = False
        for event in self._intake.feed(chunk, exchange.model):
            waits |= self._hold(event)
        return waits

    def _end(self, exchange: Exchange) -> None:
        for event in self._intake.end(exchange.model):
            self._hold(event)
        for lane in self._lanes.values():
            lane.end()

    def _hold(self, event: Read) -> bool:
        body = event.body
        texts = []
        waits = False
        for delta in self._wire.deltas(body) if self.hold is Hold.PIECES else ():
            lane = self._lanes.get(delta.lane)
            if lane is None:
                begun = self.prefill if goes_on(delta.lane) else ""
                lane = self._lanes[delta.lane] = Growing(len(self._lanes), delta.lane, begun)
            waits |= lane.grow(delta.text)
            texts.append((lane, lane.length, delta))
        self._held_bytes += event.size
        if self._held_bytes > self._most_bytes:
            raise UpstreamError("The upstream's answer is too large to be held.")
        self._held.append(Event(body, texts, event.size))
        return waits

    def _unread(self) -> list[Growing]:
        return [
            lane
            for lane in self._lanes.values()
            if lane.unread and lane.lane.index not in self._stopped
        ]

    async def _check(self, look: Look, live_from: Callable[[str], int]) -> None:
        lanes = self._unread()
        finders, scorers = [], []
        for lane in lanes:
            for_finders, for_scorers = lane.take()
            finders.append(for_finders)
            scorers += for_scorers
        looked = await look(self.segments, finders, scorers)
        self.checks += looked.checks
        numbered = list(self._lanes.values())
        edits: dict[int, list[Edit]] = {}
        for reason in looked.verdict.reasons:
            if reason.shadow or reason.segment is None:
                continue
            lane = numbered[reason.segment]
            if reason.action is Action.BLOCK:
                self._stopped.add(lane.lane.index)
            elif reason.action is Action.REDACT:
                edits.setdefault(lane.number, []).append(_edit(reason, lane))
        for lane in lanes:
            if lane.lane.index not in self._stopped:
                held = lane.held()
                lane.cut_out([*edits.get(lane.number, ()), *self._put_back(lane, held)])
                begun = lane.begun()
                live = max(live_from(begun + held) - len(begun), 0)
                lane.let_go(min(live, self.vault.live_from(held)))

    def _put_back(self, lane: Growing, held: str) -> Iterator[Edit]:
        segment = self.segments[lane.number]
        for start, end, value in self.vault.found(held, as_json=holds_json(segment)):
            yield Edit(lane.safe + start, lane.safe + end, value)

    def _all_stopped(self, exchange: Exchange) -> bool:
        choices = exchange.request.get("n") or 1
        return len(self._stopped) >= choices

    async def _release(self, exchange: Exchange) -> None:
        if self.hold is Hold.WHOLE:
            return
        frames = []
        for _ in range(self._leaving()):
            event = self._held.popleft()
            self._held_bytes -= event.size
            for lane, _, _ in event.texts:
                if lane.lane.index not in self._stopped:
                    self._said.add(lane.lane.index)
            shown = as_it_leaves(event, self._stopped)
            if shown is not None:
                if self._sent is not None:
                    self._sent.add(shown)
                frames.append(self._wire.frame(shown))
        if frames:
            if not self.started:
                await self._start(exchange)
            await self._heartbeat.write(b"".join(frames))

    def _leaving(self) -> int:
        """How many events may leave now: none behind one that is held, and the last has text.

        So the first events wait for the first text, and until then an error can still be a status;
        the last ones wait for `finish`.
        """
        if self.hold is Hold.NOTHING:
            return len(self._held)
        count = 0
        for number, event in enumerate(self._held, 1):
            if not self._may_leave(event):
                break
            if event.texts:
                count = number
        return count

    def _may_leave(self, event: Event) -> bool:
        return all(
            end <= lane.safe or lane.lane.index in self._stopped for lane, end, _ in event.texts
        )

    def _whole(self, exchange: Exchange) -> dict[str, Any] | None:
        """The answer that stands for the stream's own events, where they do not leave."""
        if not self._stopped and self.hold is not Hold.WHOLE:
            return None
        answer = exchange.answer
        if self.vault and answer is None:
            answer = exchange.completion
        if answer is None or self._stopped:
            return answer
        restored: dict[str, Any] = self.vault.restored(answer, self._wire.outputs(answer)[0])
        return restored

    def _addenda(self, exchange: Exchange) -> list[dict[str, Any] | None]:
        """What became known of the whole answer only: its citations, what was flagged."""
        if exchange.answer is None or not hasattr(self._wire, "addenda"):
            return []
        return list(self._wire.addenda(exchange))

    def _endings(self, exchange: Exchange) -> list[dict[str, Any] | None]:
        """What is still held of the other choices, then how each one that was stopped ends."""
        passed = filter(self._may_leave, self._held)
        held = [as_it_leaves(event, self._stopped) for event in passed]
        said = self._stopped & self._said
        endings: list[dict[str, Any] | None] = []
        for released, choices in ((True, said), (False, self._stopped - said)):
            if choices:
                sent = () if self._sent is None else (self._sent,)
                ends = self._wire.stopped(exchange, self.notice, released, *sent)
                endings += [only(event, choices) for event in ends]
        return [*held, *endings]

    async def _start(self, exchange: Exchange) -> None:
        self.started = True
        await self._sink.start(exchange)
        self._heartbeat.start()

    async def _last(self, data: bytes) -> None:
        await self._heartbeat.stop()
        await self._sink.write(data)


def _edit(reason: Reason, lane: Growing) -> Edit:
    start = lane.safe if reason.start is None else reason.start
    end = lane.read if reason.end is None else reason.end
    return Edit(start, end, f"[{reason.label}]")
