from guardrails.training.buried import buried
from guardrails.training.dataset import Row

CALM = [
    Row(
        "The river runs past the old mill. Herons fish there at dawn. " * 6,
        "halueval",
        {"toxicity": 0},
    )
]
ABUSE = [
    Row("You are a hopeless fool.", "own_insults", {"toxicity": 1, "insult": 1, "threat": 0}),
    Row("Nice day.", "own_harmless", {"toxicity": 0}),
    Row("You fool. " * 40, "jigsaw_wikipedia", {"toxicity": 1}),
]


def test_two_of_three_rows_hold_one_short_abuse_and_its_labels() -> None:
    rows = buried(ABUSE, CALM, seed=3, count=30)
    assert len(rows) == 30
    harmful = [row for row in rows if row.source == "own_buried"]
    assert len(harmful) == 20
    assert all(row.text.count("You are a hopeless fool.") == 1 for row in harmful)
    assert all(row.labels["toxicity"] == row.labels["insult"] == 1 for row in harmful)
    assert all("harmful_request" not in row.labels for row in harmful)


def test_the_calm_pieces_have_no_abuse_and_every_label() -> None:
    calm = [row for row in buried(ABUSE, CALM, seed=3, count=30) if row.source == "own_calm"]
    assert len(calm) == 10
    assert all("fool" not in row.text and not any(row.labels.values()) for row in calm)


def test_rows_are_about_a_window_long_and_the_same_for_a_seed() -> None:
    rows = buried(ABUSE, CALM, seed=3, count=60)
    assert rows == buried(ABUSE, CALM, seed=3, count=60)
    assert max(len(row.text) for row in rows) <= 430
    assert buried([], CALM, seed=3, count=5) == buried(ABUSE, [], seed=3, count=5) == []
