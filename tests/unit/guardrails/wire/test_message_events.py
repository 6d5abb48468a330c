"""Where a lane of a message's stream stands in the whole message."""

from guardrails.wire.message_events import Fold, deltas


def test_a_citations_lane_stands_at_its_blocks_first_citation():
    fold = Fold()
    citation = {"type": "char_location", "cited_text": "x"}
    event = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "citations_delta", "citation": citation},
    }
    fold.add(event)
    (delta,) = deltas(event)
    assert fold.place(delta.lane.pointer) == ("content", 0, "citations", 0, "cited_text")
    assert fold.result()["content"][0]["citations"] == [citation]
