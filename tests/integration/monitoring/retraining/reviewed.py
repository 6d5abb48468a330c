"""A tiny language model on disk, and exchanges that people reviewed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import torch
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from guardrails.exchange_log.alert_tables import alerts
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import Exchange
from monitoring import reviews
from monitoring.reviews import Item
from tests.factories import make_exchange

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
EXCHANGE = str(uuid4())
CHAT = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)


def tiny_model(directory: Path) -> Path:
    """A model of some thousand random weights, which learns fast and says nonsense."""
    special = ["<|im_start|>", "<|im_end|>", "<pad>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        ["The pump needs oil of grade 46.", "What does it need?"], trainer
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<pad>"
    )
    fast.chat_template = CHAT
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        eos_token_id=fast.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=fast.convert_tokens_to_ids("<pad>"),
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    fast.save_pretrained(directory)
    return directory


def pump_exchanges(count: int, at: datetime = NOW) -> list[Exchange]:
    """Questions and answers on one topic, each unlike the others."""
    materials = ("brass", "steel", "bronze", "nickel", "copper", "zinc", "cobalt", "chrome")
    return [
        make_exchange(
            f"What does the {materials[n % 8]} pump number {n * 37} need in month {n % 12}?",
            f"Pump {n * 37} of {materials[n % 8]} needs oil of grade {30 + n % 20} and filter {n}.",
            started_at=at - timedelta(minutes=count - n),
            model="small",
        )
        for n in range(count)
    ]


async def review(
    engine: AsyncEngine,
    exchanges: list[Exchange],
    *,
    harmful: bool | None = False,
    side: reviews.Side = "output",
    labels: tuple[str, ...] = (),
    reviewer: str = "ada",
) -> None:
    """Have a person judge each of some recorded exchanges."""
    for exchange in exchanges:
        item = Item(
            exchange_id=UUID(exchange.id),
            exchange_started_at=exchange.started_at,
            side=side,
            why="alert",
            sampled_at=NOW,
        )
        await reviews.add_items(engine, [item])
        await reviews.label(engine, item.id, reviewer, harmful=harmful, labels=labels, now=NOW)


async def log(url: str, exchanges: list[Exchange]) -> None:
    """Record exchanges as the proxy does."""
    writer = ExchangeLog(url, 1000)
    await writer.start()
    for exchange in exchanges:
        writer.append(exchange)
    await writer.stop()
    assert writer.stats.written == len(exchanges)


async def fire(engine: AsyncEngine, job: str = "prompt_drift", **changes: object) -> UUID:
    """Have an alert stand; its id."""
    values = {
        "id": uuid4(),
        "key": str(uuid4()),
        "job": job,
        "severity": "warning",
        "state": "firing",
        "labels": {},
        "summary": "5 % of the prompts are new",
        "evidence": {"exchange_ids": [EXCHANGE], "window_start": "2026-11-25T00:00:00Z"},
        "started_at": NOW,
        "updated_at": NOW,
        **changes,
    }
    async with engine.begin() as connection:
        await connection.execute(insert(alerts).values(values))
    return values["id"]
