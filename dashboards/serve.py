"""The dashboards as a process of their own: `python -m dashboards.serve`."""

from __future__ import annotations

import signal

import uvicorn

from dashboards.app import create
from guardrails.database import migrate
from guardrails.database.embedded import start_embedded
from guardrails.settings import Settings


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; on the installation's own Postgres where none is named."""
    url, embedded = settings.database_url, None
    if url is None:
        embedded = start_embedded(settings.data_dir)
        url = embedded.url
    try:
        migrate(url)
        config = uvicorn.Config(
            create(settings.model_copy(update={"database_url": url})),
            host=settings.host,
            port=settings.dashboard_port,
            # The client's address decides about access, so no header may claim another.
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=5,
        )
        # uvicorn stops by itself on these, and then raises them once more to whoever had them
        # before: the default would end the process here, with Postgres still running.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        uvicorn.Server(config).run()
    finally:
        if embedded is not None:
            embedded.stop()


if __name__ == "__main__":
    serve(Settings())
