from __future__ import annotations

from monitoring.retraining.duplicates import canonical, groups, near_pairs


def test_texts_that_differ_in_case_and_marks_are_the_same() -> None:
    assert canonical("The  PUMP, it leaks!") == canonical("the pump it leaks")


def test_texts_that_differ_in_a_word_are_near_and_others_are_not() -> None:
    long = "the pump in the cellar leaks oil whenever the tide is high and nobody is at home"
    texts = [long, f"{long} tonight", "how do I bake bread with rye and honey in a cold oven"]
    assert list(near_pairs(texts, 0.8)) == [(0, 1)]


def test_near_pairs_find_every_pair_among_many() -> None:
    texts = [
        f"question number {n} about topic {n * 7} of week {n % 5} in year {n}" for n in range(300)
    ]
    texts += [text + " please" for text in texts[:50]]
    found = set(near_pairs(texts, 0.8))
    assert {(n, 300 + n) for n in range(50)} <= found


def test_groups_follow_chains_and_are_named_by_their_first() -> None:
    assert groups(5, iter([(1, 2), (2, 4)])) == [0, 1, 1, 3, 1]


def test_an_empty_text_is_compared_too() -> None:
    assert list(near_pairs(["", ""], 0.8)) == [(0, 1)]
