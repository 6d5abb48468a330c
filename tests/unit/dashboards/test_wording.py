import pytest

from dashboards.wording import milliseconds_of, percent, percent_interval, seconds_of, share_of


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (0.0004, "0.0004"), (0.2511, "0.251"), (1.5, "1.50"), (2345.6, "2,346")],
)
def test_seconds(seconds, words):
    assert seconds_of(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0002, "0.2 ms"), (0.25, "250 ms"), (3.456, "3.46 s")]
)
def test_milliseconds(seconds, words):
    assert milliseconds_of(seconds).replace("\N{NO-BREAK SPACE}", " ") == words


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0 %"), (1, "100 %"), (0.0004, "0.04 %"), (0.0619, "6.2 %"), (0.9996, "100.0 %")],
)
def test_percent(share, words):
    assert percent(share).replace("\N{NO-BREAK SPACE}", " ") == words


def test_interval_of_a_share_and_none_of_nothing():
    assert percent_interval(81, 263).replace("\N{NO-BREAK SPACE}", " ") == "25.5–36.6 %"
    with pytest.raises(ValueError, match="nothing"):
        percent_interval(0, 0)


def test_a_share_of_nothing_is_no_data():
    assert (share_of(1, 4), share_of(0, 0)) == ("25.0\xa0%", "no data")
