from __future__ import annotations

from typing import Any

import msgspec
import pytest

from guardrails.asking import Unusable
from guardrails.detectors import askers_of
from guardrails.detectors.remote import (
    _APIS,
    MOST_DETECTIONS,
    DetectorsApi,
    KServeApi,
    ModerationsApi,
    create,
)
from guardrails.errors import ConfigError
from guardrails.types import Detection

LABELS = {"LABEL_1": "toxic", "pii": "pii"}
DETECTORS = {"api": "detectors", "url": "http://x", "detector_id": "d", "labels": ["a"]}
KSERVE = {"api": "kserve", "url": "http://x", "model": "m", "labels": ["a"]}
MODERATIONS = {"api": "moderations", "url": "http://x/v1", "labels": ["a"]}


def read(api: Any, answer: Any, *texts: str) -> Any:
    """The rows of an answer as it would come over the wire."""
    name = {DetectorsApi: "detectors", KServeApi: "kserve", ModerationsApi: "moderations"}
    return api.rows(msgspec.convert(answer, _APIS[name[type(api)]][1]), texts)


def found(label: str, score: float, start: int = 0, end: int = 4, **more: Any) -> dict[str, Any]:
    return {"start": start, "end": end, "detection": label, "score": score, "text": "text", **more}


def test_detections_keep_their_spans_unless_that_is_the_whole_text() -> None:
    api = DetectorsApi("d", LABELS, detector_id="hap", unreported="zero")
    answer = [
        [found("LABEL_1", 0.9, 2, 4), found("LABEL_1", 0.2, 0, 1), found("LABEL_0", 0.1)],
        [found("EmailAddress", 1.0, detection_type="pii"), {**found("", 0.3), "detection": None}],
    ]
    assert read(api, answer, "text", "text") == [
        [
            Detection("toxic", 0.9, 0, 2, 4),
            Detection("toxic", 0.2, 0, 0, 1),
            Detection("pii", 0.0),
        ],
        [Detection("pii", 1.0), Detection("toxic", 0.0)],
    ]


def test_servers_are_asked_for_every_score_unless_told_otherwise() -> None:
    api = DetectorsApi("d", LABELS, detector_id="hap")
    asked = {"contents": ["one", "two"], "detector_params": {"threshold": 0.0}}
    assert api.question(["one", "two"]) == asked
    api = DetectorsApi("d", LABELS, detector_id="r", params={"regex": ["email"], "threshold": 0.5})
    assert api.question([])["detector_params"] == {"regex": ["email"], "threshold": 0.5}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([[]], "1 rows for 2 texts"),
        ([[], [], []], "3 rows for 2 texts"),
        ([[found("LABEL_1", 0.5)], []], "without a score for pii"),
        ([[found("LABEL_1", 0.5, -1, 2)], []], "span outside"),
        ([[found("LABEL_1", 0.5, 3, 5)], []], "span outside"),
        ([[found("LABEL_1", 0.5, 3, 2)], []], "span outside"),
        ([[found("LABEL_1", 0.5)] * (MOST_DETECTIONS + 1), []], "more than"),
    ],
)
def test_an_answer_of_a_detector_that_lacks_something_is_refused(answer: Any, message: str) -> None:
    with pytest.raises(Unusable, match=message):
        read(DetectorsApi("d", LABELS, detector_id="hap"), answer, "text", "text")


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [[{"start": 0}]],
        [[found("LABEL_1", 1.5)]],
        [[found("LABEL_1", "1")]],  # type: ignore[arg-type]
        [[found("LABEL_1", True)]],
        [[{**found("LABEL_1", 0.5), "start": 0.5}]],
        [None],
    ],
)
def test_an_answer_of_another_shape_is_refused(answer: Any) -> None:
    with pytest.raises((Unusable, msgspec.ValidationError)):
        read(DetectorsApi("d", LABELS, detector_id="hap"), answer, "text")


def tensor(shape: list[int], data: Any, **changes: Any) -> dict[str, Any]:
    output = {"name": "scores", "shape": shape, "datatype": "FP32", "data": data, **changes}
    return {"model_name": "m", "outputs": [output]}


@pytest.mark.parametrize(
    "answer",
    [
        tensor([2, 2], [0.1, 0.9, 0.2, 0.8]),
        tensor([2, 2], [[0.1, 0.9], [0.2, 0.8]], datatype="FP64"),
    ],
)
def test_a_tensor_is_read_flat_or_nested(answer: Any) -> None:
    rows = read(KServeApi("k", LABELS, model="m"), answer, "one", "two")
    assert rows == [
        [Detection("toxic", 0.1), Detection("pii", 0.9)],
        [Detection("toxic", 0.2), Detection("pii", 0.8)],
    ]


def test_one_label_may_come_as_a_vector() -> None:
    api = KServeApi("k", {"a": "a"}, model="m")
    assert read(api, tensor([2], [0, 1]), "one", "two") == [
        [Detection("a", 0.0)],
        [Detection("a", 1.0)],
    ]


@pytest.mark.parametrize(
    ("activation", "data", "scores"),
    [("sigmoid", [0.0, 2.0], [0.5, 0.880797]), ("softmax", [1.0, 1000.0], [0.0, 1.0])],
)
def test_logits_become_probabilities_where_the_settings_say_so(
    activation: Any, data: list[float], scores: list[float]
) -> None:
    api = KServeApi("k", LABELS, model="m", activation=activation)
    (row,) = read(api, tensor([1, 2], data), "one")
    assert [hit.score for hit in row] == pytest.approx(scores, abs=1e-6)


def test_a_tensor_of_texts_is_asked_in_the_form_that_the_model_takes() -> None:
    api = KServeApi("k", LABELS, model="m")
    text = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["one", "two"]}
    assert api.question(["one", "two"]) == {"inputs": [text]}
    assert api.path == "/v2/models/m/infer"
    params = {"content_type": "str"}
    api = KServeApi(
        "k", LABELS, model="m", model_version="7", input="in", output="out", rank=2, params=params
    )
    asked = {"name": "in", "shape": [1, 1], "datatype": "BYTES", "parameters": params}
    assert api.question(["one"]) == {
        "inputs": [{**asked, "data": ["one"]}],
        "outputs": [{"name": "out"}],
    }
    assert api.path == "/v2/models/m/versions/7/infer"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"outputs": []}, "one output"),
        ({"outputs": tensor([1, 2], [0, 0])["outputs"] * 2}, "one output"),
        (tensor([1, 3], [0.1, 0.2, 0.3]), r"of the shape \[1, 2\]"),
        (tensor([2, 2], [0.1, 0.2, 0.3, 0.4]), "of the shape"),
        (tensor([2], [0.1, 0.2]), "of the shape"),
        (tensor([1, 2], [0.1]), "as long as"),
        (tensor([1, 2], [[0.1], [0.2]]), "of one length"),
        (tensor([1, 2], [0.1, [0.2]]), "of one length"),
        (tensor([1, 2], [0.1, "0.2"]), "not all numbers"),
        (tensor([1, 2], [0.1, None]), "not all numbers"),
        (tensor([1, 2], [True, False]), "not all numbers"),
        (tensor([1, 2], ["a", "b"], datatype="BYTES"), "floating point"),
        (tensor([1, 2], [0.1, 3.2]), "outside of 0 to 1"),
        (tensor([1, 2], [0.1, float("nan")]), "outside of 0 to 1"),
    ],
)
def test_a_tensor_that_is_not_of_scores_is_refused(answer: Any, message: str) -> None:
    with pytest.raises(Unusable, match=message):
        read(KServeApi("k", LABELS, model="m"), answer, "one")


def test_each_category_of_a_moderation_is_scored() -> None:
    api = ModerationsApi("m", {"hate": "identity_attack", "violence": "violence"})
    assert api.question(["one"]) == {"model": "omni-moderation-latest", "input": ["one"]}
    scores = {"hate": 0.7, "violence": 0, "sexual": 0.2, "illicit": None}
    answer = {"results": [{"flagged": True, "category_scores": scores}]}
    assert read(api, answer, "one") == [
        [Detection("identity_attack", 0.7), Detection("violence", 0.0)]
    ]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([], "0 rows for 1 texts"),
        ([{"category_scores": {"violence": 0.1}}], "without a score for hate"),
        ([{"category_scores": {"hate": None, "violence": 0.1}}], "without a score for hate"),
    ],
)
def test_a_moderation_without_a_score_is_refused(results: Any, message: str) -> None:
    api = ModerationsApi("m", {"hate": "hate", "violence": "violence"})
    with pytest.raises(Unusable, match=message):
        read(api, {"results": results}, "one")


@pytest.mark.parametrize(
    "wrong",
    [
        {**DETECTORS, "api": "grpc"},
        {**DETECTORS, "labels": []},
        {**DETECTORS, "labels": ["a", "a"]},
        {**DETECTORS, "labels": {"x": "a", "y": "a"}},
        {**DETECTORS, "unreported": "one"},
        {**DETECTORS, "url": "ftp://x"},
        {**DETECTORS, "batch": 0},
        {**DETECTORS, "window_characters": 1},
        {**DETECTORS, "model": "m"},
        {**DETECTORS, "api_key_env": "A_VARIABLE_THAT_IS_NOT_SET"},
        {**DETECTORS, "detector_id": "two\r\nlines"},
        {"api": "detectors", "url": "http://x", "labels": ["a"]},
        {"api": "detectors", "labels": ["a"]},
        {**KSERVE, "model": "../other"},
        {**KSERVE, "rank": 3},
        {**KSERVE, "activation": "tanh"},
        {**MODERATIONS, "detector_id": "d"},
    ],
)
def test_wrong_settings_stop_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        askers_of({"r": {"kind": "remote", **wrong}})


@pytest.mark.parametrize(
    ("options", "version"),
    [
        (DETECTORS, "detectors:d@1"),
        ({**KSERVE, "model_version": 3, "version": "2026-11"}, "kserve:m/3@2026-11"),
        (MODERATIONS, "moderations:omni-moderation-latest@1"),
    ],
)
def test_the_version_names_what_was_asked(options: dict[str, Any], version: str) -> None:
    made = create("r", **options)
    assert (made.name, made.version, made.labels) == ("r", version, ("a",))
