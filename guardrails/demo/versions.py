"""How does one process serve several versions of the demo model, as vLLM serves adapters?

A directory has an entry for each version, called `model@version`: an adapter, which is laid over
the weights that are there, or a whole model. It is loaded when it is first asked for. All generate
on one thread, so laying another adapter over the weights disturbs nobody.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM

from guardrails.demo.model import ADAPTER

MOST_MODELS = 2
"""Whole models that are kept; the one that was asked for longest ago goes first."""

ATTRIBUTE = "banister_version"
"""The attribute of a generation's configuration that carries its version to `generate`."""

Generate = Callable[..., Any]


class Versions:
    """The versions of one loaded model that lie in a directory."""

    def __init__(self, base: Any, directory: Path) -> None:
        self._base = base
        self._generate: Generate = base.generate
        self._directory = directory
        self._adapters: dict[str, str] = {}
        self._models: dict[str, Any] = {}

    def generate(self, *, generation_config: Any, **more: Any) -> Any:
        """Generate with the version that the configuration carries; with the base without one."""
        name = generation_config.__dict__.pop(ATTRIBUTE, None)
        return self._of(name)(generation_config=generation_config, **more)

    def _of(self, name: str | None) -> Generate:
        if name is None:
            if self._adapters:
                self._base.disable_adapters()
            return self._generate
        place = self._directory / name
        if not (place / ADAPTER).exists():
            return self._model(name, place)
        if name not in self._adapters:
            adapter = f"version_{len(self._adapters)}"
            with warnings.catch_warnings():
                # That there will be several adapters is what is wanted.
                warnings.simplefilter("ignore", UserWarning)
                self._base.load_adapter(str(place.resolve()), adapter_name=adapter)
            self._adapters[name] = adapter
        self._base.enable_adapters()
        self._base.set_adapter(self._adapters[name])
        return self._generate

    def _model(self, name: str, place: Path) -> Generate:
        model = self._models.pop(name, None)
        if model is None:
            model = AutoModelForCausalLM.from_pretrained(place.resolve())
            while len(self._models) >= MOST_MODELS:
                del self._models[next(iter(self._models))]
        self._models[name] = model
        generate: Generate = model.generate
        return generate
