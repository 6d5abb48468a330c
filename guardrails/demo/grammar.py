"""How is an answer of the demo model held to a form: a JSON schema, or a call of a tool?

A grammar (llguidance) says at each step which tokens may follow, so what comes out is valid by
construction, however small the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from llguidance import LLMatcher, LLTokenizer
from transformers import LogitsProcessor

from guardrails.errors import BadRequest

OPEN, CLOSE = "<tool_call>", "</tool_call>"

RESPONSE_TEMPLATE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "tool_calls": {
            "open": OPEN,
            "close": CLOSE,
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close": "<|im_end|>", "content": "text"},
    },
}
"""How `transformers serve` finds the calls in an answer."""

CHAT_TEMPLATE = """\
{%- set system = 'You are a helpful AI assistant named SmolLM, trained by Hugging Face' -%}
{%- set rest = messages -%}
{%- if messages and messages[0]['role'] in ('system', 'developer') -%}
{%- set system = messages[0]['content'] -%}{%- set rest = messages[1:] -%}
{%- endif -%}
{{- '<|im_start|>system\\n' + system -}}
{%- if tools -%}
{{- '\\n\\nYou may call one of these functions by answering with ' -}}
{{- '<tool_call>{"name": ..., "arguments": {...}}</tool_call> and nothing else:' -}}
{%- for tool in tools -%}{{- '\\n' + (tool['function'] | tojson) -}}{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- for message in rest -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['tool_calls'] -%}
{%- for call in message['tool_calls'] -%}
{{- '<tool_call>' + ({'name': call['function']['name'],
                      'arguments': call['function']['arguments']} | tojson) + '</tool_call>' -}}
{%- endfor -%}
{%- else -%}{{- message['content'] -}}{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
"""The model's own template, and with it tools and their calls, which that one leaves out."""


def grammar_of(body: Mapping[str, Any]) -> str | None:
    """The grammar that a chat request asks for; None where the answer is free.

    Errors: BadRequest for a form that is not known here.
    """
    tools, choice = body.get("tools") or [], body.get("tool_choice", "auto")
    if tools and choice != "none":
        return _calls(tools, choice)
    form = body.get("response_format") or {"type": "text"}
    kind = form.get("type")
    if kind == "json_object":
        return _json({"type": "object"})
    if kind == "json_schema":
        return _json(form.get("json_schema", {}).get("schema") or {"type": "object"})
    if kind != "text":
        raise BadRequest(f"There is no response format {kind!r}.", param="response_format")
    return None


def check(grammar: str) -> str:
    """The grammar itself; BadRequest where a schema in it is not one that can be followed."""
    wrong, said = LLMatcher.validate_grammar_with_warnings(grammar)
    if wrong:
        raise BadRequest(f"The schema cannot be followed: {said[0].splitlines()[0]}")
    return grammar


class Held(LogitsProcessor):
    """Lets only those tokens through that the grammar allows next. For one answer, used once."""

    def __init__(self, tokenizer: LLTokenizer, grammar: str, prompt_tokens: int) -> None:
        self._matcher = LLMatcher(tokenizer, grammar)
        self._read = prompt_tokens

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Shape: (1, tokens) and (1, vocabulary); refused tokens get minus infinity."""
        new = input_ids[0, self._read :].tolist()
        self._read += len(new)
        if new:
            self._matcher.consume_tokens(new)
        # A byte a token: 0 for a refused one.
        allowed = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8)
        refused = torch.ones(scores.shape[-1], dtype=torch.bool)
        refused[: len(allowed)] = allowed[: scores.shape[-1]] == 0
        return scores.masked_fill(refused, float("-inf"))


def _json(schema: dict[str, Any]) -> str:
    try:
        # Free whitespace would let a small model write spaces until its tokens end.
        return LLMatcher.grammar_from_json_schema(
            json.dumps(schema), overrides={"whitespace_flexible": False}
        )
    except (ValueError, TypeError) as error:
        raise BadRequest(
            f"The schema is not a JSON schema: {error}", param="response_format"
        ) from error


def _calls(tools: Sequence[Mapping[str, Any]], choice: str | Mapping[str, Any]) -> str:
    functions = [tool["function"] for tool in tools if tool.get("type") == "function"]
    if isinstance(choice, Mapping):
        wanted = choice.get("function", {}).get("name")
        functions = [function for function in functions if function["name"] == wanted]
    if not functions:
        raise BadRequest("`tool_choice` names none of `tools`.", param="tool_choice")
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": function["name"]},
                "arguments": function.get("parameters") or {"type": "object"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for function in functions
    ]
    schema = json.dumps({"anyOf": calls, "x-guidance": {"whitespace_flexible": False}})
    start = "call" if choice != "auto" else "call | text"
    # What begins with an angle bracket is a call: a half one could not be read afterwards.
    return LLMatcher.grammar_from_lark(
        f'start: {start}\ncall: "{OPEN}" %json {schema} "{CLOSE}"\ntext: /[^<](.|\\n)*/\n'
    )
