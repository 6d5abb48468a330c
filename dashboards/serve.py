"""The dashboards as a process of their own: `python -m dashboards.serve`."""

from __future__ import annotations

import signal
from types import FrameType

import uvicorn

from dashboards.app import create
from dashboards.site import Site
from guardrails.database import migrate
from guardrails.database.embedded import start_embedded
from guardrails.settings import Settings


class _Server(uvicorn.Server):
    """Tells the open streams that they end, so that no stop has to wait for them."""

    def __init__(self, config: uvicorn.Config, site: Site) -> None:
        super().__init__(config)
        self._site = site

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop taking requests, and let those that are under way end."""
        self._site.closing = True
        super().handle_exit(sig, frame)


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; on the installation's own Postgres where none is named."""
    url, embedded = settings.database_url, None
    if url is None:
        embedded = start_embedded(settings.data_dir)
        url = embedded.url
    try:
        migrate(url)
        app = create(settings.model_copy(update={"database_url": url}), draws_apart=True)
        config = uvicorn.Config(
            app,
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
        _Server(config, app.state.site).run()
    finally:
        if embedded is not None:
            embedded.stop()


if __name__ == "__main__":
    serve(Settings())
