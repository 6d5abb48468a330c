"""With which options is a detector measured: the settings', or those of the command line?"""

from __future__ import annotations

import json
from typing import Any

from guardrails.errors import ConfigError
from guardrails.settings import Settings


def options_of(name: str, text: str) -> dict[str, dict[str, Any]]:
    """The options of all detectors by the settings, and of this one by `text` where it says any.

    Errors: ConfigError where `text` is not a JSON object.
    """
    try:
        own = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"--options is not JSON: {error}") from error
    if not isinstance(own, dict):
        raise ConfigError("--options must be a JSON object.")
    configured = Settings().detectors
    return {**configured, name: own} if own else configured
