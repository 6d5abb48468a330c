"""How do runs and versions look on a terminal?"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from monitoring.retraining.plan import STEPS
from monitoring.retraining.registry import ModelVersion
from monitoring.retraining.runs import RetrainingRun

_STYLES = {"succeeded": "green", "failed": "bold red", "refused": "red", "waiting": "yellow"}


def runs_table(found: Sequence[RetrainingRun]) -> Table:
    """One line a run, newest first."""
    table = Table("run", "opened", "model", "state", "step", "reason", box=None)
    for run in found:
        last = next((step for step in reversed(STEPS) if step in run.steps), "")
        table.add_row(
            str(run.id),
            f"{run.created_at:%Y-%m-%d %H:%M}",
            run.model,
            _state(run),
            last,
            escape(run.outcome or run.reason),
        )
    return table


def versions_table(found: Sequence[ModelVersion]) -> Table:
    """One line a version, newest first."""
    table = Table("version", "kind", "stage", "registered", "dataset", "weights", box=None)
    for one in found:
        table.add_row(
            one.name,
            one.kind,
            one.stage,
            f"{one.registered_at:%Y-%m-%d %H:%M}",
            (one.dataset_sha256 or "")[:12],
            one.weights_sha256[:12],
        )
    return table


def run_table(run: RetrainingRun) -> Group:
    """One run with its steps, and its gates once they are judged."""
    head = Table(box=None, show_header=False)
    for name, value in (
        ("run", str(run.id)),
        ("model", run.model),
        ("state", _state(run)),
        ("reason", escape(run.reason)),
        ("opened", f"{run.created_at:%Y-%m-%d %H:%M:%S} by {run.opened_by}"),
        ("decided", _decision(run)),
        ("outcome", escape(run.outcome or "")),
    ):
        if value:
            head.add_row(name, value)
    steps = Table("step", "state", "attempts", "seconds", "error", box=None)
    for name in STEPS:
        step = run.steps.get(name)
        if step is None:
            continue
        took = (
            ""
            if step.finished_at is None
            else f"{(step.finished_at - step.started_at).total_seconds():.1f}"
        )
        steps.add_row(name, step.state, str(step.attempts), took, escape(step.error or ""))
    parts = [head, steps]
    if gates := (run.steps["evaluate"].result.get("gates") if "evaluate" in run.steps else None):
        parts.append(_gates(gates))
    return Group(*parts)


def _gates(gates: Sequence[dict[str, object]]) -> Table:
    table = Table("gate", "difference", "95 % interval", "threshold", "n", "", box=None)
    for gate in gates:
        table.add_row(
            str(gate["name"]),
            _number(gate["value"]),
            f"{_number(gate['low'])} to {_number(gate['high'])}",
            _number(gate["threshold"]),
            str(gate["n"]),
            "[green]passed[/green]" if gate["passed"] else "[bold red]failed[/bold red]",
        )
    return table


def _number(value: object) -> str:
    return f"{value:+.3f}" if isinstance(value, int | float) else "no result"


def _state(run: RetrainingRun) -> str:
    style = _STYLES.get(run.state)
    return f"[{style}]{run.state}[/{style}]" if style else run.state


def _decision(run: RetrainingRun) -> str:
    if run.approver is None or run.decided_at is None:
        return ""
    why = escape(run.decision_reason or "")
    return f"by {run.approver} at {run.decided_at:%Y-%m-%d %H:%M:%S}: {why}"
