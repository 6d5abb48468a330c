"""Does an HTTP server on this machine answer, and with what status?"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit


async def status_of(url: str, *, timeout_seconds: float = 2.0) -> int | None:
    """The status of a GET, or None where nobody answers in time.

    Written on a plain connection: the supervisor needs one status line, not an HTTP client.
    """
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            try:
                writer.write(
                    f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
                    "Connection: close\r\n\r\n".encode()
                )
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    words = line.split()
    spoke_http = len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit()
    return int(words[1]) if spoke_http else None
