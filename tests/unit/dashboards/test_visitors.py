import pytest

from dashboards.visitors import ROLES, Visitor


@pytest.mark.parametrize("has", ROLES)
@pytest.mark.parametrize("asked", ROLES)
def test_a_role_may_what_those_below_it_may(has, asked):
    assert Visitor("ada", has, "session").may(asked) == (ROLES.index(has) >= ROLES.index(asked))


def test_who_sees_some_tenants_sees_only_pages_that_keep_them_apart():
    all_, some = Visitor("a", "viewer", "key"), Visitor("b", "admin", "session", ("acme",))
    assert all_.sees(scoped=False) and some.sees(scoped=True)
    assert not some.sees(scoped=False)
