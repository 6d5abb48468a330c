"""How is a fault of our own named in a log, when its message may hold the caller's text?"""

from __future__ import annotations

import traceback
from pathlib import Path


def fault_of(error: BaseException) -> str:
    """The kind of an exception and where it was raised, as `KeyError at patterns.py:41`."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return type(error).__name__
    return f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}"
