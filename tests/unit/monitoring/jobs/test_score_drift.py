import pytest

from monitoring.drift.evidently_report import ColumnDrift
from monitoring.jobs.score_drift import judge
from monitoring.types import Status

STILL = ColumnDrift("a", 0.04, 4000, 600)
MOVED = ColumnDrift("b", 0.1, 4000, 600)
FEW = ColumnDrift("c", None, 4000, 12, "12 rows", too_few=True)
BROKEN = ColumnDrift("d", None, 4000, 600, "ValueError: no")


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ([], Status.NO_DATA),
        ([FEW], Status.NO_DATA),
        ([STILL], Status.OK),
        ([STILL, FEW], Status.OK),
        ([STILL, MOVED, FEW], Status.DRIFT),
        ([STILL, BROKEN], Status.FAILED),
        ([MOVED, BROKEN], Status.DRIFT),
    ],
)
def test_status_of_the_whole(columns: list[ColumnDrift], status: Status):
    assert judge(columns, 600).status is status


def test_what_was_not_measured_is_named():
    outcome = judge([STILL, MOVED, FEW, BROKEN], 600)
    assert outcome.message == (
        "2 labels measured, 1 drifted; b; 1 with too few rows (each side needs 500); "
        "not measured because of a fault: d"
    )
    assert [figure.status for figure in outcome.figures] == [
        Status.OK,
        Status.DRIFT,
        Status.NO_DATA,
        Status.FAILED,
    ]
