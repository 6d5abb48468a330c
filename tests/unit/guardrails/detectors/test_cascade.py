from __future__ import annotations

from typing import Any

import pytest

from guardrails.detectors import create
from guardrails.detectors.cascade import Cascade
from guardrails.errors import ConfigError
from guardrails.types import Detection

OPTIONS = {"first": "cheap", "label": "toxic", "band": [0.2, 0.8], "then": "dear"}


def make(**changes: Any) -> Cascade:
    made = create("careful", {"kind": "cascade", **OPTIONS, **changes})
    assert isinstance(made, Cascade)
    return made


@pytest.mark.parametrize(
    ("score", "uncertain"),
    [(0.0, False), (0.19, False), (0.2, True), (0.5, True), (0.8, True), (0.81, False)],
)
def test_a_score_in_the_band_is_uncertain_edges_included(score: float, uncertain: bool) -> None:
    cascade = make()
    rows = [[Detection("other", 0.5), Detection("toxic", score)]]
    assert cascade.uncertain(rows) == [0] * uncertain
    assert (cascade.counts.texts, cascade.counts.escalated) == (1, int(uncertain))


def test_the_second_detectors_score_replaces_the_first_ones_where_it_looked() -> None:
    cascade = make(then_label="S10")
    first = [[Detection("toxic", 0.1, 0, 2, 5)], [Detection("toxic", 0.5)]]
    second = {1: [Detection("S10", 0.95, 0, 1, 3), Detection("S1", 0.3)]}
    assert cascade.combine(first, second) == [
        [Detection("toxic", 0.1, 0, 2, 5, "cheap")],
        [Detection("toxic", 0.95, 0, 1, 3, "dear")],
    ]


def test_the_share_of_texts_that_escalate_is_counted() -> None:
    cascade = make()
    assert cascade.counts.share_escalated == 0
    cascade.uncertain([[Detection("toxic", score)] for score in (0.1, 0.3, 0.9, 0.95)])
    assert cascade.counts.share_escalated == 0.25


@pytest.mark.parametrize(
    "wrong",
    [
        {"band": [0.8, 0.2]},
        {"band": [0.2]},
        {"band": [-0.1, 0.5]},
        {"band": [0.5, 1.1]},
        {"band": ["low", "high"]},
        {"on_error": "second"},
        {"first": "careful"},
        {"then": "cheap"},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="careful"):
        make(**wrong)


def test_a_detector_or_label_that_is_not_there_is_named_with_those_that_are() -> None:
    make().check_tiers({"cheap": ("toxic",), "dear": ("toxic", "rude")})
    with pytest.raises(ConfigError, match="no detector 'dear'; there are cheap"):
        make().check_tiers({"cheap": ("toxic",)})
    with pytest.raises(ConfigError, match="dear has no label 'toxic'; it has rude"):
        make().check_tiers({"cheap": ("toxic",), "dear": ("rude",)})
