"""The rounds: each peer in turn under full load, then at a low rate, again and again; medians."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.peers import CHECKOUT, Running
from tests.bench.processes import Memory, Tree, settle, total


class Load:
    """The load generator's process, with the orders that it takes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def order(self, **order: Any) -> None:
        """Send one order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def wait_for(self, event: str) -> dict[str, Any]:
        """The next line, which must tell of `event`."""
        assert self._process.stdout is not None
        line = json.loads(self._process.stdout.readline() or '{"event": "ended"}')
        if line["event"] != event:
            raise RuntimeError(f"the load generator says {line}, not {event!r}")
        return line


@contextmanager
def load_generator() -> Iterator[Load]:
    """A load generator for as long as it is needed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
    )
    try:
        yield Load(process)
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. Times are in seconds."""

    connections: tuple[int, ...] = (16, 64)
    rounds: int = 3
    warmup: float = 0.5
    seconds: float = 2.0
    slow_seconds: float = 4.0
    most_seconds: float = 6.0
    low_rate_seconds: float = 8.0

    def of(self, running: Running) -> float:
        """The measured time of one turn of a peer."""
        return self.slow_seconds if running.peer.slow else self.seconds


@dataclass(slots=True)
class Figures:
    """All that was seen of one peer."""

    title: str
    start_seconds: float | None
    memory_at_start: Memory | None
    memory_under_load: Memory | None = None
    memory_parts: dict[str, Memory] = field(default_factory=dict)
    rates: dict[int, list[float]] = field(default_factory=dict)
    cpu_ms: dict[int, list[float]] = field(default_factory=dict)
    database_cpu_ms: dict[int, list[float]] = field(default_factory=dict)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    answers: int = 0
    errors: int = 0

    def rate(self, connections: int) -> float | None:
        """Requests a second, median of the rounds."""
        return median(self.rates.get(connections, []))

    def cpu(self, connections: int) -> float | None:
        """CPU milliseconds a request, median of the rounds."""
        return median(self.cpu_ms.get(connections, []))

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure(
    peers: Sequence[Running],
    database: Tree | None,
    load: Load,
    plan: Plan,
    step: Callable[[str], None],
) -> dict[str, Figures]:
    """Run all rounds. `step` is told before each turn what comes."""
    figures = {
        r.peer.name: Figures(r.peer.title, r.start_seconds, r.memory_at_start) for r in peers
    }
    for number in range(plan.rounds):
        for running in peers:
            for connections in plan.connections:
                step(f"round {number + 1}: {running.peer.title}, {connections} connections")
                mine = figures[running.peer.name]
                before = database.cpu_seconds() if database else 0.0
                answers = mine.answers
                _full_load(running, connections, load, plan, mine)
                if database and running.peer.logs and mine.answers > answers:
                    cpu = (database.cpu_seconds() - before) * 1e3 / (mine.answers - answers)
                    mine.database_cpu_ms.setdefault(connections, []).append(cpu)
        for group in low_rate_groups(peers):
            names = ", ".join(running.peer.name for running in group)
            step(f"round {number + 1}: {group[0].peer.rate:g} requests/s to {names}")
            _low_rate(group, load, plan, figures)
    return figures


def turns(peers: Sequence[Running], plan: Plan) -> int:
    """How many steps `measure` takes."""
    return plan.rounds * (len(peers) * len(plan.connections) + len(low_rate_groups(peers)))


def low_rate_groups(peers: Sequence[Running]) -> list[list[Running]]:
    """Who is asked at a low rate together: all fast ones in turn, each slow one by itself."""
    fast = [running for running in peers if not running.peer.slow]
    return ([fast] if fast else []) + [[running] for running in peers if running.peer.slow]


def _full_load(
    running: Running, connections: int, load: Load, plan: Plan, figures: Figures
) -> None:
    seconds = plan.of(running)
    load.order(
        kind="closed",
        port=running.port,
        connections=connections,
        warmup=plan.warmup,
        seconds=seconds,
        most=max(seconds, plan.most_seconds),
    )
    load.wait_for("begin")
    before = running.tree.cpu_seconds() if running.tree else None
    seen = load.wait_for("end")
    if running.tree is not None and before is not None:
        cpu = running.tree.cpu_seconds() - before
        parts = running.tree.parts()
        memory = total(parts.values())
        known = figures.memory_under_load
        if known is None or memory.pss_mb > known.pss_mb:
            figures.memory_under_load = memory
            figures.memory_parts = parts
        done = seen["answers"] + seen["errors"]
        if done:
            figures.cpu_ms.setdefault(connections, []).append(cpu * 1e3 / done)
    figures.rates.setdefault(connections, []).append(seen["answers"] / seen["wall_seconds"])
    figures.answers += seen["answers"]
    figures.errors += seen["errors"]
    load.wait_for("drained")
    if running.tree is not None:
        settle(running.tree)


def _low_rate(
    group: Sequence[Running], load: Load, plan: Plan, figures: dict[str, Figures]
) -> None:
    load.order(
        kind="open",
        ports=[running.port for running in group],
        rate=group[0].peer.rate,
        seconds=plan.low_rate_seconds,
    )
    load.wait_for("begin")
    seen = load.wait_for("end")["ports"]
    for running in group:
        one = seen[str(running.port)]
        mine = figures[running.peer.name]
        mine.answers += one["answers"]
        mine.errors += one["errors"]
        if one["p50_ms"] is not None:
            mine.p50_ms.append(one["p50_ms"])
            mine.p99_ms.append(one["p99_ms"])


def median(values: Sequence[float]) -> float | None:
    """None where nothing was seen."""
    return statistics.median(values) if values else None


def save(path: Path, figures: dict[str, Figures], machine: dict[str, Any], plan: Plan) -> None:
    """Write everything that was seen."""
    peers = {name: one.plain() for name, one in figures.items()}
    content = {"machine": machine, "plan": asdict(plan), "peers": peers}
    path.write_text(json.dumps(content, indent=2) + "\n")
