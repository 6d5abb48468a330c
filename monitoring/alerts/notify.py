"""How does a message reach people? Through Apprise: e-mail, webhooks, Slack, PagerDuty and others.

A channel is one Apprise URL (`mailto://…`, `json://…`, `slack://…`). It often holds a secret, so
only its `address` is shown, recorded or logged.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence

import apprise
from apprise.attachment.memory import AttachMemory
from msgspec import Struct

from guardrails.errors import ConfigError

SECONDS = 30.0
"""The longest that one channel may take."""

# Apprise is otherwise free to link to pictures of its own, and to write to the disk.
_ASSET = apprise.AppriseAsset(
    app_id="Banister",
    app_desc="Banister",
    app_url="",
    image_url_mask="",
    image_url_logo="",
    storage_mode=apprise.PersistentStoreMode.MEMORY,
)


class Attachment(Struct, frozen=True):
    """A file that goes with a message, where the channel can take one."""

    name: str
    media_type: str
    content: bytes


class Sent(Struct, frozen=True):
    """Whether one channel took the message. `error` says why not, without a secret."""

    channel: str
    ok: bool
    error: str | None = None


def address(channel: str) -> str:
    """A channel's name for people and records: its URL without secrets, and a short hash of it.

    Errors: ConfigError where no service of Apprise's reads such a URL.
    """
    digest = hashlib.sha256(channel.encode()).hexdigest()[:6]
    return f"{_service(channel).url(privacy=True).partition('?')[0]} #{digest}"


async def send(
    channels: Sequence[str],
    subject: str,
    body_text: str,
    body_html: str | None = None,
    attachments: Sequence[Attachment] = (),
) -> list[Sent]:
    """Send one message to every channel, each on its own; what became of each, in order.

    A channel made for HTML, as e-mail, gets `body_html`; the others get the text.
    Errors: ConfigError for a URL that is none; a channel that fails is told in its `Sent`.
    """
    services = [(address(channel), _service(channel)) for channel in channels]
    return list(
        await asyncio.gather(
            *(
                _send_to(name, service, subject, body_text, body_html, attachments)
                for name, service in services
            )
        )
    )


async def _send_to(
    name: str,
    service: apprise.NotifyBase,
    subject: str,
    body_text: str,
    body_html: str | None,
    attachments: Sequence[Attachment],
) -> Sent:
    html = body_html is not None and _prefers_html(service)
    one = apprise.Apprise(asset=_ASSET)
    one.add(service)
    files = apprise.AppriseAttachment(asset=_ASSET)
    for file in attachments:
        files.add(AttachMemory(content=file.content, name=file.name, mimetype=file.media_type))
    told: list[str] = []
    try:
        async with asyncio.timeout(SECONDS):
            result = await one.async_notify(
                body=body_html if html else body_text,
                title=subject,
                body_format=apprise.NotifyFormat.HTML if html else apprise.NotifyFormat.TEXT,
                attach=files if attachments else None,
                log_callback=lambda entry, _service: told.append(str(entry.message)),
                log_level=logging.WARNING,
            )
    except TimeoutError:
        return Sent(name, False, f"no answer within {SECONDS:.0f} s")
    if result:
        return Sent(name, True)
    return Sent(name, False, (told[0] if told else "the channel refused the message")[:300])


def _prefers_html(service: apprise.NotifyBase) -> bool:
    able = service.notify_format
    return (able[0] if isinstance(able, tuple) else able) == apprise.NotifyFormat.HTML


def _service(channel: str) -> apprise.NotifyBase:
    service = apprise.Apprise.instantiate(channel, asset=_ASSET, suppress_exceptions=True)
    if service is None:
        raise ConfigError(
            f"An alert channel that begins with {channel.partition('://')[0][:20]!r} is no Apprise "
            "URL; see docs/monitoring.md#alerts."
        )
    return service
