"""Exchanging texts inside a body."""

from guardrails.wire.pointers import replaced, shown


def test_only_what_lies_on_the_way_is_copied():
    body = {"a": [{"t": "x"}, {"t": "y"}], "b": {"c": 1}}
    changed = replaced(body, {("a", 1, "t"): "z", ("b", "c"): 2})
    assert changed == {"a": [{"t": "x"}, {"t": "z"}], "b": {"c": 2}}
    assert body == {"a": [{"t": "x"}, {"t": "y"}], "b": {"c": 1}}
    assert changed["a"][0] is body["a"][0]


def test_a_pointer_is_shown_as_a_person_writes_it():
    assert shown(("messages", 2, "content", 0, "text")) == "messages[2].content[0].text"
