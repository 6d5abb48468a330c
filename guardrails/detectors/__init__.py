"""What a detector is, and how one is loaded by its name.

The folder is the registry: `detectors/insult.py` exists, therefore `kind: insult` may stand in the
settings and `detector: insult` in a policy. Such a module has

    RUNS_IN = "loop" | "worker"     # microseconds in the event loop, or the inference worker
    def create(name: str, **options) -> Finder | Scorer

A detector measures, the policy decides: it returns every label's score, never a verdict.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from guardrails.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from guardrails.types import Detection


class Finder(Protocol):
    """A detector that finds spans, fast enough for the event loop."""

    name: str
    version: str
    labels: Sequence[str]

    def find(self, text: str) -> list[Detection]:
        """Every match in `text`, with `start` and `end`. Cost: linear in the text."""
        ...


class Scorer(Protocol):
    """A detector that scores whole texts, in the inference worker."""

    name: str
    version: str
    labels: Sequence[str]
    window_tokens: int

    def detect(self, texts: Sequence[str]) -> np.ndarray:
        """Score every text for every label.

        Shape:  N texts → float32 array (N, len(labels)), rows in the texts' order.
        Units:  probabilities in [0, 1].
        Limits: `window_tokens` a text; the worker sends windows, never more.
        """
        ...


def kinds() -> list[str]:
    """The names of all detector modules."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def module_of(kind: str) -> Any:
    """The module of one kind of detector; an unknown one names the known."""
    if kind not in kinds():
        raise ConfigError(f"There is no detector {kind!r}; there are: {', '.join(kinds())}.")
    return importlib.import_module(f"{__name__}.{kind}")


def create(name: str, options: Mapping[str, Any]) -> Finder | Scorer:
    """Load one detector: `options["kind"]` names its module (default: its own name)."""
    arguments = dict(options)
    return module_of(arguments.pop("kind", name)).create(name, **arguments)


def finders_of(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Finder]:
    """Load each detector that runs in the event loop, by name; the patterns are always there.

    Errors: ConfigError for a kind that does not exist.
    """
    named = {"patterns": {}, **options}
    return {
        name: cast("Finder", create(name, own))
        for name, own in named.items()
        if module_of(str(own.get("kind", name))).RUNS_IN == "loop"
    }
