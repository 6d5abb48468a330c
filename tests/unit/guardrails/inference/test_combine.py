from __future__ import annotations

import math

import numpy as np
import pytest

from guardrails.inference.batching import Rows
from guardrails.inference.combine import highest_rows, mean_vectors


def test_each_label_has_its_highest_window_whatever_order_they_came_in() -> None:
    rows = Rows(
        [1, 0, 1, 1],
        [(20, 30), (0, 5), (0, 10), (10, 20)],
        np.array([[0.5, 0.25], [0.125, 0.0], [0.0, 0.75], [0.25, 0.5]], np.float32),
    )
    assert highest_rows(rows, ["short", "x" * 30]) == [
        ([0.125, 0.0], [None, None]),
        ([0.5, 0.75], [(20, 30), (0, 10)]),
    ]


def test_vectors_are_means_of_length_one() -> None:
    rows = Rows([0, 0, 1], [(0, 1), (1, 2), (0, 1)], np.array([[1, 0], [0, 1], [0, 3.0]]))
    first, second = mean_vectors(rows, ["ab", "c"])
    assert first == pytest.approx([math.sqrt(0.5)] * 2)
    assert second == pytest.approx([0, 1])


def test_no_texts_give_nothing() -> None:
    none = Rows([], [], np.zeros((0, 2), np.float32))
    assert highest_rows(none, []) == []
    assert mean_vectors(none, []) == []
