"""Streams through the guard: what leaves, when, and that it never holds what is forbidden."""

from __future__ import annotations

import asyncio
import re

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.errors import UpstreamError
from guardrails.streams.guard import Hold, Looked, StreamGuard
from guardrails.types import Action, Check, Detection, Exchange, Stage, Verdict
from guardrails.wire import chat
from tests.factories import make_exchange, make_reason

FORBIDDEN = re.compile(r"xy+zzy")
BEGINNINGS = re.compile(r"x(?:y+(?:z(?:zy?)?)?)?\Z")
EXCHANGE = make_exchange(model="demo-model", request={"messages": [], "stream": True})


class Sink:
    """Keeps what a caller would get, and when."""

    def __init__(self) -> None:
        self.started = 0
        self.data = b""

    async def start(self, exchange: Exchange) -> None:
        self.started += 1

    async def write(self, data: bytes) -> None:
        self.data += data

    def texts(self) -> dict[int, str]:
        said: dict[int, str] = {}
        for event in self.data.split(b"\n\n"):
            if event.startswith(b"data: {"):
                for choice in orjson.loads(event[6:])["choices"]:
                    content = choice["delta"].get("content") or ""
                    said[choice["index"]] = said.get(choice["index"], "") + content
        return said


def live_from(text: str) -> int:
    match = BEGINNINGS.search(text)
    return match.start() if match else len(text)


def looker(action: Action, calls: list | None = None, seconds: float = 0.0):
    """Finds the forbidden word with a regex, as a finder would, and lets the rule act."""

    async def look(segments, finders, scorers):
        await asyncio.sleep(seconds)
        found, reasons = [], []
        for part in finders:
            for match in FORBIDDEN.finditer(part.text):
                start, end = part.start + match.start(), part.start + match.end()
                found.append(Detection("word", 1.0, part.number, start, end, "word"))
                reasons.append(
                    make_reason(
                        label="word", action=action, side=Stage.OUTPUT, segment=part.number,
                        start=start, end=end,
                    )
                )  # fmt: skip
        if calls is not None:
            calls.append([part.text for part in scorers])
        check = Check("words", "1", Stage.OUTPUT, detections=tuple(found))
        return Looked((check,), Verdict(action if reasons else Action.ALLOW, tuple(reasons)))

    return look


def chunk(text, index=0, finish=None):
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
    return {"id": "c", "model": "demo-model", "choices": [choice]}


def wire(*events, done=True):
    return b"".join(b"data: " + orjson.dumps(e) + b"\n\n" for e in events) + (
        b"data: [DONE]\n\n" if done else b""
    )


async def served(chunks):
    for piece in chunks:
        await asyncio.sleep(0)
        yield piece


async def run(events, look, *, hold=Hold.PIECES, exchange=EXCHANGE, cut=None, most_bytes=10**6):
    sink = Sink()
    guard = StreamGuard(chat, sink, most_bytes)
    guard.hold, guard.notice = hold, "No."
    raw = wire(*events)
    size = cut or len(raw)
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    answer = await guard.run(served(pieces), exchange, look, live_from)
    return guard, sink, answer


async def finished(guard, sink, answer, *, blocked):
    """As the pipeline ends an exchange."""
    outputs = chat.outputs(answer)[0]
    exchange = EXCHANGE.evolve(completion=answer, outputs=outputs)
    if blocked:
        reasons = tuple(
            make_reason(side=Stage.OUTPUT, segment=number)
            for number, segment in enumerate(outputs)
            if FORBIDDEN.search(segment.text)
        )
        exchange = exchange.evolve(verdict=Verdict(Action.BLOCK, reasons))
        exchange = exchange.evolve(answer=chat.blocked(exchange, "No."))
    await guard.finish(exchange)
    return sink.texts()


words = st.lists(
    st.sampled_from(["a stair, ", "xyzzy ", "xyy", "zzy. ", "x", "y", "zzy", "the end. ", "word "]),
    max_size=25,
)
CUTS = st.lists(st.integers(1, 9), min_size=1, max_size=30)


def cut_by(text, sizes):
    pieces, at, number = [], 0, 0
    while at < len(text):
        size = sizes[number % len(sizes)]
        pieces.append(text[at : at + size])
        at, number = at + size, number + 1
    return pieces


@settings(max_examples=300, deadline=None)
@given(words, CUTS)
async def test_however_an_answer_is_cut_no_forbidden_word_leaves_and_the_verdict_is_the_same(
    said, sizes
):
    text = "".join(said)
    events = [chunk(piece) for piece in cut_by(text, sizes)] + [chunk("", finish="stop")]
    guard, sink, answer = await run(events, looker(Action.BLOCK))
    blocked = FORBIDDEN.search(text) is not None
    assert bool(guard._stopped) is blocked
    released = sink.texts().get(0, "")
    assert text.startswith(released)
    assert not FORBIDDEN.search(released)
    shown = (await finished(guard, sink, answer, blocked=blocked)).get(0, "")
    if not blocked:
        assert shown == text
    else:
        # Either some beginning that is fine, or the notice in its place.
        assert shown == released if released else shown == "No."
        assert b"content_filter" in sink.data


@settings(max_examples=300, deadline=None)
@given(words, CUTS)
async def test_however_an_answer_is_cut_the_same_spans_are_cut_out(said, sizes):
    text = "".join(said)
    events = [chunk(piece) for piece in cut_by(text, sizes)] + [chunk("", finish="stop")]
    guard, sink, answer = await run(events, looker(Action.REDACT))
    shown = (await finished(guard, sink, answer, blocked=False)).get(0, "")
    assert shown == FORBIDDEN.sub("[word]", text)


@given(st.integers(1, 60))
@settings(max_examples=30, deadline=None)
async def test_where_the_bytes_are_cut_changes_nothing(size):
    events = [chunk("A stair has a banister, "), chunk("and xyzzy "), chunk("", finish="stop")]
    guard, sink, answer = await run(events, looker(Action.REDACT), cut=size)
    shown = await finished(guard, sink, answer, blocked=False)
    assert shown[0] == "A stair has a banister, and [word] "


async def test_text_leaves_before_the_stream_has_ended():
    sink, seen = Sink(), []

    async def slow():
        for text in ("A first clause, ", "then a second one that is longer. ", "And more"):
            yield wire(chunk(text), done=False)
            await asyncio.sleep(0.02)
            seen.append(sink.texts().get(0, ""))
        yield wire(chunk("", finish="stop"))

    guard = StreamGuard(chat, sink, 10**6)
    guard.hold = Hold.PIECES
    await guard.run(slow(), EXCHANGE, looker(Action.BLOCK), live_from)
    assert seen[0] == ""
    assert seen[1].startswith("A first clause, ")
    assert sink.started == 1


async def test_nothing_is_sent_before_the_first_text_has_passed():
    role = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant"}}]}
    guard, sink, _ = await run([role, chunk("xyzzy, "), chunk("more")], looker(Action.BLOCK))
    assert (sink.started, sink.data) == (0, b"")
    assert guard._stopped == {0}


async def test_one_choice_that_is_stopped_does_not_stop_the_others():
    exchange = EXCHANGE.evolve(request={"messages": [], "stream": True, "n": 2})
    events = []
    for good, bad in zip(
        ["A good answer, ", "which goes on for some more words, ", "to the end. "],
        ["A bad answer, ", "that says xyzzy in its middle, ", "and goes on. "],
        strict=True,
    ):
        events += [chunk(good, 0), chunk(bad, 1)]
    events += [chunk("", 0, "stop"), chunk("", 1, "stop")]
    guard, sink, answer = await run(events, looker(Action.BLOCK), exchange=exchange)
    shown = await finished(guard, sink, answer, blocked=True)
    assert shown[0] == "A good answer, which goes on for some more words, to the end. "
    assert "xyzzy" not in shown.get(1, "")
    ends = re.findall(rb'"index":(\d)[^{}]*"delta":\{\},"finish_reason":"(\w+)"', sink.data)
    assert (b"1", b"content_filter") in ends
    assert (b"1", b"stop") not in ends


async def test_upstream_is_read_on_while_a_piece_is_checked():
    calls = []
    events = [chunk(f"clause number {n} of the answer goes here, ") for n in range(20)]
    await run([*events, chunk("", finish="stop")], looker(Action.BLOCK, calls, 0.01), cut=200)
    assert sum(map(len, calls)) >= 20
    assert len(calls) < 15


@pytest.mark.parametrize("sentences", [3, 5, 10, 40, 200])
async def test_scorers_read_each_character_two_and_a_half_times_at_most(sentences):
    calls = []
    text = "The banister is the handrail of a stair, with its posts. " * sentences
    events = [chunk(piece) for piece in cut_by(text, [4])]
    await run([*events, chunk("", finish="stop")], looker(Action.BLOCK, calls))
    scanned = sum(len(piece) for call in calls for piece in call)
    assert scanned <= 2.5 * len(text)


@pytest.mark.parametrize("hold", list(Hold))
@pytest.mark.parametrize(
    "raw",
    [
        b"data: nonsense\n\n",
        b"data: [1]\n\n",
        wire({"error": {"message": "out of memory"}}),
        wire(chunk("cut off"), done=False),
        b"",
    ],
)
async def test_a_stream_that_is_none_is_an_upstream_error(hold, raw):
    guard = StreamGuard(chat, Sink(), 10**6)
    guard.hold = hold
    with pytest.raises(UpstreamError):
        await guard.run(served([raw]), EXCHANGE, looker(Action.BLOCK), live_from)


@pytest.mark.parametrize("hold", [Hold.WHOLE, Hold.PIECES])
async def test_an_answer_too_large_to_be_held_is_given_up(hold):
    events = [chunk("x" * 50) for _ in range(100)]
    with pytest.raises(UpstreamError, match="too large"):
        await run(events, looker(Action.BLOCK, None, 5), hold=hold, most_bytes=2_000)


async def test_a_caller_who_reads_slowly_slows_the_upstream_down():
    pulled = 0

    async def upstream():
        nonlocal pulled
        for _ in range(200):
            pulled += 1
            yield wire(*[chunk("a clause of some length, " * 4) for _ in range(40)], done=False)
        yield wire(chunk("", finish="stop"))

    class Stuck(Sink):
        async def write(self, data: bytes) -> None:
            await asyncio.sleep(30)

    guard = StreamGuard(chat, Stuck(), 10**9)
    guard.hold = Hold.PIECES
    task = asyncio.create_task(guard.run(upstream(), EXCHANGE, looker(Action.BLOCK), live_from))
    await asyncio.sleep(0.3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await guard.close()
    assert pulled < 150


async def test_what_nothing_looks_at_passes_as_it_comes():
    guard, sink, _ = await run(
        [chunk("xyzzy"), chunk(" passes"), chunk("", finish="stop")],
        looker(Action.BLOCK),
        hold=Hold.NOTHING,
    )
    assert sink.texts() == {0: "xyzzy passes"}
    assert guard.checks == []
