"""`banister check TEXT`: what do the detectors measure in it, and what does the policy decide?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table

from guardrails.checks import Checker
from guardrails.detectors import askers_of, cascades_of, finders_of
from guardrails.grounding import cite
from guardrails.inference.client import InferenceClient
from guardrails.launch.addresses import answers, inference_socket
from guardrails.launch.children import Children
from guardrails.launch.programs import Programs
from guardrails.policy.decide import Ruling
from guardrails.policy.model import Policy, read_policy
from guardrails.settings import Settings
from guardrails.types import Caller, Check, Segment, Stage, Verdict

ROLES = {Stage.INPUT: "user", Stage.OUTPUT: "assistant", Stage.TOOL_CALL: "assistant"}
ROLES |= {Stage.TOOL_RESULT: "tool"}
SECONDS = 60.0
STYLES = {"allow": "green", "flag": "yellow", "redact": "magenta", "block": "red"}


@click.command()
@click.argument("text")
@click.option(
    "--stage",
    type=click.Choice([stage.value for stage in Stage]),
    default=Stage.INPUT.value,
    show_default=True,
    help="Where in an exchange the text stands.",
)
@click.option("--route", default="default", show_default=True)
def check(text: str, stage: str, route: str) -> None:
    """Score TEXT with the detectors of the policy, and show what each rule would do."""
    settings = Settings()
    segment = Segment(Stage(stage), ROLES[Stage(stage)], 0, (), text)
    console = Console()
    with console.status("loading the detectors"):
        ruling, checks, verdict = asyncio.run(_judge(settings, segment, route))
    console.print(_table(ruling.policy, checks, verdict, segment.stage))
    action = verdict.action.value
    console.print(f"{ruling.label}: [bold {STYLES[action]}]{action}[/]")


async def _judge(
    settings: Settings, segment: Segment, route: str
) -> tuple[Ruling, Sequence[Check], Verdict]:
    """Run the policy's detectors on one text; the worker of a running Banister serves this too."""
    socket = inference_socket(settings.data_dir)
    children = Children(lambda sentence: None)
    try:
        if not answers(socket):
            await children.start(Programs(settings).inference())
        client = InferenceClient(socket)
        askers = askers_of(settings.detectors)
        try:
            checker = Checker(
                finders_of(settings.detectors),
                client,
                askers=askers,
                cascades=cascades_of(settings.detectors),
                now=time.perf_counter,
            )
            await checker.start()
            return await _decide(settings, checker, segment, route)
        finally:
            for asker in askers.values():
                await asker.aclose()
            await client.close()
    finally:
        await children.stop()


async def _decide(
    settings: Settings, checker: Checker, segment: Segment, route: str
) -> tuple[Ruling, Sequence[Check], Verdict]:
    side = Stage.INPUT if segment.stage in (Stage.INPUT, Stage.TOOL_RESULT) else Stage.OUTPUT
    known = {**checker.known, cite.DETECTOR: cite.LABELS}
    ruling = Ruling(read_policy(settings.policy, known))
    # Groundedness is measured against passages, and a text alone has none.
    wanted = ruling.detectors(route, Caller(), [segment]) - {cite.DETECTOR}
    checks = await checker.run(wanted, [segment], side, timeout_seconds=SECONDS)
    verdict = ruling.decide(checks, [segment], side=side, route=route, caller=Caller())
    return ruling, checks, verdict


def _table(policy: Policy, checks: Sequence[Check], verdict: Verdict, stage: Stage) -> Table:
    """One row a label: its score, where it was found, and what the rules on it ask for."""
    fired = {(reason.detector, reason.label): reason for reason in verdict.reasons}
    table = Table("detector", "label", "score", "rule", "asks for", box=None, header_style="dim")
    for check in checks:
        if check.error:
            table.add_row(check.detector, "", "[red]failed[/red]", check.error)
        scores = {d.label: d.score for d in sorted(check.detections, key=lambda d: d.score)}
        for label, score in sorted(scores.items(), key=lambda row: -row[1]):
            reason = fired.get((check.detector, label))
            rules = [
                f"{rule.action.value} at {rule.threshold:g}"
                for rule in policy.rules
                if (rule.detector, rule.label) == (check.detector, label) and stage in rule.stage
            ]
            asks = f"[{STYLES[reason.action.value]}]{reason.action.value}[/]" if reason else ""
            table.add_row(check.detector, label, f"{score:.3f}", ", ".join(rules), asks)
    return table
