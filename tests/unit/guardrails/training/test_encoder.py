from dataclasses import replace
from pathlib import Path

import pytest
import torch

from guardrails.training import encoder
from guardrails.training.dataset import Row, targets
from guardrails.training.encoder import Schedule, fine_tune

ROWS = [Row(f"a short text, number {n}", "test", {"toxicity": n % 2}) for n in range(6)]
SCHEDULE = Schedule(batch=2, tokens=12, masked=0.3)


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


def test_half_precision_trains_the_same_branch() -> None:
    begun: list[float] = []
    texts = [row.text for row in ROWS]
    model = fine_tune(
        texts,
        *targets(ROWS),
        replace(SCHEDULE, bfloat16=True, masked=0.0),
        lambda step, steps, loss: begun.append(loss),
    )
    assert len(begun) == 3 and all(0 < loss < 2 for loss in begun)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}


def test_words_are_hidden_and_the_marks_around_a_text_are_not() -> None:
    torch.manual_seed(1)
    ids = torch.tensor([[101, *range(2_000, 3_000), 102, 0, 0]])
    holes = encoder._with_holes(ids, 0.2)
    hidden = holes != ids
    assert set(holes[hidden].tolist()) == {103}
    assert 150 < hidden.sum() < 250
    assert not hidden[0, [0, -3, -2, -1]].any()
    assert torch.equal(encoder._with_holes(ids, 0.0), ids)
