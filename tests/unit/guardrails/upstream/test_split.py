from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.types import Caller
from guardrails.upstream.split import Split, conversation_of
from tests.factories import make_exchange

SECRET = b"s" * 32
SHARES = (0.01, 0.05, 0.25, 0.5, 1.0)


def split(share: float, rollout: str = "one") -> Split:
    return Split(rollout, "small", "small@1", "small@2", share)


def moved(share: float, conversations: Sequence[int], rollout: str = "one") -> set[int]:
    one = split(share, rollout)
    return {c for c in conversations if one.version_of(c) == "small@2"}


def number(named: bytes | None = None, tenant: str = "default", **body: object) -> int:
    exchange = make_exchange(request=body, caller=Caller(tenant=tenant))
    return conversation_of(exchange, named, SECRET)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True), st.text(max_size=80))
def test_a_share_that_grows_only_moves_conversations_to_the_candidate(conversations, rollout):
    before: set[int] = set()
    for share in SHARES:
        now = moved(share, conversations, rollout)
        assert before <= now
        before = now
    assert before == set(conversations)
    assert moved(0.0, conversations, rollout) == set()


@settings(max_examples=20, deadline=None)
@given(st.sampled_from((0.01, 0.05, 0.25, 0.5)), st.uuids(), st.integers(0, 2**62))
def test_the_share_of_conversations_is_exact_but_for_chance(share, rollout, first):
    n = 20_000
    found = len(moved(share, range(first, first + n), str(rollout)))
    # Six standard deviations: what exact chance leaves out once in half a billion examples.
    assert abs(found - share * n) <= 6 * sqrt(n * share * (1 - share))


def test_another_rollout_begins_with_other_conversations():
    first = moved(0.05, range(20_000), str(uuid4()))
    second = moved(0.05, range(20_000), str(uuid4()))
    assert len(first & second) / len(first) == pytest.approx(0.05, abs=0.05)


USER = {"role": "user", "content": "Where is my parcel?"}
SAID = {"role": "assistant", "content": "On its way."}
MORE = {"role": "user", "content": "And the other one?"}
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ({"messages": [USER]}, {"messages": [USER, SAID, MORE]}),
        ({"messages": [SYSTEM, USER]}, {"messages": [SYSTEM, USER, SAID, MORE]}),
        ({"system": "Be brief.", "messages": [USER]},
         {"system": "Be brief.", "messages": [USER, SAID, MORE]}),
        ({"input": [USER]}, {"input": [USER, SAID, MORE], "temperature": 0}),
        ({"contents": [{"role": "user", "parts": [{"text": "a"}]}]},
         {"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model"}]}),
        ({"conversation": "c1", "input": "a"}, {"conversation": {"id": "c1"}, "input": "b"}),
        ({"metadata": {"session_id": "s"}, "messages": [USER]},
         {"metadata": {"session_id": "s"}, "messages": [MORE]}),
    ],
)  # fmt: skip
def test_every_turn_of_a_conversation_has_its_number(first, later):
    assert number(**first) == number(**later)


def test_the_callers_own_name_comes_first():
    assert number(b"c7", messages=[USER]) == number(b"c7", messages=[MORE])
    assert number(b"c7", messages=[USER]) != number(b"c8", messages=[USER])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"messages": [USER]}, {"messages": [MORE]}),
        ({"messages": [USER]}, {"messages": [SYSTEM, USER]}),
        ({"messages": [USER], "user": "ada"}, {"messages": [USER], "user": "bob"}),
        ({"prompt": "a"}, {"prompt": "b"}),
        ({"messages": [USER]}, {"messages": [USER], "tenant": "other"}),
    ],
)
def test_different_conversations_have_different_numbers(one, other):
    assert number(**one) != number(**other)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=8,
    ),
    st.sampled_from(("messages", "input", "conversation", "metadata", "user", "prompt")),
)
def test_whatever_a_body_holds_it_has_a_number(value, name):
    assert -(2**63) <= number(**{name: value}) < 2**63


def test_the_number_tells_nothing_without_the_secret():
    exchange = make_exchange(request={"messages": [USER]})
    assert conversation_of(exchange, None, SECRET) != conversation_of(exchange, None, b"other")
