from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.detectors import create
from guardrails.errors import ConfigError

GOLDEN = yaml.safe_load((Path(__file__).parents[3] / "data" / "patterns.yaml").read_text("utf-8"))
PATTERNS = create("patterns", {})


def marked(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without its marks, and the spans that they enclosed."""
    plain, spans, length = [], [], 0
    for number, piece in enumerate(re.split("[«»]", text)):
        if number % 2:
            spans.append((length, length + len(piece)))
        plain.append(piece)
        length += len(piece)
    return "".join(plain), spans


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{case['rule']}: {case['text'][:24]}")
def test_golden_line_is_found_where_it_is_marked(case):
    text, spans = marked(case["text"])
    found = PATTERNS.find(text)
    if case["rule"] is None:
        assert found == []
    else:
        assert [(d.start, d.end) for d in found if d.evidence == case["rule"]] == spans


@given(st.text(), st.text(), st.sampled_from([case["text"] for case in GOLDEN if case["rule"]]))
def test_offsets_are_characters_of_the_text_whatever_stands_around(before, after, marked_text):
    text, _ = marked(marked_text)
    whole = before + " " + text + " " + after
    for detection in PATTERNS.find(whole):
        assert 0 <= detection.start < detection.end <= len(whole)
        assert detection.label in PATTERNS.labels
        assert 0 < detection.score <= 1


def test_offset_after_astral_characters_and_a_lone_surrogate_is_exact():
    text = "😀\ud800é bob@example.org"
    (detection,) = PATTERNS.find(text)
    assert text[detection.start : detection.end] == "bob@example.org"


def test_evidence_never_holds_the_matched_text():
    secret = "hunter2!x9"
    for detection in PATTERNS.find(f"password={secret} mail bob@example.org"):
        assert secret not in repr(detection)
        assert "bob" not in repr(detection)


def test_one_span_of_a_label_is_reported_once():
    found = PATTERNS.find("«sk-proj-aB3dE5fG7hJ9kL1mT3BlbkFJn2pQ4rS6tU8vW0xY2zA4»")
    assert [d.evidence for d in found] == ["openai-key"]


def test_own_words_match_whole_and_in_any_case_and_become_a_label():
    finder = create("patterns", {"words": {"rival": ["Acme Corp", "Ωmega", "禁词"]}})
    text = "ACME  corp, acme corporation, ωμεγα ωmega ωmegas 这禁词在"
    found = [text[d.start : d.end] for d in finder.find(text)]
    assert "rival" in finder.labels
    assert found == ["ACME  corp", "ωmega", "禁词"]


def test_own_words_are_read_from_a_file(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("# comment\nfoo bar\n\nbaz # why\n", "utf-8")
    finder = create("patterns", {"words": {"house": str(path)}, "labels": []})
    assert finder.labels == ("house",)
    assert [(d.start, d.end) for d in finder.find("a baz foo bar")] == [(2, 5), (6, 13)]


def test_own_regex_names_its_number_as_evidence():
    finder = create("patterns", {"regexes": {"ticket": ["never", r"\bTKT-\d{4}\b"]}})
    (detection,) = finder.find("see TKT-1234")
    assert (detection.label, detection.evidence) == ("ticket", "regexes.ticket.2")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"regexes": {"x": [r"(a)\1"]}}, "regexes.x.1"),
        ({"regexes": {"x": ["(?=a)"]}}, "regexes.x.1"),
        ({"regexes": {"x": ["a*"]}}, "empty"),
        ({"regexes": {"x": "abc"}}, "list"),
        ({"words": {"x": "/nowhere/words.txt"}}, "cannot be read"),
        ({"words": {"x": []}}, "no words"),
        ({"labels": ["nonsense"]}, "nonsense"),
        ({"without": ["nonsense"]}, "nonsense"),
    ],
)
def test_faulty_options_are_refused_by_name(options, says):
    with pytest.raises(ConfigError, match=says):
        create("patterns", options)


def test_a_rule_can_be_left_out():
    finder = create("patterns", {"without": ["ipv4-address"], "labels": ["personal_data"]})
    assert finder.find("8.8.4.4") == []
    assert finder.labels == ("personal_data",)


def test_version_changes_with_the_rules():
    assert PATTERNS.version == create("patterns", {}).version
    assert PATTERNS.version != create("patterns", {"without": ["ipv4-address"]}).version


def test_many_matches_of_an_own_regex_end_in_one_that_covers_the_rest():
    finder = create("patterns", {"regexes": {"x": ["a.*b|a"]}, "labels": []})
    text = "a" * 5_000
    found = finder.find(text)
    assert len(found) == 1_000
    assert found[-1].end == len(text)


PIECES = [marked(case["text"])[0] for case in GOLDEN]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=20)), max_size=8))
def test_the_automaton_misses_no_rule_that_matches_alone(pieces):
    text = " ".join(pieces)
    data = text.encode("utf-8", "replace")
    alone = {p.id for p in PATTERNS._patterns if p.regex.search(data) is not None}
    hits = PATTERNS._set.Match(data) or []
    # The last one is the canary, which hypothesis has learnt to write.
    known = PATTERNS._patterns
    assert {known[index].id for index in hits if index < len(known)} == alone


def test_a_long_word_list_is_found_and_one_that_does_not_fit_is_refused():
    words = [f"w{number:05}x" for number in range(5_000)]
    finder = create("patterns", {"words": {"house": words}, "labels": []})
    assert [d.start for d in finder.find("a w00000x and w04999x")] == [2, 14]
    huge = [f"{number:06}{'word' * 20}{number}" for number in range(20_000)]
    with pytest.raises(ConfigError, match=r"more words|too large"):
        create("patterns", {"words": {"house": huge}})


HOSTILE = [
    "-----BEGIN PRIVATE KEY-----",
    "a@",
    "1:",
    "4111 ",
    "eyJaaaaaaaaaaaa.",
    "password=",
    "ignore all the ",
    "+1",
    "http://a:",
    "A",
    "DE89 3704 ",
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_repetition_stays_linear(unit):
    def seconds(characters: int) -> float:
        text = (unit * (characters // len(unit) + 1))[:characters]
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            PATTERNS.find(text)
            best = min(best, time.process_time() - started)
        return best

    seconds(20_000)
    # Eight times the text may take eight times as long; quadratic would be sixty-four.
    assert seconds(160_000) < 24 * max(seconds(20_000), 0.002)


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="0123456789 -.:+@abcdefAKIDE", max_size=300))
def test_no_text_of_numbers_and_signs_breaks_a_check(text):
    for detection in PATTERNS.find(text):
        assert text[detection.start : detection.end]


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("The key is AKIAIOSF", "AKIAIOSF"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE. Then ", "-----BEGIN PRIVATE KEY-----\nMIIE. Then "),
        ("-----BEGIN PRIVATE KEY-----\nM\n-----END PRIVATE KEY-----\nDone. ", ""),
        ("Nothing to see here. ", ""),
    ],
)
def test_what_may_still_become_a_match_is_live(text, held):
    live = create("patterns", {}).live_from(text, {"secret", "profanity"})
    assert text[live:].strip() == held.strip()


def test_matches_are_looked_for_only_before_a_place():
    text = "é fuck this, and fuck that, damn"
    assert [(d.start, d.end) for d in PATTERNS.find(text, before=18)] == [(2, 6), (17, 21)]
    assert [(d.start, d.end) for d in PATTERNS.find(text, before=17)] == [(2, 6)]
    assert PATTERNS.find(text, before=2) == []
