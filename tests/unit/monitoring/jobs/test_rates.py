import pytest

from monitoring.frames import Outcomes
from monitoring.jobs.rates import MIN_EXCHANGES, RATES, judge
from monitoring.types import Status


def test_rates_come_with_their_n_and_interval():
    outcome = judge(Outcomes(n=200, flag=10, redact=0, block=8, failed=2, check_failed=1))
    assert outcome.status is Status.OK
    assert outcome.n == 200
    block = outcome.figures[0]
    assert (block.name, block.value, block.unit, block.n) == ("block rate", 0.04, "share", 200)
    assert (block.low, block.high) == pytest.approx((0.0204, 0.0769), abs=5e-5)
    assert [figure.name for figure in outcome.figures] == [f"{name} rate" for name in RATES]


def test_rate_of_nothing_found_still_has_an_upper_bound():
    redact = judge(Outcomes(n=200, flag=0, redact=0, block=0, failed=0, check_failed=0)).figures[2]
    assert redact.value == 0
    assert redact.high == pytest.approx(0.0188, abs=5e-5)


@pytest.mark.parametrize("n", [0, MIN_EXCHANGES - 1])
def test_too_few_exchanges_are_no_data_and_never_zero(n: int):
    outcome = judge(Outcomes(n=n, flag=0, redact=0, block=0, failed=0, check_failed=0))
    assert outcome.status is Status.NO_DATA
    assert all(figure.value is None for figure in outcome.figures)
    assert all(figure.status is Status.NO_DATA for figure in outcome.figures)
