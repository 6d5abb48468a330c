"""How is a low-rank adapter trained on a served model, so that a killed run goes on where it was?

Only an answer's own tokens count in the loss. Batches are drawn from a generator of their own, and
a checkpoint holds it with adapter, optimizer and torch's own chance: a run that was broken off ends
with the weights that it would have had. Source: E. Hu et al., LoRA (2021); the library is peft.
"""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from guardrails.errors import ConfigError
from monitoring.retraining.plan import Plan, Tuned
from monitoring.retraining.rows import Row

CHECKPOINT, ADAPTER, TEMPLATE = "checkpoint.pt", "adapter", "template_hash"
IGNORED = -100
_ADAPTER_CONFIG = "adapter_config.json"
_ANSWERED = 8

transformers_logging.disable_progress_bar()

Told = Callable[[int, int, float], None]
"""Told the step, of how many, and its loss."""


class BudgetSpent(ConfigError):
    """The run's seconds are over; its checkpoint stands."""


def device() -> str:
    """The GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_base(directory: Path) -> tuple[Any, Any]:
    """Model and tokenizer of a directory of safetensors, never from a hub.

    A directory of an adapter gives what it is an adapter of, with its change merged.
    Errors: ConfigError where it is neither.
    """
    if is_adapter(directory):
        under = json.loads((directory / _ADAPTER_CONFIG).read_text())["base_model_name_or_path"]
        whole, tokenizer = load_base(Path(under))
        return with_adapter(whole, directory).merge_and_unload(), tokenizer
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        model: Any = AutoModelForCausalLM.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"There is no model to tune at {directory}: {error}") from error
    return model.to(device()), tokenizer


def is_adapter(directory: Path) -> bool:
    """Whether a directory holds an adapter, and no whole weights."""
    return (directory / _ADAPTER_CONFIG).exists()


def encode(tokenizer: Any, rows: Sequence[Row], most: int) -> list[tuple[list[int], int]]:
    """Each row's token ids, and how many of them are prompt. Rows over `most` tokens are left out.

    The prompt is what the server makes of the same messages; the answer ends as a turn ends.
    """
    found = []
    for row in rows:
        prompt = _ids(tokenizer, row.messages, ask=True)
        whole = _ids(tokenizer, [*row.messages, {"role": "assistant", "content": row.answer}])
        if whole[: len(prompt)] != prompt:
            raise ConfigError(
                "The model's chat template writes an answered turn otherwise than an open one, so "
                "the answer's tokens cannot be told from the prompt's."
            )
        if len(whole) <= most:
            found.append((whole, len(prompt)))
    return found


def tune(
    plan: Plan,
    rows: Sequence[Row],
    into: Path,
    *,
    template_hash: str | None,
    told: Told,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Tuned, list[float]]:
    """Train the adapter of a plan; what was done, and the loss of each step.

    Cost:   about 5 s a step of 4 × 128 tokens for 135 M weights on two cores.
    Errors: BudgetSpent after a checkpoint was written; ConfigError where no row is short enough.
    """
    began = clock()
    torch.manual_seed(plan.seed)
    model, tokenizer = load_base(Path(plan.base))
    data = encode(tokenizer, rows, plan.tokens)
    if not data:
        raise ConfigError(f"No row of the dataset has {plan.tokens} tokens or fewer.")
    with _quiet():
        tuned = get_peft_model(model, _config(plan))
    trained = [weight for weight in tuned.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=plan.rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _rate(plan.steps))
    drawn = torch.Generator().manual_seed(plan.seed)
    into.mkdir(parents=True, exist_ok=True)
    parts = (tuned, optimizer, schedule, drawn)
    losses, order = _resume(into / CHECKPOINT, *parts)
    tuned.train()
    for step in range(len(losses) + 1, plan.steps + 1):
        batch: list[tuple[list[int], int]] = []
        while len(batch) < min(plan.batch, len(data)):
            order = order or torch.randperm(len(data), generator=drawn).tolist()
            batch.append(data[order.pop()])
        loss = _loss(tuned, *_padded(batch, tokenizer.pad_token_id or 0))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.item()))
        told(step, plan.steps, losses[-1])
        over = clock() - began > seconds
        if step % plan.save_every == 0 or over:
            _save(into / CHECKPOINT, *parts, losses, order)
        if over and step < plan.steps:
            raise BudgetSpent(
                f"The run's time was over after step {step} of {plan.steps}; give it more "
                "seconds and resume it."
            )
    adapter = _written(tuned, tokenizer, into, template_hash)
    (into / CHECKPOINT).unlink(missing_ok=True)
    first = losses[:_ANSWERED]
    last = losses[-_ANSWERED:]
    done = Tuned(
        weights=str(adapter),
        steps=plan.steps,
        first_loss=sum(first) / len(first),
        last_loss=sum(last) / len(last),
        seconds=round(clock() - began, 1),
        device=device(),
        template_hash=template_hash,
    )
    return done, losses


def merge(base: Path, adapter: Path, into: Path) -> None:
    """Write the base with the adapter's change added to its weights: a model that any server loads.

    It appears under its name when it is whole.
    """
    model, tokenizer = load_base(base)
    merged = with_adapter(model, adapter).merge_and_unload()
    unfinished = into.with_name(f".{into.name}-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    merged.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    if (adapter / TEMPLATE).exists():
        shutil.copyfile(adapter / TEMPLATE, unfinished / TEMPLATE)
    shutil.rmtree(into, ignore_errors=True)
    unfinished.rename(into)


def with_adapter(model: Any, adapter: Path) -> Any:
    """The model with an adapter beside it; `disable_adapter()` of it gives the base's answers."""
    with _quiet():
        return PeftModel.from_pretrained(model, str(adapter)).eval()


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # peft still asks for gradient checkpointing by its old name.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        yield


def _config(plan: Plan) -> LoraConfig:
    return LoraConfig(
        r=plan.rank,
        lora_alpha=2 * plan.rank,
        lora_dropout=0.05,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def _rate(steps: int) -> Callable[[int], float]:
    warm = max(1, steps // 20)
    return lambda step: min((step + 1) / warm, max(0.05, (steps - step) / steps))


def _ids(tokenizer: Any, messages: Sequence[dict[str, str]], *, ask: bool = False) -> list[int]:
    text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=ask)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _padded(batch: Sequence[tuple[list[int], int]], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, mask and labels; the labels of prompts and padding are ignored."""
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.full((len(batch), longest), pad)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, IGNORED)
    for row, (tokens, prompt) in enumerate(batch):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
        labels[row, prompt : len(tokens)] = ids[row, prompt : len(tokens)]
    return ids.to(device()), mask.to(device()), labels.to(device())


def _loss(model: Any, ids: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    loss: Tensor = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    return loss


def _save(
    path: Path,
    model: Any,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    drawn: torch.Generator,
    losses: list[float],
    order: list[int],
) -> None:
    state = {
        "adapter": get_peft_model_state_dict(model),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "drawn": drawn.get_state(),
        "chance": torch.get_rng_state(),
        "losses": losses,
        "order": order,
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    # Beside it first: a run that is killed while it writes must not lose the last one.
    beside = path.with_suffix(".part")
    torch.save(state, beside)
    beside.replace(path)


def _resume(
    path: Path,
    model: Any,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    drawn: torch.Generator,
) -> tuple[list[float], list[int]]:
    if not path.exists():
        return [], []
    state = torch.load(path, weights_only=True)
    set_peft_model_state_dict(model, state["adapter"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    drawn.set_state(state["drawn"])
    torch.set_rng_state(state["chance"])
    if torch.cuda.is_available() and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])
    return list(state["losses"]), list(state["order"])


def _written(model: Any, tokenizer: Any, into: Path, template_hash: str | None) -> Path:
    adapter = into / ADAPTER
    unfinished = into / f".{ADAPTER}-unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    if template_hash is not None:
        (unfinished / TEMPLATE).write_text(template_hash + "\n")
    shutil.rmtree(adapter, ignore_errors=True)
    unfinished.rename(adapter)
    return adapter
