import numpy as np
import pytest

from guardrails.inference.compact import Calibration
from guardrails.training.calibrate import (
    BLOCKED,
    CLEARED_LOSS,
    FLAGGED,
    UNCALIBRATED,
    Shown,
    calibrate,
)
from guardrails.training.dataset import Row

ROWS = 4_000


def make_logits(seed: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = (rng.random((ROWS, 1)) < 0.3).astype(np.float32)
    linear = rng.normal(truth * 2 - 1, 1)
    return linear, rng.normal(truth * 2.4 - 1.2, 1), truth


def rows_of(sources: list[str]) -> list[Row]:
    return [Row("", one, {}, "t" if one.startswith("own_") else "") for one in sources]


def calibrated(
    linear: np.ndarray, encoded: np.ndarray, truth: np.ndarray, sources: list[str] | None = None
) -> tuple[Calibration, np.ndarray]:
    known = np.ones_like(truth)
    sources = sources or ["jigsaw_wikipedia"] * len(truth)
    found = calibrate(linear, linear, encoded, truth, known, ["x"], rows_of(sources))["x"]
    by_encoder, by_linear, offset = found.both
    return found, 1 / (1 + np.exp(-(encoded * by_encoder + linear * by_linear + offset)))


def test_flag_and_block_let_no_more_of_the_harmless_through_than_they_say() -> None:
    linear, encoded, truth = make_logits()
    found, scores = calibrated(linear, encoded, truth)
    assert 0 < np.mean(scores[truth == 0] >= found.flag.score) <= FLAGGED[0]
    assert 0 < np.mean(scores[truth == 0] >= found.block.score) <= BLOCKED[0]
    assert found.flag.score < found.block.score
    assert found.both[0] > found.both[1] > 0
    for border in (found.flag, found.block):
        assert border.recall == pytest.approx(np.mean(scores[truth == 1] >= border.score), abs=1e-4)
        assert border.positives + border.harmless == ROWS


def test_ordinary_talk_raises_the_border_when_it_scores_high() -> None:
    linear, encoded, truth = make_logits()
    found, scores = calibrated(linear, encoded, truth)
    harmless = np.flatnonzero(truth[:, 0] == 0)
    highest = set(harmless[np.argsort(scores[harmless, 0])[-40:]].tolist())
    sources = ["halueval" if row in highest else "davidson" for row in range(ROWS)]
    strict, _ = calibrated(linear, encoded, truth, sources)
    assert strict.block.score > found.block.score
    assert strict.block.chat == 40
    assert strict.block.chat_false_positives == 0


def test_a_label_with_few_positives_is_blocked_only_where_nearly_nothing_harmless_was_seen() -> (
    None
):
    linear, encoded, truth = make_logits()
    some = np.concatenate([np.flatnonzero(truth[:, 0])[:20], np.flatnonzero(truth[:, 0] == 0)])
    found, _ = calibrated(linear[some], encoded[some], truth[some])
    assert found.block.positives == 20
    assert found.block.false_positives <= 0.002 < found.flag.false_positives


def test_quoted_content_has_borders_of_its_own_where_both_kinds_are_held_out() -> None:
    linear, encoded, truth = make_logits()
    sources = ["bipia" if row % 2 else "davidson" for row in range(ROWS)]
    found, _ = calibrated(linear, encoded, truth, sources)
    assert found.quoted_flag is not None and found.quoted_block is not None
    assert found.quoted_block.harmless == int(np.sum(truth[1::2] == 0))
    assert calibrated(linear, encoded, truth)[0].quoted_block is None


def test_the_first_stage_clears_at_most_the_stated_share_of_what_is_detected() -> None:
    linear, encoded, truth = make_logits()
    found, scores = calibrated(linear, encoded, truth)
    detected = (truth == 1) & (scores >= found.flag.score)
    cleared = linear < found.clear_below
    assert np.mean(cleared[detected]) <= CLEARED_LOSS
    assert np.mean(cleared[truth == 0]) > 0.05


def test_rows_with_an_unknown_label_count_for_nothing() -> None:
    linear, encoded, truth = make_logits()
    known = np.ones_like(truth)
    expected = calibrate(linear, linear, encoded, truth, known, ["x"], rows_of(["davidson"] * ROWS))
    junk = np.full((50, 1), 99.0, np.float32)
    stacked = [np.concatenate([part, junk]) for part in (linear, linear, encoded, truth)]
    rows = rows_of(["davidson"] * (ROWS + 50))
    found = calibrate(*stacked, np.concatenate([known, junk * 0]), ["x"], rows)
    assert found == expected


def test_a_label_without_positives_stays_uncalibrated() -> None:
    linear, encoded, truth = make_logits()
    assert calibrated(linear, encoded, truth * 0)[0] == UNCALIBRATED


def test_rows_of_one_template_tell_as_much_as_one() -> None:
    linear, encoded, truth = make_logits()
    alike = np.full((200, 1), 9.0, np.float32)
    both = [np.concatenate([part, alike]) for part in (linear, encoded)]
    whole = np.concatenate([truth, alike * 0])
    alone, _ = calibrated(linear, encoded, truth)
    many, _ = calibrated(*both, whole, ["jigsaw_wikipedia"] * ROWS + ["own_documents"] * 200)
    assert alone.flag.harmless + 1 == many.flag.harmless
    assert many.flag.chat == 1 and alone.flag.chat == 0
    assert many.block.chat_false_positives == 0


def test_a_border_lets_through_the_share_that_it_says() -> None:
    shown = Shown(np.array([0.9, 0.8, 0.8, 0.7]), np.zeros(4, bool), np.ones(4, bool), np.ones(4))
    assert shown.exceeded_by(~shown.truth, 0.0) == 0.9001
    assert shown.exceeded_by(~shown.truth, 0.5) == 0.8001
    assert shown.exceeded_by(~shown.truth, 0.75) == 0.7001
    assert shown.exceeded_by(~shown.truth, 1.0) == 0.0001


def test_a_degree_of_another_label_holds_nothing_back() -> None:
    linear, encoded, truth = make_logits()
    parts = [np.repeat(part, 2, axis=1) for part in (linear, linear, encoded, truth)]
    known = np.ones((ROWS, 2), np.float32)
    rows = rows_of(["jigsaw_wikipedia"] * ROWS)
    found = calibrate(*parts, known, ["toxicity", "severe_toxicity"], rows)
    assert found["severe_toxicity"].clear_below == 1e9
    assert found["toxicity"].clear_below < linear.max()
