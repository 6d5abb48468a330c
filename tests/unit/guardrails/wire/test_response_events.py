"""Where a lane of a response's stream stands in the whole response."""

from guardrails.wire.response_events import Fold, unfold


def test_a_text_that_is_repeated_stands_where_it_was_said_and_an_odd_one_beside_the_answer():
    item = {"type": "message", "content": [{"type": "output_text", "text": "a"}]}
    events = list(unfold({"status": "completed", "output": [item]}, include_usage=True))
    events.insert(-1, {"type": "response.new.delta", "output_index": 0, "delta": "b"})
    fold = Fold()
    for event in events:
        fold.add(event)
    assert fold.result()["streamed"] == ["b"]
    here = ("output", 0, "content", 0, "text")
    assert fold.place(here) == here
    assert fold.place(("response.output_text.done", 0, 0, "text")) == here
    assert fold.place(("response.new.delta", 0, 0)) == ("streamed", 0)
