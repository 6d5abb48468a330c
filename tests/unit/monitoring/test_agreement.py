import pytest

from monitoring.agreement import Agreement, agreement


def test_perfect_agreement_is_one_and_chance_is_about_zero():
    assert agreement([(True, True), (False, False)]).alpha == 1
    mixed = [(True, False), (False, True), (True, True), (False, False)] * 50
    assert agreement(mixed).alpha == pytest.approx(0, abs=0.01)


def test_krippendorff_s_own_example_of_two_observers():
    # Ten articles, nominal: his text gives 0.095 for exactly these values.
    one = (0, 1, 0, 0, 0, 0, 0, 0, 1, 0)
    two = (1, 1, 1, 0, 0, 1, 0, 0, 0, 0)
    found = agreement(list(zip(one, two, strict=True)))
    assert found.alpha == pytest.approx(0.095, abs=0.001)
    assert (found.items, found.same) == (10, 6)


@pytest.mark.parametrize("items", [[], [(True,)], [(True, True)], [(), (False,)]])
def test_where_nothing_can_be_measured_there_is_no_alpha(items):
    assert agreement(items).alpha is None


def test_items_that_one_person_saw_change_nothing():
    pairs = [(True, True), (True, False), (False, False)]
    assert agreement([*pairs, (True,), ()]) == agreement(pairs)
    assert agreement([]) == Agreement(None, 0, 0)
