"""How do the checks of texts that were looked at one by one become those of one exchange?"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from guardrails.types import Check, Exchange, Verdict, strictest


def together(exchange: Exchange, each: Sequence[Exchange]) -> Exchange:
    """The exchange with the checks and the verdicts of its texts, the nth being segment n."""
    return exchange.evolve(
        checks=tuple(_of_segment(check, n) for n, one in enumerate(each) for check in one.checks),
        verdict=Verdict(
            strictest(one.verdict.action for one in each),
            tuple(
                replace(reason, segment=n)
                for n, one in enumerate(each)
                for reason in one.verdict.reasons
            ),
        ),
    )


def _of_segment(check: Check, number: int) -> Check:
    return replace(check, detections=tuple(replace(d, segment=number) for d in check.detections))
