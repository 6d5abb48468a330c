"""What of a body is read, what is named as unread, and what is neither."""

import pytest

from guardrails.types import Stage
from guardrails.wire import fields
from guardrails.wire.texts import Texts


def read(node):
    texts = Texts()
    fields.read(texts, Stage.INPUT, "user", 0, ("at",), node)
    segments, uncovered = texts.done()
    return {segment.pointer: segment.text for segment in segments}, uncovered


def test_every_string_is_read_unless_its_name_is_known_to_be_none():
    found, uncovered = read(
        {
            "type": "x",
            "id": "y",
            "new": {"deep": ["a", {"b": "c"}]},
            "data": "AAAA",
            "n": 3,
            "e": "",
        }
    )
    assert found == {("at", "new", "deep", 0): "a", ("at", "new", "deep", 1, "b"): "c"}
    assert uncovered == ("at.data: data",)


@pytest.mark.parametrize("value", [{"k": ["v"]}, ["v"], "v"])
def test_an_object_is_read_as_its_json_with_its_keys(value):
    found, _ = read({"input": value})
    assert list(found) == [("at", "input")]
    assert "v" in found["at", "input"]
    assert ("k" in found["at", "input"]) is isinstance(value, dict)


def test_no_name_is_sorted_twice_but_what_may_be_a_text_or_an_object():
    assert not fields.PLAIN & fields.OPAQUE
    assert not (fields.PLAIN | fields.OPAQUE) & (fields.TEXT | fields.JSON)
