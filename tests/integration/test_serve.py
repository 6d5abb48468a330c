"""The dashboards as a process that brings its own Postgres."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import httpx

from tests.browser.conftest import free_port


async def test_process_serves_on_its_own_postgres_and_leaves_none_behind(tmp_path: Path):
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name[:9] != "BANISTER_"}
    environment |= {"BANISTER_DATA_DIR": str(tmp_path), "BANISTER_DASHBOARD_PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dashboards.serve", env=environment
    )
    try:
        transport = httpx.AsyncHTTPTransport(retries=0)
        async with httpx.AsyncClient(transport=transport) as client, asyncio.timeout(60):
            while True:
                try:
                    answer = await client.get(f"http://127.0.0.1:{port}/")
                    break
                except httpx.ConnectError:
                    assert process.returncode is None
                    await asyncio.sleep(0.2)
        assert answer.status_code == 200
        assert answer.text.count('<span class="value">No data</span>') == 4
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert not (tmp_path / "postgres" / "postmaster.pid").exists()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
