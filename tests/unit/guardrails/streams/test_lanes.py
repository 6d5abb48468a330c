"""One text under way."""

from hypothesis import given
from hypothesis import strategies as st

from guardrails.streams.lanes import Edit, Growing
from guardrails.text.clauses import pieces
from guardrails.types import Stage
from guardrails.wire.deltas import Lane

LANE = Lane(Stage.OUTPUT, "assistant", 0, ("choices", 0, "message", "content"))
texts = st.text(alphabet="ab .,\n", max_size=80)


@given(st.lists(texts, max_size=40), st.data())
def test_what_scorers_are_given_are_the_pieces_of_the_whole_text(chunks, data):
    lane, given_pieces = Growing(0, LANE), []
    for chunk in [*chunks, None]:
        if chunk is None:
            lane.end()
        else:
            lane.grow(chunk)
        if lane.unread:
            finders, scorers = lane.take()
            assert finders.start <= lane.safe
            given_pieces += scorers
            lane.let_go(data.draw(st.integers(0, len(lane.held()))))
    whole = "".join(chunks)
    assert [(p.start, p.end) for p in given_pieces] == pieces(whole)
    assert all(p.text == whole[p.start : p.end] for p in given_pieces)


def test_a_finder_reads_on_from_what_has_not_left():
    lane = Growing(0, LANE)
    lane.grow("A first clause, and then a second clause that goes on, ")
    lane.take()
    lane.let_go(10)
    lane.grow("and a third clause that comes to its end, x")
    finders, _ = lane.take()
    assert finders.start == 0
    assert finders.text.startswith("A first clause")
    lane.let_go(len(lane.held()))
    assert lane.safe == lane.read
    assert lane.held() == ""


def test_spans_leave_as_placeholders_however_the_text_is_cut():
    text = "call 555 1234 or 555 9876 now"
    edits = [Edit(5, 13, "[phone]"), Edit(17, 25, "[phone]"), Edit(20, 22, "[other]")]
    for size in range(1, len(text) + 1):
        lane = Growing(0, LANE)
        lane.grow(text)
        lane.cut_out(edits)
        shown = "".join(lane.shown(at, text[at : at + size]) for at in range(0, len(text), size))
        assert shown == "call [phone] or [phone] now"


def test_what_has_left_stays_as_it_left():
    lane = Growing(0, LANE)
    lane.grow("x" * 200)
    lane.take()
    lane.let_go(50)
    lane.cut_out([Edit(10, 20, "[late]"), Edit(60, 70, "[in time]")])
    assert lane.shown(0, "x" * 50) == "x" * 50
    assert "[in time]" in lane.shown(50, "x" * 50)
