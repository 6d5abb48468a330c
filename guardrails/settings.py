"""Where and how we run: the environment (`BANISTER_*`) over `banister.yaml` over defaults.

What we allow is not here: that is the policy.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from guardrails.loopback import is_loopback

PACKAGE = Path(__file__).parent


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_PLACES = r"^([^{}]|\{model\}|\{version\})*$"


class UpstreamSettings(_Strict):
    """One endpoint that serves one model, with OpenAI's API or with Anthropic's."""

    name: str
    url: str = Field(description="Base URL with its version path, as http://gpu-1:8000/v1")
    model: str = Field(description="The name that applications ask for")
    served_as: str | None = Field(None, description="The name that the endpoint expects")
    version: str = "1"
    versions_served_as: str | None = Field(
        None,
        pattern=_PLACES,
        description="Its name for a version that a rollout brings, as {model}-{version}",
    )
    versions_path: str | None = Field(
        None,
        pattern=r"^/" + _PLACES[1:],
        description="Where it serves such a version, as /{model}/{version}/v1",
    )
    speaks: Literal["openai", "anthropic"] = Field("openai", description="Whose API it has")
    weight: float = Field(1.0, ge=0)
    api_key_env: str | None = Field(None, description="Environment variable that holds its key")
    headers: dict[str, str] = {}
    connect_seconds: float = Field(3.0, gt=0)
    first_byte_seconds: float = Field(120.0, gt=0)
    idle_seconds: float = Field(60.0, gt=0, description="Longest silence within an answer")
    max_connections: int = Field(512, gt=0)


class GroundingSettings(_Strict):
    """How many passages of which collection a route puts before the model."""

    collection: str = "default"
    passages: int = Field(4, gt=0, le=50)
    on_error: Literal["fail", "skip"] = Field("fail", description="When nothing can be looked up")


class RouteSettings(_Strict):
    """How the requests under one path prefix are served: `/v1/…` is the route `default`."""

    template: str | None = Field(None, description="Prompt template, as `grounded@1`")
    grounding: GroundingSettings | None = None
    blocked_as: Literal["completion", "error"] = "completion"
    race: bool = Field(
        False, description="The model is asked while the input is still checked (docs/policy.md)"
    )


TEXT_COLUMNS = ("request", "prompt", "completion", "answer", "inputs", "outputs", "passages")


class CutSettings(_Strict):
    """What is cut out of a record: the spans that a detector found, by label and score."""

    detector: str
    labels: tuple[str, ...] | None = Field(None, description="None: every label of it")
    threshold: float = Field(0.5, ge=0, le=1)


class PrivacySettings(_Strict):
    """What is not recorded of the exchanges of some routes and tenants."""

    routes: tuple[str, ...] | None = Field(None, description="None: all")
    tenants: tuple[str, ...] | None = Field(None, description="None: all")
    cut: tuple[CutSettings, ...] = Field((), description="Found spans, masked before recording")
    drop: tuple[
        Literal[
            "all", "request", "prompt", "completion", "answer", "inputs", "outputs", "passages"
        ],
        ...,
    ] = Field((), description="Columns recorded without their texts")


class RetentionSettings(_Strict):
    """For how long the exchanges of some routes and tenants are kept; the first that fits holds."""

    routes: tuple[str, ...] | None = Field(None, description="None: all")
    tenants: tuple[str, ...] | None = Field(None, description="None: all")
    days: int = Field(gt=0)


class OidcSettings(_Strict):
    """The OpenID Connect provider that people log in to the dashboards with."""

    issuer: str = Field(description="As in its own `/.well-known/openid-configuration`")
    client_id: str
    client_secret: SecretStr
    scope: str = "openid profile email"
    button: str = "Log in with your organisation"
    name_claim: str = "preferred_username"
    role_claim: str = "groups"
    roles: dict[str, Literal["viewer", "reviewer", "admin"]] = Field(
        {}, description="Role by value of that claim; the highest holds"
    )
    default_role: Literal["viewer", "reviewer", "admin"] | None = Field(
        None, description="For everybody whom it knows; None: nobody without a role by claim"
    )
    tenants_claim: str | None = Field(None, description="Names one's tenants; None: all are seen")

    @model_validator(mode="after")
    def _encrypted(self) -> OidcSettings:
        parts = urlsplit(self.issuer)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise ValueError("issuer must begin with https://")
        return self


class RetrainingSettings(_Strict):
    """When models are trained again, on what, and within which budget."""

    enabled: bool = Field(False, description="Alerts and the calendar open runs by themselves")
    approval: bool = Field(True, description="A run that opened by itself waits for a person")
    here: bool = Field(True, description="The monitor starts the work; else an engine elsewhere")
    cooldown_hours: float = Field(24.0, ge=0, description="Between two runs of a model")
    every_days: int | None = Field(None, gt=0, description="Open a run so often, alert or none")
    alert_jobs: tuple[str, ...] = Field(
        ("prompt_drift", "score_drift"), description="Whose alerts open a run"
    )
    model: str | None = Field(None, description="None: the first upstream's, or the demo model")
    base: Path | None = Field(None, description="Its weights; None: the demo model's directory")
    tenants: tuple[str, ...] | None = Field(None, description="Who is trained on; None: all")
    examples: tuple[Path, ...] = Field((), description="JSON lines of reviewed prompt and answer")
    detector_rows: Path | None = Field(
        None, description="What the compact detector was trained on: JSON lines, gzipped or not"
    )
    window_days: int = Field(30, gt=0, description="How far back reviewed exchanges are taken")
    most_rows: int = Field(2_000, gt=0)
    least_rows: int = Field(20, gt=1)
    steps: int = Field(200, gt=0)
    batch: int = Field(4, gt=0)
    tokens: int = Field(512, gt=0, description="Longer rows are left out")
    rate: float = Field(2e-4, gt=0)
    prompts: int = Field(48, gt=0, description="Most of each kind that an evaluation asks")
    answer_tokens: int = Field(48, gt=0)
    seconds: float = Field(6 * 3600.0, gt=0, description="Most that a run may work")
    merge: bool = Field(True, description="Register whole weights, not only the adapter")
    gates: dict[str, float] = Field({}, description="Thresholds by measure (docs/retraining.md)")


class Settings(BaseSettings):
    """Everything that differs from one installation to another."""

    model_config = SettingsConfigDict(
        env_prefix="BANISTER_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    data_dir: Path = Path(".banister")
    database_url: str | None = Field(None, description="None: an embedded Postgres in data_dir")
    host: str = "127.0.0.1"
    port: int = 8080
    dashboard_port: int = 8081
    oidc: OidcSettings | None = Field(None, description="None: people log in by password")
    workers: int = Field(1, gt=0)
    policy: Path = PACKAGE / "policy" / "default.yaml"
    shadow_policy: Path | None = Field(
        None, description="A second policy, whose rules are recorded and never acted on"
    )
    templates: Path = PACKAGE / "prompt" / "templates"
    detectors: dict[str, dict[str, Any]] = Field(
        {}, description="Options by detector name; `kind` names its module"
    )
    upstreams: tuple[UpstreamSettings, ...] = Field((), description="None: the demo model")
    routes: dict[str, RouteSettings] = {"default": RouteSettings()}
    rollout_plan: Path | None = Field(
        None, description="Steps of rollouts, where none are given (docs/rollout.md)"
    )
    versions_dir: Path | None = Field(
        None, description="Where rollouts link registered weights, as `model@version`"
    )
    balance: Literal["least_loaded", "random"] = "least_loaded"
    retries: int = Field(2, ge=0, le=10)
    key_secret: SecretStr | None = Field(None, description="None: made once, kept in data_dir")
    check_seconds: float = Field(5.0, gt=0, description="Deadline of one side's checks")
    heartbeat_seconds: float = Field(
        10.0, gt=0, description="After so long a silence a stream gets an SSE comment"
    )
    max_body_bytes: int = Field(8 * 2**20, gt=0)
    max_answer_bytes: int = Field(16 * 2**20, gt=0)
    max_messages: int = Field(2_000, gt=0)
    max_concurrency: int = Field(2_000, gt=0, description="Exchanges at once in a worker")
    log_mode: Literal["durable", "fast", "memory"] = Field(
        "durable", description="A record is on disk before its answer ends, within 50 ms, or never"
    )
    log_spool: Path | None = Field(None, description="None: `spool` in data_dir")
    log_spool_bytes: int = Field(
        8 * 2**30, ge=2**20, description="Most that a process keeps on disk while Postgres is away"
    )
    log_full: Literal["refuse", "continue"] = Field(
        "refuse", description="When nothing more can be recorded: 503, or serve and say so"
    )
    log_queue_records: int = Field(
        50_000, gt=0, description="Records kept while Postgres is away, in mode memory"
    )
    embed_per_minute: int = Field(
        60, ge=0, description="Prompts of the log that get a vector, for similar exchanges; 0: none"
    )
    embed_share: float = Field(
        0.01, ge=0, le=1, description="Of the allowed exchanges; all others are wanted whole"
    )
    privacy: tuple[PrivacySettings, ...] = Field((), description="None: all is recorded as it came")
    log_keys: SecretStr | None = Field(
        None, description="Encrypts texts: `id:base64`, comma-separated, the first one writes"
    )
    seal_secret: SecretStr | None = Field(None, description="None: seals are plain hashes")
    retention_days: int | None = Field(365, gt=0, description="None: exchanges are kept for good")
    retention: tuple[RetentionSettings, ...] = Field((), description="Other times for some")
    evidence_days: int | None = Field(
        365,
        gt=0,
        description="How long after its end an alert's exchanges stay held; None: until released",
    )
    otlp_endpoint: str | None = Field(
        None, description="Where spans go, as http://collector:4318/v1/traces; None: nowhere"
    )
    otlp_headers: dict[str, SecretStr] = Field({}, description="Sent to the collector")
    otlp_share: float = Field(
        1.0, ge=0, le=1, description="Of the traces that begin here; callers decide on theirs"
    )
    retraining: RetrainingSettings = RetrainingSettings()
    monitor_metrics_port: int | None = Field(
        None, description="Where the monitor serves `/metrics` on `host`; None: nowhere"
    )
    alert_channels: tuple[SecretStr, ...] = Field(
        (), description="Apprise URLs that alerts go to: `mailto://…`, `slack://…`, `json://…`"
    )
    alert_escalation_channels: tuple[SecretStr, ...] = Field(
        (), description="Apprise URLs that get what nobody has acknowledged"
    )
    alert_group_wait_seconds: float = Field(
        60.0, ge=0, description="Before a group of alerts is first told"
    )
    alert_group_interval_minutes: float = Field(
        5.0, ge=0, description="Between two messages about changes of one group"
    )
    alert_repeat_hours: float = Field(12.0, gt=0, description="Until what goes on is told again")
    alert_escalate_minutes: float = Field(30.0, gt=0, description="Until the second channels")
    bias_audit_pairs: int = Field(
        40, ge=0, description="Prompts a week and axis that are asked with terms swapped; 0: none"
    )
    bias_audit_per_minute: float = Field(30.0, gt=0, description="Most requests of an audit")
    bias_audit_url: str | None = Field(None, description="None: the proxy of this machine")
    report_channels: tuple[SecretStr, ...] = Field(
        (), description="Apprise URLs that the weekly safety report is mailed to"
    )
    dashboard_url: str | None = Field(
        None, description="Where people reach the dashboards: links in messages begin with it"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments over environment over the YAML file that BANISTER_CONFIG names."""
        path = Path(os.environ.get("BANISTER_CONFIG", "banister.yaml"))
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, path)

    @model_validator(mode="after")
    def _default_route(self) -> Settings:
        if "default" not in self.routes:
            raise ValueError("routes must have one named `default`: it serves /v1/…")
        return self
