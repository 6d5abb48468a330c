from guardrails.evaluation.slices import slice_of, usual_slices


def test_the_language_is_a_slice_of_every_row() -> None:
    assert slice_of({"text": "Wie komme ich zum Bahnhof, und ist das weit?"}, "language") == "de"


def test_a_length_is_named_by_its_borders() -> None:
    assert slice_of({"text": "a" * 49}, "length") == "0 to 49 characters"
    assert slice_of({"text": "a" * 50}, "length") == "50 to 99 characters"
    assert slice_of({"text": "a" * 9_000}, "length") == "2,000 characters or more"


def test_usual_slices_are_those_that_the_rows_have() -> None:
    rows = [{"text": "a", "target": "women", "labels": {}}, {"text": "b"}]
    assert usual_slices(rows) == ("language", "length", "target")
    assert slice_of(rows[1], "target") is None
