"""Lines of alert in the monitor's log, as they come."""

from __future__ import annotations

import asyncio
from pathlib import Path

from guardrails.launch.alert_lines import follow


async def test_what_the_monitor_says_of_alerts_is_said_once_and_whole(tmp_path: Path):
    log = tmp_path / "monitor.log"
    log.write_text("ALERT of an earlier start\n")
    said: list[str] = []
    following = asyncio.create_task(follow(log, said.append, every_seconds=0.01))
    await asyncio.sleep(0.05)
    with log.open("a") as file:
        for part in ("OK rates\n[12:00] WARNING  ALERT [banister] 1 fir", "ing: block\nOK seal\n"):
            file.write(part)
            file.flush()
            await asyncio.sleep(0.05)
    log.write_text("ALERT [banister] 1 resolved: block\n")
    async with asyncio.timeout(5):
        while len(said) < 2:
            await asyncio.sleep(0.01)
    following.cancel()
    assert said == ["ALERT [banister] 1 firing: block", "ALERT [banister] 1 resolved: block"]
