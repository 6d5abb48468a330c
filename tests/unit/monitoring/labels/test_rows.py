from datetime import UTC, datetime

import pytest

from monitoring.labels.rows import MEASURED, labels_of
from monitoring.reviews import Label


def said(harmful: bool | None, *labels: str) -> Label:
    return Label("ada", harmful, labels, None, datetime(2026, 11, 23, tzinfo=UTC))


@pytest.mark.parametrize(
    ("votes", "known"),
    [
        ([said(False)], dict.fromkeys(MEASURED, 0)),
        ([said(True, "toxicity")], {**dict.fromkeys(MEASURED, 0), "toxicity": 1}),
        ([said(None)], {}),
        ([], {}),
        ([said(False), said(None)], dict.fromkeys(MEASURED, 0)),
        (
            [said(True, "toxicity"), said(False)],
            {name: 0 for name in MEASURED if name != "toxicity"},
        ),
        ([said(True, "other")], dict.fromkeys(MEASURED, 0)),
    ],
)
def test_a_label_is_known_where_the_reviewers_agree(votes: list[Label], known: dict[str, int]):
    assert labels_of(votes) == known
