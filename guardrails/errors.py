"""What can go wrong, and at which arrow of the path.

    request ─▶ normalise ─▶ check ─▶ ground ─▶ format ─▶ call the model ─▶ check ─▶ record
       │                      └────────┴──┬──────┘              │            │        │
    BadRequest                    GuardUnavailable       UpstreamError       │  LogUnavailable
                                                         UpstreamTimeout  GuardUnavailable

`ConfigError` is also what stops the process at start. Each error is translated once, in `wire/`, to
the caller's protocol. Messages say what to do next and never hold the caller's text or a secret.
"""

from __future__ import annotations


class BanisterError(Exception):
    """Base of all: an HTTP status, OpenAI's error `type` and `code`, the field at fault."""

    status = 500
    type = "api_error"
    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        param: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.status = status or self.status
        self.param = param
        self.retry_after_seconds = retry_after_seconds


class ConfigError(BanisterError):
    """A setting, a policy or a template is wrong; the process does not start with it."""

    code = "config_error"


class BadRequest(BanisterError):
    """The request cannot be served as it stands: 400, or by `status` 401, 403, 404, 405, 413."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class GuardUnavailable(BanisterError):
    """A required check could not run and its rule fails closed; safe to retry."""

    status = 503
    code = "guard_unavailable"


class UpstreamError(BanisterError):
    """No upstream gave a usable answer."""

    status = 502
    code = "upstream_error"


class UpstreamTimeout(BanisterError):
    """The upstream did not answer within its time."""

    status = 504
    code = "upstream_timeout"


class LogUnavailable(BanisterError):
    """The exchange cannot be recorded and the configuration forbids serving unrecorded ones."""

    status = 503
    code = "log_unavailable"
