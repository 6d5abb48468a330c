"""Novelty, the classifier and crowds, on vectors whose truth is known."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from monitoring.drift import embeddings
from monitoring.drift.embeddings import Usual, bank, clusters, crowds, distances, two_sample
from monitoring.simulation.prompts import World

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def world() -> World:
    return World(np.random.default_rng(11))


@pytest.fixture(scope="module")
def reference(world: World) -> embeddings.Bank:
    days = [world.day(400)[0][:60] for _ in range(20)]
    return bank(np.concatenate(days), np.repeat(np.arange(20), 60))


def test_two_in_a_hundred_of_the_reference_are_far(reference: embeddings.Bank):
    assert reference.far.mean() == pytest.approx(0.02, abs=0.002)
    assert reference.apart[0] < reference.apart[1] < reference.apart[2]


def test_who_asks_twice_on_one_day_does_not_make_himself_usual():
    vectors = np.eye(4, 384, dtype=np.float32)[[0, 0, 1, 1]]
    lonely = bank(vectors, np.array([0, 0, 1, 1]))
    assert lonely.radius == pytest.approx(1.0)
    with pytest.raises(ValueError, match="two days"):
        bank(vectors, np.zeros(4, dtype=np.int64))


def test_a_new_topic_is_far_crowded_and_shown_first(world: World, reference: embeddings.Bank):
    usual_day, _ = world.day(800)
    assert (distances(reference.vectors, usual_day) > reference.radius).mean() < 0.06
    assert crowds(reference, usual_day)[0] < 2.0
    day, is_new = world.day(800, new=0.05)
    assert (distances(reference.vectors, day[is_new]) > reference.radius).mean() > 0.5
    log_e, places = crowds(reference, day)
    assert log_e > 8.0
    times = [NOON + timedelta(minutes=int(m)) for m in range(800)]
    shown = clusters(day, [str(i) for i in range(800)], times, places)
    assert all(is_new[int(one)] for one in shown[0].examples)
    assert shown[0].since == min(times[i] for i in places[0][1])
    assert shown[0].size == len(places[0][1]) >= 10


def test_too_few_prompts_say_nothing(world: World, reference: embeddings.Bank):
    few, _ = world.day(100)
    assert crowds(reference, few) == (0.0, [])
    rng = np.random.default_rng(1)
    assert two_sample(reference.vectors, few[:50], rng, Usual(0.5, 0.0)) is None


def test_classifier_sees_what_moves_everything_and_not_a_usual_day(
    world: World, reference: embeddings.Bank
):
    rng = np.random.default_rng(2)
    usual = embeddings.usual(reference, rng)
    assert 0.4 < usual.auc < 0.6
    day, _ = world.day(600)
    still = two_sample(reference.vectors, day, rng, usual)
    assert still is not None
    assert still.log_e < 4.0
    push = np.random.default_rng(3).normal(size=384).astype(np.float32)
    moved = day + 0.25 * push / np.linalg.norm(push)
    told = two_sample(reference.vectors, moved, rng, usual)
    assert told is not None
    assert told.auc > 0.8
    assert told.log_e > 10.0


def test_calibrated_p_values_average_to_one():
    p = (np.arange(200_000) + 0.5) / 200_000
    mean = np.mean([np.exp(embeddings.log_calibrated(float(one))) for one in p])
    assert 0.8 < mean <= 1.0
    assert embeddings.log_calibrated(1e-9) > embeddings.log_calibrated(1e-6) > 5.0
