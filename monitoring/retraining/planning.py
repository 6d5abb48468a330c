"""What plan do the settings give a run that opens now?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from guardrails.demo import model as demo_model
from guardrails.errors import ConfigError
from guardrails.settings import PACKAGE, Settings
from monitoring.retraining.plan import Plan
from monitoring.retraining.registry import Kind

PLAIN = "plain@1"
DETECTOR = "compact"
SHIPPED = PACKAGE / "models" / "compact"

_COPIED = (
    "tenants", "most_rows", "least_rows", "steps", "batch", "tokens", "rate", "prompts",
    "answer_tokens", "merge", "gates", "seconds",
)  # fmt: skip


def plan_of(
    settings: Settings,
    *,
    now: datetime,
    kind: Kind = "language_model",
    exchange_ids: Sequence[UUID] = (),
    served: tuple[str, str] | None = None,
    **changes: Any,
) -> Plan:
    """The plan of a run, each field open to change; None leaves a field as the settings have it.

    `served` is the version that serves now and where its weights are, where the registry knows.
    Errors: ConfigError where the model's weights are not known.
    """
    own = settings.retraining
    values: dict[str, Any] = {name: getattr(own, name) for name in _COPIED}
    values |= {
        "kind": kind,
        "since": now - timedelta(days=own.window_days),
        "until": now,
        "exchange_ids": tuple(exchange_ids),
        "examples": tuple(str(path.absolute()) for path in own.examples),
    }
    if kind == "detector":
        rows = own.detector_rows
        values |= {"model": DETECTOR, "template": None}
        directory = settings.detectors.get(DETECTOR, {}).get("directory")
        values["base"] = str(Path(directory or SHIPPED).absolute())
        values["data"] = None if rows is None else str(rows.absolute())
    else:
        values |= {
            "model": own.model or model_of(settings),
            "base": str(own.base.absolute()) if own.base else None,
            "base_version": _version_of(settings, own.model or model_of(settings)),
            "template": settings.routes["default"].template or PLAIN,
        }
    if served is not None:
        values["base_version"], values["base"] = served
    values |= {name: value for name, value in changes.items() if value is not None}
    if values["base"] is None:
        if values["model"] != demo_model.NAME:
            raise ConfigError(
                f"Where are the weights of {values['model']}? Set BANISTER_RETRAINING__BASE to "
                "their directory."
            )
        values["base"] = str(demo_model.directory(settings.data_dir))
    return msgspec.convert(values, Plan)


def model_of(settings: Settings) -> str:
    """The model that applications ask for first."""
    return settings.upstreams[0].model if settings.upstreams else demo_model.NAME


def path_of(weights_uri: str) -> str:
    """A directory from its `file:` URI; another URI as it is, for a step that mounts it."""
    return str(Path(weights_uri.removeprefix("file://")))


def _version_of(settings: Settings, model: str) -> str:
    found = (one.version for one in settings.upstreams if one.model == model)
    return next(found, "1")
