"""Exchanging texts inside a body."""

from guardrails.wire.pointers import replaced, shown, without_logprobs


def test_only_what_lies_on_the_way_is_copied():
    body = {"a": [{"t": "x"}, {"t": "y"}], "b": {"c": 1}}
    changed = replaced(body, {("a", 1, "t"): "z", ("b", "c"): 2})
    assert changed == {"a": [{"t": "x"}, {"t": "z"}], "b": {"c": 2}}
    assert body == {"a": [{"t": "x"}, {"t": "y"}], "b": {"c": 1}}
    assert changed["a"][0] is body["a"][0]


def test_a_pointer_is_shown_as_a_person_writes_it():
    assert shown(("messages", 2, "content", 0, "text")) == "messages[2].content[0].text"


def test_log_probabilities_go_with_the_text_that_was_changed():
    tokens = {"content": [{"token": "x"}]}
    chat = {"choices": [{"message": {"content": "x"}, "logprobs": tokens}, {"logprobs": tokens}]}
    left = without_logprobs(chat, [("choices", 0, "message", "content")])
    assert [choice["logprobs"] for choice in left["choices"]] == [None, tokens]
    part = {"text": "x", "logprobs": [{"token": "x"}]}
    answer = {"output": [{"content": [part]}]}
    left = without_logprobs(answer, [("output", 0, "content", 0, "text")])
    assert left["output"][0]["content"][0] == {"text": "x", "logprobs": []}
    assert without_logprobs({"delta": "x", "logprobs": [1]}, [("delta",)])["logprobs"] == []
    assert without_logprobs(chat, []) is chat
