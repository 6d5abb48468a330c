"""What was hidden comes back, to the same exchange and nowhere else."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.types import Segment, Stage
from guardrails.vault import Vault


def said(text, stage=Stage.OUTPUT, pointer=("choices", 0, "message", "content")):
    return Segment(stage, "assistant", 0, pointer, text)


def test_a_value_has_one_placeholder_throughout():
    vault = Vault()
    assert not vault
    first = vault.hide("personal_data", "a@b.org")
    assert first == "[personal_data_1]"
    assert vault.hide("personal_data", "c@d.org") == "[personal_data_2]"
    assert vault.hide("personal_data", "a@b.org") == first
    assert vault


@given(st.text(min_size=1), st.text(max_size=20), st.text(max_size=20))
def test_what_is_hidden_comes_back_as_it_was(value, before, after):
    vault = Vault()
    text = before + vault.hide("secret", value) + after
    body = {"choices": [{"message": {"content": text}}]}
    restored = vault.restored(body, (said(text),))
    assert value in restored["choices"][0]["message"]["content"]
    assert body["choices"][0]["message"]["content"] == text


def test_within_a_tools_arguments_a_value_is_escaped():
    vault = Vault()
    shown = vault.hide("name", 'Ann "the" \\ one')
    arguments = orjson.dumps({"to": f"for {shown}"}).decode()
    pointer = ("choices", 0, "message", "tool_calls", 0, "function", "arguments")
    body = {"choices": [{"message": {"tool_calls": [{"function": {"arguments": arguments}}]}}]}
    restored = vault.restored(body, (said(arguments, Stage.TOOL_CALL, pointer),))
    call = restored["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
    assert orjson.loads(call) == {"to": 'for Ann "the" \\ one'}


def test_two_vaults_share_nothing():
    mine, other = Vault(), Vault()
    shown = mine.hide("personal_data", "a@b.org")
    other.hide("personal_data", "c@d.org")
    body = {"choices": [{"message": {"content": shown}}]}
    assert "a@b.org" not in str(other.restored(body, (said(shown),)))


@pytest.mark.parametrize(
    ("text", "live"),
    [("mail [personal_da", 5), ("mail [", 5), ("mail [personal_data_1] now", 26), ("mail [A b", 9)],
)
def test_a_placeholder_under_way_is_held(text, live):
    vault = Vault()
    assert vault.live_from(text) == len(text)
    vault.hide("personal_data", "a@b.org")
    assert vault.live_from(text) == live
