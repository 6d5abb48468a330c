"""How is the proxy served: uvicorn on httptools and uvloop, and an inference worker beside it?"""

from __future__ import annotations

import asyncio
import logging
import signal

import click

from guardrails.launch.addresses import answers, inference_socket
from guardrails.launch.children import Children
from guardrails.launch.programs import Programs
from guardrails.settings import Settings

logger = logging.getLogger(__name__)

STOP_SECONDS = 4


@click.command()
@click.option(
    "--alone", is_flag=True, help="Expect the inference worker to be run by somebody else."
)
def proxy(alone: bool) -> None:
    """Serve the guarded API, with an inference worker unless one answers."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = Settings()
    if alone or answers(inference_socket(settings.data_dir)):
        serve(settings)
    else:
        asyncio.run(_with_worker(settings))


def serve(settings: Settings) -> None:
    """Serve until a signal. Open exchanges get four seconds to end."""
    # 10 MB that the process which only watches the one that serves need not hold.
    import uvicorn

    uvicorn.run(
        "guardrails.launch.served:application",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        # Every exchange is recorded already; a second log would cost a tenth of the throughput.
        access_log=False,
        log_level="warning",
        server_header=False,
        # Access is decided by the real peer; a forwarded address can be claimed by anybody.
        proxy_headers=False,
        backlog=2048,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


async def _with_worker(settings: Settings) -> None:
    """Run the inference worker and the proxy side by side, each restarted when it crashes."""
    programs = Programs(settings, log_to_files=False)
    children = Children(logger.warning)
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    start = asyncio.create_task(_start(children, programs))
    waiting = asyncio.create_task(asked.wait())
    try:
        await asyncio.wait({start, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if start.done():
            start.result()
            await waiting
    finally:
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        await children.stop()


async def _start(children: Children, programs: Programs) -> None:
    # Side by side, for each takes a second to load; the proxy answers once the worker is warm.
    await asyncio.gather(children.start(programs.inference()), children.start(programs.proxy()))
