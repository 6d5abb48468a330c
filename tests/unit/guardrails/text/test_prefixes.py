"""Every beginning of a match is seen as one."""

import re

import pytest
import re2
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from guardrails.settings import PACKAGE
from guardrails.text.prefixes import Beginnings, Unreadable, prefix_regex

SOURCES = [
    r"abc",
    r"\bsk-[A-Za-z0-9]{4,9}\b",
    r"(?:ab|cde)+f",
    r"a{2,3}(?:b?c){1,2}\d*x",
    r"(?i)pass(?:word)?\s{0,2}[:=]\s{0,2}[^\s]{3}",
    r"[^\]x]{2}(?P<found>y|z{2})",
    r"\+[1-9](?:[ -]?[0-9]){3,5}",
    r"über\w{2}|straße",
    r"ab|(?i:cd{2})",
]


@pytest.mark.parametrize("source", SOURCES)
@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])
def test_every_beginning_of_a_match_is_live_from_its_start(source, data):
    match = data.draw(st.from_regex(source, fullmatch=True))
    # Python's classes know more digits and spaces than RE2's.
    assume(re2.fullmatch(source, match))
    beginnings = Beginnings([source])
    for size in range(1, len(match) + 1):
        assert beginnings.live_from("so: " + match[:size]) <= 4


RULES = yaml.safe_load((PACKAGE / "detectors/data/patterns.yaml").read_text("utf-8"))


@pytest.mark.parametrize("rule", RULES, ids=[rule["id"] for rule in RULES])
def test_the_beginnings_of_every_shipped_rule_can_be_told(rule):
    re2.compile(prefix_regex(rule["regex"]))


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("Use AKIAIOSFOD", "AKIAIOSFOD"),
        ("Use AKIA now. ", ""),
        ("call +1 415 555", "+1 415 555"),
        ("nothing here. ", ""),
    ],
)
def test_only_what_may_still_grow_is_held(text, held):
    beginnings = Beginnings([r"\bAKIA[A-Z2-7]{16}\b", r"\+(?:[1-9](?:[ -]?[0-9]){7,14})\b"])
    assert text[beginnings.live_from(text) :] == held


@pytest.mark.parametrize("source", ["(", "a{2000}", r"(a)\1", "[^x]|(?i)a"])
def test_what_cannot_be_told_holds_everything(source):
    with pytest.raises(Unreadable):
        prefix_regex(source)
    assert Beginnings([source]).live_from("harmless") == 0


def test_classes_and_negations_stay_what_they_are():
    assert re2.fullmatch(prefix_regex(r"[^a-c]\pL"), "xé")
    assert not re2.fullmatch(prefix_regex(r"[^a-c]\pL"), "ax")
    assert not re.search("[\ue000-\ue003]", prefix_regex(r"\pL[\pN_]"))
