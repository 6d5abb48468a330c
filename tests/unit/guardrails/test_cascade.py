"""Checks with detectors on other machines, and cascades of them; no network is needed for it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from guardrails.checks import Checker
from guardrails.detectors.cascade import Cascade, create
from guardrails.errors import ConfigError, GuardUnavailable
from guardrails.inference.client import InferenceClient
from guardrails.inference.named import options_of
from guardrails.inference.protocol import Scored
from guardrails.policy.decide import Ruling
from guardrails.policy.model import parse_policy
from guardrails.settings import Settings
from guardrails.types import Action, Caller, Check, Detection, Segment, Stage
from tests.unit.guardrails.test_checks import Inference, Needles

RULE = """
name: test
rules:
  - {id: careful, detector: careful, label: toxic, stage: [input], threshold: 0.9, action: block,
     on_error: flag}
"""


class Words:
    """Scores each text with the highest number that is given for a word in it."""

    version = "words-1"

    def __init__(self, name: str, scores: Mapping[str, float], label: str = "toxic") -> None:
        self.name = name
        self.scores = scores
        self.labels = (label,)
        self.asked: list[tuple[str, ...]] = []
        self.error: Exception | None = None

    async def ask(
        self, texts: Sequence[str], side: Stage, *, timeout_seconds: float, question: str = ""
    ) -> list[list[Detection]]:
        self.asked.append(tuple(texts))
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return [
            [Detection(self.labels[0], max(map(self._score, text.split()), default=0))]
            for text in texts
        ]

    def _score(self, word: str) -> float:
        return self.scores.get(word, 0.0)

    async def aclose(self) -> None:
        pass


class Spans(Words):
    """Finds each word by its place."""

    async def ask(
        self, texts: Sequence[str], side: Stage, *, timeout_seconds: float, question: str = ""
    ) -> list[list[Detection]]:
        return [
            [
                Detection(self.labels[0], score, 0, text.index(word), text.index(word) + len(word))
                for word, score in self.scores.items()
                if word in text
            ]
            or [Detection(self.labels[0], 0.0)]
            for text in texts
        ]


def segment(text: str, role: str = "user") -> Segment:
    return Segment(Stage.INPUT, role, 0, (), text)


async def run(checker: Checker, names: Sequence[str], *segments: Segment) -> dict[str, Check]:
    await checker.start()
    checks = await checker.run(names, segments, Stage.INPUT, timeout_seconds=5)
    assert [check.detector for check in checks][: len(names)] == sorted(names)
    return {check.detector: check for check in checks}


def scores(check: Check) -> list[tuple[int, float, str | None]]:
    return [(hit.segment, hit.score, hit.evidence) for hit in check.detections]


def cascade(**changes: Any) -> Cascade:
    options = {"first": "cheap", "label": "toxic", "band": [0.2, 0.8], "then": "dear"}
    return create("careful", **{**options, **changes})


def build(made: Cascade, *askers: Words) -> Checker:
    return Checker({}, None, askers={a.name: a for a in askers}, cascades={made.name: made})


@pytest.fixture
def cheap() -> Words:
    return Words("cheap", {"good": 0.1, "maybe": 0.5, "hm": 0.3, "bad": 0.95})


@pytest.fixture
def dear() -> Words:
    return Words("dear", {"maybe": 0.97, "hm": 0.02}, label="S10")


async def test_an_asker_is_asked_once_for_each_text_and_every_span_counts() -> None:
    spans = Spans("spans", {"needle": 0.9, "pin": 0.4})
    checker = Checker({"needles": Needles()}, None, askers={"spans": spans})
    assert checker.known == {"needles": ("needle", "other"), "spans": ("toxic",)}
    code = base64.b64encode(b"there is a needle in here").decode()
    original = f"a pin, a ｎｅｅｄｌｅ, {code}"
    checks = await run(checker, ["needles", "spans"], segment("none"), segment(original))
    assert checks["spans"].version == "words-1"
    found = {(hit.score, original[slice(hit.start, hit.end)]) for hit in checks["spans"].detections}
    assert (0.4, "pin") in found and (0.9, "ｎｅｅｄｌｅ") in found
    assert any(score == 0.9 and text in code for score, text in found)
    assert all(hit.segment == 1 for hit in checks["spans"].detections)


@pytest.mark.parametrize(
    ("error", "said"),
    [(GuardUnavailable("dear is away."), "dear is away."), (KeyError("secret"), "KeyError")],
)
async def test_an_askers_fault_becomes_an_error(
    dear: Words, error: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    dear.error = error
    checks = await run(Checker({}, None, askers={"dear": dear}), ["dear"], segment("text"))
    assert (checks["dear"].error, checks["dear"].detections) == (said, ())
    assert "secret" not in caplog.text


async def test_only_uncertain_texts_are_escalated_and_both_checks_are_recorded(
    cheap: Words, dear: Words
) -> None:
    made = cascade(then_label="S10")
    texts = [segment("good"), segment("maybe"), segment("bad", "tool"), segment("hm", "system")]
    checks = await run(build(made, cheap, dear), ["careful"], *texts)
    assert cheap.asked == [("good", "maybe", "bad", "hm")]
    assert dear.asked == [("maybe", "hm")]
    assert list(checks) == ["careful", "careful/dear", "cheap"]
    assert scores(checks["careful"]) == [(1, 0.97, "dear"), (2, 0.95, "cheap"), (3, 0.02, "dear")]
    assert {hit.label for hit in checks["careful"].detections} == {"toxic"}
    assert checks["careful"].version == "words-1 > words-1"
    assert scores(checks["cheap"]) == [(1, 0.5, None), (2, 0.95, None), (3, 0.3, None)]
    assert scores(checks["careful/dear"]) == [(1, 0.97, None), (3, 0.02, None)]
    assert made.counts.share_escalated == 0.5


async def test_nothing_is_escalated_where_nothing_is_uncertain(cheap: Words, dear: Words) -> None:
    made = cascade(then_label="S10")
    checks = await run(build(made, cheap, dear), ["careful"], segment("good"), segment("bad"))
    assert dear.asked == [] and list(checks) == ["careful", "cheap"]
    assert scores(checks["careful"]) == [(1, 0.95, "cheap")]


async def test_a_detector_that_the_policy_asks_for_too_is_asked_once(
    cheap: Words, dear: Words
) -> None:
    made = cascade(then_label="S10")
    checker = build(made, cheap, dear)
    checks = await run(
        checker, ["careful", "cheap", "dear"], segment("good"), segment("maybe", "tool")
    )
    assert (cheap.asked, dear.asked) == ([("good", "maybe")], [("good", "maybe")])
    assert list(checks) == ["careful", "cheap", "dear"]
    assert scores(checks["careful"]) == [(0, 0.1, "cheap"), (1, 0.97, "dear")]


@pytest.mark.parametrize("together", [False, True])
async def test_when_the_second_detector_fails_the_first_ones_score_does_not_count(
    cheap: Words, dear: Words, together: bool
) -> None:
    made = cascade(then_label="S10")
    dear.error = GuardUnavailable("dear is away.")
    names = ["careful", "dear"] if together else ["careful"]
    checks = await run(build(made, cheap, dear), names, segment("bad"), segment("maybe"))
    assert checks["careful"].error == "dear: dear is away."
    assert checks["careful"].detections == ()
    assert checks["dear" if together else "careful/dear"].error == "dear is away."
    assert checks["cheap"].error is None
    assert (made.counts.escalated, made.counts.failed) == (1, 1)
    ruling = Ruling(parse_policy(RULE, {"careful": ("toxic",)}))
    verdict = ruling.decide(
        list(checks.values()), [segment("x")] * 2, side=Stage.INPUT, route="r", caller=Caller()
    )
    assert verdict.action is Action.FLAG, "what the rule declared for an error"


async def test_the_first_ones_score_counts_where_that_was_declared(
    cheap: Words, dear: Words
) -> None:
    made = cascade(then_label="S10", on_error="first")
    dear.error = GuardUnavailable("dear is away.")
    checks = await run(build(made, cheap, dear), ["careful"], segment("maybe"))
    assert checks["careful"].error is None
    assert scores(checks["careful"]) == [(0, 0.5, "cheap")]
    assert checks["careful/dear"].error == "dear is away.", "the failure is recorded even so"
    assert made.counts.failed == 1


async def test_when_the_first_detector_fails_the_cascade_fails(cheap: Words, dear: Words) -> None:
    cheap.error = GuardUnavailable("cheap is away.")
    made = cascade(then_label="S10", on_error="first")
    checks = await run(build(made, cheap, dear), ["careful"], segment("maybe"))
    assert checks["careful"].error == "cheap: cheap is away."
    assert dear.asked == []


async def test_a_first_detector_without_its_label_fails_the_cascade(
    cheap: Words, dear: Words
) -> None:
    checker = build(cascade(then_label="S10"), cheap, dear)
    await checker.start()
    cheap.labels = ("other",)
    (careful, _) = await checker.run(
        ["careful"], [segment("maybe")], Stage.INPUT, timeout_seconds=5
    )
    assert careful.error == "ValueError"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"then": "nobody"}, "no detector 'nobody'"),
        ({"first": "needles", "label": "needle"}, "no detector 'needles'"),
        ({}, "dear has no label 'toxic'"),
    ],
)
async def test_a_cascade_of_what_is_not_there_stops_the_start(
    cheap: Words, dear: Words, changes: dict[str, Any], message: str
) -> None:
    made = cascade(**changes)
    askers = {"cheap": cheap, "dear": dear}
    checker = Checker({"needles": Needles()}, None, askers=askers, cascades={"careful": made})
    with pytest.raises(ConfigError, match=message):
        await checker.start()


async def test_cancelling_the_run_cancels_every_tier(cheap: Words) -> None:
    cancelled = asyncio.Event()

    class Slow(Words):
        async def ask(self, *_: Any, **__: Any) -> list[list[Detection]]:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return []

    slow = Slow("dear", {}, label="S10")
    checker = build(cascade(then_label="S10"), cheap, slow)
    await checker.start()
    task = asyncio.create_task(
        checker.run(["careful"], [segment("maybe")], Stage.INPUT, timeout_seconds=60)
    )
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(cancelled.wait(), 1)


async def test_either_tier_may_run_in_the_inference_worker(
    tmp_path_factory: pytest.TempPathFactory, cheap: Words
) -> None:
    inference = Inference(tmp_path_factory.mktemp("i"))
    server = await asyncio.start_unix_server(inference.serve, inference.path)
    client = InferenceClient(inference.path)
    made = [
        create(
            "first", first="model", label="rude", band=[0.4, 0.6], then="cheap", then_label="toxic"
        ),
        create(
            "second", first="cheap", label="toxic", band=[0.4, 0.6], then="model", then_label="rude"
        ),
    ]
    checker = Checker({}, client, askers={"cheap": cheap}, cascades={c.name: c for c in made})
    await checker.start()
    scored = [[0.1, 0.5], [0.2, 0.9]]
    inference.scored = Scored(scored, [[None, None], [None, (0, 3)]], (), "model-1")
    texts = [segment("maybe"), segment("bad", "tool")]
    checks = {
        check.detector: check
        for check in await checker.run(["first", "second"], texts, Stage.INPUT, timeout_seconds=5)
    }
    assert list(checks) == ["first", "second", "cheap", "model"]
    assert scores(checks["first"]) == [(0, 0.5, "cheap"), (1, 0.9, "model")]
    assert checks["first"].detections[1].start == 0
    assert scores(checks["second"]) == [(0, 0.5, "model"), (1, 0.95, "cheap")]
    assert (len(inference.asked), len(cheap.asked)) == (1, 1)
    await client.close()
    server.close()
    await asyncio.sleep(0.01)


def test_the_worker_loads_what_only_a_cascade_names(tmp_path: Any) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("name: test\nrules: []\n")
    options = {"kind": "cascade", "first": "compact", "label": "toxicity", "band": [0.2, 0.8]}
    settings = Settings(policy=policy, detectors={"careful": {**options, "then": "llama-guard"}})
    assert options_of(settings)["compact"] == {}
