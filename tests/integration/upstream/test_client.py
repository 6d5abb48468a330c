"""The HTTP client against real servers that behave well, badly, slowly and not at all."""

from __future__ import annotations

import asyncio
import datetime
import gc
import json
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from guardrails.errors import UpstreamError, UpstreamTimeout
from guardrails.upstream import client as client_module
from guardrails.upstream.client import Endpoint
from tests import fakes

pytestmark = pytest.mark.asyncio(loop_scope="module")


def endpoint(url: str, **changes: Any) -> Endpoint:
    return Endpoint(url, **{"connect_seconds": 1.0, **changes})


def question(**fields: Any) -> bytes:
    messages = [{"role": "user", "content": "hello"}]
    return json.dumps({"model": "small", "messages": messages, **fields}).encode()


async def ask(to: Endpoint, **fields: Any) -> bytes:
    response = await to.request("POST", "/chat/completions", question(**fields))
    return await response.read()


async def test_a_request_arrives_whole_and_the_answer_comes_back() -> None:
    async with fakes.upstream() as server:
        to = endpoint(server.url, headers={"X-Team": "red", "authorization": "Bearer k"})
        response = await to.request("POST", "/chat/completions", question(temperature=0.5, zz=1))
        answer = json.loads(await response.read())
        await to.aclose()
    assert response.status == 200
    assert answer["choices"][0]["message"]["content"] == "Echo: hello"
    assert answer["echo"] == {"zz": 1}
    seen = server.last
    assert (seen.method, seen.path) == ("POST", "/v1/chat/completions")
    assert seen.json["temperature"] == 0.5
    assert seen.headers == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": "banister",
        "content-type": "application/json",
        "accept-encoding": "identity",
        "x-team": "red",
        "authorization": "Bearer k",
        "accept": "application/json",
        "content-length": str(len(seen.body)),
    }


async def test_one_connection_serves_one_request_after_the_other() -> None:
    async with fakes.upstream() as server:
        to = endpoint(server.url)
        for _ in range(5):
            await ask(to)
        assert server.connections == 1
        assert (to.connections, to.idle) == (1, 1)
        await to.aclose()
        assert (to.connections, to.idle) == (0, 0)


async def test_requests_at_once_have_a_connection_each_and_leave_them_for_later() -> None:
    async with fakes.upstream(fakes.chat(delay_seconds=0.05)) as server:
        to = endpoint(server.url)
        await asyncio.gather(*(ask(to) for _ in range(8)))
        await asyncio.gather(*(ask(to) for _ in range(8)))
        assert server.connections == 8
        assert to.idle == 8
        await to.aclose()


@pytest.mark.parametrize("cut_bytes", [None, 1, 7])
async def test_a_body_is_the_same_however_the_wire_cuts_it(cut_bytes: int | None) -> None:
    async with fakes.upstream(fakes.chat("Sätze. " * 20, cut_bytes=cut_bytes)) as server:
        to = endpoint(server.url)
        answer = json.loads(await ask(to))
        assert answer["choices"][0]["message"]["content"] == "Sätze. " * 20
        streamed = await to.request("POST", "/chat/completions", question(stream=True))
        events = b"".join([part async for part in streamed]).split(b"\n\n")
        assert events[-2:] == [b"data: [DONE]", b""]
        said = [json.loads(event[6:]) for event in events[:-2]]
        texts = [event["choices"][0]["delta"].get("content", "") for event in said]
        assert "".join(texts) == "Sätze. " * 20
        assert to.idle == 1
        await to.aclose()


async def test_parts_of_a_stream_arrive_when_they_are_sent() -> None:
    async with fakes.upstream(fakes.sse(["one", "two", "three"], delay_seconds=0.3)) as server:
        to = endpoint(server.url)
        started = time.monotonic()
        response = await to.request("POST", "/chat/completions", question(stream=True))
        arrived = [(part, time.monotonic() - started) async for part in response]
        await to.aclose()
    assert [part for part, _ in arrived[:3]] == [
        b"data: one\n\n",
        b"data: two\n\n",
        b"data: three\n\n",
    ]
    assert arrived[0][1] < 0.25
    assert arrived[2][1] > 0.55


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
            b"2;a=b\r\nhi\r\n1\r\n!\r\n0\r\nx-trailer: 1\r\n\r\n",
            b"hi!",
        ),
        (
            b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
            b"hi",
        ),
        (b"HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n", b""),
    ],
)
async def test_every_way_to_end_a_body_is_understood(wire: bytes, body: bytes) -> None:
    async with fakes.upstream(fakes.raw(wire)) as server:
        to = endpoint(server.url)
        response = await to.request("POST", "/chat/completions", question())
        assert await response.read() == body
        assert all(name not in (b"link", b"x-trailer") for name, _ in response.headers)
        assert len(server.requests) == 1
        await to.aclose()


@pytest.mark.parametrize(
    "wire",
    [
        b"\x16\x03\x01 not HTTP at all\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi!",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300 + b"\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
        b"HTTP/1.1 200",
        b"",
    ],
)
async def test_what_is_no_answer_is_an_error_and_never_reused(wire: bytes) -> None:
    async with fakes.upstream(fakes.raw(wire)) as server:
        to = endpoint(server.url)
        with pytest.raises(UpstreamError):
            await ask(to)
        assert (to.connections, to.idle) == (0, 0)
        assert len(server.requests) == 1


async def test_bytes_in_a_chunked_body_that_are_no_chunk_break_it() -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    async with fakes.upstream(fakes.raw(head + b"2\r\nhi\r\n", b"zz\r\n", delay_seconds=0.05)) as s:
        to = endpoint(s.url)
        response = await to.request("POST", "/chat/completions", question(stream=True))
        assert await anext(response) == b"hi"
        with pytest.raises(UpstreamError, match="HTTP"):
            await anext(response)
        assert to.connections == 0


@pytest.mark.parametrize(
    "step",
    [fakes.reset_mid_answer(), fakes.wrong_length(by=5), fakes.broken_stream()],
    ids=["reset", "content-length too great", "chunks without an end"],
)
async def test_an_answer_that_breaks_off_is_an_error(step: fakes.Step) -> None:
    async with fakes.upstream(step) as server:
        to = endpoint(server.url)
        response = await to.request("POST", "/chat/completions", question())
        with pytest.raises(UpstreamError, match="in the middle"):
            await response.read()
        assert isinstance(response.error, UpstreamError)
        assert to.connections == 0


async def test_bytes_beyond_the_answers_length_are_never_the_next_answer() -> None:
    evil = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
    good = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood"
    steps = [
        fakes.raw(good + evil, close=False),
        fakes.raw(good, evil, close=False, delay_seconds=0.02),
        fakes.raw(good, close=False),
    ]
    async with fakes.upstream(*steps) as server:
        to = endpoint(server.url)
        for _ in range(3):
            assert await ask(to) == b"good"
            await asyncio.sleep(0.05)
        assert server.connections == 3
        await to.aclose()


async def test_a_refused_connection_is_an_error() -> None:
    with fakes.refusing_url() as url:
        to = endpoint(url)
        with pytest.raises(UpstreamError) as caught:
            await ask(to)
    assert caught.value.code == "upstream_unreachable"
    assert to.connections == 0


async def test_a_name_that_does_not_resolve_is_an_error() -> None:
    with pytest.raises(UpstreamError) as caught:
        await ask(endpoint("http://no-such-host.invalid/v1"))
    assert caught.value.code == "upstream_unreachable"


async def test_a_handshake_that_never_ends_is_given_up() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    to = endpoint(f"https://127.0.0.1:{port}/v1", connect_seconds=0.1)
    with pytest.raises(UpstreamError) as caught:
        await ask(to)
    assert caught.value.code == "upstream_unreachable"
    assert to.connections == 0
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("step", [fakes.silent_close(), fakes.reset()], ids=["close", "reset"])
async def test_a_fresh_connection_that_closes_unanswered_is_an_error(step: fakes.Step) -> None:
    async with fakes.upstream(step) as server:
        to = endpoint(server.url)
        with pytest.raises(UpstreamError, match="without an answer"):
            await ask(to)
        assert len(server.requests) == 1
        assert to.connections == 0


@pytest.mark.parametrize("step", [fakes.silent_close(), fakes.reset()], ids=["close", "reset"])
async def test_a_kept_connection_that_closes_unanswered_is_replaced_once(step: fakes.Step) -> None:
    async with fakes.upstream(fakes.chat(), step, fakes.chat()) as server:
        to = endpoint(server.url)
        await ask(to)
        answer = json.loads(await ask(to))
        assert answer["choices"][0]["message"]["content"] == "Echo: hello"
        assert len(server.requests) == 3
        assert server.connections == 2
        await to.aclose()


async def test_the_replacement_is_not_replaced_again() -> None:
    async with fakes.upstream(fakes.chat(), fakes.silent_close()) as server:
        to = endpoint(server.url)
        await ask(to)
        with pytest.raises(UpstreamError):
            await ask(to)
        assert len(server.requests) == 3


async def test_a_connection_that_the_server_closed_at_rest_is_not_used() -> None:
    async with fakes.upstream() as server:
        to = endpoint(server.url)
        await ask(to)
        port = server.port
    await asyncio.sleep(0.02)
    assert to.idle == 0
    async with fakes.upstream(port=port) as server:
        await ask(to)
        assert server.connections == 1
        await to.aclose()


async def test_an_answer_that_asks_to_close_is_obeyed() -> None:
    async with fakes.upstream(fakes.status(200, {}, close=True)) as server:
        to = endpoint(server.url)
        await ask(to)
        await ask(to)
        assert server.connections == 2
        assert to.idle == 0


async def test_a_connection_at_rest_is_closed_in_its_time() -> None:
    async with fakes.upstream() as server:
        to = endpoint(server.url, keep_alive_seconds=0.1)
        await ask(to)
        assert to.idle == 1
        await asyncio.sleep(0.25)
        assert (to.connections, to.idle) == (0, 0)
        assert server.open_connections == 0


async def test_a_slow_first_byte_is_a_timeout_that_the_server_notices() -> None:
    async with fakes.upstream(fakes.slow(5.0)) as server:
        to = endpoint(server.url, first_byte_seconds=0.1)
        started = time.monotonic()
        with pytest.raises(UpstreamTimeout, match="begin to answer"):
            await ask(to)
        assert 0.09 < time.monotonic() - started < 2
        assert await server.last.wait_until_client_went_away()
        assert to.connections == 0


async def test_a_head_that_dribbles_is_a_timeout_too() -> None:
    head = [b"HTTP/1.1 200 OK\r\n"] + [b"x-drip: 1\r\n"] * 50
    async with fakes.upstream(fakes.raw(*head, delay_seconds=0.03)) as server:
        to = endpoint(server.url, first_byte_seconds=0.2)
        with pytest.raises(UpstreamTimeout):
            await ask(to)


async def test_silence_within_an_answer_is_a_timeout_behind_what_came() -> None:
    async with fakes.upstream(fakes.stalls("And then")) as server:
        to = endpoint(server.url, idle_seconds=0.1)
        response = await to.request("POST", "/chat/completions", question(stream=True))
        assert b"And then" in await anext(response)
        with pytest.raises(UpstreamTimeout, match="silent"):
            await anext(response)
        assert await server.last.wait_until_client_went_away()


async def test_each_part_gives_the_answer_its_time_anew() -> None:
    async with fakes.upstream(fakes.sse(list("abcde"), delay_seconds=0.15)) as server:
        to = endpoint(server.url, idle_seconds=0.5, first_byte_seconds=0.5)
        response = await to.request("POST", "/chat/completions", question(stream=True))
        assert (await response.read()).endswith(b"data: [DONE]\n\n")
        await to.aclose()


async def test_cancelling_before_the_head_closes_the_connection() -> None:
    async with fakes.upstream(fakes.slow(5.0)) as server:
        to = endpoint(server.url)
        task = asyncio.create_task(ask(to))
        await server.wait_for_requests(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await server.last.wait_until_client_went_away()
        assert to.connections == 0


async def test_cancelling_in_the_middle_of_a_stream_closes_the_connection() -> None:
    async def relay(to: Endpoint) -> None:
        response = await to.request("POST", "/chat/completions", question(stream=True))
        async for _ in response:
            begun.set()

    begun = asyncio.Event()
    async with fakes.upstream(fakes.never_ends()) as server:
        to = endpoint(server.url)
        task = asyncio.create_task(relay(to))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await server.last.wait_until_client_went_away()
        assert to.connections == 0


async def test_closing_an_unfinished_answer_closes_the_connection() -> None:
    async with fakes.upstream(fakes.never_ends()) as server:
        to = endpoint(server.url)
        response = await to.request("POST", "/chat/completions", question(stream=True))
        await anext(response)
        await response.aclose()
        assert [part async for part in response] == []
        assert await server.last.wait_until_client_went_away()
        assert to.connections == 0


async def test_closing_a_finished_answer_keeps_the_connection() -> None:
    async with fakes.upstream() as server:
        to = endpoint(server.url)
        response = await to.request("POST", "/chat/completions", question())
        await response.read()
        await response.aclose()
        await ask(to)
        assert server.connections == 1
        await to.aclose()


async def test_cancelling_as_the_whole_answer_arrives_leaves_others_alone() -> None:
    async with fakes.upstream() as server:
        to = endpoint(server.url)
        await ask(to)
        outcomes = []
        for turns in range(40):
            task = asyncio.create_task(ask(to))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            outcomes += await asyncio.gather(task, return_exceptions=True)
            assert b"Echo: hello" in await ask(to)
        assert any(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert to.connections == to.idle
        await to.aclose()


async def test_no_more_connections_are_opened_than_allowed() -> None:
    async with fakes.upstream(fakes.chat(delay_seconds=0.02)) as server:
        to = endpoint(server.url, max_connections=3)
        answers = await asyncio.gather(*(ask(to) for _ in range(6)))
        assert len(answers) == 6
        assert server.connections == 3
        await to.aclose()


async def test_who_waits_too_long_for_a_connection_is_told_that_it_is_busy() -> None:
    async with fakes.upstream(fakes.slow(1.0)) as server:
        to = endpoint(server.url, max_connections=1, connect_seconds=0.1)
        first = asyncio.create_task(ask(to))
        await server.wait_for_requests(1)
        with pytest.raises(UpstreamError) as caught:
            await ask(to)
        assert (caught.value.code, caught.value.status) == ("upstream_busy", 503)
        assert b"Echo" in await first
        await to.aclose()


async def test_the_queue_for_a_connection_is_bounded() -> None:
    async with fakes.upstream(fakes.slow(0.3)) as server:
        to = endpoint(server.url, max_connections=2)
        outcomes = await asyncio.gather(*(ask(to) for _ in range(6)), return_exceptions=True)
        busy = [o for o in outcomes if isinstance(o, UpstreamError) and o.code == "upstream_busy"]
        assert len(busy) == 2
        assert len(server.requests) == 4
        await to.aclose()


async def test_a_place_is_passed_on_when_its_holder_or_heir_goes_away() -> None:
    async with fakes.upstream(fakes.slow(5.0), fakes.slow(5.0), fakes.chat()) as server:
        to = endpoint(server.url, max_connections=2)
        holders = [asyncio.create_task(ask(to)) for _ in range(2)]
        await server.wait_for_requests(2)
        heir = asyncio.create_task(ask(to))
        last = asyncio.create_task(ask(to))
        await asyncio.sleep(0)
        holders[0].cancel()
        # The heir has its place and goes before it could use it.
        await asyncio.sleep(0)
        heir.cancel()
        assert b"Echo" in await last
        holders[1].cancel()
        await asyncio.gather(*holders, heir, return_exceptions=True)
        assert (to.connections, to.idle) == (1, 1)
        await to.aclose()
        assert to.connections == 0


async def test_who_gives_up_waiting_leaves_the_queue() -> None:
    async with fakes.upstream(fakes.slow(5.0)) as server:
        to = endpoint(server.url, max_connections=1, connect_seconds=0.05)
        holder = asyncio.create_task(ask(to))
        await server.wait_for_requests(1)
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(UpstreamError):
                await ask(to)
            assert time.monotonic() - started > 0.04
        holder.cancel()
        await asyncio.gather(holder, return_exceptions=True)


async def test_the_server_is_held_back_when_nobody_reads() -> None:
    sent = 0

    async def flood(_: fakes.Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        total = 8 * 2**20
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        while sent < total:
            writer.write(b"x" * 65_536)
            sent += 65_536
            await writer.drain()

    async with fakes.upstream(flood) as server:
        to = endpoint(server.url, idle_seconds=0.2)
        response = await to.request("POST", "/chat/completions", question(stream=True))
        await asyncio.sleep(0.4)
        assert response._buffered <= client_module.HIGH_WATER_BYTES + 2**19
        held_at = sent
        assert held_at < 8 * 2**20
        received = 0
        async for part in response:
            received += len(part)
        assert received == 8 * 2**20
        assert to.idle == 1
        await to.aclose()


async def test_an_answer_too_large_to_be_checked_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "MAX_READ_BYTES", 1_000_000)
    wire = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 3_000_000
    async with fakes.upstream(fakes.raw(wire)) as server:
        to = endpoint(server.url)
        response = await to.request("POST", "/chat/completions", question())
        with pytest.raises(UpstreamError, match="too large"):
            await response.read()
        assert to.connections == 0


async def test_a_request_that_was_answered_before_it_was_sent_is_not_reused() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0, limit=2**16)
    to = endpoint(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    response = await to.request("POST", "/chat/completions", b"x" * 32 * 2**20)
    assert response.status == 413
    assert to.idle == 0
    server.close()
    await server.wait_closed()


async def test_a_compressed_answer_is_passed_on_as_it_is() -> None:
    async with fakes.upstream(fakes.gzipped({"a": 1})) as server:
        to = endpoint(server.url)
        response = await to.request("POST", "/chat/completions", question())
        assert (b"content-encoding", b"gzip") in response.headers
        assert (await response.read()).startswith(b"\x1f\x8b")
        await to.aclose()


async def test_closing_the_endpoint_ends_what_is_under_way() -> None:
    async with fakes.upstream(fakes.slow(5.0)) as server:
        to = endpoint(server.url)
        task = asyncio.create_task(ask(to))
        await server.wait_for_requests(1)
        await to.aclose()
        with pytest.raises(UpstreamError, match="shut down"):
            await task


async def test_a_timer_does_not_keep_a_closed_connection_alive() -> None:
    async with fakes.upstream(fakes.status(200, {}, close=True)) as server:
        to = endpoint(server.url)
        for _ in range(5):
            await ask(to)
        await asyncio.sleep(0.02)
        gc.collect()
        alive = [o for o in gc.get_objects() if type(o) is client_module.Connection]
        assert [c for c in alive if c._endpoint is to] == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, private


async def test_tls_works_with_a_trusted_certificate(
    certificate: tuple[Path, Path],
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    async with fakes.upstream(tls=context) as server:
        to = endpoint(server.url.replace("127.0.0.1", "localhost"), tls=trust)
        assert b"Echo: hello" in await ask(to)
        assert b"Echo: hello" in await ask(to)
        assert server.connections == 1
        await to.aclose()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("trusted", [True, False], ids=["another host", "untrusted"])
async def test_tls_refuses_a_certificate_that_proves_nothing(
    certificate: tuple[Path, Path], trusted: bool
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    trust = ssl.create_default_context(cafile=str(certificate[0])) if trusted else None
    async with fakes.upstream(tls=context) as server:
        url = server.url if trusted else server.url.replace("127.0.0.1", "localhost")
        to = endpoint(url, tls=trust)
        with pytest.raises(UpstreamError) as caught:
            await ask(to)
        assert caught.value.code == "upstream_unreachable"
        assert server.requests == []
        assert to.connections == 0
