"""Which trace does a request belong to? W3C Trace Context, read and written.

Source: https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random

from msgspec import Struct

_HEADER = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MOST_STATE = 512
_SAMPLED = 0x01

Headers = list[tuple[bytes, bytes]]


class Context(Struct, frozen=True):
    """Where the spans of one exchange stand. `parent` 0: nobody before us traces it.

    `server` is the id of the exchange's span, `client` that of its call of the model, which is what
    the upstream is told as its parent.
    """

    trace: int
    parent: int
    server: int
    client: int
    sampled: bool
    state: bytes = b""

    def headers(self) -> Headers:
        """What the upstream is told."""
        flags = b"01" if self.sampled else b"00"
        told: Headers = [(b"traceparent", b"00-%032x-%016x-%s" % (self.trace, self.client, flags))]
        if self.state:
            told.append((b"tracestate", self.state))
        return told


def begin(headers: Iterable[tuple[bytes, bytes]], rng: Random, share: float) -> Context:
    """The context of a request: the caller's trace taken over, or a new one.

    The caller decides whether its trace is sampled; of those that begin here `share` are. What does
    not follow the standard is as good as absent.
    """
    parent, state = None, []
    for name, value in headers:
        if name == b"traceparent":
            # Two of them are as good as none: nobody knows which to believe.
            parent = value if parent is None else b""
        elif name == b"tracestate":
            state.append(value)
    server, client = rng.getrandbits(64) or 1, rng.getrandbits(64) or 1
    found = _HEADER.fullmatch(parent) if parent else None
    if found is not None:
        version, trace, span, flags, more = found.groups()
        known = version != b"ff" and not (version == b"00" and more)
        if known and int(trace, 16) and int(span, 16):
            joined = b",".join(state)
            return Context(
                int(trace, 16),
                int(span, 16),
                server,
                client,
                bool(int(flags, 16) & _SAMPLED),
                joined if len(joined) <= _MOST_STATE else b"",
            )
    return Context(rng.getrandbits(128) or 1, 0, server, client, rng.random() < share)
