"""What monitoring found in a seeded installation, and what was decided: alerts, runs, rollouts."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
from playwright.async_api import Page
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

import guardrails
from guardrails.database import make_engine
from guardrails.exchange_log.alert_tables import alert_events, alerts
from guardrails.exchange_log.report_tables import drift_reports
from guardrails.policy.model import parse_policy
from monitoring import policies, runs
from monitoring.alerts import records as alert_records
from monitoring.alerts.types import Evidence, Matcher, Severity, State
from monitoring.bias import audits
from monitoring.report import records as reports
from monitoring.retraining import registry
from monitoring.retraining import runs as retraining
from monitoring.rollout import records as rollouts
from monitoring.rollout.evidence import Evidence as Seen
from monitoring.types import Figure, Outcome, Run, Status, Window
from tests.factories import make_id

DETAILS = {
    "alert": ("/alerts", "a[href^='/alerts/']", ""),
    "policy": ("/policies", "dl a[href^='/policies/'] >> nth=-1", ""),
    "draft": ("/policies", "a[href^='/policies/drafts/']", ""),
    "replay": ("/policies", "dl a[href^='/policies/'] >> nth=-1", "/replay?sweep=toxicity"),
    "rollout": ("/models", "a[href^='/models/rollouts/']", ""),
    "run": ("/retraining", "a[href^='/retraining/']", ""),
}
"""Pages that are reached by links only: where the first such link stands, and what comes after."""

DAY = timedelta(days=1)
POLICY = Path(guardrails.__file__).parent / "policy" / "default.yaml"


async def path_of(page: Page, base: str, name: str) -> str:
    """The address of one of DETAILS below `base`."""
    path, link, more = DETAILS[name]
    await page.goto(base + path)
    found = await page.locator(link).first.get_attribute("href")
    return str(found).split("?")[0] + more


async def find(url: str, now: datetime) -> None:
    """Write all of it, as if some weeks had passed."""
    engine = make_engine(url)
    alert = await _alerts(engine, now)
    await _drift(engine, now)
    await _bias(engine, now)
    await _policies(engine)
    await _retraining(engine, now, alert)
    await _rollouts(engine, now)
    monday = (now - timedelta(days=now.weekday() + 7)).date()
    await reports.keep(
        engine, monday, frozen={}, html=b"<p>The week.</p>", pdf=b"%PDF", sha256="5e" * 32, now=now
    )
    await engine.dispose()


async def _alerts(engine: AsyncEngine, now: datetime) -> object:
    figure = Figure("block rate", 0.081, "share", 1_204, Status.DRIFT, 0.067, 0.098, 0.041,
                    "since 24 Nov; strength 2.4")  # fmt: skip
    found = (
        (Severity.CRITICAL, State.FIRING, "the block rate of route support doubled",
         {"metric": "block", "route": "support"}, 5, True),
        (Severity.WARNING, State.ACKNOWLEDGED, "5 % of the prompts are of a new kind",
         {"metric": "novelty"}, 20, False),
        (Severity.WARNING, State.RESOLVED, "score drift did not run", {"job": "score_drift"}, 60,
         False),
    )  # fmt: skip
    ids = []
    for severity, state, summary, labels, hours, escalated in found:
        began = now - timedelta(hours=hours)
        evidence = Evidence(
            (figure,), began - DAY, began, began - DAY, tuple(make_id(began) for _ in range(3)),
            (f"banister monitor rate_drift --at {began:%Y-%m-%dT%H:%M}",), ("/drift",),
        )  # fmt: skip
        row = {
            "id": uuid4(), "key": summary, "job": "rate_drift", "severity": severity.value,
            "state": state.value, "labels": labels, "summary": summary,
            "evidence": msgspec.to_builtins(evidence), "started_at": began, "updated_at": began,
            "acknowledged_by": "ada" if state is State.ACKNOWLEDGED else None,
            "acknowledged_at": began if state is State.ACKNOWLEDGED else None,
            "resolved_at": now if state is State.RESOLVED else None,
            "escalated_at": began if escalated else None,
        }  # fmt: skip
        event = {"alert_id": row["id"], "at": began, "kind": "fired", "who": "monitor"}
        async with engine.begin() as connection:
            await connection.execute(insert(alerts).values(row))
            await connection.execute(insert(alert_events).values(**event, detail={}))
        ids.append(row["id"])
    night = now + timedelta(hours=8)
    matcher = Matcher("metric", "=", "novelty")
    await alert_records.silence(engine, [matcher], now, night, "ada", "A campaign runs until noon.")
    return ids[0]


async def _drift(engine: AsyncEngine, now: datetime) -> None:
    moved = Figure("block rate on all", 0.08, "share", 1_204, Status.DRIFT, 0.06, 0.1, 0.04,
                   "since 24 Nov; strength 2.4")  # fmt: skip
    for job, figures in (("rate_drift", (moved,)), ("score_drift", ()), ("prompt_drift", ())):
        for number in range(21):
            window = Window(now - (number + 1) * DAY, now - number * DAY)
            drifts = number < 2 and bool(figures)
            status = Status.DRIFT if drifts else Status.NO_DATA if number > 15 else Status.OK
            own = figures if drifts else ()
            if job == "prompt_drift" and not number:
                ids = ", ".join(make_id(now) for _ in range(3))
                note = f"seen from {window.start:%Y-%m-%d %H:%M} UTC; {ids}"
                own = (Figure("cluster 1", 47, "prompts", 1_000, note=note),)
            outcome = Outcome(status, 1_204, "block on all since 24 Nov" if drifts else "calm", own)
            await runs.record(engine, Run(job, window, outcome, now, now))
    row = {"job": "score_drift", "window_start": now - DAY, "window_end": now, "bytes": 4_000_000,
           "html": gzip.compress(b"<p>Evidently</p>"), "seconds": 21.0}  # fmt: skip
    async with engine.begin() as connection:
        await connection.execute(insert(drift_reports).values(row))


async def _bias(engine: AsyncEngine, now: datetime) -> None:
    week = Window(now - 7 * DAY, now)
    seen = (("group gender:women", 2_210, 0.031), ("group religion:muslims", 640, 0.058),
            ("language de", 1_480, 0.029), ("language en", 6_020, 0.027))  # fmt: skip
    figures = [
        Figure(f"{rate} rate of {name}", share * times, "share", n, Status.OK,
               0.8 * share * times, 1.25 * share * times)
        for rate, times in (("block", 1.0), ("flag", 1.9), ("toxicity", 0.7))
        for name, n, share in seen
    ]  # fmt: skip
    gap = "block gap of group religion:muslims"
    note = "the rest: 262 of 9,710; p = 0.0004 after Holm's correction for 12 gaps"
    figures.append(Figure(gap, 0.031, "points", 640, Status.DRIFT, 0.014, 0.052, 0.01, note))
    outcome = Outcome(Status.DRIFT, 10_350, "12 gaps judged, 4 with too few exchanges",
                      tuple(figures))  # fmt: skip
    await runs.record(engine, Run("bias_rates", week, outcome, now, now))
    found = (Figure("toxicity, paired", 0.004, "points", 60, Status.OK, -0.01, 0.02),)
    await audits.keep(engine, week, "assistant-small", "gender", [], [], found, Status.OK)


async def _policies(engine: AsyncEngine) -> None:
    source = POLICY.read_text()
    stricter = parse_policy(source.replace("action: flag", "action: block", 1), None)
    async with engine.begin() as connection:
        why = "The reviewed defaults."
        await policies.release(
            connection, "enforce", parse_policy(source, None), who="ada", why=why
        )
    async with engine.begin() as connection:
        why = "A week beside the one in force before it acts."
        await policies.release(connection, "shadow", stricter, who="grace", why=why)
        await policies.begin_draft(connection, stricter.source, who="grace")


async def _retraining(engine: AsyncEngine, now: datetime, alert: object) -> None:
    began = now - timedelta(hours=2)
    asked = retraining.Asked("by hand", "assistant-small", "Prompts moved to a new topic.",
                             "monitor", parameters={"steps": 200, "batch": 4})  # fmt: skip
    run = (await retraining.open_run(engine, asked, now=began)).run
    assert run is not None
    await retraining.approve(engine, run.id, "ada", "The alert is real.", now=began)
    await retraining.begin_step(engine, run.id, "prepare", now=began)
    result = {"rows": 412, "dataset_sha256": "ab" * 32, "held_out": 42}
    end = began + timedelta(seconds=96)
    await retraining.end_step(engine, run.id, "prepare", now=end, result=result)
    await retraining.begin_step(engine, run.id, "tune", now=end)


async def _rollouts(engine: AsyncEngine, now: datetime) -> None:
    began = now - timedelta(hours=7)
    for version in ("1", "2"):
        new = registry.NewVersion(
            model="assistant-small", version=version, kind="language_model",
            weights_uri=f"file:///models/{version}", weights_sha256=version * 64, evaluation={},
            lineage={}, template_hash="feedc0ffee00", dataset_sha256="ab" * 32,
        )  # fmt: skip
        await registry.register(engine, new, now=began)
    made = await rollouts.start(
        engine, model="assistant-small", champion="assistant-small@1",
        candidate="assistant-small@2", who="ada", why="It answers the new topic.", now=began,
    )  # fmt: skip
    seen = Seen(
        totals={"block": (3, 210, 40, 3_900), "error": (1, 210, 12, 3_900),
                "slow": (20, 210, 390, 3_900)},
        log_won={"block": [0.4] * 4, "error": [-0.1] * 4, "slow": [0.2] * 4},
        seen=130, checked=130,
    )  # fmt: skip
    async with engine.begin() as connection:
        await rollouts.keep_evidence(connection, made.id, msgspec.to_builtins(seen))
