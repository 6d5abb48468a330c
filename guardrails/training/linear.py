"""How is the first stage fitted: one masked logistic regression a label on hashed n-grams?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse import csr_matrix, diags, hstack
from sklearn.linear_model import LogisticRegression

from guardrails.inference.ngrams import Weights, grams_of, hash_of, pair_rows, tokens_of

ROWS = 2**18
"""Rows of each of the two tables; int8 and eight labels, so 2 MB a table before compression."""

_REMEMBERED = 400_000


class Counter:
    """Counts of hashed n-grams and pairs, laid out as the linear model reads them."""

    def __init__(self) -> None:
        self._rows: dict[str, list[int]] = {}
        self._hashes: dict[str, int] = {}

    def count(self, texts: Sequence[str]) -> tuple[csr_matrix, csr_matrix]:
        """Shape: N texts → two sparse float32 matrices (N, ROWS): tokens' n-grams, pairs."""
        grams: list[list[int]] = []
        pairs: list[np.ndarray] = []
        for text in texts:
            tokens = tokens_of(text)
            grams.append([row for token in tokens for row in self._of(token)])
            hashes = np.array([self._hashes[token] for token in tokens], np.uint64)
            pairs.append(pair_rows(hashes, ROWS) if len(hashes) > 1 else np.zeros(0, np.int64))
        return _sparse(grams), _sparse(pairs)

    def _of(self, token: str) -> list[int]:
        rows = self._rows.get(token)
        if rows is None:
            hashes = [hash_of(gram) for gram in grams_of(token)]
            rows = self._rows[token] = [value % ROWS for value in hashes]
            self._hashes[token] = hashes[0]
        return rows


def fit_linear(
    texts: Sequence[str],
    values: np.ndarray,
    known: np.ndarray,
    labels: Sequence[str],
    progress: Callable[[int, int], None],
    *,
    strength: float = 20.0,
    seed: int = 17,
) -> Weights:
    """Fit all labels. `progress` is told how many labels are done, of how many.

    Cost: seconds a label.
    """
    counter = Counter()
    grams, pairs = counter.count(texts)
    gram_idf, pair_idf = _idf(grams), _idf(pairs)
    squares = grams @ (gram_idf.astype(np.float32) ** 2) + pairs @ (
        pair_idf.astype(np.float32) ** 2
    )
    norm = 1.0 / np.sqrt(np.maximum(squares, 1.0))
    idf = np.concatenate([gram_idf, pair_idf]).astype(np.float32)
    features = (diags(norm) @ hstack([grams, pairs]) @ diags(idf)).tocsr().astype(np.float64)
    weights = np.zeros((2 * ROWS, len(labels)), np.float32)
    bias = np.zeros(len(labels), np.float32)
    for column in range(len(labels)):
        rows = np.flatnonzero(known[:, column])
        model = LogisticRegression(
            C=strength, solver="liblinear", class_weight="balanced", random_state=seed, tol=1e-3
        )
        model.fit(features[rows], values[rows, column])
        weights[:, column] = model.coef_[0] * idf
        bias[column] = model.intercept_[0]
        progress(column + 1, len(labels))
    gram_table, gram_scale = _int8(weights[:ROWS])
    pair_table, pair_scale = _int8(weights[ROWS:])
    return Weights(
        labels=tuple(labels),
        grams=gram_table,
        pairs=pair_table,
        gram_scale=gram_scale,
        pair_scale=pair_scale,
        gram_idf=gram_idf,
        pair_idf=pair_idf,
        bias=bias,
    )


def _sparse(rows: Sequence[Sequence[int] | np.ndarray]) -> csr_matrix:
    ends = np.cumsum([0, *(len(row) for row in rows)])
    columns = np.concatenate([np.asarray(row, np.int64) for row in rows]) if rows else np.zeros(0)
    matrix = csr_matrix((np.ones(len(columns), np.float32), columns, ends), (len(rows), ROWS))
    matrix.sum_duplicates()
    return matrix


def _idf(counts: csr_matrix) -> np.ndarray:
    """Smoothed inverse document frequency, as float16 because the weights' file holds it so."""
    documents = np.bincount(counts.indices, minlength=ROWS)
    return (np.log((1 + counts.shape[0]) / (1 + documents)) + 1).astype(np.float16)


def _int8(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One scale a label, set by all but the largest thousandth, which are clipped."""
    scale = np.quantile(np.abs(weights), 0.9999, axis=0) / 127
    scale = np.maximum(scale, 1e-8).astype(np.float32)
    return np.clip(np.rint(weights / scale), -127, 127).astype(np.int8), scale
