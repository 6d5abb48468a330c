from __future__ import annotations

import pytest

from guardrails.exchange_log.filters import Filter
from guardrails.exchange_log.own_traffic import OWN_TENANT


@pytest.mark.parametrize(
    ("wanted", "rare"),
    [
        (Filter(), False),
        (Filter(decision="block"), False),
        (Filter(tenant="acme", tenants=("acme",)), False),
        (Filter(tenants=("acme",)), False),
        (Filter(failed=False), False),
        (Filter(failed=True), True),
        (Filter(tenant="acme", decision="block"), True),
        (Filter(tenants=("acme", "globex")), True),
        (Filter(tenants=()), True),
        (Filter(tenants=("acme",), decision="block"), True),
    ],
)
def test_rows_may_be_rare_where_no_single_index_leads_to_them(wanted: Filter, rare: bool):
    assert wanted.may_be_rare is rare


def test_our_own_audits_are_asked_for_unless_other_tenants_are_named():
    assert Filter().with_own
    assert Filter(tenants=("acme", OWN_TENANT)).with_own
    assert Filter(tenant=OWN_TENANT).with_own
    assert not Filter(tenant="acme").with_own
    assert not Filter(tenants=("acme",)).with_own


def test_each_thing_asked_for_is_a_condition():
    whole = Filter("block", "default", "m", "acme", ("acme",), True)
    assert len(whole.of_rows()) == 7
    assert len(whole.of_hours()) == 7
    assert Filter().of_rows() == []
