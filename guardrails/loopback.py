"""Does a request come from a program on this very machine?"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

_FORWARDING_HEADERS = (b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip")


def is_local(headers: Mapping[bytes, bytes], client: Sequence[object] | None) -> bool:
    """Whether the peer is on this machine, speaks for itself and names a loopback host.

    A page elsewhere that resolves its own name to 127.0.0.1 (DNS rebinding) sends its own name as
    Host, and a proxy that forwards for others says so in its headers.
    """
    if client is None or not is_loopback(str(client[0])):
        return False
    if any(name in headers for name in _FORWARDING_HEADERS):
        return False
    return is_loopback(_without_port(headers.get(b"host", b"").decode("latin-1")))


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine and no other."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
