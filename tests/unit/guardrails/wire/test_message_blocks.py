"""Whose words a content block holds."""

import pytest

from guardrails.types import Stage
from guardrails.wire.message_blocks import add_content
from guardrails.wire.texts import Texts

RESULT = {"type": "bash_tool_result", "content": {"type": "bash_result", "stdout": "x"}}


@pytest.mark.parametrize(
    ("content", "stage", "found"),
    [
        ("x", Stage.INPUT, (Stage.INPUT, "user", ("at",))),
        ([{"type": "text", "text": "x"}], Stage.INPUT, (Stage.INPUT, "user", ("at", 0, "text"))),
        (RESULT, Stage.INPUT, (Stage.TOOL_RESULT, "tool", ("at", "content", "stdout"))),
        (RESULT, Stage.OUTPUT, (Stage.OUTPUT, "tool", ("at", "content", "stdout"))),
        ({"type": "mcp_tool_use", "name": "x"}, Stage.OUTPUT,
         (Stage.TOOL_CALL, "user", ("at", "name"))),
    ],
)  # fmt: skip
def test_a_blocks_type_says_whose_words_it_holds(content, stage, found):
    texts = Texts()
    add_content(texts, stage, "user", 0, ("at",), content)
    (segment,) = texts.segments
    assert (segment.stage, segment.role, segment.pointer) == found
    assert segment.text == "x"
