"""What can be trained: the folder is the registry, and the kind of a run names the module.

Such a module has `prepare`, `tune` and `evaluate`, each a coroutine from a `Work` to its result,
and `weights(work) -> Path`, which leaves in the step's directory what is to be served.
"""

from __future__ import annotations

import importlib
from typing import Any

from monitoring.retraining.registry import Kind


def module_of(kind: Kind) -> Any:
    """The module of a kind; loaded only where a step of it runs, for it brings torch along."""
    return importlib.import_module(f"{__name__}.{kind}")
