"""What does the whole schema look like? The tables of every `*tables.py` in this folder."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from guardrails.exchange_log.tables import metadata

__all__ = ["metadata"]

for _module in pkgutil.iter_modules([str(Path(__file__).parent)]):
    if _module.name.endswith("_tables") and _module.name != "all_tables":
        importlib.import_module(f"{__package__}.{_module.name}")
