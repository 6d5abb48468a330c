import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.text.spoken_words import spoken_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop at 5pm_today!", ("don", "t", "stop", "at", "pm", "today")),
        ("“Schöne”\u00a0Grüße—aus KÖLN", ("schöne", "grüße", "aus", "köln")),
        ("怎么做面包？很容易。", ("怎么做面包", "很容易")),
        ("a\x1cb\x00c", ("a", "b", "c")),
        ("12345 🙂 _", ()),
        ("", ()),
    ],
)
def test_words_are_runs_of_letters(text: str, words: tuple[str, ...]):
    assert spoken_words(text) == words


@given(st.text(st.one_of(st.characters(codec=None), st.sampled_from("aZ ß'’1_-\ud800\u0301中"))))
def test_no_text_is_read_otherwise_than_by_the_regex(text: str):
    assert spoken_words(text) == tuple(re.findall(r"[^\W\d_]+", text.lower()))
