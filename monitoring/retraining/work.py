"""What does a step get to work with, and where does it keep what it made?

A step's directory holds `result.json` once it is done, with a digest of all that it was made from.
So a step that is run again with the same plan and the same results before it does nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.settings import Settings
from monitoring.retraining.plan import RESULTS, STEPS, Plan
from monitoring.retraining.runs import RetrainingRun

RESULT = "result.json"
T = TypeVar("T")

Told = Callable[[str, int, int], None]
"""Told what is being done, how far it is, and of how many."""


class Work(Struct, frozen=True, kw_only=True):
    """One step of one run. `into` is its own directory, `given` those of the steps before it."""

    step: str
    run: RetrainingRun
    plan: Plan
    into: Path
    given: Mapping[str, Path]
    engine: AsyncEngine
    settings: Settings
    told: Told
    now: Callable[[], datetime]
    seconds: float

    def before(self, step: str, kind: type[T]) -> T:
        """What an earlier step handed on. Errors: LookupError where it has not been done."""
        kept = _read(self.given[step])
        if kept is None:
            raise LookupError(f"{step} has left no result in {self.given[step]}.")
        return msgspec.convert(kept["result"], kind)

    def done(self) -> Any:
        """This step's own result where it stands already, else None."""
        kept = _read(self.into)
        if kept is None or kept["made_from"] != self._made_from():
            return None
        return msgspec.convert(kept["result"], RESULTS[self.step])

    def keep(self, result: Any) -> None:
        """Write the result; from then on the step is done."""
        kept = {"made_from": self._made_from(), "result": msgspec.to_builtins(result)}
        beside = self.into / f".{RESULT}"
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
        beside.replace(self.into / RESULT)

    def _made_from(self) -> str:
        # A longer time or a further step is no other work.
        plan = msgspec.structs.replace(self.plan, seconds=0.0)
        digest = hashlib.sha256(msgspec.json.encode(plan, order="deterministic"))
        digest.update(str(self.run.id).encode())
        for step in STEPS[: STEPS.index(self.step)]:
            kept = _read(self.given[step])
            digest.update(msgspec.json.encode(None if kept is None else kept["result"]))
        return digest.hexdigest()


def directories(workspace: Path, run: RetrainingRun) -> dict[str, Path]:
    """Where each step of a run works, in a workspace that all of them reach."""
    return {step: workspace / str(run.id) / step for step in STEPS}


def _read(directory: Path) -> Any:
    try:
        return msgspec.json.decode((directory / RESULT).read_bytes())
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None
