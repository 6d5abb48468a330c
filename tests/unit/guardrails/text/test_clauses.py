"""Cutting a growing text."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from guardrails.text.clauses import HARD_CHARACTERS, MOST_CHARACTERS, Cuts, Spans, pieces

SAID = (
    "Sure, here is what I found. A banister is the handrail of a stair, with its posts; it keeps "
    "people from falling. 扶手是楼梯的一部分，用来防止人们从楼梯上跌落下来，也可以作为装饰。"
)


def cuts_of(*chunks):
    cuts = Cuts()
    return [cut for chunk in chunks for cut in cuts.feed(chunk)] + cuts.end()


def test_clauses_are_cut_at_their_ends():
    cuts = [0, *cuts_of(SAID)]
    clauses = [SAID[a:b] for a, b in itertools.pairwise(cuts)]
    assert "".join(clauses) == SAID
    assert clauses[0] == "Sure, here is what I found."
    assert clauses[1] == " A banister is the handrail of a stair,"


@given(st.lists(st.text(alphabet="ab .,。\n", max_size=40), max_size=12))
def test_how_a_text_arrives_changes_no_cut(chunks):
    assert cuts_of(*chunks) == cuts_of("".join(chunks))


@given(st.text(alphabet="ab .,。\n", max_size=250))
def test_pieces_cover_the_text_each_with_the_one_before(text):
    cuts = [0, *cuts_of(text)]
    assert cuts[-1] == len(text)
    assert all(0 < b - a <= HARD_CHARACTERS for a, b in itertools.pairwise(cuts))
    assert [end for _, end in pieces(text)] == cuts[1:]
    assert [start for start, _ in pieces(text)] == [0, *cuts][: len(cuts) - 1]


def test_longer_ends_are_read_whenever_the_text_has_doubled():
    spans = Spans()
    read = [span for cut in range(40, 10_001, 40) for span in spans.at(cut)]
    longer = [(end, end - start) for start, end in read if end - start > 80]
    assert longer == [
        (280, 128), (520, 128), (1_040, 256), (2_080, 512), (4_120, 560), (8_200, 560)
    ]  # fmt: skip


@given(st.lists(st.integers(1, HARD_CHARACTERS), max_size=400))
def test_no_text_is_read_more_than_two_and_a_half_times(sizes):
    spans, read, kept_from = Spans(), 0, 0
    for cut in itertools.accumulate(sizes):
        for start, end in spans.at(cut):
            assert kept_from <= start < end == cut
            read += end - start
        assert read <= 2.5 * cut
        kept_from = spans.keep_from


def test_a_long_word_is_cut_at_last():
    assert pieces("x" * 200)[0] == (0, HARD_CHARACTERS)
    words = "word " * 30
    assert pieces(words)[0][1] <= MOST_CHARACTERS + 5
