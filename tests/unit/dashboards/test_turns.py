from dashboards.bodies import Said
from dashboards.highlight import Span
from dashboards.turns import MAX_TURNS, turns_of

TALK = [Said("user", "one"), Said("assistant", "two"), Said("user", "three")]


def words(turns) -> list[str]:
    return ["".join(run.text for run in turn.runs) for turn in turns.shown]


def test_of_a_conversation_the_latest_fit_and_of_an_answer_the_first():
    assert words(turns_of(TALK, 100)) == ["one", "two", "three"]
    latest = turns_of(TALK, 6, latest=True)
    assert (words(latest), latest.earlier, latest.shown[0].left_out) == (["t", "three"], 1, 2)
    first = turns_of(TALK, 4)
    assert (words(first), first.earlier) == (["one", "t"], 1)


def test_finds_are_marked_and_long_conversations_cut():
    (turn,) = turns_of(TALK[:1], 100, {0: [Span(0, 2, "x")]}).shown
    assert [(run.text, run.labels) for run in turn.runs] == [("on", ("x",)), ("e", ())]
    many = turns_of(TALK * 100, 10_000, latest=True)
    assert (len(many.shown), many.earlier) == (MAX_TURNS, 300 - MAX_TURNS)
