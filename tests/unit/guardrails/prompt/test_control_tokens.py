"""Forged turns: every control token is broken visibly, and the original comes back exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.prompt.control_tokens import neutralise, neutralise_together, restore

CONTROL = [
    "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|endoftext|>", "<|user|>",
    "<|begin_of_text|>", "<｜User｜>", "<｜end▁of▁sentence｜>", "<s>", "</s>", "<<SYS>>",
    "<</SYS>>",
    "[INST]", "[/INST]", "[TOOL_CALLS]", "[SEP]", "<start_of_turn>", "<end_of_turn>", "<bos>",
    "<tool_call>", "</tool_response>", "<|IM_START|>", "＜|im_end|＞",
]  # fmt: skip
PLAIN = [
    "", "a < b | c > d", "x[0] = [1]", "use [prefix] and [args]", "<b>bold</b>", "<span>", "a <= b",
    "[install]", "<script>", "List<String>", "if a <b and c|d",
]  # fmt: skip
fragments = st.sampled_from(
    [*CONTROL, "<", "|", "\\", "[", "]", ">", "INST", "im_end", "<passage>"]
)
texts = st.lists(fragments | st.text(max_size=4), max_size=12).map("".join)


@pytest.mark.parametrize("token", CONTROL)
def test_control_token_does_not_survive_and_stays_readable(token: str) -> None:
    neutral = neutralise(f"before {token} after")
    assert token not in neutral
    assert neutral == f"before {token[0]}\\{token[1:]} after"


@pytest.mark.parametrize("text", PLAIN)
def test_plain_text_is_left_alone(text: str) -> None:
    assert neutralise(text) == text


@given(texts)
def test_restore_gives_back_what_was_neutralised(text: str) -> None:
    assert restore(neutralise(text)) == text
    assert restore(neutralise(text, ["passage"]), ["passage"]) == text


@given(texts)
def test_no_control_token_is_left_in_any_text(text: str) -> None:
    neutral = neutralise(text).lower()
    assert not [token for token in CONTROL if token.lower() == token and token in neutral]


@given(st.lists(texts, max_size=5))
def test_tokens_cut_across_parts_are_found(parts: list[str]) -> None:
    assert "".join(neutralise_together(parts)) == neutralise("".join(parts))


def test_tags_are_broken_on_both_sides_whatever_their_case() -> None:
    assert neutralise("<passage></PASSAGE ><passages-x>", ["passage"]) == (
        "<\\passage><\\/PASSAGE ><passages-x>"
    )


def test_long_hostile_text_costs_little() -> None:
    for text in ("<" * 200_000, "<" + "\\" * 200_000, "<\\" * 100_000, "[/" * 100_000):
        assert restore(neutralise(text)) == text
