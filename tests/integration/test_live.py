"""What a live page is sent."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.exc import OperationalError

from dashboards.live import event, events


class Closing:
    closing = False


async def told(parts, seen: str = "", **options) -> list[str]:
    """What is sent while the parts come one after the other; the last one stops the process."""
    site, left = Closing(), list(parts)

    async def part():
        one = left.pop(0)
        site.closing = not left
        if isinstance(one, Exception):
            raise one
        return one

    return [text async for text in events(site, part, seen, period=0.01, **options)][1:]


async def test_a_part_is_sent_only_when_it_has_changed():
    sent = await told([("1", "a"), ("1", "a"), ("2", "b")])
    assert sent == [event("1", "a"), event("2", "b")]


async def test_who_comes_back_is_sent_nothing_that_he_has():
    assert await told([("1", "a"), ("2", "b")], seen="1") == [event("2", "b")]


async def test_the_stream_outlives_a_database_that_is_away():
    away = OperationalError("SELECT", {}, Exception())
    assert await told([("1", "a"), away, ("1", "a"), ("2", "b")]) == [
        event("1", "a"),
        event("2", "b"),
    ]


async def test_a_stream_ends_by_itself():
    async def part():
        return "1", "a"

    sent = [text async for text in events(Closing(), part, "", period=0.01, longest=0.05)]
    assert sent == ["retry: 3000\n\n", event("1", "a")]


def test_each_line_is_a_line_of_the_event():
    assert event("7", "<p>a\n\nb</p>") == "id: 7\ndata: <p>a\ndata: \ndata: b</p>\n\n"


async def test_who_leaves_does_not_cut_off_what_is_being_read():
    ended = asyncio.Event()

    async def part():
        await asyncio.sleep(0.05)
        ended.set()
        raise OperationalError("SELECT", {}, Exception())

    stream = events(Closing(), part, "")
    assert await anext(stream) == "retry: 3000\n\n"
    reading = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    async with asyncio.timeout(5):
        await ended.wait()
