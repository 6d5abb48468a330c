"""How does the whole product start on one machine, and how does it stop without a trace?"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from sqlalchemy.engine import make_url

from guardrails.database import migrate
from guardrails.database.url import libpq_url
from guardrails.demo import model as demo_model
from guardrails.errors import ConfigError
from guardrails.launch.addresses import free_port, require_free
from guardrails.launch.alert_lines import follow
from guardrails.launch.children import ChildFailed, Children
from guardrails.launch.programs import Programs
from guardrails.launch.progress import Steps
from guardrails.settings import Settings


@click.command()
def up() -> None:
    """Run the whole product here: database, model, proxy, dashboard, monitor."""
    settings = Settings()
    data_dir = settings.data_dir.expanduser().absolute()
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(data_dir):
        require_free(settings.host, settings.port, "BANISTER_PORT")
        require_free(settings.host, settings.dashboard_port, "BANISTER_DASHBOARD_PORT")
        asyncio.run(_Product(settings, Console()).run())


class _Product:
    def __init__(self, settings: Settings, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._programs = Programs(settings)
        self._steps = Steps(console)
        self._children = Children(self._steps.say)
        self._asked_to_stop = asyncio.Event()
        self._models: list[str] = sorted({upstream.model for upstream in settings.upstreams})

    async def run(self) -> None:
        """Start everything, wait for a signal, stop everything; a failed start stops too."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        started = time.monotonic()
        start = asyncio.create_task(self._start(), name="start")
        asked = asyncio.create_task(self._asked_to_stop.wait(), name="asked to stop")
        alerts = asyncio.create_task(
            follow(self._programs.log("monitor"), lambda line: self._steps.say(escape(line)))
        )
        try:
            await asyncio.wait({start, asked}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                _result(start)
                self._tell(time.monotonic() - started)
                await asked
        finally:
            start.cancel()
            asked.cancel()
            alerts.cancel()
            await asyncio.gather(start, asked, alerts, return_exceptions=True)
            await self._stop()

    def _on_signal(self) -> None:
        if self._asked_to_stop.is_set():
            self._children.kill()
        self._asked_to_stop.set()

    async def _start(self) -> None:
        with self._steps:
            async with asyncio.TaskGroup() as group:
                inference_is_there = group.create_task(self._start_inference())
                model_is_there = group.create_task(self._start_model())
                group.create_task(self._start_servers(inference_is_there, model_is_there))

    async def _start_inference(self) -> None:
        with self._steps.step("inference", "detectors and embeddings, loaded and warm"):
            await self._children.start(self._programs.inference())

    async def _start_model(self) -> None:
        if self._settings.upstreams:
            return
        programs = self._programs
        if not demo_model.is_converted(demo_model.directory(programs.data_dir)):
            demo_model.source()
            with self._steps.step("model", "writing SmolLM2-135M as safetensors, this once"):
                await self._children.run(programs.conversion())
        port = free_port()
        self._models += programs.use_demo_model(port)
        with self._steps.step("model", f"{demo_model.NAME} by transformers serve"):
            await self._children.start(programs.model(port))

    async def _start_servers(
        self, inference_is_there: asyncio.Task[None], model_is_there: asyncio.Task[None]
    ) -> None:
        url = await self._start_database()
        self._programs.use_database(url)
        with self._steps.step("schema", "migrations, up to the newest"):
            await asyncio.to_thread(migrate, url)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._start_dashboard())
            group.create_task(self._start_monitor())
            group.create_task(self._start_knowledge(inference_is_there))
            # The proxy is told of its upstream when it starts.
            await model_is_there
            group.create_task(self._start_proxy())

    async def _start_database(self) -> str:
        given = self._settings.database_url
        if given is not None:
            return given
        with self._steps.step("database", f"embedded Postgres in {self._programs.data_dir.name}"):
            await self._children.start(self._programs.database())
        return self._programs.url_file.read_text()

    async def _start_knowledge(self, inference_is_there: asyncio.Task[None]) -> None:
        """Take the demo's pages in, once: whoever removes them does not get them back."""
        programs = self._programs
        done = programs.data_dir / "knowledge-taken-in"
        if not programs.grounded_by_demo or done.exists():
            return
        await inference_is_there
        try:
            with self._steps.step("knowledge", "a few pages about Banister itself, this once"):
                await self._children.run(programs.knowledge())
            done.touch()
        except ChildFailed as error:
            self._steps.say(f"{error.message} Answers will cite nothing.")

    async def _start_proxy(self) -> None:
        with self._steps.step("proxy", f"the guarded API on {self._programs.api}"):
            await self._children.start(self._programs.proxy())

    async def _start_dashboard(self) -> None:
        with self._steps.step("dashboard", f"pages on {self._programs.pages}"):
            await self._children.start(self._programs.dashboard())

    async def _start_monitor(self) -> None:
        with self._steps.step("monitor", "jobs over the exchange log"):
            await self._children.start(self._programs.monitor())

    async def _stop(self) -> None:
        if self._children.pids:
            self._console.print("Stopping; Ctrl-C again forces it.")
        started = time.monotonic()
        await self._children.stop()
        self._console.print(f"Stopped in {time.monotonic() - started:.1f} s.")

    def _tell(self, seconds: float) -> None:
        programs, model = self._programs, self._models[0]
        url = libpq_url(self._programs.database_url)
        lines = [
            "",
            f"Banister is up after {seconds:.1f} s. Ctrl-C stops it.",
            "",
            f"  API        {programs.api}/v1   (model: {', '.join(self._models)})",
            f"  Dashboard  {programs.pages}",
            f"  Database   {make_url(url).render_as_string(hide_password=True)}",
            f"  Logs       {programs.log('*')}",
            "",
            "Try it from a shell:",
            "",
            f"curl {programs.api}/v1/chat/completions -H 'content-type: application/json' -d "
            f"""'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'""",
            "",
            "or from Python:",
            "",
            "from openai import OpenAI",
            "",
            f'client = OpenAI(base_url="{programs.api}/v1", api_key="none")',
            "answer = client.chat.completions.create(",
            f'    model="{model}", messages=[{{"role": "user", "content": "Hello!"}}]',
            ")",
            "print(answer.choices[0].message.content)",
            "",
        ]
        self._console.print("\n".join(lines), soft_wrap=True, markup=False, highlight=False)


def _result(task: asyncio.Task[None]) -> None:
    """Raise what the task raised: of several faults side by side, the first."""
    try:
        task.result()
    except BaseExceptionGroup as group:
        fault: BaseException = group
        while isinstance(fault, BaseExceptionGroup):
            fault = fault.exceptions[0]
        raise fault from None


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Hold the data directory; a second `banister up` on it is refused by its holder's number."""
    with (data_dir / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise ConfigError(
                f"Banister already runs in {data_dir} (process {lock.read().strip()}). Stop that "
                "one, or set BANISTER_DATA_DIR to another directory."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
