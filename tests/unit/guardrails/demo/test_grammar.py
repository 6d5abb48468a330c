from __future__ import annotations

import pytest

from guardrails.demo.grammar import check, grammar_of
from guardrails.errors import BadRequest

TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"response_format": {"type": "text"}},
        {"tools": []},
        {"tools": [TOOL], "tool_choice": "none"},
    ],
)
def test_an_answer_is_free_where_no_form_is_asked_for(body):
    assert grammar_of(body) is None


@pytest.mark.parametrize(
    "body",
    [
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}},
        {"tools": [TOOL]},
        {"tools": [TOOL], "tool_choice": "required"},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
        {"tools": [{"type": "function", "function": {"name": "now"}}], "tool_choice": "required"},
    ],
)
def test_each_form_gives_a_grammar_that_can_be_followed(body):
    grammar = grammar_of(body)
    assert grammar is not None
    assert check(grammar) == grammar


@pytest.mark.parametrize(
    "body",
    [
        {"response_format": {"type": "xml"}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "odd"}}}},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}},
    ],
)
def test_a_form_that_cannot_be_followed_is_refused(body):
    with pytest.raises(BadRequest):
        check(grammar_of(body) or "")
