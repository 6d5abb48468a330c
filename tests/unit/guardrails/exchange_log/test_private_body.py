from __future__ import annotations

import pytest

from guardrails.exchange_log.private_body import MAX_VALUES, TooManyValues, Writer, skeleton

TEXTS = {"scanned text": "scanned [x]·"}


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ({"content": "scanned text"}, {"content": "scanned [x]·"}),
        ({"content": "another text"}, {"content": "[not scanned]"}),
        ({"role": "user", "id": "call_1"}, {"role": "user", "id": "call_1"}),
        ({"role": "two words"}, {"role": "[not scanned]"}),
        ({"id": "c4111 1111 1111 1111"}, {"id": "[not scanned]"}),
        ({"id": "c4111111111111111"}, {"id": "[not scanned]"}),
        (
            {"temperature": 0.7, "n": 2, "stream": True},
            {"temperature": 0.7, "n": 2, "stream": True},
        ),
        ({"phone": 4915112345678}, {"phone": "[not scanned]"}),
        ({"created": 1763900000}, {"created": 1763900000}),
        ({"input": [101, 2054, 2003]}, {"input": "[not scanned]"}),
        ({"embedding": [0.1, 0.2]}, {"embedding": "[not scanned]"}),
        ({"logprobs": {"content": []}}, {"logprobs": "[not scanned]"}),
        ({"a@b.example": None}, {"[key 0]": None}),
        ({"stop": ["secret"]}, {"stop": ["[not scanned]"]}),
        ({"content": ""}, {"content": ""}),
        (None, None),
    ],
)
def test_only_scanned_texts_and_words_of_the_protocol_are_written_down(body, kept) -> None:
    assert Writer(TEXTS, {"secret": "······"}).body(body) == kept


def test_a_known_secret_is_masked_wherever_it_stands() -> None:
    writer = Writer({}, {"ann": "···", "anna": "····"}, kept=("a notice",))
    assert writer.masked("anna and ann") == "···· and ···"
    assert writer.body({"id": "call_ann", "ann": 1, "content": "a notice"}) == {
        "id": "call_···",
        "[key 1]": 1,
        "content": "a notice",
    }


@pytest.mark.parametrize(
    ("rendered", "kept"), [(True, "Q: scanned [x]·!"), (False, "[not scanned]")]
)
def test_a_template_may_stand_around_a_scanned_text(rendered: bool, kept: str) -> None:
    assert Writer(TEXTS, {}, rendered=rendered).body("Q: scanned text!") == kept


def test_a_body_of_too_many_values_is_not_walked_to_its_end() -> None:
    with pytest.raises(TooManyValues):
        Writer({}, {}).body([None] * (MAX_VALUES + 1))


def test_a_skeleton_says_how_it_ended_and_nothing_else() -> None:
    body = {"model": "m", "choices": [{"finish_reason": "stop", "message": {"content": "x"}}, 7]}
    kept = {"dropped": True, "model": "m", "choices": [{"finish_reason": "stop"}]}
    assert skeleton(body) == kept
    assert skeleton({"model": "two words", "stop_reason": "end_turn"}) == {
        "dropped": True,
        "stop_reason": "end_turn",
    }
    ended = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert skeleton({**ended, "output": [{"text": "x"}]}) == {"dropped": True, **ended}
    assert skeleton({"details": {"finish_reason": "two words", "tokens": ["x"]}}) == {
        "dropped": True
    }
    assert skeleton(None) is None
