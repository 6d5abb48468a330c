"""How fast is Banister, beside its peers, on this machine? `python -m tests.bench`

Every peer stands in front of the same mock upstream; the rounds are interleaved, so that what else
the machine does falls on all alike, and the table shows medians. See tests/bench/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from guardrails.database import migrate
from guardrails.database.embedded import start_embedded
from guardrails.launch.addresses import free_port
from tests.bench import biglog, log, measure, report, streams
from tests.bench.peers import (
    CHECKOUT,
    DEFAULT,
    PEERS,
    Ground,
    NotHere,
    Running,
    describe,
    install_litellm,
    started,
)
from tests.bench.processes import Tree, running

BUSY_LOAD = 0.5
OURS = {name for name, peer in PEERS.items() if peer.logs}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where Banister itself could not be started."""
    options = _options(arguments)
    if options.log and options.rows:
        return biglog.main(options.rows, rounds=20, directory=options.directory, to=options.json)
    if options.log:
        return log.main(rounds=options.rounds, seconds=options.seconds, to=options.json)
    console = Console(stderr=True)
    for name in [name for name in os.environ if name.startswith("BANISTER_")]:
        # Settings of another installation, and above all its database, are not ours to use.
        del os.environ[name]
    # Whoever stops us by a signal must not leave a database and four servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    plan = measure.Plan(
        connections=tuple(options.connections),
        rounds=options.rounds,
        seconds=options.seconds,
        slow_seconds=2 * options.seconds,
        low_rate_seconds=options.low_rate_seconds,
    )
    machine = describe()
    if machine["load_average"] > BUSY_LOAD * machine["cores"]:
        console.print(
            f"[yellow]This machine is busy (load {machine['load_average']:.1f} on "
            f"{machine['cores']} cores): compare within this run only.[/]"
        )
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(_progress(console))
        names = _names(options)
        ground = stack.enter_context(_ground(names, options.cache, progress))
        peers = list(_start_all(names, ground, stack, progress, console))
        load = stack.enter_context(measure.load_generator())
        total = streams.turns(peers, plan.rounds) if options.stream else measure.turns(peers, plan)
        task = progress.add_task("measuring", total=total)

        def step(what: str) -> None:
            progress.update(task, description=what, advance=1)

        if options.stream:
            seen = streams.measure_streams(peers, plan.rounds, step, many=options.streams)
            progress.stop()
            out = Console() if sys.stdout.isatty() else Console(width=140)
            out.print(streams.paced_table(seen))
            out.print(streams.many_table(seen, options.streams))
            if options.json:
                options.json.write_text(json.dumps({n: asdict(f) for n, f in seen.items()}))
            return 1 if (OURS & set(names)) - set(seen) else 0
        figures = measure.measure(peers, ground.database, load, plan, step)
    out = Console() if sys.stdout.isatty() else Console(width=140)
    out.print(report.figures_table(figures, plan.connections))
    if (ratios := report.ratio_table(figures, plan.connections[0])) is not None:
        out.print(ratios)
    if (parts := report.parts_table(figures)) is not None:
        out.print(parts)
    out.print(
        f"{machine['cores']} cores, load {machine['load_average']:.1f} at the start; prompts of "
        f"{machine['prompt_words']} and answers of {machine['answer_words']} words; "
        f"{plan.rounds} rounds; {time.monotonic() - began:.0f} s in all."
    )
    if options.json:
        measure.save(options.json, figures, machine, plan)
    return 1 if (OURS & set(names)) - set(figures) else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="banister bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(PEERS), help="measure these alone")
    parser.add_argument(
        "--peers", nargs="+", choices=["litellm"], default=[], help="measure these too"
    )
    parser.add_argument("--stream", action="store_true", help="measure streams instead")
    parser.add_argument(
        "--streams", type=int, default=streams.MANY_STREAMS, help="with --stream: so many at once"
    )
    parser.add_argument("--connections", nargs="+", type=int, default=[16, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one turn of one peer")
    parser.add_argument("--low-rate-seconds", type=float, default=8.0, help="of one turn")
    parser.add_argument("--log", action="store_true", help="only the exchange log, by itself")
    parser.add_argument("--rows", type=int, help="with --log: what pages take on a log of so many")
    parser.add_argument(
        "--directory", type=Path, help="with --rows: a database to make there, and to keep"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--cache",
        type=Path,
        default=CHECKOUT / ".banister" / "bench",
        help="where peers are installed, each in an environment of its own",
    )
    return parser.parse_args(arguments)


def _names(options: argparse.Namespace) -> list[str]:
    names = list(options.only or DEFAULT)
    return names + [name for name in options.peers if name not in names]


def _progress(console: Console) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True)


@contextlib.contextmanager
def _ground(names: Sequence[str], cache: Path, progress: Progress) -> Iterator[Ground]:
    """The mock upstream, and a database where Banister is among the peers."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="banister-bench-")))
        # The embedded server runs as another user when we are root, and must reach its files.
        directory.chmod(0o755)
        port = free_port()
        command = [sys.executable, "-m", "tests.bench.mock", "--port", str(port)]
        log = directory / "mock.txt"
        stack.enter_context(running(command, log=log, cwd=CHECKOUT))
        url, database = "", None
        if OURS & set(names):
            task = progress.add_task("starting a database", total=None)
            server = start_embedded(directory / "database")
            stack.callback(server.stop)
            migrate(server.url)
            url, database = server.url, Tree(server.pid)
            progress.remove_task(task)
        if "litellm" in names:
            task = progress.add_task("installing LiteLLM in an environment of its own", total=None)
            install_litellm(cache)
            progress.remove_task(task)
        while not log.read_text().startswith("ready"):
            time.sleep(0.01)
        yield Ground(directory, port, url, database, cache)


def _start_all(
    names: Sequence[str],
    ground: Ground,
    stack: contextlib.ExitStack,
    progress: Progress,
    console: Console,
) -> Iterator[Running]:
    for name in names:
        task = progress.add_task(f"starting {PEERS[name].title}", total=None)
        try:
            yield stack.enter_context(started(PEERS[name], ground))
        except NotHere as error:
            console.print(f"[yellow]Left out: {error}[/]")
        progress.remove_task(task)


if __name__ == "__main__":
    raise SystemExit(main())
