"""Reloading: a good file takes over, a bad one changes nothing."""

import asyncio
import os

import pytest

from guardrails.errors import ConfigError
from guardrails.policy.store import PolicyStore, Released
from tests.unit.guardrails.policy.test_model import KNOWN, POLICY


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def rewrite(path, text):
    """As editors do it: a new file in the old one's place."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


def test_a_bad_policy_at_start_stops_the_process(path):
    path.write_text("nonsense")
    with pytest.raises(ConfigError):
        PolicyStore(path, KNOWN)


def test_a_changed_policy_takes_over_and_is_told(path):
    told = []
    store = PolicyStore(path, KNOWN, lambda *news: told.append(news))
    old = store.current.policy
    rewrite(path, POLICY.replace("0.5", "0.7"))
    assert store.reload_if_changed()
    assert store.current.label != old.label
    assert store.current.policy.rules[0].threshold == 0.7
    assert told == [(p.version, "strict", p.source) for p in (old, store.current.policy)]


@pytest.mark.parametrize("bad", ["nonsense", "", POLICY.replace("tox", "gone")])
def test_a_bad_policy_is_refused_and_the_last_good_one_stays(path, bad):
    store = PolicyStore(path, KNOWN)
    good = store.current
    rewrite(path, bad)
    assert not store.reload_if_changed()
    assert store.current is good
    assert store.last_error
    rewrite(path, POLICY)
    store.reload_if_changed()
    assert store.last_error is None


def test_a_file_that_vanishes_changes_nothing(path):
    store = PolicyStore(path, KNOWN)
    good = store.current
    path.unlink()
    store.reload_if_changed()
    assert store.current is good
    assert store.last_error


def test_a_shadow_policy_is_read_reloaded_and_refused_with_the_first(path, tmp_path):
    told, other = [], tmp_path / "next.yaml"
    other.write_text(POLICY.replace("strict", "next"))
    store = PolicyStore(path, KNOWN, lambda *news: told.append(news[1]), shadow=other)
    assert told == ["strict", "next"]
    first = store.current
    rewrite(other, "nonsense")
    assert not store.reload_if_changed()
    assert store.last_error
    rewrite(other, POLICY.replace("strict", "next").replace("0.5", "0.2"))
    assert store.reload_if_changed()
    assert store.current is not first
    assert store.current.label == first.label


async def test_the_file_is_watched(path, monkeypatch):
    monkeypatch.setattr("guardrails.policy.store.RELOAD_SECONDS", 0.01)
    store = PolicyStore(path, KNOWN)
    old = store.current
    watching = asyncio.create_task(store.watch())
    rewrite(path, POLICY + "# new")
    async with asyncio.timeout(2):
        while store.current is old:
            await asyncio.sleep(0.01)
    watching.cancel()


def test_what_is_released_takes_the_file_s_place_until_it_is_taken_back(path):
    store = PolicyStore(path, KNOWN)
    of_file = store.current.label
    assert store.release(Released(enforce=POLICY.replace("0.5", "0.7")))
    released = store.current.label
    assert store.current.policy.rules[0].threshold == 0.7
    rewrite(path, POLICY.replace("0.5", "0.9"))
    assert not store.reload_if_changed()
    assert not store.release(Released(enforce="name: [no"))
    assert store.last_error is not None
    assert store.current.label == released != of_file
    assert store.release(Released())
    assert store.current.policy.rules[0].threshold == 0.9
    assert store.last_error is None


def test_a_shadow_may_be_released_where_no_file_has_one(path):
    told = []
    store = PolicyStore(path, KNOWN, lambda version, name, source: told.append(version))
    assert store.release(Released(shadow=POLICY.replace("0.5", "0.7")))
    assert len(set(told)) == 2
    assert store.current.policy.rules[0].threshold == 0.5
