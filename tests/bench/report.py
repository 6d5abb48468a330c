"""The table: what each peer does, what it adds, and how many times better or worse that is."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from rich.table import Table

from tests.bench.measure import Figures, median
from tests.bench.processes import Memory


def figures_table(figures: Mapping[str, Figures], connections: Sequence[int]) -> Table:
    """One row a peer."""
    table = Table(title="Not streamed, medians of the rounds")
    table.add_column("", no_wrap=True)
    columns = [f"req/s at {count}" for count in connections]
    columns += [f"CPU ms/req at {connections[0]}", "database's"]
    columns += ["added p50 ms", "p99 ms", "first answer s", "MB start → load", "errors"]
    for column in columns:
        table.add_column(column, justify="right")
    direct = figures.get("direct")
    for one in figures.values():
        table.add_row(
            one.title,
            *(_number(one.rate(count), ",.0f") for count in connections),
            _number(one.cpu(connections[0]), ".3f"),
            _number(median(one.database_cpu_ms.get(connections[0], [])), ".3f"),
            _number(added(one.p50_ms, direct.p50_ms if direct else []), ".2f"),
            _number(added(one.p99_ms, direct.p99_ms if direct else []), ".2f"),
            _number(one.start_seconds, ".1f"),
            _memory(one.memory_at_start, one.memory_under_load),
            str(one.errors),
        )
    return table


def ratio_table(figures: Mapping[str, Figures], connections: int) -> Table | None:
    """How Banister stands to the others; None where there is nobody to compare with."""
    ours = [name for name in ("off", "patterns", "full") if name in figures]
    table = Table(title=f"Ratios at {connections} connections")
    table.add_column("")
    for name in ours:
        table.add_column(figures[name].title, justify="right")
    rows: list[tuple[str, list[float | None]]] = []
    if "nginx" in figures:
        base = figures["nginx"].cpu(connections)
        rows.append(
            (
                "CPU a request, times nginx's",
                [_ratio(figures[n].cpu(connections), base) for n in ours],
            )
        )
    if "litellm" in figures:
        base = figures["litellm"].rate(connections)
        rows.append(
            ("req/s, times LiteLLM's", [_ratio(figures[n].rate(connections), base) for n in ours])
        )
    if "off" in figures and len(ours) > 1:
        base = figures["off"].rate(connections)
        rows.append(
            (
                "req/s, times those without a rule",
                [_ratio(figures[n].rate(connections), base) for n in ours],
            )
        )
    if not rows or not ours:
        return None
    for title, values in rows:
        table.add_row(title, *(_number(value, ".2f") for value in values))
    return table


def parts_table(figures: Mapping[str, Figures]) -> Table | None:
    """What each process of a peer holds under load; None where all are alone."""
    table = Table("", "process", title="Memory under load (PSS, MB)")
    table.add_column("", justify="right")
    for one in figures.values():
        if len(one.memory_parts) > 1:
            for name, memory in one.memory_parts.items():
                table.add_row(one.title, name, _number(memory.pss_mb, ".0f"))
    return table if table.row_count else None


def added(mine: Sequence[float], direct: Sequence[float]) -> float | None:
    """Median over the rounds of what came on top of the direct way."""
    if not mine or not direct:
        return None
    return statistics.median(mine) - statistics.median(direct)


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _memory(start: Memory | None, load: Memory | None) -> str:
    if start is None:
        return ""
    return f"{start.pss_mb:.0f} → {load.pss_mb:.0f}" if load else f"{start.pss_mb:.0f}"
