"""How fast does the compact detector score, and how fast what others run?

    python -m tests.bench.detectors [--calls 20] [--out FILE]

The yardsticks are bert-base and roberta-base, the architectures of Detoxify's `original` and
`unbiased`, with random weights made here: time depends on the sizes, not on the values. All run in
this process on one thread a model, and what is shown is processor time, which neighbours change far
less than the clock. Texts a second are those of two processes of one thread each: by the clock, and
by processor time, as two cores with nothing else to do would give.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import click
import numpy as np

TOKENS = (32, 64, 128, 256)
BATCHES = (1, 32)
_WORDS = [
    *("plan", "next", "trip", "train", "coast", "stop", "people", "sell", "fresh", "bread"),
    *("fruit", "cheese", "small", "before", "walk", "green", "hills", "our", "and", "the"),
]

Score = Callable[[Sequence[str]], object]


def text_of(tokens: int, seed: int) -> str:
    """A text of so many word pieces: plain words are one each, the two ends are counted."""
    rng = np.random.default_rng(seed)
    return " ".join(rng.choice(_WORDS, tokens - 2))


def compact(*, cascade: bool) -> Score:
    """The shipped detector, with its first stage or the encoder alone."""
    from guardrails.inference.compact import load_compact

    return load_compact(cascade=cascade).score


def transformer(kind: str) -> Score:
    """A base-sized encoder with Detoxify's heads and random weights, in torch, float32."""
    import torch
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        RobertaConfig,
        RobertaForSequenceClassification,
    )

    torch.set_num_threads(1)
    if kind == "bert-base":
        model = BertForSequenceClassification(BertConfig(num_labels=6))
    else:
        config = RobertaConfig(vocab_size=50_265, max_position_embeddings=514, num_labels=16)
        model = RobertaForSequenceClassification(config)
    model.eval()

    def score(texts: Sequence[str]) -> object:
        ids = torch.randint(10, 20_000, (len(texts), len(texts[0].split()) + 2))
        with torch.inference_mode():
            return torch.sigmoid(model(input_ids=ids).logits)

    return score


MODELS: dict[str, Callable[[], Score]] = {
    "compact, cascade": lambda: compact(cascade=True),
    "compact, encoder alone": lambda: compact(cascade=False),
    "bert-base (Detoxify original)": lambda: transformer("bert-base"),
    "roberta-base (Detoxify unbiased)": lambda: transformer("roberta-base"),
}


def processor_seconds(score: Score, tokens: int, batch: int, calls: int) -> list[float]:
    """The processor time of each call; no text twice, so that nothing is answered from memory."""
    taken: list[float] = []
    score([text_of(tokens, seed) for seed in range(batch)])
    for call in range(1, calls + 1):
        texts = [text_of(tokens, seed) for seed in range(call * batch, (call + 1) * batch)]
        began = time.process_time()
        score(texts)
        taken.append(time.process_time() - began)
    return taken


def _count(name: str, tokens: int, calls: int, ready: Barrier, told: Queue) -> None:
    score = MODELS[name]()
    score([text_of(tokens, 0)])
    ready.wait()
    began = time.perf_counter()
    taken = processor_seconds(score, tokens, 32, calls)
    told.put((32 * (calls + 1) / (time.perf_counter() - began), 32 * calls / sum(taken)))


def throughput(name: str, tokens: int, calls: int) -> tuple[float, float]:
    """Texts a second of two processes together: by the clock, and by processor time."""
    context = multiprocessing.get_context("spawn")
    ready, told = context.Barrier(2), context.Queue()
    workers = [
        context.Process(target=_count, args=(name, tokens, calls, ready, told)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    found = [told.get() for _ in workers]
    for worker in workers:
        worker.join()
    return sum(clock for clock, _ in found), sum(processor for _, processor in found)


@click.command()
@click.option("--calls", default=20, show_default=True, help="Calls of one text; a tenth of 32.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write here.")
def main(calls: int, out: Path | None) -> None:
    """Measure all models and print a table in Markdown."""
    cells = [(batch, tokens) for batch in BATCHES for tokens in TOKENS]
    titles = [f"{batch} × {tokens}" for batch, tokens in cells]
    lines = ["| model | " + " | ".join([*titles, "texts/s, 2 cores, 64 tokens"]) + " |"]
    lines.append("|---" * (len(cells) + 2) + "|")
    load = [os.getloadavg()[0]]
    for name, make in MODELS.items():
        score, row = make(), []
        for batch, tokens in cells:
            taken = processor_seconds(score, tokens, batch, max(2, calls // batch))
            row.append(f"{np.median(taken) * 1e3:.3g}")
            print(f"{name}: {batch} × {tokens}: {row[-1]} ms", file=sys.stderr)
        clock, processor = throughput(name, 64, max(1, calls // 10))
        row.append(f"{clock:.0f}; {processor:.0f} by processor time")
        lines.append(f"| {name} | " + " | ".join(row) + " |")
        load.append(os.getloadavg()[0])
    lines.append(
        f"\nProcessor milliseconds a call, median; batch × tokens. {os.cpu_count()} cores, load"
        f" average {min(load):.1f} to {max(load):.1f} while measuring."
    )
    print("\n".join(lines))
    if out:
        out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
