"""`banister ingest`: take documents in, with progress and with every failure named."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from guardrails.database import make_engine, migrate
from guardrails.database.embedded import start_embedded
from guardrails.grounding.ingest import Found, Outcome, Result, find_files, prune
from guardrails.grounding.ingest import ingest as take_in
from guardrails.grounding.retrieve import Embed
from guardrails.inference.client import InferenceClient
from guardrails.inference.compact import load_embedder
from guardrails.launch.addresses import answers, inference_socket
from guardrails.settings import Settings

EMBED_SECONDS = 60.0


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--collection", default="default", show_default=True, help="What a route names.")
@click.option("--base", default="", help="Put before each file's path: https://docs.example.org/")
@click.option("--prune", "pruned", is_flag=True, help="Remove documents whose file is gone.")
def ingest(path: Path, collection: str, base: str, pruned: bool) -> None:
    """Take a file, or a directory and all below it, into a collection of documents.

    Text, Markdown, HTML and PDF. Unchanged files are skipped, changed ones replaced. The exit
    status is 1 when a file could not be read.
    """
    console = Console()
    files = find_files(path, base)
    if not files:
        # An empty directory is more likely a wrong path than a wish to remove everything.
        raise click.ClickException(f"{path} holds no .txt, .md, .html or .pdf file.")
    if pruned and not path.is_dir():
        raise click.UsageError("--prune compares with a directory, not with one file.")
    outcomes = asyncio.run(_run(files, collection, base, pruned, console))
    _summarise(outcomes, collection, console)
    if any(outcome.result is Result.FAILED for outcome in outcomes):
        raise SystemExit(1)


async def _run(
    files: list[Found], collection: str, base: str, pruned: bool, console: Console
) -> list[Outcome]:
    settings = Settings()
    async with AsyncExitStack() as stack:
        url = settings.database_url
        with console.status("opening the database"):
            if url is None:
                server = await asyncio.to_thread(start_embedded, settings.data_dir)
                stack.callback(server.stop)
                url = server.url
            await asyncio.to_thread(migrate, url)
        engine = make_engine(url)
        stack.push_async_callback(engine.dispose)
        with console.status("opening the encoder"):
            embed = await _embedder(inference_socket(settings.data_dir), stack)
        with _progress(console) as progress:
            task = progress.add_task("reading", total=len(files))

            def report(outcome: Outcome) -> None:
                progress.update(task, advance=1, description=escape(outcome.source[-40:]))
                if outcome.result is Result.FAILED:
                    told = escape(f"{outcome.source}: {outcome.reason}")
                    progress.console.print(f"[red]failed[/red] {told}")

            outcomes = await take_in(
                files, collection=collection, engine=engine, embed=embed, report=report
            )
        if pruned:
            outcomes += await prune(files, collection=collection, engine=engine, base=base)
    return outcomes


async def _embedder(socket: Path, stack: AsyncExitStack) -> Embed:
    """The running worker's embedder, or one of this process where no worker runs."""
    if answers(socket):
        client = InferenceClient(socket)
        stack.push_async_callback(client.close)
        return lambda texts: client.embed(texts, timeout_seconds=EMBED_SECONDS)
    embedder = await asyncio.to_thread(load_embedder)

    async def embed(texts: Sequence[str]) -> list[list[float]]:
        return (await asyncio.to_thread(embedder.embed, texts)).tolist()

    return embed


def _progress(console: Console) -> Progress:
    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=console,
        disable=not console.is_terminal,
    )


def _summarise(outcomes: list[Outcome], collection: str, console: Console) -> None:
    counts = {
        result: sum(outcome.result is result for outcome in outcomes)
        for result in Result
        if any(outcome.result is result for outcome in outcomes)
    }
    passages = sum(outcome.passages for outcome in outcomes)
    told = ", ".join(f"{count} {result}" for result, count in counts.items())
    console.print(f"Collection {escape(collection)}: {told}; {passages} new passages.")
