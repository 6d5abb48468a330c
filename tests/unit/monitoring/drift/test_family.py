"""Which streams of a family are in alarm, and which alarm explains which."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.drift import family
from monitoring.drift.family import Stream, alarms, inhibited, log_thresholds, log_weights

STREAMS = (
    Stream(1, "block"),
    Stream(1, "flag"),
    Stream(1, "block", "route=a"),
    Stream(2, "toxicity"),
    Stream(2, "toxicity", "route=a"),
    Stream(2, "toxicity", "route=b"),
)


def test_shares_of_all_families_together_are_the_whole_budget():
    assert sum(family.SHARES.values()) == pytest.approx(1.0)


def test_weights_are_split_within_a_layer_and_a_new_slice_thins_out_slices_only():
    weights = np.exp(log_weights(STREAMS))
    assert weights[:3] == pytest.approx([0.28, 0.28, 0.09])
    more = np.exp(log_weights((*STREAMS, Stream(1, "block", "route=b"))))
    assert more[:3] == pytest.approx([0.28, 0.28, 0.045])


def test_one_stream_alone_needs_its_threshold_and_two_need_half():
    weights = log_weights(STREAMS)
    needed = log_thresholds(weights)
    total = np.full(6, -9.0)
    total[0] = needed[0] + 0.01
    assert alarms(total, weights).tolist() == [True, False, False, False, False, False]
    total[0] = needed[0] - 0.01
    assert not alarms(total, weights).any()
    total[[0, 3]] = needed[[0, 3]] - np.log(2) + 0.01
    assert alarms(total, weights).tolist() == [True, False, False, True, False, False]


@given(st.lists(st.floats(-20, 20), min_size=6, max_size=6))
def test_e_bh_is_what_its_definition_says(total: list[float]):
    weights = log_weights(STREAMS)
    scaled = np.exp(np.array(total) + weights) / family.DAYS
    expected = [False] * 6
    for k in range(6, 0, -1):
        if (scaled >= 1 / k).sum() >= k:
            expected = (scaled >= 1 / k).tolist()
            break
    near = np.abs(scaled[:, None] * np.arange(1, 7) - 1).min() < 1e-9
    assert near or alarms(np.array(total), weights).tolist() == expected


def test_an_alarm_stays_until_the_evidence_is_calm():
    weights = log_weights(STREAMS)
    before = np.array([True, False, False, False, False, False])
    total = np.full(6, -9.0)
    total[0] = log_thresholds(weights)[0] - 2.0
    assert alarms(total, weights, before=before)[0]
    total[0] -= 1.0
    assert not alarms(total, weights, before=before).any()


def test_earlier_layers_and_all_traffic_explain():
    on = np.array([True, False, True, True, True, False])
    explained = inhibited(STREAMS, on)
    assert explained[0] is None
    assert explained[2] == Stream(1, "block")
    assert explained[3] == Stream(1, "block")
    only = inhibited(STREAMS, np.array([False, False, True, True, True, True]))
    assert only[2:] == [None, None, Stream(1, "block", "route=a"), Stream(2, "toxicity")]
