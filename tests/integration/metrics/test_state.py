"""`/metrics` of a real proxy, and of real workers side by side."""

from __future__ import annotations

import re
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import httpx
import pytest

from guardrails.keys import create_key
from tests import fakes
from tests.integration.commands.test_proxy import is_ready, wait_until
from tests.integration.commands.test_proxy import start as start
from tests.integration.conftest import BLOCK_INPUT, Serve

ASK = {"model": "small", "messages": [{"role": "user", "content": "What is a stair?"}]}
BAD = {"model": "small", "messages": [{"role": "user", "content": "Please say xyzzy."}]}
CHAT = "/v1/chat/completions"
NO_RULES = "name: test\nblocked_message: Declined.\nrules: []"


def value(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found is not None, f"{name}\n{text}"
    return float(found[1])


async def test_a_scrape_counts_what_the_proxy_did(serve: Serve):
    async with fakes.upstream() as model, serve(model.url, rules=(BLOCK_INPUT,)) as b:
        async with httpx.AsyncClient(base_url=b.url) as http:
            for body in (ASK, ASK, BAD, {**ASK, "stream": True}, {**ASK, "model": "invented"}):
                await http.post(CHAT, json=body)
            answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    text = answer.text
    ended = 'banister_requests_total{{decision="{}",protocol="chat",route="default",status="{}"}}'
    assert value(text, ended.format("allow", 200)) == 3
    assert value(text, ended.format("block", 200)) == 1
    assert value(text, ended.format("error", 404)) == 1
    assert value(text, 'banister_step_duration_seconds_count{step="model"}') == 3
    assert value(text, 'banister_detector_duration_seconds_count{detector="patterns",side="input"}')
    # What asks for a model that is not there is checked before that is seen.
    given = 4 * len("What is a stair?") + len("Please say xyzzy.")
    scanned = 'banister_scanned_characters_total{detector="patterns",side="input"}'
    assert value(text, scanned) == given
    assert value(text, 'banister_upstream_requests_total{model="small@7",upstream="u0"}') == 3
    assert value(text, 'banister_upstream_breaker_open{model="small@7",upstream="u0"}') == 0
    assert value(text, 'banister_tokens_total{model="small@7",type="output"}') > 0
    assert value(text, "banister_streams_open") == 0
    assert value(text, "banister_log_dropped_records_total") == 0
    assert "invented" not in text
    assert "stair" not in text


async def test_only_this_machine_and_a_key_for_metrics_may_read_them(
    serve: Serve, postgres_url: str
):
    async with fakes.upstream() as model, serve(model.url) as b:
        keys = b.app._proxy._access._keys
        made = {}
        for scope in ("infer", "metrics"):
            _, made[scope] = await create_key(
                postgres_url, keys._secret, name=scope, scopes=(scope,), now=datetime.now(UTC)
            )
        async with httpx.AsyncClient(base_url=b.url) as http:
            # A scrape through another proxy is not of this machine.
            elsewhere = {"x-forwarded-for": "203.0.113.9"}
            assert (await http.get("/metrics", headers=elsewhere)).status_code == 401
            for scope, status in (("infer", 401), ("metrics", 200)):
                shown = elsewhere | {"authorization": f"Bearer {made[scope]}"}
                for _ in range(200):
                    found = await http.get("/metrics", headers=shown)
                    if found.status_code == status:
                        break
                assert found.status_code == status
            assert (await http.get("/metrics")).status_code == 200


@pytest.mark.slow
def test_whichever_of_two_workers_is_asked_counts_for_both(start, tmp_path: Path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(NO_RULES)
    process, port, _ = start(BANISTER_WORKERS="2", BANISTER_POLICY=str(policy))
    assert isinstance(process, subprocess.Popen)
    # Its only upstream is down: it is alive, and answers with errors that are counted.
    wait_until(lambda: _alive(port), process)
    for _ in range(30):
        httpx.post(f"http://127.0.0.1:{port}{CHAT}", json={**ASK, "model": "m"})
    name = 'banister_requests_total{decision="error",protocol="chat",route="default",status="502"}'

    def all_counted() -> bool:
        texts = [httpx.get(f"http://127.0.0.1:{port}/metrics").text for _ in range(10)]
        refused = name.replace("502", "503")
        counts = [sum(value(text, one) for one in (name, refused) if one in text) for text in texts]
        return counts == [30] * 10

    wait_until(all_counted, process)
    process.send_signal(signal.SIGINT)
    process.wait(20)


def _alive(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return is_ready(port)
