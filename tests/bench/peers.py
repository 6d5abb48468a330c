"""Who is measured side by side, and how each is started in front of the same mock upstream."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from guardrails.launch.addresses import free_port
from tests.bench import mock, texts
from tests.bench.processes import Memory, Tree, running

CHECKOUT = Path(__file__).parents[2]
DEFAULT_POLICY = CHECKOUT / "guardrails" / "policy" / "default.yaml"
LITELLM = "litellm[proxy]==1.106.*"
START_SECONDS = 180.0


class NotHere(Exception):
    """A peer cannot run on this machine; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What all peers share; `cache` is where a peer is installed that may not share our own."""

    directory: Path
    mock_port: int
    database_url: str
    database: Tree | None
    cache: Path


@dataclass(frozen=True, slots=True)
class Peer:
    """A program to measure. `rate` is the low rate at which its added time is looked at.

    A slow peer is measured at its rate by itself, since it would disturb those that share its turn.
    One that `logs` records every exchange in the database.
    """

    name: str
    title: str
    rate: float = 20.0
    slow: bool = False
    logs: bool = False


@dataclass(slots=True)
class Running:
    """A peer that answers."""

    peer: Peer
    port: int
    tree: Tree | None
    start_seconds: float | None
    memory_at_start: Memory | None


PEERS = {
    peer.name: peer
    for peer in (
        Peer("direct", "mock, direct"),
        Peer("nginx", "nginx"),
        Peer("off", "Banister, no rule", logs=True),
        Peer("patterns", "Banister, patterns", logs=True),
        Peer("full", "Banister, default", rate=3.0, slow=True, logs=True),
        Peer("litellm", "LiteLLM, no guards", rate=3.0, slow=True),
    )
}
DEFAULT = ("direct", "nginx", "off", "patterns", "full")


@contextlib.contextmanager
def started(peer: Peer, ground: Ground) -> Iterator[Running]:
    """Start a peer and wait for its first answer. Errors: NotHere, TimeoutError."""
    if peer.name == "direct":
        yield Running(peer, ground.mock_port, None, None, None)
        return
    home = ground.directory / peer.name
    home.mkdir()
    port = free_port()
    command, environment = _program(peer, ground, home, port)
    log = home / "log.txt"
    began = time.monotonic()
    with running(command, log=log, environment=environment, cwd=CHECKOUT) as process:
        while not _answers(port):
            if process.poll() is not None:
                raise NotHere(f"{peer.title} ended at its start:\n{_tail(log)}")
            if time.monotonic() - began > START_SECONDS:
                raise NotHere(f"{peer.title} did not answer:\n{_tail(log)}")
            time.sleep(0.01)
        took = time.monotonic() - began
        tree = Tree(process.pid)
        time.sleep(0.3)
        yield Running(peer, port, tree, took, tree.memory())


def _program(
    peer: Peer, ground: Ground, home: Path, port: int
) -> tuple[list[str], Mapping[str, str]]:
    match peer.name:
        case "nginx":
            return _nginx(ground, home, port)
        case "litellm":
            return _litellm(ground, home, port)
        case _:
            return _banister(peer, ground, home, port)


def _banister(
    peer: Peer, ground: Ground, home: Path, port: int
) -> tuple[list[str], Mapping[str, str]]:
    policy = yaml.safe_load(DEFAULT_POLICY.read_text())
    kept = {"off": (), "patterns": ("patterns",), "full": None}[peer.name]
    if kept is not None:
        policy["rules"] = [rule for rule in policy["rules"] if rule["detector"] in kept]
    (home / "policy.yaml").write_text(yaml.safe_dump(policy))
    settings = {
        "data_dir": str(home / "data"),
        "database_url": ground.database_url,
        "port": port,
        "policy": str(home / "policy.yaml"),
        "upstreams": [
            {"name": "mock", "url": f"http://127.0.0.1:{ground.mock_port}/v1", "model": "mock"}
        ],
    }
    (home / "banister.yaml").write_text(yaml.safe_dump(settings))
    alone = ("--alone",) if peer.name != "full" else ()
    command = [sys.executable, "-m", "guardrails.cli", "proxy", *alone]
    return command, {"BANISTER_CONFIG": str(home / "banister.yaml")}


def _nginx(ground: Ground, home: Path, port: int) -> tuple[list[str], Mapping[str, str]]:
    binary = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if binary is None:
        raise NotHere("there is no nginx on this machine")
    places = "".join(
        f"{kind}_temp_path {home}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (home / "nginx.conf").write_text(
        f"""daemon off; master_process off; worker_processes 1; pid {home}/pid;
        error_log {home}/error.log;
        events {{ worker_connections 4096; }}
        http {{
            access_log off; {places}
            upstream mock {{ server 127.0.0.1:{ground.mock_port}; keepalive 512; }}
            server {{
                listen 127.0.0.1:{port} backlog=2048;
                keepalive_requests 1000000;
                location / {{
                    proxy_pass http://mock;
                    proxy_http_version 1.1;
                    proxy_set_header Connection "";
                    proxy_set_header Host $host;
                    proxy_buffering on;
                }}
            }}
        }}"""
    )
    return [binary, "-e", str(home / "error.log"), "-c", str(home / "nginx.conf")], {}


def _litellm(ground: Ground, home: Path, port: int) -> tuple[list[str], Mapping[str, str]]:
    program = ground.cache / "litellm" / "bin" / "litellm"
    if not program.exists():
        raise NotHere("LiteLLM is not installed; see tests/bench/__main__.py")
    model = {
        "model": "openai/mock",
        "api_base": f"http://127.0.0.1:{ground.mock_port}/v1",
        "api_key": "sk-bench",
    }
    config = {
        "model_list": [{"model_name": "mock", "litellm_params": model}],
        "litellm_settings": {"telemetry": False, "num_retries": 0},
        # Like us without keys it serves loopback alone; looking a key up would only slow it down.
        "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
    }
    (home / "config.yaml").write_text(yaml.safe_dump(config))
    options = ["--config", str(home / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    environment = {
        "PYTHONPATH": "",
        "LITELLM_TELEMETRY": "False",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    return [str(program), *options, "--num_workers", "1"], environment


def install_litellm(cache: Path) -> None:
    """Put LiteLLM into an environment of its own; it may not share ours. Takes a minute or two."""
    home = cache / "litellm"
    if (home / "bin" / "litellm").exists():
        return
    home.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "install", LITELLM], check=False, stderr=subprocess.PIPE, text=True
    )
    if done.returncode:
        shutil.rmtree(home)
        raise NotHere(f"LiteLLM could not be installed:\n{done.stderr[-2_000:]}")


def _answers(port: int) -> bool:
    """Whether a chat request is answered with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"content-type": "application/json", "authorization": "Bearer sk-bench"}
    try:
        body = mock.request_body(stream=False)
        connection.request("POST", "/v1/chat/completions", body, headers)
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    if response.status != 200:
        return False
    said = json.loads(answer)["choices"][0]["message"]["content"]
    # An answer that some rule replaced would be measured as a short one.
    if texts.ENDING not in (said or ""):
        raise NotHere(f"port {port} does not pass the mock's answer on: {str(said)[:200]!r}")
    return True


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def describe() -> dict[str, Any]:
    """The machine, for the report."""
    return {
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "load_average": os.getloadavg()[0],
        "prompt_words": len(texts.prompt(texts.random.Random(0), "x").split()),
        "answer_words": len(texts.answer(texts.random.Random(0), "x").split()),
    }
