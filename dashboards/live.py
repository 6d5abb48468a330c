"""How does a page stay up to date? By server-sent events: a part of it again when it has changed.

Each event has the part's version as its id. A browser that comes back says which it has, and is
sent nothing until there is another; one that is hidden closes its stream (static/live.js).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import HTTPException, Request
from fastapi.responses import StreamingResponse
from sqlalchemy.exc import SQLAlchemyError

from dashboards.site import Site, site_of

PERIOD = 2.0
LONGEST = 600.0
"""After so many seconds a stream ends; the browser opens another. So none outlives its login."""
HEARTBEAT = 15.0
MOST = 200

Part = Callable[[], Awaitable[tuple[str, str]]]
"""The version of a part of the page, and its HTML."""

_open: set[int] = set()


def stream(request: Request, part: Part) -> StreamingResponse:
    """The part now, and again after each change. Errors: 503 where MOST streams are open."""
    if len(_open) >= MOST:
        raise HTTPException(503, "Too many pages are live at once.")
    seen = request.headers.get("last-event-id", "")
    return StreamingResponse(
        events(site_of(request), part, seen),
        media_type="text/event-stream",
        headers={"x-accel-buffering": "no"},
    )


async def events(
    site: Site, part: Part, seen: str, *, period: float = PERIOD, longest: float = LONGEST
) -> AsyncIterator[str]:
    """The stream's text. Where the log is away for a moment, it waits for it."""
    mark = id(asyncio.current_task())
    _open.add(mark)
    loop = asyncio.get_running_loop()
    ends, spoken = loop.time() + longest, loop.time()
    try:
        yield "retry: 3000\n\n"
        while loop.time() < ends and not site.closing:
            try:
                version, html = await _whole(part)
            except SQLAlchemyError:
                version, html = seen, ""
            if version != seen:
                seen, spoken = version, loop.time()
                yield event(version, html)
            elif loop.time() - spoken > HEARTBEAT:
                spoken = loop.time()
                yield ": still here\n\n"
            await _wait(site, period)
    finally:
        _open.discard(mark)


def event(version: str, html: str) -> str:
    """One event; each line of the HTML is a line of its data."""
    lines = "".join(f"data: {line}\n" for line in html.splitlines())
    return f"id: {version}\n{lines}\n"


async def _whole(part: Part) -> tuple[str, str]:
    """The part, read to its end even when the browser leaves meanwhile.

    A statement that is cut off costs its connection, and a line in the process's log.
    """
    reading = asyncio.ensure_future(part())
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        raise


async def _wait(site: Site, seconds: float) -> None:
    """Sleep, and wake within a fifth of a second when the process is told to stop."""
    while seconds > 0 and not site.closing:
        await asyncio.sleep(min(0.2, seconds))
        seconds -= 0.2
