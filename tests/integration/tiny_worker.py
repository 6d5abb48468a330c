"""An inference worker with small scorers of the tests' own, started as a real process."""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from guardrails.inference.cache import Cache
from guardrails.inference.worker import Worker, serve


class Words:
    """Scores by words: `bad` scores 0.9, `sad` 0.8, all else 0.1."""

    name = "words"
    version = "words-1"
    labels = ("bad", "sad")
    window_tokens = 50

    def detect(self, texts: Sequence[str]) -> np.ndarray:
        return np.array(
            [[0.9 if "bad" in t else 0.1, 0.8 if "sad" in t else 0.1] for t in texts], np.float32
        )


class Slow(Words):
    """Takes as many seconds as the text says, after `sleep `."""

    version = "slow-1"

    def detect(self, texts: Sequence[str]) -> np.ndarray:
        for text in texts:
            if text.startswith("sleep "):
                time.sleep(float(text.split()[1]))
        return super().detect(texts)


class Busy(Words):
    """Holds the interpreter, as a tokeniser in Python would."""

    version = "busy-1"

    def detect(self, texts: Sequence[str]) -> np.ndarray:
        if any(text.startswith("busy") for text in texts):
            end = time.perf_counter() + 0.5
            while time.perf_counter() < end:
                pass
        return super().detect(texts)


class Faulty(Words):
    """Raises on `raise`, answers nonsense on `nan`, `shape` and `range`."""

    version = "faulty-1"

    def detect(self, texts: Sequence[str]) -> np.ndarray:
        if any("raise" in text for text in texts):
            raise RuntimeError("secret text of the caller")
        rows = super().detect(texts)
        if any("nan" in text for text in texts):
            rows[:] = np.nan
        if any("range" in text for text in texts):
            rows[:] = 1.5
        return rows[:, :1] if any("shape" in text for text in texts) else rows


class LateToLoad(Words):
    version = "late-1"

    def __init__(self) -> None:
        time.sleep(1)


def broken() -> Words:
    raise OSError("no such weights")


class Letters:
    """Embeds a text as the counts of its letters."""

    window_tokens = 50

    def detect(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.zeros((len(texts), 384), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for letter in text:
                row[ord(letter) % 384] += 1
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


SCORERS = {
    "words": Words,
    "slow": Slow,
    "busy": Busy,
    "faulty": Faulty,
    "late": LateToLoad,
    "broken": broken,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--scorers", nargs="*", default=["words"])
    parser.add_argument("--cache-entries", type=int, default=1_000)
    given = parser.parse_args()
    scorers = {name: SCORERS[name] for name in given.scorers}
    worker = Worker(scorers, Letters, cache=Cache(entries=given.cache_entries))
    asyncio.run(serve(worker, given.socket, parent=os.getppid()))
    os._exit(0)
