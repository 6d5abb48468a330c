"""Which programs make up the product, and how does one see that each is ready?"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from guardrails.demo import model as demo_model
from guardrails.errors import GuardUnavailable
from guardrails.inference.client import InferenceClient
from guardrails.launch.addresses import inference_socket
from guardrails.launch.children import Program
from guardrails.launch.probe import status_of
from guardrails.settings import GroundingSettings, RouteSettings, Settings, UpstreamSettings

# Stages of the stop: what serves goes first, what it needs goes after it, the database last.
DATABASE, MODELS, SERVERS = range(3)

QUIET = {"DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1"}


class Programs:
    """The programs of one data directory, with the environment that ties them together."""

    def __init__(self, settings: Settings, *, log_to_files: bool = True) -> None:
        self._settings = settings
        self._log_to_files = log_to_files
        self.data_dir = settings.data_dir.expanduser().absolute()
        self.url_file = self.data_dir / "database.url"
        self._environment = {**QUIET, "BANISTER_DATA_DIR": str(self.data_dir)}

    def use_database(self, url: str) -> None:
        """Tell the programs made from now on which database to use."""
        self._environment["BANISTER_DATABASE_URL"] = url

    @property
    def database_url(self) -> str:
        """The database that the programs use."""
        return self._environment["BANISTER_DATABASE_URL"]

    def use_demo_model(self, port: int) -> list[str]:
        """Tell the programs made from now on that the demo's models are the only upstreams.

        Gives their names, the one to chat with first. Where no routes are configured, the default
        one then grounds its prompts.
        """
        url = f"http://127.0.0.1:{port}/v1"
        upstreams = (
            UpstreamSettings(
                name="demo",
                url=url,
                model=demo_model.NAME,
                versions_served_as="{model}@{version}",
            ),
            UpstreamSettings(name="demo-embeddings", url=url, model=demo_model.EMBEDDINGS),
        )
        rows = [upstream.model_dump(mode="json", exclude_defaults=True) for upstream in upstreams]
        self._environment["BANISTER_UPSTREAMS"] = json.dumps(rows)
        self._environment["BANISTER_VERSIONS_DIR"] = str(demo_model.versions(self.data_dir))
        if self.grounded_by_demo:
            grounding = GroundingSettings(passages=demo_model.PASSAGES, on_error="skip")
            route = RouteSettings(template="grounded@1", grounding=grounding)
            self._environment["BANISTER_ROUTES"] = json.dumps({"default": route.model_dump()})
        return [upstream.model for upstream in upstreams]

    @property
    def grounded_by_demo(self) -> bool:
        """Whether prompts get passages from the demo's pages: neither model nor route was given."""
        return not self._settings.upstreams and "routes" not in self._settings.model_fields_set

    def log(self, name: str) -> Path:
        """Where a program writes what it has to say."""
        return self.data_dir / "logs" / f"{name}.log"

    def database(self) -> Program:
        """The embedded Postgres; its URL is in `url_file` once it is ready."""

        async def ready() -> bool:
            return self.url_file.exists()

        command = (
            "-m",
            "guardrails.launch.database_keeper",
            str(self.data_dir),
            str(self.url_file),
        )
        return self._python("database", command, ready=ready, stage=DATABASE)

    def inference(self) -> Program:
        """The worker that scores and embeds; ready when its models are warm."""
        socket = inference_socket(self.data_dir)

        async def ready() -> bool:
            client = InferenceClient(socket)
            try:
                await client.describe()
            except (GuardUnavailable, OSError):
                return False
            finally:
                await client.close()
            return True

        command = ("-m", "guardrails.inference.worker", "--socket", str(socket))
        return self._python("inference", command, ready=ready, stage=MODELS)

    def conversion(self) -> Program:
        """Write the demo model in the form that it is served from; ends by itself."""
        target = demo_model.directory(self.data_dir)
        return self._python(
            "model", ("-m", "guardrails.demo.conversion", str(target)), stage=MODELS
        )

    def model(self, port: int) -> Program:
        """The demo model on a loopback port."""
        cores = max(1, (os.cpu_count() or 2) - 1)
        target = demo_model.directory(self.data_dir)

        async def ready() -> bool:
            return await status_of(f"http://127.0.0.1:{port}/health") == 200

        versions = str(demo_model.versions(self.data_dir))
        command = (
            *("-m", "guardrails.demo.transformers", str(target)),
            *("--port", str(port), "--versions", versions),
        )
        offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(cores)}
        return self._python("model", command, ready=ready, stage=MODELS, environment=offline)

    def knowledge(self) -> Program:
        """Take in the pages about Banister itself; ends by itself."""
        pages = str(demo_model.KNOWLEDGE)
        return self._verb("ingest", pages, "--base", "about-banister/", name="knowledge")

    def proxy(self) -> Program:
        """The guarded API; ready when its detectors are. Its worker is a program of its own."""

        async def ready() -> bool:
            return await status_of(f"{self.api}/readyz") == 200

        return self._verb("proxy", "--alone", ready=ready)

    def dashboard(self) -> Program:
        """The pages for people; any answer that is not a fault of its own counts."""

        async def ready() -> bool:
            status = await status_of(f"{self.pages}/")
            return status is not None and status < 500

        return self._verb("dashboard", ready=ready)

    def monitor(self) -> Program:
        """The schedule of jobs over the exchange log."""
        return self._verb("monitor")

    @property
    def api(self) -> str:
        """The proxy's address without a path, as this machine reaches it."""
        return f"http://{_reachable(self._settings.host)}:{self._settings.port}"

    @property
    def pages(self) -> str:
        """The dashboard's address, as this machine reaches it."""
        return f"http://{_reachable(self._settings.host)}:{self._settings.dashboard_port}"

    def _verb(self, verb: str, *options: str, name: str | None = None, **more: Any) -> Program:
        command = ("-m", "guardrails.cli", verb, *options)
        return self._python(name or verb, command, stage=SERVERS, **more)

    def _python(self, name: str, arguments: tuple[str, ...], **more: Any) -> Program:
        environment = {**self._environment, **more.pop("environment", {})}
        command = (sys.executable, *arguments)
        log = self.log(name) if self._log_to_files else None
        return Program(name, command, log, environment=environment, **more)


def _reachable(host: str) -> str:
    """An address to connect to for an address to listen on."""
    if host in ("0.0.0.0", ""):  # noqa: S104 (it is compared, not bound)
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host
