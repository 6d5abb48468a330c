"""Who holds the embedded Postgres while `banister up` runs? This small process.

It is a child like the others: it ends when the supervisor ends, whatever ended that, and stops the
server then. It ends by itself when the server has died, so that the supervisor starts both anew.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path

import psutil

from guardrails.database.embedded import EmbeddedPostgres, start_embedded
from guardrails.errors import ConfigError

LOOK_SECONDS = 1.0


def keep(data_dir: Path, url_file: Path, stop: threading.Event) -> int:
    """Hold the server until `stop` is set (0) or it dies (1); its URL stands in `url_file`."""
    url_file.unlink(missing_ok=True)
    server = start_embedded(data_dir)
    try:
        unfinished = url_file.with_suffix(".new")
        unfinished.write_text(server.url)
        unfinished.replace(url_file)
        while not stop.wait(LOOK_SECONDS):
            if not _lives(server):
                logging.error("the embedded Postgres (process %d) has died", server.pid)
                return 1
    finally:
        url_file.unlink(missing_ok=True)
        server.stop()
    return 0


def _lives(server: EmbeddedPostgres) -> bool:
    try:
        return psutil.Process(server.pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def main() -> int:
    """Hold the server of the data directory that the first argument names."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        return keep(Path(sys.argv[1]), Path(sys.argv[2]), stop)
    except ConfigError as error:
        logging.error("%s", error.message)
        return 2


if __name__ == "__main__":
    sys.exit(main())
