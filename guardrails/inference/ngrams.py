"""How is a text scored by a linear model on n-grams in tens of microseconds?

Character n-grams that stay inside a word's borders decompose over words: a text's weighted sum is
the sum of one small vector a word. That vector is computed once and remembered, so an ordinary text
costs one dictionary look-up a word and two sums in numpy. Pairs of neighbours are hashed from the
words' own hashes, all at once. The sum is divided by the root of the summed squared inverse
document frequencies, which is what a TF-IDF vector's length would be if no n-gram stood twice;
training (`guardrails.training.linear`) divides by the same.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

SHORTEST, LONGEST = 3, 5
_STRETCH = 40
_TOKEN = re.compile(r"\w{1,32}|[^\w\s]{1,4}")
_PAIR_MULTIPLIER = np.uint64(0x9E3779B1)
_ARRAYS = ("grams", "pairs", "gram_scale", "pair_scale", "gram_idf", "pair_idf", "bias")


def tokens_of(text: str) -> list[str]:
    """The lower-cased words and runs of marks of a text, each at most 32 characters."""
    return _TOKEN.findall(text.lower())


def grams_of(token: str) -> list[str]:
    """A token itself and its character n-grams; spaces stand for its borders."""
    padded = f" {token} "
    grams = [f"={token}"]
    for size in range(SHORTEST, LONGEST + 1):
        grams += [padded[i : i + size] for i in range(len(padded) - size + 1)]
    return grams


def hash_of(gram: str) -> int:
    """The hash of an n-gram; a table takes it modulo its number of rows."""
    return zlib.crc32(gram.encode("utf-8", "surrogatepass"))


def pair_rows(hashes: np.ndarray, rows: int) -> np.ndarray:
    """The table rows of all pairs of neighbours.

    Shape: hashes of W tokens as uint64 → int64 (W - 1,) in [0, rows); `rows` is a power of two.
    """
    left, right = hashes[:-1], hashes[1:]
    mixed = (left * _PAIR_MULTIPLIER) ^ (right + (left >> np.uint64(7)))
    mixed ^= mixed >> np.uint64(17)
    return (mixed & np.uint64(rows - 1)).astype(np.int64)


class Weights(msgspec.Struct, frozen=True):
    """What training leaves behind.

    Shape: `grams` and `pairs` are int8 (rows, L), the inverse document frequency already in them;
    their scales and `bias` are float32 (L,); the frequencies are float16 (rows,). `rows` is a power
    of two.
    """

    labels: tuple[str, ...]
    grams: np.ndarray
    pairs: np.ndarray
    gram_scale: np.ndarray
    pair_scale: np.ndarray
    gram_idf: np.ndarray
    pair_idf: np.ndarray
    bias: np.ndarray

    def save(self, path: Path) -> None:
        """Write one compressed npz."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        np.savez_compressed(path, labels=np.array(self.labels), **arrays)

    @classmethod
    def load(cls, path: Path) -> Weights:
        """Read what `save` wrote; nothing is unpickled."""
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
            return cls(labels=tuple(str(label) for label in file["labels"]), **arrays)


class LinearModel:
    """The first stage: logits of a text for every label. Not thread-safe."""

    def __init__(self, weights: Weights, *, remembered_tokens: int = 50_000) -> None:
        """`remembered_tokens` bounds the memory (44 bytes each, and the token); when it is full,
        all are forgotten, so that no caller can make it grow.
        """
        self.labels = weights.labels
        self._weights = weights
        self._gram_rows = len(weights.grams)
        self._pair_rows = len(weights.pairs)
        self._gram_squares = weights.gram_idf.astype(np.float32) ** 2
        self._pair_squares = weights.pair_idf.astype(np.float32) ** 2
        self._width = len(weights.labels) + 1
        self._capacity = remembered_tokens
        # A column for each label, and one for the squared inverse document frequencies.
        self._vectors = np.zeros((remembered_tokens, self._width), np.float32)
        self._hashes = np.zeros(remembered_tokens, np.uint64)
        self._places: dict[str, int] = {}

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """The logits of every text.

        Shape: N texts → float32 (N, L).
        """
        return self.scan(texts)[0]

    def scan(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The logits of every text, and the highest over its stretches of some 40 tokens.

        The logits of a whole text drown one bad sentence among many good ones; its peaks do not.
        Shape: N texts → two float32 (N, L); equal for a text of at most 40 tokens.
        Cost:  about 40 µs for 30 words that were seen before, 15 µs more for each new word.
        """
        whole = np.empty((len(texts), len(self.labels)), np.float32)
        peaks = np.empty_like(whole)
        for row, text in enumerate(texts):
            tokens = tokens_of(text)
            if len(tokens) <= _STRETCH:
                whole[row] = peaks[row] = self._logits_of(self._sums(tokens).sum(axis=0))
            else:
                whole[row], peaks[row] = self._scan_long(tokens)
        return whole, peaks

    def _scan_long(self, tokens: list[str]) -> tuple[np.ndarray, np.ndarray]:
        sums = np.zeros((len(tokens) + 1, self._width), np.float64)
        np.cumsum(self._sums(tokens), axis=0, out=sums[1:])
        starts = np.arange(0, len(tokens) - _STRETCH // 2, _STRETCH // 2)
        ends = np.minimum(starts + _STRETCH, len(tokens))
        stretches = self._logits_of(sums[ends] - sums[starts])
        return self._logits_of(sums[-1]), stretches.max(axis=0)

    def _logits_of(self, sums: np.ndarray) -> np.ndarray:
        norm = np.sqrt(np.maximum(sums[..., -1:], 1.0))
        return sums[..., :-1] / norm + self._weights.bias

    def _sums(self, tokens: list[str]) -> np.ndarray:
        """What each token adds, together with the pair that it ends. Shape: (W, L + 1)."""
        sums, hashes = self._of_tokens(tokens)
        if len(tokens) > 1:
            rows = pair_rows(hashes, self._pair_rows)
            sums[1:, :-1] += self._weights.pairs[rows] * self._weights.pair_scale
            sums[1:, -1] += self._pair_squares[rows]
        return sums

    def _of_tokens(self, tokens: list[str]) -> tuple[np.ndarray, np.ndarray]:
        known = self._places
        try:
            places = [known[token] for token in tokens]
        except KeyError:
            if len(tokens) > self._capacity:
                return self._in_pieces(tokens)
            self._remember(tokens)
            places = [known[token] for token in tokens]
        return self._vectors[places], self._hashes[places]

    def _in_pieces(self, tokens: list[str]) -> tuple[np.ndarray, np.ndarray]:
        pieces = [
            self._of_tokens(tokens[start : start + self._capacity])
            for start in range(0, len(tokens), self._capacity)
        ]
        return np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces])

    def _remember(self, tokens: list[str]) -> None:
        known = self._places
        new = {token for token in tokens if token not in known}
        if len(known) + len(new) > self._capacity:
            known.clear()
            new = set(tokens)
        weights = self._weights
        for token in new:
            grams = [hash_of(gram) for gram in grams_of(token)]
            rows = [value % self._gram_rows for value in grams]
            place = len(known)
            sums = weights.grams[rows].sum(axis=0, dtype=np.int32) * weights.gram_scale
            self._vectors[place, :-1] = sums
            self._vectors[place, -1] = self._gram_squares[rows].sum()
            self._hashes[place] = grams[0]
            known[token] = place
