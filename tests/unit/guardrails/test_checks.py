from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.checks import Checker
from guardrails.errors import GuardUnavailable
from guardrails.inference.client import InferenceClient
from guardrails.inference.protocol import (
    Cancel,
    Describe,
    Described,
    FrameReader,
    Loaded,
    Refused,
    Score,
    Scored,
    Scores,
    decode_request,
    encode,
)
from guardrails.reading import RIGHT_CHARACTERS, SLICE_CHARACTERS
from guardrails.types import Check, Detection, Segment, Stage
from tests.loop import longest_hold


class Needles:
    """Finds every `needle` and, as a pattern with context, `<...>`."""

    name = "needles"
    version = "needles-1"
    labels = ("needle", "other")

    def __init__(self, word: str = "needle") -> None:
        self.word = word

    def find(self, text: str, *, before: int | None = None) -> list[Detection]:
        found, at = [], text.find(self.word)
        while at >= 0:
            end = at + len(self.word)
            found.append(Detection("needle", 1.0, 0, at, end, "needles/word"))
            at = text.find(self.word, end)
        return found


class Raises(Needles):
    version = "raises-1"

    def find(self, text: str, *, before: int | None = None) -> list[Detection]:
        raise RuntimeError("secret text of the caller")


class Slow(Needles):
    version = "slow-1"

    def find(self, text: str, *, before: int | None = None) -> list[Detection]:
        time.sleep(0.01)
        return super().find(text, before=before)


def segment(text: str, stage: Stage = Stage.INPUT, role: str = "user") -> Segment:
    return Segment(stage, role, 0, ("messages", 0, "content"), text)


async def run(
    checker: Checker, detectors: Sequence[str], segments: Sequence[Segment], seconds: float = 5
) -> tuple[Check, ...]:
    return await checker.run(detectors, segments, Stage.INPUT, timeout_seconds=seconds)


async def test_a_finders_spans_are_offsets_into_the_original_text() -> None:
    checker = Checker({"needles": Needles()}, None)
    original = "a ｎｅｅｄｌｅ here"  # full-width letters, which normalising makes plain
    (check,) = await run(checker, ["needles"], [segment("nothing"), segment(original)])
    (hit,) = [d for d in check.detections if d.score > 0]
    assert (hit.segment, hit.label, hit.evidence) == (1, "needle", "needles/word")
    assert original[hit.start : hit.end] == "ｎｅｅｄｌｅ"


async def test_what_is_encoded_is_found_and_its_span_is_that_of_the_code() -> None:
    checker = Checker({"needles": Needles()}, None)
    code = base64.b64encode(b"please find the needle in this").decode()
    original = f"decode {code} for me"
    (check,) = await run(checker, ["needles"], [segment(original)])
    (hit,) = [d for d in check.detections if d.score > 0]
    assert hit.start is not None and hit.end is not None
    assert code.rstrip("=") in original[hit.start : hit.end]


async def test_every_label_has_a_score_on_each_stage_and_role() -> None:
    checker = Checker({"needles": Needles()}, None)
    segments = [
        segment("a needle"),
        segment("no"),
        segment("no", role="system"),
        segment("no", Stage.TOOL_RESULT, "tool"),
    ]
    (check,) = await run(checker, ["needles"], segments)
    scores = {
        (segments[d.segment].stage, segments[d.segment].role, d.label): d.score
        for d in check.detections
    }
    assert scores == {
        (Stage.INPUT, "user", "needle"): 1.0,
        (Stage.INPUT, "user", "other"): 0.0,
        (Stage.INPUT, "system", "needle"): 0.0,
        (Stage.INPUT, "system", "other"): 0.0,
        (Stage.TOOL_RESULT, "tool", "needle"): 0.0,
        (Stage.TOOL_RESULT, "tool", "other"): 0.0,
    }


async def test_a_finder_that_raises_becomes_an_error_and_the_others_still_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    checker = Checker({"needles": Needles(), "raises": Raises()}, None)
    needles, raises = await run(checker, ["raises", "needles"], [segment("a needle")])
    assert needles.error is None and needles.detections[0].score == 1
    assert (raises.detector, raises.error, raises.detections) == ("raises", "RuntimeError", ())
    assert "raises failed: RuntimeError at test_checks.py" in caplog.text
    assert "secret" not in caplog.text


async def test_a_detector_that_nobody_loaded_becomes_an_error() -> None:
    (check,) = await run(Checker({}, None), ["nobody"], [segment("text")])
    assert check.error == "the detector is not loaded"


async def test_a_finder_that_is_too_slow_becomes_an_error() -> None:
    checker = Checker({"slow": Slow()}, None)
    (check,) = await run(checker, ["slow"], [segment("words " * 50_000)], seconds=0.05)
    assert check.error == "the deadline passed"


@given(
    before=st.integers(0, 3 * SLICE_CHARACTERS),
    between=st.integers(0, 3 * SLICE_CHARACTERS),
    length=st.integers(1, RIGHT_CHARACTERS - 2),
    spaced=st.booleans(),
)
async def test_a_match_is_found_once_and_whole_wherever_a_long_text_is_cut(
    before: int, between: int, length: int, spaced: bool
) -> None:
    filler = "lorem ipsum " if spaced else "x"
    needle = "<" + "n" * length + ">"
    text = (filler * before)[:before] + needle + (filler * between)[:between] + needle + "tail"
    (check,) = await run(Checker({"needles": Needles(needle)}, None), ["needles"], [segment(text)])
    spans = [(d.start, d.end) for d in check.detections if d.score > 0]
    second = before + len(needle) + between
    assert spans == [(before, before + len(needle)), (second, second + len(needle))]


async def test_long_texts_never_hold_the_event_loop() -> None:
    texts = [
        "a needle in the hay, and " * 20_000,
        "1d10t  i d i o t aGVsbG8gd29ybGQgaGVsbG8= 68 65 6c 6c 6f ｂａｄ раypal b\u200ba " * 1_000,
        *(f"short text {number}" for number in range(2_000)),
    ]
    segments = [segment(text) for text in texts]

    async def look() -> None:
        checker = Checker({"needles": Needles()}, None)
        (check,) = await run(checker, ["needles"], segments, seconds=60)
        assert len([d for d in check.detections if d.score > 0]) == 20_000

    assert await longest_hold(look) < 0.02


class Inference:
    """A real server on a Unix socket that answers as the test says."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "s"
        self.asked: list[Score] = []
        self.cancelled: list[int] = []
        self.version = "model-1"
        self.labels = ("toxic", "rude")
        self.scored: Scored | None = Scored([], [], (), "model-1")
        self.refused: str | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameReader()
        while data := await reader.read(65_536):
            for body in frames.feed(data):
                request = decode_request(body)
                if isinstance(request, Describe):
                    loaded = {"model": Loaded(self.version, self.labels)}
                    writer.write(encode(Described(request.id, loaded)))
                elif isinstance(request, Cancel):
                    self.cancelled.append(request.id)
                elif isinstance(request, Score):
                    self.asked.append(request)
                    if self.refused:
                        writer.write(encode(Refused(request.id, self.refused)))
                    elif self.scored:
                        writer.write(encode(Scores(request.id, self.scored)))
        writer.close()


@pytest.fixture
async def inference(tmp_path_factory: pytest.TempPathFactory) -> Any:
    inference = Inference(tmp_path_factory.mktemp("i"))
    server = await asyncio.start_unix_server(inference.serve, inference.path)
    client = InferenceClient(inference.path)
    checker = Checker({"needles": Needles()}, client)
    await checker.start()
    yield inference, checker
    await client.close()
    server.close()
    await asyncio.sleep(0.01)


async def test_known_names_the_labels_of_finders_and_scorers(inference: Any) -> None:
    _, checker = inference
    assert checker.known == {"needles": ("needle", "other"), "model": ("toxic", "rude")}


async def test_start_fails_while_the_worker_is_away(tmp_path: Path) -> None:
    with pytest.raises(GuardUnavailable):
        await Checker({}, InferenceClient(tmp_path / "none")).start()


async def test_a_scorer_gives_the_highest_score_of_each_label_on_each_stage_and_role(
    inference: Any,
) -> None:
    server, checker = inference
    server.scored = Scored(
        [[0.1, 0.9], [0.5, 0.2], [0.3, 0.4]],
        [[None, None], [(2, 5), None], [None, None]],
        (),
        "model-1",
    )
    segments = [segment("one"), segment("two words"), segment("other", role="system")]
    model, needles = await run(checker, ["needles", "model"], [*segments, segment("one")])
    assert (model.detector, model.version, model.side) == ("model", "model-1", Stage.INPUT)
    assert server.asked[0].texts == ("one", "two words", "other"), "each text is asked once"
    assert set(model.detections) == {
        Detection("toxic", 0.5, 1, 2, 5),
        Detection("rude", 0.9, 0),
        Detection("toxic", 0.3, 2),
        Detection("rude", 0.4, 2),
    }
    assert needles.error is None


async def test_a_scorer_reads_what_is_encoded_too(inference: Any) -> None:
    server, checker = inference
    server.scored = Scored([[0.1, 0.2], [0.9, 0.0]], [[None, None], [None, None]], (), "model-1")
    code = base64.b64encode(b"something quite toxic to say").decode()
    text = f"decode {code} for me"
    (model,) = await run(checker, ["model"], [segment(text)])
    assert server.asked[0].texts == (text, "something quite toxic to say")
    toxic, rude = model.detections
    assert (toxic.label, toxic.score, rude.label, rude.score) == ("toxic", 0.9, "rude", 0.2)
    assert code.rstrip("=") in text[slice(toxic.start, toxic.end)] and rude.start is None


async def test_a_worker_that_came_back_with_another_model_is_asked_for_its_labels(
    inference: Any,
) -> None:
    server, checker = inference
    server.version, server.labels = "model-2", ("rude", "toxic")
    server.scored = Scored([[0.9, 0.1]], [[None, None]], (), "model-2")
    (model,) = await run(checker, ["model"], [segment("text")])
    assert model.version == "model-2"
    assert {d.label: d.score for d in model.detections} == {"rude": 0.9, "toxic": 0.1}
    assert checker.known["model"] == ("rude", "toxic")
    server.version = "model-4"
    server.scored = Scored([[0.9, 0.1]], [[None, None]], (), "model-3")
    (model,) = await run(checker, ["model"], [segment("text")])
    assert model.error == "the detector has changed"


@pytest.mark.parametrize(
    ("refused", "scored", "error"),
    [
        ("The inference worker is overloaded.", None, "The inference worker is overloaded."),
        (None, Scored([], [], (), "model-1"), "ValueError"),
        (None, None, "The inference worker did not answer within"),
    ],
)
async def test_a_scorers_fault_becomes_an_error(
    inference: Any, refused: str | None, scored: Scored | None, error: str
) -> None:
    server, checker = inference
    server.refused, server.scored = refused, scored
    model, needles = await run(checker, ["model", "needles"], [segment("a needle")], seconds=0.1)
    assert model.error is not None and model.error.startswith(error)
    assert model.detections == () and needles.detections[0].score == 1


async def test_cancelling_the_run_cancels_what_the_worker_was_asked(inference: Any) -> None:
    server, checker = inference
    server.scored = None
    task = asyncio.create_task(run(checker, ["model"], [segment("text")], seconds=30))
    while not server.asked:
        await asyncio.sleep(0.005)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    for _ in range(100):
        if server.cancelled:
            break
        await asyncio.sleep(0.01)
    assert server.cancelled == [server.asked[0].id]


async def test_no_detectors_and_no_texts_are_no_trouble() -> None:
    checker = Checker({"needles": Needles()}, None)
    assert await run(checker, [], [segment("text")]) == ()
    (check,) = await run(checker, ["needles"], [])
    assert check.error is None and check.detections == ()


async def test_what_was_not_scanned_is_uncovered_and_never_taken_for_skipped(
    inference: Any,
) -> None:
    server, checker = inference
    server.scored = Scored([[0.9, 0.1]], [[None, None]], ("text 0: the middle",), "model-1")
    (model,) = await run(checker, ["model"], [segment("toxic " * 20_000)])
    assert model.uncovered == ("text 0: the middle",)
    assert model.skipped is None and model.error is None
    assert model.detections[0].score == 0.9


def test_a_check_takes_what_it_measured_by_name_only() -> None:
    with pytest.raises(TypeError):
        Check("d", "1", Stage.INPUT, (), 0.1, None, ("not scanned",))  # type: ignore[misc]


async def test_what_each_detector_was_given_is_counted():
    checker = Checker({"needles": Needles(), "others": Needles("other")}, None)
    texts = [Segment(Stage.INPUT, "user", n, (), "a needle") for n in range(2)]
    await checker.run(["needles"], texts, Stage.INPUT, timeout_seconds=1.0)
    await checker.run(["needles", "others"], texts[:1], Stage.OUTPUT, timeout_seconds=1.0)
    assert checker.scanned == {
        Stage.INPUT: {"needles": 16},
        Stage.OUTPUT: {"needles": 8, "others": 8},
    }
