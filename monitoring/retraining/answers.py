"""What do candidate and champion say to the same prompts, and how well do they expect an answer?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct

from monitoring.retraining.lora import device, encode, load_base, with_adapter
from monitoring.retraining.rows import Row

_TOGETHER = 8


class Said(Struct, frozen=True):
    """An answer; `seconds` is its share of the time that its batch took."""

    text: str
    tokens: int
    seconds: float


class Speaker:
    """A language model that is asked and measured, always without chance."""

    def __init__(self, base: Path, adapter: Path | None = None, *, merged: bool = True) -> None:
        """`adapter` beside the base, or `merged` into it, as it will be served."""
        self._model, self._tokenizer = load_base(base)
        if adapter is not None:
            self._model = with_adapter(self._model, adapter)
            if merged:
                self._model = self._model.merge_and_unload()
        self._model.eval()
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token

    @torch.inference_mode()
    def losses(self, rows: Sequence[Row], most_tokens: int) -> list[float | None]:
        """The mean loss on each row's answer tokens; None for a row that is too long."""
        found: list[float | None] = []
        for row in rows:
            encoded = encode(self._tokenizer, [row], most_tokens)
            if not encoded:
                found.append(None)
                continue
            tokens, prompt = encoded[0]
            ids = torch.tensor([tokens], device=device())
            logits = self._model(input_ids=ids).logits[0, prompt - 1 : -1]
            loss = torch.nn.functional.cross_entropy(logits.float(), ids[0, prompt:])
            found.append(float(loss))
        return found

    def answers(
        self, prompts: Sequence[Sequence[dict[str, str]]], most_tokens: int
    ) -> Iterator[list[Said]]:
        """The likeliest answer to each conversation, some at a time and in order."""
        for start in range(0, len(prompts), _TOGETHER):
            yield self._answer(prompts[start : start + _TOGETHER], most_tokens)

    @torch.inference_mode()
    def _answer(self, prompts: Sequence[Sequence[dict[str, str]]], most: int) -> list[Said]:
        texts = [
            self._tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=True
            )
            for messages in prompts
        ]
        inputs: Any = self._tokenizer(
            texts, return_tensors="pt", padding=True, add_special_tokens=False
        ).to(device())
        began = time.perf_counter()
        made = self._model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=most,
            do_sample=False,
            temperature=None,
            top_p=None,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        seconds = time.perf_counter() - began
        new = made[:, inputs["input_ids"].shape[1] :]
        counts = [int((row != self._tokenizer.pad_token_id).sum()) or 1 for row in new]
        each = seconds / sum(counts)
        return [
            Said(self._tokenizer.decode(row, skip_special_tokens=True).strip(), count, each * count)
            for row, count in zip(new, counts, strict=True)
        ]
