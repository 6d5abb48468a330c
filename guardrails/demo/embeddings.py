"""How are a text's vectors told in OpenAI's shape? `transformers serve` has no embeddings."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson
from tokenizers import Tokenizer

from guardrails.demo.model import EMBEDDINGS as NAME
from guardrails.errors import BadRequest
from guardrails.inference.compact import MODELS, load_embedder

DIMENSIONS = 384
MAX_TEXTS = 512

Embed = Callable[[Sequence[str]], np.ndarray]
Count = Callable[[Sequence[str]], int]


class Embeddings:
    """Answers `/v1/embeddings` as the model NAME.

    `embed` gives a float32 row for each text, `count` their tokens.
    """

    def __init__(self, embed: Embed, count: Count) -> None:
        self._embed = embed
        self._count = count

    async def answer(self, raw: bytes) -> dict[str, Any]:
        """The answer to a body. Errors: BadRequest that names the field."""
        texts, encoded = read_request(raw)
        vectors = await asyncio.to_thread(self._embed, texts)
        tokens = self._count(texts)
        return {
            "object": "list",
            "model": NAME,
            "data": [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": _in_base64(vector) if encoded else vector.tolist(),
                }
                for index, vector in enumerate(vectors)
            ],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }


def read_request(raw: bytes) -> tuple[list[str], bool]:
    """The texts of a body, and whether their vectors are wanted in base64.

    Errors: BadRequest that names the field.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest("The body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    if body.get("model") != NAME:
        message = f"There is no such model for embeddings here; there is {NAME}."
        raise BadRequest(message, code="model_not_found", status=404, param="model")
    texts = body.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise BadRequest("`input` must be a text or a list of texts.", param="input")
    if not all(texts) or len(texts) > MAX_TEXTS:
        raise BadRequest(f"`input` takes 1 to {MAX_TEXTS} texts, none empty.", param="input")
    if body.get("dimensions") not in (None, DIMENSIONS):
        raise BadRequest(f"{NAME} has {DIMENSIONS} dimensions.", param="dimensions")
    form = body.get("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise BadRequest("`encoding_format` is `float` or `base64`.", param="encoding_format")
    return texts, form == "base64"


def shipped() -> Embeddings:
    """The sentence encoder that comes with Banister, loaded."""
    tokenizer = Tokenizer.from_file(str(MODELS / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    embed = load_embedder().embed
    embed(["Hello"])
    return Embeddings(
        embed, lambda texts: sum(len(text.ids) for text in tokenizer.encode_batch(list(texts)))
    )


def _in_base64(vector: np.ndarray) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
