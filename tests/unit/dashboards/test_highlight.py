from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.highlight import Run, Span, runs


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], [("abcdef", ())]),
        ([(1, 3, "x")], [("a", ()), ("bc", ("x",)), ("def", ())]),
        ([(0, 4, "x"), (2, 6, "y")], [("ab", ("x",)), ("cd", ("x", "y")), ("ef", ("y",))]),
        ([(0, 3, "x"), (3, 6, "x")], [("abcdef", ("x",))]),
        ([(0, 4, "x"), (2, 6, "x")], [("abcdef", ("x",))]),
        ([(-5, 2, "x"), (4, 99, "y")], [("ab", ("x",)), ("cd", ()), ("ef", ("y",))]),
        ([(3, 3, "x"), (5, 2, "y"), (9, 12, "z")], [("abcdef", ())]),
    ],
)
def test_text_is_cut_at_the_borders_of_its_finds(spans, expected):
    found = runs("abcdef", [Span(*span) for span in spans])
    assert found == [Run(*run) for run in expected]


def test_empty_text_has_no_runs():
    assert runs("", [Span(0, 3, "x")]) == []


offsets = st.integers(-3, 60)


@given(st.text(max_size=50), st.lists(st.tuples(offsets, offsets, st.sampled_from("xyz"))))
def test_runs_joined_are_the_text_and_each_letter_has_its_labels(text, spans):
    found = runs(text, [Span(*span) for span in spans])
    assert "".join(run.text for run in found) == text
    marked = [run.labels for run in found for _ in run.text]
    for place, labels in enumerate(marked):
        assert set(labels) == {name for start, end, name in spans if start <= place < end}
    assert all(one.labels != next_.labels for one, next_ in pairwise(found))
