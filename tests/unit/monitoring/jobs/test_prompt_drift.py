"""Prompts against a frozen reference, without a database or a model."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import pytest

from monitoring.drift.prompts import frozen, measure
from monitoring.drift_frames import Drawn
from monitoring.drift_records import Reference
from monitoring.jobs.prompt_drift import judge
from monitoring.references import number_of, phase_of
from monitoring.simulation.prompts import World
from monitoring.types import Status, Window

MONDAY = datetime(2026, 10, 26, tzinfo=UTC)
DAY = timedelta(days=1)
SPAN = Window(MONDAY, MONDAY + 14 * DAY)


def sample(n: int, at: datetime) -> list[Drawn]:
    slices = ("all", "route=chat")
    return [
        Drawn(f"{at:%d}-{one}", at + timedelta(seconds=one), slices, {}, "?", "", {})
        for one in range(n)
    ]


@pytest.fixture(scope="module")
def world() -> World:
    return World(np.random.default_rng(21))


@pytest.fixture(scope="module")
def reference(world: World) -> Reference:
    vectors = np.concatenate([world.day(300)[0][:70] for _ in range(14)])
    rows = [one for day in range(14) for one in sample(70, MONDAY + day * DAY)]
    taken = frozen(rows, vectors, np.repeat(np.arange(14), 70), 0)
    assert taken is not None
    return Reference(uuid4(), "prompt_drift", "v", SPAN, *taken)


def look(reference: Reference, world: World, start: datetime, n: int, new: float, state):
    vectors, is_new = world.day(n, new=new)
    number = number_of(start, DAY)
    state, findings, seen = measure(
        reference.arrays,
        sample(n, start),
        vectors,
        state,
        window=number,
        phase=phase_of(number, DAY),
    )
    return state, judge(reference, findings, seen), is_new


def test_a_new_topic_is_drift_and_its_prompts_are_named(reference: Reference, world: World):
    state, outcome, _ = look(reference, world, SPAN.end, 600, 0.0, None)
    assert outcome.status is Status.OK
    _, outcome, is_new = look(reference, world, SPAN.end + DAY, 600, 0.08, state)
    assert outcome.status is Status.DRIFT
    cluster = next(figure for figure in outcome.figures if figure.name == "cluster 1")
    seen_from, _, examples = (cluster.note or "").partition("; ")
    assert seen_from.startswith("seen from 2026-11-10")
    assert all(is_new[int(one.partition("-")[2])] for one in examples.split(", "))
    assert "since 2026-11-10" in outcome.message


def test_few_prompts_are_no_data(reference: Reference, world: World):
    _, outcome, _ = look(reference, world, SPAN.end, 40, 0.0, None)
    assert outcome.status is Status.NO_DATA
    assert outcome.figures[1].value is None


def test_a_reference_needs_prompts_of_two_days(world: World):
    vectors, _ = world.day(600)
    rows = sample(600, MONDAY)
    assert frozen(rows, vectors, np.zeros(600, dtype=np.int64), 0) is None
    assert frozen(rows[:80], vectors[:80], np.arange(80) % 2, 0) is None
