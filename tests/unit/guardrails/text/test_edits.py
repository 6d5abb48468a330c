from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardrails.text.edits import apply


@st.composite
def edited(draw):
    text = draw(st.text(alphabet="abcd", max_size=30))
    ends = sorted(draw(st.lists(st.integers(0, len(text)), unique=True, max_size=8)))
    pairs = zip(ends[::2], ends[1::2], strict=False)
    return text, [(start, end, draw(st.text(alphabet="XYZ", max_size=4))) for start, end in pairs]


@given(edited())
def test_every_character_leads_back_to_itself_or_to_the_edit_that_made_it(case):
    text, edits = case
    new, layer = apply(text, edits)
    for position, character in enumerate(new):
        start, end = layer.start(position), layer.end(position + 1)
        if character in "XYZ":
            assert any((start, end) == edit[:2] for edit in edits)
        else:
            assert text[start:end] == character


@given(edited())
def test_the_whole_leads_back_within_the_text(case):
    text, edits = case
    new, layer = apply(text, edits)
    assert 0 <= layer.start(0) <= len(text)
    assert 0 <= layer.end(len(new)) <= len(text)
