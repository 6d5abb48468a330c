"""How does a process give back what only its start needed?"""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress


def settle() -> None:
    """Call once, when all that lives as long as the process is there.

    What lives so long need not be looked at by every full collection, which would hold the event
    loop for tens of milliseconds. What was used to build it (automata above all) is free, but the C
    library keeps it: 17 MB of a proxy, where that library is glibc.
    """
    gc.collect()
    gc.freeze()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
