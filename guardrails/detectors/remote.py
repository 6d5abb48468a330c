"""Remote: a classifier on another machine, asked over HTTP by one of three open protocols.

    hap: {kind: remote, api: detectors, url: http://hap:8000, detector_id: hap, labels: [LABEL_1]}

`detectors`    the Detectors API of the FMS orchestrator and TrustyAI, POST /api/v1/text/contents
`kserve`       the Open Inference Protocol (KServe v2: Triton, MLServer), POST /v2/models/…/infer
`moderations`  OpenAI's POST /moderations

Source: docs/models/remote.md, which names the specification of each.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

from msgspec import Meta, Struct

from guardrails.asking import Breath, Row, Unusable, cut
from guardrails.errors import ConfigError
from guardrails.types import Detection, Stage
from guardrails.upstream.service import Service

RUNS_IN = "remote"

MOST_DETECTIONS = 4_000
_PATH_PART = re.compile(r"[A-Za-z0-9._~-]+")

Probability = Annotated[float, Meta(ge=0, le=1)]
Unreported = Literal["error", "zero"]
Activation = Literal["none", "sigmoid", "softmax"]


class Api(Protocol):
    """How one protocol asks about texts and what its answer means."""

    path: str

    def question(self, texts: Sequence[str]) -> dict[str, Any]:
        """The body of a request about all texts."""
        ...

    def rows(self, answer: Any, texts: Sequence[str]) -> list[Row]:
        """One row a text. Errors: Unusable."""
        ...


def create(
    name: str,
    *,
    api: Literal["detectors", "kserve", "moderations"],
    url: str,
    labels: Sequence[str] | Mapping[str, str],
    version: str = "1",
    api_key_env: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float = 2.0,
    concurrency: int = 16,
    batch: int = 64,
    window_characters: int = 1_500,
    **options: Any,
) -> Remote:
    """A detector at `url`. The other options belong to the protocol: see docs/models/remote.md.

    `labels` maps the server's labels to ours, or lists them; what else it reports is left out.
    Errors: ConfigError, also for a key that the environment does not hold.
    """
    if api not in _APIS:
        raise ConfigError(f"{name}: there is no api {api!r}; there are {', '.join(_APIS)}.")
    if batch < 1 or window_characters < 16:
        raise ConfigError(f"{name}: batch must be 1 or more, window_characters 16 or more.")
    theirs = dict(labels) if isinstance(labels, Mapping) else {label: label for label in labels}
    if not theirs or len(set(theirs.values())) != len(labels):
        raise ConfigError(f"{name}: labels must name at least one label, and none twice.")
    make, answer = _APIS[api]
    try:
        protocol = make(name, theirs, **options)
    except TypeError as error:
        raise ConfigError(f"{name}: the api {api!r} takes other options: {error}.") from error
    own_headers = getattr(protocol, "headers", {})
    service = Service(
        name,
        url,
        answer,
        headers={**own_headers, **(headers or {})},
        api_key_env=api_key_env,
        timeout_seconds=timeout_seconds,
        concurrency=concurrency,
    )
    return Remote(
        name,
        protocol,
        service,
        version=f"{api}:{protocol.served}@{version}",
        labels=tuple(theirs.values()),
        batch=batch,
        window_characters=window_characters,
    )


class Remote:
    """A detector that another machine runs."""

    def __init__(
        self,
        name: str,
        api: Api,
        service: Service[Any],
        *,
        version: str,
        labels: Sequence[str],
        batch: int,
        window_characters: int,
    ) -> None:
        self.name = name
        self.version = version
        self.labels = tuple(labels)
        self._api = api
        self._service = service
        self._batch = batch
        self._window_characters = window_characters

    async def ask(
        self, texts: Sequence[str], side: Stage, *, timeout_seconds: float, question: str = ""
    ) -> list[Row]:
        """What the server detects in each text: all in one request, or in batches at once.

        Errors: GuardUnavailable, also for an answer that lacks a text, a label or a number.
        """
        try:
            pieces = await cut(texts, self._window_characters)
            batches = list(_batches(pieces.texts, self._batch))
            answers = await self._service.ask(
                self._api.path,
                [self._api.question(batch) for batch in batches],
                timeout_seconds=timeout_seconds,
            )
            breath = Breath()
            rows: list[Row] = []
            for batch, answer in zip(batches, answers, strict=True):
                await breath.take()
                rows += self._api.rows(answer, batch)
            return await pieces.merge(rows, self.labels)
        except Unusable as error:
            raise self._service.unavailable(f"{error}.") from error

    async def aclose(self) -> None:
        """Close its connections."""
        await self._service.aclose()


class _Found(Struct):
    start: int
    end: int
    score: Probability
    detection: str | None = None
    detection_type: str | None = None


class DetectorsApi:
    """Spans with a score. A label is what stands in `detection` or, as TrustyAI has it, in
    `detection_type`.

    Offsets count code points. Servers leave out what is under their threshold, so we ask for a
    threshold of 0; `unreported` says what a label means that is left out even so.
    """

    path = "/api/v1/text/contents"

    def __init__(
        self,
        name: str,
        labels: Mapping[str, str],
        *,
        detector_id: str,
        params: Mapping[str, Any] | None = None,
        unreported: Unreported = "error",
    ) -> None:
        if unreported not in ("error", "zero"):
            raise ConfigError(f"{name}: unreported is `error` or `zero`.")
        self.served = detector_id
        self.headers = {"detector-id": detector_id}
        self._labels = labels
        self._params = {"threshold": 0.0, **(params or {})}
        self._unreported = unreported

    def question(self, texts: Sequence[str]) -> dict[str, Any]:
        """The body of a request about all texts."""
        return {"contents": list(texts), "detector_params": self._params}

    def rows(self, answer: list[list[_Found]], texts: Sequence[str]) -> list[Row]:
        """One row a text. Errors: Unusable."""
        _check_count(len(answer), texts)
        if sum(map(len, answer)) > MOST_DETECTIONS:
            raise Unusable(f"answered with more than {MOST_DETECTIONS} detections")
        return [self._row(found, text) for found, text in zip(answer, texts, strict=True)]

    def _row(self, found: Sequence[_Found], text: str) -> Row:
        row: Row = []
        for hit in found:
            if not 0 <= hit.start <= hit.end <= len(text):
                raise Unusable("answered with a span outside of its text")
            label = self._labels.get(hit.detection or "") or self._labels.get(
                hit.detection_type or ""
            )
            if label is None:
                continue
            if (hit.start, hit.end) == (0, len(text)):
                # A classifier of whole texts: it knows no place in them.
                row.append(Detection(label, hit.score))
            else:
                row.append(Detection(label, hit.score, 0, hit.start, hit.end))
        seen = {hit.label for hit in row}
        for label in self._labels.values():
            if label not in seen:
                if self._unreported == "error":
                    raise _missing(label)
                row.append(Detection(label, 0.0))
        return row


class _Tensor(Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class _Inferred(Struct):
    outputs: list[_Tensor]


class KServeApi:
    """A tensor of texts in, a tensor of scores (texts × labels) out; labels name its columns."""

    def __init__(
        self,
        name: str,
        labels: Mapping[str, str],
        *,
        model: str,
        model_version: str | None = None,
        input: str = "text",
        output: str | None = None,
        rank: Literal[1, 2] = 1,
        activation: Activation = "none",
        params: Mapping[str, Any] | None = None,
    ) -> None:
        """`rank` 1 sends the shape [N], 2 sends [N, 1]; `params` go with the input tensor."""
        parts = [model] if model_version is None else [model, model_version]
        if not all(_PATH_PART.fullmatch(str(part)) for part in parts):
            raise ConfigError(f"{name}: model and model_version must be plain names.")
        if rank not in (1, 2) or activation not in ("none", "sigmoid", "softmax"):
            raise ConfigError(f"{name}: rank is 1 or 2, activation none, sigmoid or softmax.")
        self.served = "/".join(map(str, parts))
        self.path = f"/v2/models/{model}" + (
            "/infer" if model_version is None else f"/versions/{model_version}/infer"
        )
        self._labels = tuple(labels.values())
        self._input = input
        self._output = output
        self._rank = rank
        self._activation = activation
        self._params = dict(params or {})

    def question(self, texts: Sequence[str]) -> dict[str, Any]:
        """The body of a request about all texts."""
        shape = [len(texts)] if self._rank == 1 else [len(texts), 1]
        tensor: dict[str, Any] = {"name": self._input, "shape": shape, "datatype": "BYTES"}
        if self._params:
            tensor["parameters"] = self._params
        question: dict[str, Any] = {"inputs": [{**tensor, "data": list(texts)}]}
        if self._output is not None:
            question["outputs"] = [{"name": self._output}]
        return question

    def rows(self, answer: _Inferred, texts: Sequence[str]) -> list[Row]:
        """One row a text. Errors: Unusable."""
        wanted = [t for t in answer.outputs if self._output in (None, t.name)]
        if len(wanted) != 1:
            raise Unusable("must answer with one output; name it by the option `output`")
        tensor, width = wanted[0], len(self._labels)
        if tensor.datatype not in ("FP16", "FP32", "FP64"):
            raise Unusable("answered with an output that is not of floating point")
        if tensor.shape != [len(texts), width] and (width > 1 or tensor.shape != [len(texts)]):
            raise Unusable(f"must answer with an output of the shape {[len(texts), width]}")
        flat = _numbers(tensor.data, width)
        if len(flat) != len(texts) * width:
            raise Unusable("answered with an output that is not as long as its shape says")
        return [
            [
                Detection(label, _probability(score))
                for label, score in zip(
                    self._labels, self._activated(flat[at : at + width]), strict=True
                )
            ]
            for at in range(0, len(flat), width)
        ]

    def _activated(self, values: list[float]) -> list[float]:
        if self._activation == "sigmoid":
            return [0.5 * (1 + math.tanh(value / 2)) for value in values]
        if self._activation == "softmax":
            highest = max(values)
            shares = [math.exp(value - highest) for value in values]
            whole = sum(shares)
            return [share / whole for share in shares]
        return values


class _Moderated(Struct):
    category_scores: dict[str, Probability | None]


class _Moderations(Struct):
    results: list[_Moderated]


class ModerationsApi:
    """One score for each category of each text."""

    path = "/moderations"

    def __init__(
        self, name: str, labels: Mapping[str, str], *, model: str = "omni-moderation-latest"
    ) -> None:
        self.served = model
        self._labels = labels

    def question(self, texts: Sequence[str]) -> dict[str, Any]:
        """The body of a request about all texts."""
        return {"model": self.served, "input": list(texts)}

    def rows(self, answer: _Moderations, texts: Sequence[str]) -> list[Row]:
        """One row a text. Errors: Unusable."""
        _check_count(len(answer.results), texts)
        return [self._row(result.category_scores) for result in answer.results]

    def _row(self, scores: Mapping[str, float | None]) -> Row:
        row = []
        for theirs, label in self._labels.items():
            score = scores.get(theirs)
            if score is None:
                raise _missing(label)
            row.append(Detection(label, score))
        return row


_APIS: dict[str, tuple[Any, Any]] = {
    "detectors": (DetectorsApi, list[list[_Found]]),
    "kserve": (KServeApi, _Inferred),
    "moderations": (ModerationsApi, _Moderations),
}


def _batches(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (texts[start : start + size] for start in range(0, len(texts), size))


def _check_count(rows: int, texts: Sequence[str]) -> None:
    if rows != len(texts):
        raise Unusable(f"answered {rows} rows for {len(texts)} texts")


def _missing(label: str) -> Unusable:
    # A label that is not there was not measured, which is not the same as not found.
    return Unusable(f"answered without a score for {label}")


def _numbers(data: Sequence[Any], width: int) -> list[float]:
    """The numbers of a tensor in row-major order; the protocol allows nested and flat lists."""
    if any(isinstance(value, list) for value in data):
        if not all(isinstance(row, list) and len(row) == width for row in data):
            raise Unusable("answered with an output whose rows are not of one length")
        data = list(itertools.chain.from_iterable(data))
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in data):
        raise Unusable("answered with an output that is not all numbers")
    return [float(value) for value in data]


def _probability(score: float) -> float:
    if not 0 <= score <= 1:
        raise Unusable("answered with a score outside of 0 to 1; see the option `activation`")
    return score
