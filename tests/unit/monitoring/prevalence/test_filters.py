from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from monitoring.jobs import filter_quality
from monitoring.prevalence.filters import ANY, CATEGORIES, judge
from monitoring.reviews import LABELS, Item, Label, Labelled
from monitoring.types import Status

AT = datetime(2026, 11, 20, tzinfo=UTC)


def item(number: int, stratum: str, probability: float, *said: tuple[str, ...] | None) -> Labelled:
    """Each of `said` is what one reviewer called it; empty: harmless; None: cannot tell."""
    one = Item(
        id=UUID(int=number), exchange_id=UUID(int=number), exchange_started_at=AT, side="input",
        why="random", sampled_at=AT, probability=probability, stratum=stratum,
    )  # fmt: skip
    labels = tuple(
        Label(f"r{n}", None if what is None else bool(what), what or (), None, AT)
        for n, what in enumerate(said)
    )
    return Labelled(one, labels)


def a_sample() -> tuple[list[Labelled], dict[UUID, frozenset[str]]]:
    toxic = ("toxicity",)
    items = [
        *(item(n, "blocked", 0.5, toxic, toxic) for n in range(20)),
        *(item(n, "blocked", 0.5, (), toxic) for n in range(20, 30)),
        *(item(n, "plain", 0.01, (), ()) for n in range(30, 90)),
        item(90, "plain", 0.01, None),
        item(91, "plain", 0.01),
    ]
    fired = {
        one.item.id: frozenset({"insult"} if one.item.stratum == "blocked" else ()) for one in items
    }
    return items, fired


def test_a_filter_is_judged_by_what_its_category_means():
    found = judge(*a_sample())
    toxicity = found.by_category["toxicity"]
    assert toxicity.precision.value == (20 + 10 / 2) / 30, "two who disagree count a half"
    assert toxicity.recall.value == 1
    assert found.by_category["prompt_injection"].recall.value is None
    assert found.by_category["prompt_injection"].prevalence.value == 0
    assert found.by_category[ANY].missing == 2
    assert (found.sampled, found.labelled) == (92, 90)
    assert found.agreement.n == 90


def test_every_category_is_one_that_reviewers_can_name():
    assert set(CATEGORIES) <= set(LABELS)


def test_the_job_shows_every_estimate_and_is_no_data_without_labels():
    done = filter_quality.judge(judge(*a_sample()))
    shown = {figure.name: figure for figure in done.figures}
    assert done.status is Status.OK
    assert shown["precision of toxicity"].n == 30
    assert shown["recall of ungrounded"].status is Status.NO_DATA
    assert "90 of 92" in done.message
    assert filter_quality.judge(judge([], {})).status is Status.NO_DATA
