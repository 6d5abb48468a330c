"""Which exchanges did people find harmful, or harmless, without contradicting each other?"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from monitoring.reviews import Labelled


def judged(reviewed: Iterable[Labelled]) -> dict[UUID, bool]:
    """Whether each exchange is harmful, where all who could tell agree.

    An exchange is harmful where one of its sides is. Where two people contradict each other about a
    side, or nobody could tell, it stands in neither.
    """
    sides: dict[UUID, list[set[bool]]] = {}
    for one in reviewed:
        said = {label.harmful for label in one.labels if label.harmful is not None}
        sides.setdefault(one.item.exchange_id, []).append(said)
    return {
        exchange: {True} in answers
        for exchange, answers in sides.items()
        if {True} in answers or all(answer == {False} for answer in answers)
    }
