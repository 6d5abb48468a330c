"""Collecting texts."""

from guardrails.types import Stage
from guardrails.wire.texts import Texts


def test_empty_and_missing_texts_are_nothing_to_check():
    texts = Texts()
    for text in ("", None, 3, ["x"]):
        texts.add(Stage.INPUT, "user", 0, ("t",), text)
    assert texts.done() == ((), ())


def test_the_legacy_function_call_is_read_too():
    texts = Texts()
    texts.add_calls(0, ("m",), {"function_call": {"name": "f", "arguments": "{}"}})
    assert [segment.pointer for segment in texts.done()[0]] == [
        ("m", "function_call", "name"),
        ("m", "function_call", "arguments"),
    ]
