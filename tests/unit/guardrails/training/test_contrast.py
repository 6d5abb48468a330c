import re

import pytest

from guardrails.training.contrast import contrast_rows, hidden_commands, identity_swaps
from guardrails.training.dataset import LABELS, Row


def test_the_same_seed_writes_the_same_rows() -> None:
    assert contrast_rows(5) == contrast_rows(5)
    assert contrast_rows(5) != contrast_rows(6)


def test_every_slot_is_filled_and_every_label_is_known() -> None:
    for row in contrast_rows(5):
        assert not re.search(r"[{}]", row.text), row.text
        assert set(row.labels) <= set(LABELS)
        assert set(row.labels.values()) <= {0, 1}


@pytest.mark.parametrize("label", LABELS)
def test_every_label_has_rows_on_both_sides(label: str) -> None:
    values = {row.labels[label] for row in contrast_rows(5) if label in row.labels}
    assert values == {0, 1}


def test_attacks_and_denials_name_the_same_groups() -> None:
    rows = contrast_rows(5)
    for group in ("Muslims", "women", "gay people", "immigrants"):
        sides = {
            row.labels["identity_attack"]
            for row in rows
            if group.lower() in row.text.lower() and "identity_attack" in row.labels
        }
        assert sides == {0, 1}, group


def test_a_swapped_row_keeps_its_labels_and_changes_its_group() -> None:
    row = Row("We welcome refugees here.", "toxigen", {"identity_attack": 0})
    unrelated = Row("The sky is blue.", "toxigen", {"identity_attack": 0})
    unlabelled = Row("We welcome refugees here.", "bipia", {"prompt_injection": 0})
    (swapped,) = identity_swaps([row, unrelated, unlabelled], seed=3, limit=9)
    assert swapped.labels == row.labels
    assert swapped.text != row.text
    assert swapped.text.startswith("We welcome ")


def test_hidden_commands_stand_inside_the_document() -> None:
    document = Row("Dear all,\nthe meeting is at nine.", "halueval", {"prompt_injection": 0})
    rows = hidden_commands([document], seed=3, count=20)
    assert len(rows) == 20
    for row in rows:
        assert row.labels == {"prompt_injection": 1}
        assert "the meeting is at nine." in row.text
        assert len(row.text) > len(document.text)
    assert hidden_commands([], seed=3, count=20) == []
