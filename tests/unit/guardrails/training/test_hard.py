from guardrails.training.dataset import LABELS
from guardrails.training.hard import hard_rows, twins


def test_the_same_seed_gives_the_same_rows() -> None:
    assert hard_rows(3) == hard_rows(3)
    assert hard_rows(3) != hard_rows(4)


def test_no_slot_is_left_open_and_every_label_is_a_known_one() -> None:
    for row in hard_rows(3) + hard_rows(3, held=True):
        assert "%s" not in row.text
        assert "{file}" not in row.text and "{who}" not in row.text.lower()
        assert row.labels and set(row.labels) <= set(LABELS)


def test_both_parts_hold_harm_and_its_harmless_twin() -> None:
    for held in (False, True):
        rows = hard_rows(3, held=held)
        for label in ("prompt_injection", "identity_attack", "harmful_request"):
            assert {row.labels.get(label) for row in rows} >= {0, 1}


def test_what_is_held_out_is_not_trained_on() -> None:
    fit = {row.text for row in hard_rows(3)}
    assert not fit & {row.text for row in hard_rows(3, held=True)}


def test_a_document_is_as_often_harmless_as_it_holds_a_command_to_the_model() -> None:
    rows = hard_rows(3)
    attacked = {row.text for row in rows if row.source == "own_indirect"}
    ordinary = {row.text for row in rows if row.source == "own_documents"}
    assert attacked and not attacked & ordinary
    assert 0.7 < len(ordinary) / len(attacked) <= 1


def test_twins_keep_the_labels_and_change_some_texts() -> None:
    rows = hard_rows(3)[:200]
    mistyped = twins(rows, 5, 100)
    labels = {tuple(sorted(row.labels.items())) for row in rows}
    assert len(mistyped) == 100
    assert {tuple(sorted(row.labels.items())) for row in mistyped} <= labels
    assert len({row.text for row in mistyped} - {row.text for row in rows}) > 50
