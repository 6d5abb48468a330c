"""A draft and what is wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from dashboards.pages.policy_drafts import view
from monitoring.policies import Draft

AT = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("name: house\nrules: []\n", None),
        ("name: [house\n", "not valid"),
        ("name: House!\nrules: []\n", "name"),
        ("", "not valid"),
    ],
)
def test_a_draft_is_usable_or_says_why_not(source, fault):
    page = view(Draft(UUID(int=1), source, "ada", AT, "ben", AT))
    assert (page.policy is None) == (fault is not None)
    assert fault is None or fault in page.fault
