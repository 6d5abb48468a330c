"""The texts of a conversation as a page shows them: cut at their finds, and to a length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from dashboards.bodies import Said
from dashboards.highlight import Run, Span, runs
from dashboards.measured import role_of
from guardrails.types import Segment

MAX_TURNS = 40


class Turn(Struct, frozen=True):
    """One text as it is shown: cut at its finds, and perhaps short of its end."""

    role: str
    runs: tuple[Run, ...]
    left_out: int = 0


class Turns(Struct, frozen=True):
    """The texts of one side; `earlier` of them are not shown."""

    shown: tuple[Turn, ...]
    earlier: int = 0


def said_of(segment: Segment) -> Said:
    """A checked text and who says it."""
    return Said(role_of(segment), segment.text)


def turns_of(
    said: Sequence[Said],
    characters: int,
    spans: Mapping[int, Sequence[Span]] | None = None,
    *,
    latest: bool = False,
) -> Turns:
    """As many texts as fit into a page; of a conversation the latest, of an answer the first."""
    numbered = list(enumerate(said))
    kept = numbered[-MAX_TURNS:] if latest else numbered[:MAX_TURNS]
    shown = []
    left = characters
    for number, one in reversed(kept) if latest else kept:
        length = min(len(one.text), left)
        if not length and one.text:
            break
        left -= length
        cut = runs(one.text[:length], (spans or {}).get(number, ()))
        shown.append(Turn(one.role, tuple(cut), len(one.text) - length))
    if latest:
        shown.reverse()
    return Turns(tuple(shown), len(said) - len(shown))
