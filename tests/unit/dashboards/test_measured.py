from dashboards.highlight import Span
from dashboards.measured import MAX_SCORES, MAX_SPANS, marked_spans, measured_checks, role_of
from dashboards.policies import parse
from guardrails.types import Check, Detection, Segment, Stage
from tests.factories import make_reason

POLICY = parse(
    """
    name: default
    rules:
      - {id: strict, detector: d, label: x, stage: [input], roles: [user], threshold: 0.4,
         action: flag, on_error: flag}
      - {id: loose, detector: d, label: x, stage: [input, tool_result], threshold: 0.8,
         action: block, on_error: block}
    """
)
USER = Segment(Stage.INPUT, "user", 0, ("messages", 0), "You fool")
TOOL = Segment(Stage.TOOL_RESULT, "tool", 1, ("messages", 1), "found: fool")
SIDES = {"input": [USER, TOOL], "output": []}


def check(*detections: Detection) -> Check:
    return Check("d", "1", Stage.INPUT, detections=detections)


def test_each_text_has_the_lowest_threshold_of_the_rules_that_look_at_it():
    scored = ((0.5, 0), (0.3, 1), (0.2, 9))
    seen = check(*(Detection("x", score, n) for score, n in scored), Detection("y", 0.1))
    (measured,) = measured_checks([seen], SIDES, POLICY.rules)
    assert [(s.label, s.where, s.threshold, s.rule) for s in measured.scores] == [
        ("x", "user, text 1", 0.4, "strict"),
        ("x", "tool result, text 2", 0.8, "loose"),
        ("x", "text 10", None, None),
        ("y", "user, text 1", None, None),
    ]


def test_only_finds_and_what_reached_a_threshold_are_marked():
    seen = check(
        Detection("x", 0.5, 0, 4, 8),
        Detection("x", 0.5, 1, 7, 11),
        Detection("y", 1.0, 1, 0, 5, evidence="word-list"),
    )
    spans = marked_spans([seen], [], SIDES, POLICY.rules)
    assert spans == {"input": {0: [Span(4, 8, "x")], 1: [Span(0, 5, "y")]}, "output": {}}


def test_reason_marks_its_place_also_without_the_policy():
    reason = make_reason(label="x", start=0, end=3)
    assert marked_spans([], [reason], SIDES, ())["input"] == {0: [Span(0, 3, "x")]}


def test_endless_finds_do_not_make_an_endless_page():
    many = [Detection("y", 1.0, 0, n, n + 1, evidence="e") for n in range(1_000)]
    assert len(marked_spans([check(*many)], [], SIDES, ())["input"][0]) == MAX_SPANS
    first, second = measured_checks([check(*many), check(*many)], SIDES, ())
    assert (len(first.scores), first.left_out) == (MAX_SCORES, 1_000 - MAX_SCORES)
    assert (second.scores, second.left_out) == ((), 1_000)


def test_tools_are_named_as_such():
    assert [role_of(USER), role_of(TOOL)] == ["user", "tool result"]
