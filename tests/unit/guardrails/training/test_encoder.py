from pathlib import Path

import pytest
import torch

from guardrails.training import encoder
from guardrails.training.dataset import Row, targets
from guardrails.training.encoder import Schedule, fine_tune

ROWS = [Row(f"a short text, number {n}", "test", {"toxicity": n % 2}) for n in range(6)]
SCHEDULE = Schedule(epochs=1, batch=2, tokens=12)


class BrokenOff(Exception):
    pass


def train(checkpoint: Path | None = None, stop_at: int = 99) -> dict[str, torch.Tensor]:
    def progress(step: int, steps: int, loss: float) -> None:
        if step > stop_at:
            raise BrokenOff

    texts = [row.text for row in ROWS]
    model = fine_tune(texts, *targets(ROWS), SCHEDULE, progress, checkpoint=checkpoint)
    return model.state_dict()


def test_a_run_that_was_broken_off_ends_as_it_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "_SAVE_STEPS", 1)
    whole = train()
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(BrokenOff):
        train(checkpoint, stop_at=1)
    resumed = train(checkpoint)
    assert all(torch.allclose(whole[name], resumed[name], atol=1e-6) for name in whole)
