"""A stream's pieces of text: which text of the whole answer each one continues."""

from __future__ import annotations

from msgspec import Struct

from guardrails.types import Stage
from guardrails.wire.pointers import Pointer


class Lane(Struct, frozen=True):
    """One text that grows over a stream's events.

    `pointer` leads to it in the whole answer that `Fold` makes, so that it is the pointer of the
    segment which `outputs` finds there.
    """

    stage: Stage
    role: str
    index: int
    pointer: Pointer


class Delta(Struct, frozen=True):
    """A piece of a lane's text; `pointer` leads to it in its event, so that it can be exchanged."""

    lane: Lane
    pointer: Pointer
    text: str
