"""Reads a request's body: JSON of bounded size and shape, or an error that says what is wrong."""

from __future__ import annotations

from typing import Any

import orjson

from guardrails.errors import BadRequest

_MANY = 256 * 2**10
_MOST_VALUES = 200_000
MOST_CHOICES = 128
"""As many as OpenAI gives."""


def parse_body(raw: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Limits: nesting to orjson's 1,024 levels; in a body over 256 KiB at most 200,000 commas, for a
    parse of more small values would hold the event loop (one long string does not).
    Errors: BadRequest `invalid_json`.
    """
    if len(raw) > _MANY and raw.count(b",") > _MOST_VALUES:
        raise BadRequest("The body holds too many values.", code="request_too_large", status=413)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        # orjson's message quotes no part of the body, only the place.
        raise BadRequest(
            f"The body is not valid JSON (line {error.lineno}, column {error.colno}).",
            code="invalid_json",
        ) from None
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.", code="invalid_json")
    return body


def require_model(body: dict[str, Any]) -> str:
    """The model that the body asks for."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("`model` must be a non-empty string.", param="model")
    return model


def check_how_answered(body: dict[str, Any]) -> None:
    """Whether it streams, and in how many choices: a withheld answer is made with as many."""
    if not isinstance(body.get("stream", False), bool | None):
        raise wrong_type("stream", "a boolean")
    count = body.get("n")
    whole = isinstance(count, int) and not isinstance(count, bool)
    if count is not None and not (whole and 1 <= count <= MOST_CHOICES):
        raise wrong_type("n", f"a whole number from 1 to {MOST_CHOICES}")


def wrong_type(param: str, expected: str) -> BadRequest:
    """The error for a field of the wrong type."""
    return BadRequest(f"`{param}` must be {expected}.", code="invalid_type", param=param)
