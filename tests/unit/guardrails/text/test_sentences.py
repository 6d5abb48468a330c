from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.text.sentences import sentences

CASES = [
    ("", []),
    ("  \n ", []),
    ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
    ("Dr. Smith met J. R. Brown at 3.15 p.m. in Rome. He left.", 2),
    ("Pi is 3.14159. Really.", ["Pi is 3.14159.", "Really."]),
    ("See e.g. the U.S. report, vs. ours. Done.", 2),
    ("Das gilt z.B. hier bzw. dort. Nicht wahr?", 2),
    ("Visit example.com/a.b?c=d. Then go.", ["Visit example.com/a.b?c=d.", "Then go."]),
    ('He said "Stop!" She did.', ['He said "Stop!"', "She did."]),
    ("Wait... what? Yes.", ["Wait... what?", "Yes."]),
    ("你好。你好吗？很好！再见", ["你好。", "你好吗？", "很好！", "再见"]),
    ("「行くよ。」と言った。終わり", 3),
    ("كيف حالك؟ أنا بخير.", ["كيف حالك؟", "أنا بخير."]),
    ("یہ ایک جملہ ہے۔ دوسرا۔", ["یہ ایک جملہ ہے۔", "دوسرا۔"]),
    ("यह एक वाक्य है। दूसरा।", ["यह एक वाक्य है।", "दूसरा।"]),
    ("ሰላም። እንዴት ነህ፧", ["ሰላም።", "እንዴት ነህ፧"]),
    ("Привет. Как дела? И т.д. и т.п. всё.", 3),
    ("1. First item\n2. Second item", ["1. First item", "2. Second item"]),
    ("- a b\n- c d", ["- a b", "- c d"]),
    ("A heading\n\nA text", ["A heading", "A text"]),
    ("See no. 5 and Fig. 3. The answer is no. Why?", 3),
    ("It was I. Then you.", ["It was I.", "Then you."]),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_sentences_end_where_a_reader_ends_them(text, expected):
    found = [text[start:end] for start, end in sentences(text)]
    if isinstance(expected, int):
        assert len(found) == expected, found
    else:
        assert found == expected


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from(" .!?。\n1aA\"')"))))
def test_spans_are_in_order_and_cover_all_that_is_not_space(text):
    end_before = 0
    for start, end in sentences(text):
        assert end_before <= start < end
        assert not text[end_before:start].strip()
        assert text[start:end] == text[start:end].strip()
        end_before = end
    assert not text[end_before:].strip()


@pytest.mark.parametrize(
    "unit", [". ", "a. ", "1. ", "...", "\n", "\n \n", "'", ".\"'", "A. ", " "]
)
def test_hostile_repetition_stays_linear(unit):
    def seconds(times: int) -> float:
        started = time.process_time()
        sentences(unit * times)
        return time.process_time() - started

    assert seconds(40_000) < 24 * max(seconds(5_000), 0.002)
