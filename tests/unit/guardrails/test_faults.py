from __future__ import annotations

from guardrails.faults import fault_of


def test_a_fault_is_named_by_its_kind_and_place_and_never_by_its_message() -> None:
    try:
        {}["secret text of the caller"]
    except KeyError as error:
        assert fault_of(error) == "KeyError at test_faults.py:8"


def test_a_fault_that_was_never_raised_has_no_place() -> None:
    assert fault_of(ValueError("secret")) == "ValueError"
