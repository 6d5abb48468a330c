"""Whose words an item of a response holds."""

import pytest

from guardrails.types import Stage
from guardrails.wire.response_items import add_item, said
from guardrails.wire.texts import Texts


@pytest.mark.parametrize(
    ("item", "given", "stage", "role"),
    [
        ({"role": "user", "content": "x"}, False, Stage.INPUT, "user"),
        ({"type": "custom_tool_call", "input": "x"}, True, Stage.TOOL_CALL, "assistant"),
        ({"type": "shell_call_output", "output": "x"}, False, Stage.TOOL_RESULT, "tool"),
        ({"type": "shell_call_output", "output": "x"}, True, Stage.OUTPUT, "tool"),
        ({"type": "mcp_call", "output": "x"}, True, Stage.OUTPUT, "tool"),
    ],
)
def test_an_items_type_says_whose_words_it_holds(item, given, stage, role):
    texts = Texts()
    add_item(texts, 0, ("at",), item, given=given)
    (segment,) = texts.segments
    assert (segment.stage, segment.role, segment.text) == (stage, role, "x")


def test_a_generated_picture_is_named():
    texts = Texts()
    add_item(texts, 0, ("at",), {"type": "image_generation_call", "result": "AAAA"}, given=True)
    assert texts.done() == ((), ("at.result: image",))


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"role": "assistant", "content": "a"}, "a"),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "a"}]}, "a"),
        ({"role": "user", "content": "a"}, None),
        ({"type": "reasoning"}, None),
    ],
)
def test_only_an_assistants_message_says_something(item, text):
    assert said(item) == text
