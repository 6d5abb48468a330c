from __future__ import annotations

import array
import base64
import json

import numpy as np
import pytest

from guardrails.demo.embeddings import DIMENSIONS, NAME, Embeddings, read_request, shipped
from guardrails.errors import BadRequest


@pytest.fixture(scope="module")
def embeddings() -> Embeddings:
    return shipped()


def body(**fields: object) -> bytes:
    return json.dumps({"model": NAME, "input": "Hello", **fields}).encode()


@pytest.mark.parametrize(
    ("fields", "param", "status"),
    [
        ({"input": None}, "input", 400),
        ({"input": []}, "input", 400),
        ({"input": [""]}, "input", 400),
        ({"input": [1, 2, 3]}, "input", 400),
        ({"input": ["x"] * 513}, "input", 400),
        ({"model": "other"}, "model", 404),
        ({"dimensions": 12}, "dimensions", 400),
        ({"encoding_format": "hex"}, "encoding_format", 400),
    ],
)
def test_what_cannot_be_embedded_is_refused_by_its_field(fields, param, status):
    with pytest.raises(BadRequest) as refused:
        read_request(body(**fields))
    assert (refused.value.param, refused.value.status) == (param, status)


@pytest.mark.parametrize("raw", [b"{", b"[]"])
def test_what_is_no_json_object_is_refused(raw):
    with pytest.raises(BadRequest):
        read_request(raw)


async def test_one_unit_vector_a_text_in_their_order(embeddings):
    texts = ["a cat sleeps", "the stock market fell", "a kitten naps"]
    answer = await embeddings.answer(body(input=texts))
    assert [row["index"] for row in answer["data"]] == [0, 1, 2]
    vectors = np.array([row["embedding"] for row in answer["data"]])
    assert vectors.shape == (3, DIMENSIONS)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[2] > 0.5 > vectors[0] @ vectors[1]
    assert answer["usage"]["prompt_tokens"] > 9


async def test_base64_holds_the_same_numbers_as_little_endian_floats(embeddings):
    plain = await embeddings.answer(body(encoding_format="float"))
    packed = await embeddings.answer(body(encoding_format="base64"))
    numbers = array.array("f", base64.b64decode(packed["data"][0]["embedding"]))
    assert numbers.tolist() == pytest.approx(plain["data"][0]["embedding"])
