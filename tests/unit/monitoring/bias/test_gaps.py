from __future__ import annotations

import random

from monitoring.bias.counts import Counted
from monitoring.bias.gaps import MIN_N, figures, gaps
from monitoring.jobs.bias_rates import judge
from monitoring.types import Status


def counted(kind: str, name: str, n: int, block: int) -> Counted:
    hits = {"block": block, "flag": 0, "toxicity": 0}
    return Counted(kind, name, n, hits, dict.fromkeys(hits, n))


WEEK = [
    counted("any group", "", 2_000, 60),
    counted("group", "religion:muslims", 500, 45),
    counted("group", "gender:women", 900, 12),
    counted("group", "age:old people", 60, 3),
    counted("language", "en", 8_000, 160),
    counted("language", "de", 2_000, 38),
    counted("language", "ar", 40, 9),
]


def test_a_group_that_is_blocked_more_is_called_with_its_size():
    gap = {(g.name, g.rate): g for g in gaps(WEEK)}["religion:muslims", "block"]
    assert gap.status is Status.DRIFT
    assert (gap.rest_hits, gap.rest_n) == (15, 1_500)
    assert 0.01 < gap.apart.low < gap.apart.value < gap.apart.high
    assert gap.p < 0.001


def test_a_small_gap_is_not_called_however_sure():
    big = [counted("language", "en", 900_000, 18_000), counted("language", "de", 900_000, 21_000)]
    assert {gap.status for gap in gaps(big)} == {Status.OK}


def test_too_few_exchanges_are_no_data_and_never_ok():
    found = {(g.name, g.rate): g for g in gaps(WEEK)}
    assert found["age:old people", "block"].status is Status.NO_DATA
    assert found["ar", "block"].apart is None
    shown = {f.name: f for f in figures(gaps(WEEK))}
    assert shown["block rate of language ar"].value is None
    assert "block gap of language ar" not in shown


def test_every_gap_says_what_it_was_held_against_and_over_how_many():
    (note,) = [f.note for f in figures(gaps(WEEK)) if f.name == "block gap of group gender:women"]
    assert note.startswith("the rest: 48 of 1,100; p = ")
    assert note.endswith("for 12 gaps")


def test_the_job_is_no_data_where_nothing_can_be_judged():
    assert judge(WEEK, gaps(WEEK)).status is Status.DRIFT
    few = [counted("language", "en", 90, 2)]
    assert judge(few, gaps(few)).status is Status.NO_DATA
    assert judge([], []).status is Status.NO_DATA
    even = [counted("language", "en", 900, 18), counted("language", "de", 900, 18)]
    assert judge(even, gaps(even)).status is Status.OK


def test_fair_traffic_is_called_unfair_in_few_weeks():
    chance = random.Random(3)
    called = 0
    for _ in range(200):
        groups = []
        for name in range(12):
            n = chance.randrange(MIN_N, 600)
            blocked = sum(chance.random() < 0.05 for _ in range(n))
            groups.append(counted("group", str(name), n, blocked))
        n, blocked = sum(g.n for g in groups), sum(g.hits["block"] for g in groups)
        whole = counted("any group", "", n, blocked)
        called += any(gap.status is Status.DRIFT for gap in gaps([whole, *groups]))
    assert called <= 10, "5 % of 200"
