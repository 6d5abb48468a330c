"""How does a chart come onto a page? Drawn by a process beside, once for all who look."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import sys
from collections import OrderedDict
from collections.abc import Sequence

from markupsafe import Markup

from dashboards.draughtsman import PREFIX, framed
from monitoring.charts.draw import svg
from monitoring.charts.figure import figure
from monitoring.charts.spec import Chart

MOST = 512
LONGEST = 20.0
"""Seconds after which the process counts as stuck."""

logger = logging.getLogger(__name__)


class Drawing:
    """Draws charts and keeps the latest MOST.

    `apart`: in a process of its own, from `start` on; else, and where that process fails, in a
    thread of this one, which then stands still while a chart is drawn.
    """

    def __init__(self, *, apart: bool = False) -> None:
        self._apart = apart
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._kept: OrderedDict[Chart, str] = OrderedDict()

    async def start(self) -> None:
        """Start the process; it draws a first chart by itself, for that takes nearly a second."""
        if self._apart and self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "dashboards.draughtsman",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )

    async def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        # Not `wait`, which may come back before the pipes are closed.
        await process.communicate()

    async def drawn(self, charts: Sequence[Chart]) -> tuple[Markup, ...]:
        """Each with caption, legend and table, ready for a template; its words are escaped."""
        if any(chart not in self._kept for chart in charts):
            async with self._turn:
                # Whoever was here before may have drawn them, or others in the place of some.
                missing = [chart for chart in charts if chart not in self._kept]
                self._kept.update(zip(missing, await self._draw(missing), strict=True))
        made = {chart: self._kept[chart] for chart in charts}
        for chart in charts:
            self._kept.move_to_end(chart)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        # `figure` escapes every word that it is given, and an SVG is made of numbers and titles.
        return tuple(Markup(figure(chart, made[chart])) for chart in charts)  # noqa: S704

    async def _draw(self, charts: Sequence[Chart]) -> list[str]:
        if not charts:
            return []
        if self._apart:
            try:
                await self.start()
                answer = await asyncio.wait_for(self._ask(charts), LONGEST)
            except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError) as error:
                logger.warning(
                    "The process that draws charts failed (%r); another is begun.", error
                )
                await self.stop()
                answer = None
            except asyncio.CancelledError:
                # An answer that nobody waits for would be taken for that to the next question.
                await self.stop()
                raise
            if answer is not None:
                return answer
        return await asyncio.to_thread(lambda: [svg(chart) for chart in charts])

    async def _ask(self, charts: Sequence[Chart]) -> list[str] | None:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise EOFError("it does not run")
        process.stdin.write(framed(list(charts)))
        await process.stdin.drain()
        length = int.from_bytes(await process.stdout.readexactly(PREFIX))
        found: list[str] | None = pickle.loads(await process.stdout.readexactly(length))  # noqa: S301
        return found
