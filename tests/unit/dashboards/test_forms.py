"""What forms ask for alike."""

from __future__ import annotations

import pytest
from starlette.datastructures import FormData

from dashboards.forms import REASON_CHARACTERS, reason_of
from guardrails.errors import BadRequest


def test_a_reason_is_taken_without_its_edges():
    assert reason_of(FormData({"why": "  It is due. "})) == "It is due."


@pytest.mark.parametrize("form", [{}, {"why": "  "}, {"why": "x" * (REASON_CHARACTERS + 1)}])
def test_a_missing_or_endless_reason_is_refused(form):
    with pytest.raises(BadRequest, match="Say why"):
        reason_of(FormData(form))
