"""What a detector is, and how one is loaded by its name.

The folder is the registry: `detectors/insult.py` exists, therefore `kind: insult` may stand in the
settings and `detector: insult` in a policy. Such a module has

    RUNS_IN = "loop"        # a Finder: microseconds in the event loop
            | "worker"      # a Scorer: in the inference worker
            | "remote"      # an Asker: on another machine, asked from the event loop
            | "checks"      # a cascade of others, which `checks.py` runs
    def create(name: str, **options) -> Finder | Scorer | Asker | Cascade

A detector measures, the policy decides: it returns every label's score, never a verdict.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from guardrails.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from guardrails.detectors.cascade import Cascade
    from guardrails.types import Detection, Stage


class Finder(Protocol):
    """A detector that finds spans, fast enough for the event loop."""

    name: str
    version: str
    labels: Sequence[str]

    def find(self, text: str, *, before: int | None = None) -> list[Detection]:
        """Every match in `text`, with `start` and `end`. Cost: linear in the text.

        Matches that begin at `before` or later need not be looked for.
        """
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


class Asker(Protocol):
    """A detector on another machine: it waits for the network, and computes next to nothing."""

    name: str
    version: str
    labels: Sequence[str]

    async def ask(
        self, texts: Sequence[str], side: Stage, *, timeout_seconds: float, question: str = ""
    ) -> list[list[Detection]]:
        """What was detected in each text: at least one detection of every label.

        `start` and `end` are offsets into the text, where they are known. `side` is input or
        output: a judge reads what was asked otherwise than what was answered. `question` is what
        the texts of an output answer.
        Errors: GuardUnavailable, also for an answer that cannot be used.
        """
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


def kinds() -> list[str]:
    """The names of all detector modules."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def module_of(kind: str) -> Any:
    """The module of one kind of detector; an unknown one names the known."""
    if kind not in kinds():
        raise ConfigError(f"There is no detector {kind!r}; there are: {', '.join(kinds())}.")
    return importlib.import_module(f"{__name__}.{kind}")


def create(name: str, options: Mapping[str, Any]) -> Finder | Scorer | Asker | Cascade:
    """Load one detector: `options["kind"]` names its module (default: its own name)."""
    arguments = dict(options)
    return module_of(arguments.pop("kind", name)).create(name, **arguments)


def finders_of(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Finder]:
    """Load each detector that runs in the event loop, by name; the patterns are always there.

    Errors: ConfigError for a kind that does not exist.
    """
    return {
        name: cast("Finder", create(name, own))
        for name, own in _running_in("loop", {"patterns": {}, **options})
    }


def askers_of(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Asker]:
    """Make each detector that another machine runs, by name. Errors: ConfigError."""
    return {
        name: cast("Asker", _created(name, own)) for name, own in _running_in("remote", options)
    }


def cascades_of(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Cascade]:
    """Make each cascade, by name. Errors: ConfigError."""
    return {
        name: cast("Cascade", _created(name, own)) for name, own in _running_in("checks", options)
    }


def tiers_of(options: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The detectors of all cascades, which a policy need not name. Errors: ConfigError."""
    made = cascades_of(options).values()
    return {tier for cascade in made for tier in (cascade.first, cascade.then)}


def _running_in(
    place: str, options: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, own in options.items():
        runs_in = module_of(str(own.get("kind", name))).RUNS_IN
        if runs_in == place:
            yield name, own


def _created(name: str, options: Mapping[str, Any]) -> object:
    try:
        return create(name, options)
    except TypeError as error:
        # An option that is missing or that there is not, as the call itself says.
        raise ConfigError(f"The detector {name!r} has wrong options: {error}.") from error
