from datetime import UTC, datetime, timedelta

from dashboards.pages.monitoring import Number, view
from monitoring.types import Figure, Outcome, Run, Status, Window

NOW = datetime(2026, 11, 23, 7, 40, tzinfo=UTC)
HOUR = timedelta(hours=1)


def run(job: str = "rates", *, ended: datetime = NOW, **figure) -> Run:
    fields = {"name": "block rate", "value": 0.04, "unit": "share", "n": 200, **figure}
    outcome = Outcome(Status.OK, 1200, "blocked 8 of 200", (Figure(**fields),))
    return Run(job, Window(ended - HOUR, ended), outcome, NOW - timedelta(seconds=2), NOW)


def test_latest_run_shows_status_n_window_and_figures():
    (latest,) = view([run(low=0.02, high=0.077)], [], ["rates"], NOW).latest
    assert (latest.job, latest.status, latest.n, latest.seconds) == ("rates", "OK", "1,200", 2)
    assert latest.window == Window(NOW - HOUR, NOW)
    assert latest.late is None
    (number,) = latest.figures
    assert number.value.split() == ["4.0", "%"]
    assert number.interval == "2.0–7.7 %"


def test_figure_without_data_has_no_value():
    page = view([run(value=None, status=Status.NO_DATA, n=3)], [], [], NOW)
    assert page.latest[0].figures == (Number("block rate", None, "", "", "3", "NO_DATA", ""),)


def test_distance_is_shown_with_its_unit_and_threshold():
    figure = {"name": "a/b", "value": 0.1234, "unit": "distance", "threshold": 0.1}
    number = view([run(**figure)], [], [], NOW).latest[0].figures[0]
    assert (number.value, number.threshold) == ("0.123 distance", "0.1")


def test_job_that_never_ran_is_named():
    assert view([run()], [], ["partitions", "rates"], NOW).never == ("partitions",)


def test_schedule_that_stands_still_is_noticed():
    assert view([run(ended=NOW - 3 * HOUR)], [], [], NOW).latest[0].late is None
    assert view([run(ended=NOW - 5 * HOUR)], [], [], NOW).latest[0].late == "5 hours"
    assert view([run(ended=NOW - 100 * HOUR)], [], [], NOW).latest[0].late == "4 days"
