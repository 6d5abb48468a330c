import pytest

from guardrails.evaluation.slices import language_of, slice_of, usual_slices


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How do I get to the station?", "en"),
        ("Wie komme ich zum Bahnhof, und ist das weit?", "de"),
        ("¿Cómo está el tiempo en los Alpes?", "es"),
        ("Je ne sais pas où est la gare, et vous ?", "fr"),
        ("Где находится вокзал?", "cyrillic"),
        ("火车站在哪里？", "cjk"),
        ("12345 !!", "unknown"),
        ("xyzzy", "unknown"),
    ],
)
def test_the_language_is_guessed(text: str, language: str) -> None:
    assert language_of(text) == language


def test_a_length_is_named_by_its_borders() -> None:
    assert slice_of({"text": "a" * 49}, "length") == "0 to 49 characters"
    assert slice_of({"text": "a" * 50}, "length") == "50 to 99 characters"
    assert slice_of({"text": "a" * 9_000}, "length") == "2,000 characters or more"


def test_usual_slices_are_those_that_the_rows_have() -> None:
    rows = [{"text": "a", "target": "women", "labels": {}}, {"text": "b"}]
    assert usual_slices(rows) == ("language", "length", "target")
    assert slice_of(rows[1], "target") is None
