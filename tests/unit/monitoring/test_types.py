from datetime import UTC, datetime

import msgspec

from monitoring.types import Figure, Outcome, Run, Status, Window

NOW = datetime(2026, 11, 23, 7, 40, tzinfo=UTC)


def test_outcome_survives_its_record():
    figure = Figure("block rate", None, "share", 3, Status.NO_DATA, note="too few")
    outcome = Outcome(Status.NO_DATA, 3, "3 exchanges", (figure,))
    assert msgspec.convert(msgspec.to_builtins(outcome), Outcome) == outcome


def test_run_has_the_status_of_its_outcome():
    run = Run("rates", Window(NOW, NOW), Outcome(Status.DRIFT, 1, ""), NOW, NOW)
    assert run.status is Status.DRIFT
