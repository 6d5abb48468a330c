from datetime import UTC, date, datetime, timedelta

import pytest

from dashboards.pages.health import view
from dashboards.system import Database, Process
from monitoring.types import Outcome, Run, Status, Window

NOW = datetime(2026, 11, 23, 7, 40, tzinfo=UTC)
HOUR = timedelta(hours=1)
DATABASE = Database("18.4", 10, 5, 9, 100, date(2026, 11, 30), 0, 0, NOW, 0.1)


def proxy(missing: bool = False, **status) -> Process:
    told = {"ready": True, "upstreams": [{"name": "gpu-1", "breaker": "closed"}], **status}
    return Process("proxy", "a 1", NOW, NOW, missing, told)


def run(name: str = "rates", status: Status = Status.OK, ended: datetime = NOW) -> Run:
    return Run(name, Window(ended - HOUR, ended), Outcome(status, 1, "said"), NOW, NOW)


def troubles(processes, database=DATABASE, runs=None):
    return view(processes, database, [run()] if runs is None else runs, ["rates"], NOW).troubles


def test_where_all_is_well_nothing_needs_a_person():
    page = view([proxy()], DATABASE, [run()], ["rates"], NOW)
    assert (page.troubles, page.ahead_days) == ((), 7)
    assert page.jobs[0].late is False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([],), "No proxy tells of itself"),
        (([proxy(missing=True)],), "has been silent"),
        (([proxy(ready=False)],), "is not ready"),
        (([proxy(upstreams=[{"name": "gpu-2", "breaker": "open"}])],), "does not ask gpu-2"),
        (([proxy(log={"trouble": "the disk is full"})],), "the disk is full"),
        (([proxy()], DATABASE.__class__("1", 1, 1, 1, 1, None, 0, 0, None, None)), "No partition"),
        (([proxy()], DATABASE.__class__("1", 1, 1, 1, 1, date(2026, 12, 1), 3, 2, None, None)),
         "2 records were lost and 3 refused"),
        (([proxy()], DATABASE, [run(status=Status.FAILED)]), "The job rates failed"),
        (([proxy()], DATABASE, [run(ended=NOW - 4 * HOUR)]), "stands still"),
        (([proxy()], DATABASE, []), "stands still"),
    ],
)  # fmt: skip
def test_each_trouble_is_named(arguments, said):
    assert any(said in one for one in troubles(*arguments))
