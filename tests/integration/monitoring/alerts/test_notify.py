"""Messages through Apprise, to a real SMTP server and a real webhook."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from guardrails.errors import ConfigError
from monitoring.alerts.notify import Attachment, address, send
from tests.integration.monitoring.alerts.receivers import Hook, Mailbox, mailbox, webhook


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as box:
        yield box


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as hook:
        yield hook


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address that a socket of this process was asked to reach, and every name looked up."""
    asked: list[Any] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connecting(self: socket.socket, to: Any) -> None:
        asked.append(to[0] if isinstance(to, tuple) else to)
        connect(self, to)

    def looking_up(host: Any, *arguments: Any, **options: Any) -> Any:
        asked.append(host)
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", connecting)
    monkeypatch.setattr(socket, "getaddrinfo", looking_up)
    return asked


async def test_mail_carries_html_and_text_and_the_hook_gets_the_text(
    box: Mailbox, hook: Hook, reached: list[Any]
):
    html = "<h1>Drift</h1><p>block rate <b>0.08</b></p>"
    done = await send(
        [box.channel, hook.channel], "1 alert firing", "block rate 0.08", html,
        attachments=[Attachment("figures.csv", "text/csv", b"name,value\nblock rate,0.08\n")],
    )  # fmt: skip
    assert [one.ok for one in done] == [True, True], done
    (message,) = box.messages
    assert box.recipients == [["duty@example.org"]]
    assert message["subject"] == "1 alert firing"
    parts = {part.get_content_type(): part for part in message.walk()}
    assert "<b>0.08</b>" in parts["text/html"].get_content()
    assert "block rate" in parts["text/plain"].get_content()
    assert parts["text/csv"].get_filename() == "figures.csv"
    (body,) = hook.bodies
    assert (body["title"], body["message"]) == ("1 alert firing", "block rate 0.08")
    # Nobody else is asked for anything, nor told where to get a picture.
    assert set(reached) == {"127.0.0.1"}
    assert "http" not in message.as_string()
    assert "github" not in str(body)


async def test_a_channel_that_fails_does_not_keep_the_other_from_the_message(
    box: Mailbox, hook: Hook
):
    hook.status = 500
    mailed, hooked = await send([box.channel, hook.channel], "subject", "text", "<p>text</p>")
    assert mailed.ok
    assert not hooked.ok
    assert "500" in (hooked.error or "")
    box.refuses = True
    (refused,) = await send([box.channel], "subject", "text")
    assert not refused.ok
    assert refused.error


async def test_no_secret_of_a_channel_is_shown(hook: Hook):
    hook.status = 403
    (refused,) = await send([hook.channel], "subject", "text")
    assert "hunter2" not in repr(refused)
    assert refused.channel == address(hook.channel)
    assert address(hook.channel).startswith("json://duty:****@127.0.0.1")
    other = hook.channel.replace("hunter2", "hunter3")
    assert address(other) != address(hook.channel)


async def test_what_is_no_apprise_url_is_refused_without_showing_it():
    with pytest.raises(ConfigError, match="no Apprise URL") as refused:
        await send(["nonsense://user:hunter2@host"], "subject", "text")
    assert "hunter2" not in str(refused.value)
