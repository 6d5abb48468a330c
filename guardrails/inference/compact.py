"""How does the compact model score and embed a text, and how is each of its files trusted?

Two stages: the linear model on n-grams (`ngrams.py`) reads every text in tens of microseconds; only
what it cannot clear goes on to the encoder, an int8 export of all-MiniLM-L6-v2 in ONNX Runtime. The
manifest beside the weights holds their hashes, the calibration of the scores and the borders of the
first stage (docs/models/compact.md).
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
from tokenizers import Encoding, Tokenizer

from guardrails.errors import ConfigError
from guardrails.inference.ngrams import LinearModel, Weights
from guardrails.text.windows import windows

MODELS = Path(__file__).parents[1] / "models" / "compact"
WINDOW_TOKENS = 128
EMBEDDED_TOKENS = 256
_OVERLAP_TOKENS = 24
_PIECE_CHARACTERS = 480
_OVERLAP_CHARACTERS = 80
_BATCH_TOKENS = 2_048


class Border(msgspec.Struct, frozen=True):
    """A score to act at, and what it did on the held-out rows that it was chosen on.

    `false_positives` is the share of all harmless rows that reach it, `chat_false_positives` of
    the ordinary prompts, answers and documents among them.
    """

    score: float
    recall: float
    false_positives: float
    chat_false_positives: float
    positives: int
    harmless: int
    chat: int


class Calibration(msgspec.Struct, frozen=True):
    """How one label's logits become a probability, and from which score on to act.

    `linear` is (slope, offset) for the first stage alone. `both` is (encoder's slope, linear slope,
    offset). A text is clear of this label when its linear logit is below `clear_below` in every
    stretch of it. `flag` and `block` are for whatever people and models say; `quoted_flag` and
    `quoted_block` for documents and tool results, where the held-out rows have both kinds of them.
    """

    linear: tuple[float, float]
    both: tuple[float, float, float]
    clear_below: float
    flag: Border
    block: Border
    quoted_flag: Border | None = None
    quoted_block: Border | None = None


class Manifest(msgspec.Struct, frozen=True):
    """What stands beside the weights: their hashes, and what was decided after training."""

    name: str
    labels: tuple[str, ...]
    window_tokens: int
    files: dict[str, str]
    calibration: dict[str, Calibration]
    training: dict[str, Any] = {}

    @property
    def version(self) -> str:
        """Twelve hex digits that change with any weight or calibration."""
        content = msgspec.json.encode([self.files, self.calibration], order="deterministic")
        return hashlib.sha256(content).hexdigest()[:12]


def read_manifest(directory: Path = MODELS) -> Manifest:
    """The manifest of a model directory, every file it names checked against its SHA-256.

    Errors: ConfigError for a file that is missing, damaged or exchanged.
    """
    try:
        manifest = msgspec.json.decode((directory / "manifest.json").read_bytes(), type=Manifest)
        for name, expected in manifest.files.items():
            if hashlib.sha256((directory / name).read_bytes()).hexdigest() != expected:
                raise ConfigError(
                    f"{directory / name} does not match its manifest; restore it from the release."
                )
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"The compact model cannot be read from {directory}: {error}") from error
    return manifest


class Encoder:
    """The ONNX graph with its tokenizer: sentence embeddings and the labels' logits.

    One thread a call: on shared cores two threads a session cost more than they give, and batching
    gains nothing on a CPU, so texts are grouped by length only to keep the padding small.
    """

    def __init__(self, directory: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(directory / "encoder.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._widths = {out.name: out.shape[1] for out in self._session.get_outputs()}
        self._options = onnxruntime.RunOptions()
        # Else the session computes the other branch too, and throws it away.
        self._options.only_execute_path_to_fetches = True
        self._tokenizers = {
            tokens: _tokenizer(directory / "tokenizer.json", tokens)
            for tokens in (WINDOW_TOKENS, EMBEDDED_TOKENS)
        }

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Every label's highest logit over a text's windows.

        Shape: N texts → float32 (N, L).
        Cost:  about 4 ms for 32 tokens on one core, 14 ms for 128.
        """
        encoded, owners = self._encode(texts, WINDOW_TOKENS)
        scored = self._run("logits", encoded)
        best = np.full((len(texts), scored.shape[1]), -np.inf, np.float32)
        np.maximum.at(best, owners, scored)
        return best

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """The published sentence embedding; of a long text, the mean over its windows.

        Shape: N texts → float32 (N, 384), each of length 1.
        """
        encoded, owners = self._encode(texts, EMBEDDED_TOKENS)
        embedded = self._run("embedding", encoded)
        sums = np.zeros((len(texts), embedded.shape[1]), np.float32)
        weights = np.array([len(window.ids) for window in encoded], np.float32)
        np.add.at(sums, owners, embedded * weights[:, None])
        return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)

    def _encode(self, texts: Sequence[str], tokens: int) -> tuple[list[Encoding], np.ndarray]:
        encoded: list[Encoding] = []
        owners: list[int] = []
        # A lone surrogate, as JSON may hold one, is no text to the tokenizer.
        valid = [text.encode("utf-8", "replace").decode() for text in texts]
        for owner, first in enumerate(self._tokenizers[tokens].encode_batch(valid)):
            encoded += [first, *first.overflowing]
            owners += [owner] * (1 + len(first.overflowing))
        return encoded, np.array(owners, np.int64)

    def _run(self, output: str, encoded: Sequence[Encoding]) -> np.ndarray:
        answer = np.empty((len(encoded), self._widths[output]), np.float32)
        for rows in _batches([len(window.ids) for window in encoded]):
            longest = max(len(encoded[row].ids) for row in rows)
            ids = np.zeros((len(rows), longest), np.int64)
            mask = np.zeros((len(rows), longest), np.int64)
            for place, row in enumerate(rows):
                size = len(encoded[row].ids)
                ids[place, :size] = encoded[row].ids
                mask[place, :size] = 1
            (answer[rows],) = self._session.run([output], {"ids": ids, "mask": mask}, self._options)
        return answer


class CompactModel:
    """Calibrated scores for every label; the encoder reads only what the first stage cannot clear.

    Thread-safe: threads take turns in the first stage and run side by side in the encoder.
    """

    def __init__(
        self, manifest: Manifest, linear: LinearModel, encoder: Encoder, *, cascade: bool = True
    ) -> None:
        """`cascade=False` sends every text to the encoder, to measure what the cascade costs."""
        calibration = [manifest.calibration[label] for label in manifest.labels]
        self.labels = manifest.labels
        self.version = manifest.version
        self.window_tokens = manifest.window_tokens
        self.thresholds = {label: manifest.calibration[label].flag.score for label in self.labels}
        self._linear = linear
        self._turn = threading.Lock()
        self._encoder = encoder
        self._alone = np.array([c.linear for c in calibration], np.float32).T
        self._both = np.array([c.both for c in calibration], np.float32).T
        clear_below = [c.clear_below if cascade else -np.inf for c in calibration]
        self._clear_below = np.array(clear_below, np.float32)

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """The probability of each label; of a text longer than a window, the highest in it.

        Shape: N texts → float32 (N, L) in [0, 1].
        """
        pieces, owners = _pieces(texts)
        scored, _ = self.score_pieces(pieces)
        answer = np.zeros((len(texts), len(self.labels)), np.float32)
        np.maximum.at(answer, owners, scored)
        return answer

    def score_pieces(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The scores of short texts, and which of them the first stage cleared by itself.

        Shape: N texts → float32 (N, L) and bool (N,).
        """
        with self._turn:
            linear, peaks = self._linear.scan(texts)
        slope, offset = self._alone
        logits = linear * slope + offset
        clear: np.ndarray = np.all(peaks < self._clear_below, axis=1)
        rest = np.flatnonzero(~clear).tolist()
        if rest:
            encoder_slope, linear_slope, offset = self._both
            encoded = self._encoder.logits([texts[row] for row in rest])
            logits[rest] = encoded * encoder_slope + linear[rest] * linear_slope + offset
        return _sigmoid(logits), clear


class Embedder:
    """Sentence embeddings for retrieval, novelty and drift."""

    dimensions = 384
    window_tokens = EMBEDDED_TOKENS

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Shape: N texts → float32 (N, 384), each of length 1."""
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        return self._encoder.embed(texts)


def load_encoder(directory: Path = MODELS) -> Encoder:
    """The encoder, once a process: scores and embeddings share its weights."""
    with _LOADING:
        return _encoder(directory.resolve())


_LOADING = threading.Lock()


@functools.lru_cache(maxsize=2)
def _encoder(directory: Path) -> Encoder:
    read_manifest(directory)
    return Encoder(directory)


def load_embedder(directory: Path = MODELS) -> Embedder:
    """The sentence embedder on the shipped weights."""
    return Embedder(load_encoder(directory))


def load_compact(directory: Path = MODELS, *, cascade: bool = True) -> CompactModel:
    """The compact model on the shipped weights, or on those of another directory."""
    manifest = read_manifest(directory)
    linear = LinearModel(Weights.load(directory / "linear.npz"))
    if linear.labels != manifest.labels:
        raise ConfigError(f"The weights in {directory} have other labels than their manifest.")
    return CompactModel(manifest, linear, load_encoder(directory), cascade=cascade)


def _tokenizer(path: Path, tokens: int) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(tokens, stride=_OVERLAP_TOKENS)
    return tokenizer


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows of like length together, at most 25 % padding and some 2,000 tokens a batch."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        size = lengths[row]
        if batch and (size > lengths[batch[0]] * 1.25 + 2 or size * len(batch) > _BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def windows_of(text: str) -> list[tuple[int, int]]:
    """The spans of the pieces that are scored one by one; a short text is one piece.

    The first stage divides by a text's length, so a few bad words in a long text would be lost.
    """
    if len(text) <= _PIECE_CHARACTERS:
        return [(0, len(text))]
    return windows(text, _PIECE_CHARACTERS, _OVERLAP_CHARACTERS)


def _pieces(texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
    pieces: list[str] = []
    owners: list[int] = []
    for owner, text in enumerate(texts):
        cut = [text[start:end] for start, end in windows_of(text)]
        pieces += cut
        owners += [owner] * len(cut)
    return pieces, np.array(owners, np.int64)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return (1.0 / (1.0 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)
