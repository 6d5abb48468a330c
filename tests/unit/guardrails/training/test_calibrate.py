import numpy as np

from guardrails.training.calibrate import UNCALIBRATED, calibrate


def make_logits(seed: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = (rng.random((4_000, 1)) < 0.3).astype(np.float32)
    linear = rng.normal(truth * 2 - 1, 1)
    return linear, rng.normal(truth * 4 - 2, 1), truth


def test_the_threshold_lets_one_percent_of_the_harmless_through() -> None:
    linear, encoded, truth = make_logits()
    found = calibrate(linear, linear, encoded, truth, np.ones_like(truth), ["x"])["x"]
    by_encoder, by_linear, offset = found.both
    scores = 1 / (1 + np.exp(-(encoded * by_encoder + linear * by_linear + offset)))
    assert 0 < np.mean(scores[truth == 0] >= found.threshold) <= 0.01
    assert np.mean(scores[truth == 1] >= found.threshold) > 0.9
    assert by_encoder > by_linear > 0


def test_the_first_stage_clears_at_most_the_stated_share_of_what_is_detected() -> None:
    linear, encoded, truth = make_logits()
    found = calibrate(linear, linear, encoded, truth, np.ones_like(truth), ["x"])["x"]
    cleared = linear < found.clear_below
    assert np.mean(cleared[truth == 1]) <= 0.01
    assert np.mean(cleared[truth == 0]) > 0.05


def test_rows_with_an_unknown_label_count_for_nothing() -> None:
    linear, encoded, truth = make_logits()
    known = np.ones_like(truth)
    expected = calibrate(linear, linear, encoded, truth, known, ["x"])
    junk = np.full((50, 1), 99.0, np.float32)
    stacked = [np.concatenate([part, junk]) for part in (linear, linear, encoded, truth)]
    found = calibrate(*stacked, np.concatenate([known, junk * 0]), ["x"])
    assert found == expected


def test_a_label_without_positives_stays_uncalibrated() -> None:
    linear, encoded, truth = make_logits()
    found = calibrate(linear, linear, encoded, truth * 0, np.ones_like(truth), ["x"])
    assert found == {"x": UNCALIBRATED}
