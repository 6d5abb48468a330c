"""Embeddings."""

from guardrails.types import Action, Usage, Verdict
from guardrails.wire import embeddings
from tests.factories import make_exchange, make_reason


def test_every_text_to_embed_is_found():
    segments, _ = embeddings.inputs({"input": ["one", "two"]})
    assert [segment.pointer for segment in segments] == [("input", 0), ("input", 1)]


def test_a_blocked_embedding_is_azures_error_body():
    exchange = make_exchange(reply=None, verdict=Verdict(Action.BLOCK, (make_reason(),)))
    error = embeddings.blocked(exchange, "No.")["error"]
    assert error["code"] == "content_filter"
    assert error["message"] == "No."
    assert error["innererror"]["code"] == "ResponsibleAIPolicyViolation"
    assert error["innererror"]["content_filter_result"]["insult"]["filtered"]


def test_only_a_list_of_vectors_is_an_answer():
    assert embeddings.is_answer({"data": []})
    assert not embeddings.is_answer({"choices": []})
    assert embeddings.usage({"usage": {"prompt_tokens": 4}}) == Usage(4, None)
