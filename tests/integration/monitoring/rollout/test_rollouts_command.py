"""`banister rollouts` as an operator types it, over a real Postgres."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from guardrails.database.url import libpq_url
from monitoring.rollout.command import rollouts

WHY = ("--who", "ada", "--why", "it answers better")


@pytest.fixture
def banister(postgres_url, monkeypatch, tmp_path):
    monkeypatch.setenv("BANISTER_DATABASE_URL", postgres_url)
    monkeypatch.setenv("BANISTER_VERSIONS_DIR", str(tmp_path / "versions"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(rollouts, arguments)

    return run


def said(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.output


def test_a_rollout_is_started_held_and_ended_with_who_and_why(banister):
    assert "no rollouts" in said(banister("list"))
    refused = banister("start", "small@2", *WHY)
    assert "--champion" in str(refused.exception)
    assert "1% of conversations" in said(
        banister("start", "small@2", "--champion", "small@1", *WHY)
    )
    assert "is paused: 1%" in said(banister("pause", "small", *WHY))
    assert "is running: 1%" in said(banister("resume", "small", *WHY))
    assert "is promoted: 100%" in said(banister("promote", "small", *WHY))
    assert "is rolled_back: 0%" in said(banister("rollback", "small", *WHY))
    shown = said(banister("show", "small"))
    assert [w for w in ("started", "paused", "resumed", "promoted", "rolled_back") if w in shown]
    assert "it answers better" in shown
    listed = said(banister("list"))
    assert "small@2" in listed
    assert "ada" in listed
    # The next one needs no champion: it is known who serves.
    assert "small@3" in said(banister("start", "small@3", *WHY))
    again = banister("start", "small@4", *WHY)
    assert "is open" in str(again.exception)


def test_a_reason_is_needed(banister):
    assert banister("start", "small@2", "--champion", "small@1").exit_code == 2


def test_a_plan_of_ones_own_is_read_and_checked(banister, tmp_path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("steps: [{share: 0.2, seconds: 1, conversations: 5}]\nfalse_rollback: 0.05\n")
    bad.write_text("steps: [{share: 2, seconds: 1, conversations: 5}]\n")
    options = ("--champion", "small@1", *WHY, "--plan")
    assert "is no plan" in str(banister("start", "small@2", *options, str(bad)).exception)
    assert "20%" in said(banister("start", "small@2", *options, str(good)))
    assert "0 of 5 conversations" in said(banister("show", "small"))


def test_a_rollout_that_is_not_there_is_told(banister):
    assert "0 rollouts are called 'nope'" in str(banister("show", "nope").exception)


def test_which_version_answered_at_a_time(banister, postgres_url):
    before = f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}"
    assert "No model had a rollout" in said(banister("at", before))
    said(banister("start", "small@2", "--champion", "small@1", *WHY))
    now = datetime.now(UTC) + timedelta(seconds=1)
    shown = said(banister("at", f"{now:%Y-%m-%dT%H:%M:%S}"))
    assert "small@1  99%" in shown
    assert "small@2  1%" in shown
    with psycopg.connect(libpq_url(postgres_url), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO exchanges (id, started_at, protocol, route, tenant, stream,"
            " gen_ai_operation_name, gen_ai_request_model, decision, abandoned, policy_version,"
            " attempts, seconds, request, inputs, outputs, passages, citations, checks, reasons,"
            " uncovered, bytes, upstream_model) VALUES (gen_random_uuid(), %s, 'chat', 'default',"
            " 't', false, 'chat', 'other', 'allow', false, 'p@1', 1, '{}', '{}', '[]', '[]', '[]',"
            " '[]', '[]', '[]', '[]', 1, 'other@7')",
            (now,),
        )
    assert "the settings" in said(banister("at", f"{now:%Y-%m-%dT%H:%M:%S}"))


def test_the_simulation_says_how_often_it_is_wrong(banister):
    shown = said(banister("simulate", "--trials", "1"))
    assert "alike" in shown
    assert "every request fails" in shown


def test_registered_weights_are_linked_when_a_rollout_begins(banister, postgres_url, tmp_path):
    weights = tmp_path / "runs" / "adapter"
    weights.mkdir(parents=True)
    with psycopg.connect(libpq_url(postgres_url), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO model_versions (id, model, version, kind, stage, weights_uri,"
            " weights_sha256, evaluation, lineage, registered_at) VALUES (gen_random_uuid(),"
            " 'small', '2', 'language_model', 'registered', %s, %s, '{}', '{}', now())",
            (weights.as_uri(), "0" * 64),
        )
    said(banister("start", "small@2", "--champion", "small@1", *WHY))
    link: Path = tmp_path / "versions" / "small@2"
    assert link.resolve() == weights
