"""How does a server come by the weights of a version that it is asked for by name?

A directory that both see has a link for each version, called `model@version`, to where the registry
says its weights are. vLLM's resolver for a directory of adapters and the demo's server load from
there what they are asked for.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.retraining import registry


async def publish(engine: AsyncEngine, directory: Path, label: str) -> Path | None:
    """See that a version's link is there; None where the registry knows no local weights of it."""
    model, _, version = label.rpartition("@")
    found = await registry.find(engine, model, version)
    parts = None if found is None else urlsplit(found.weights_uri)
    if parts is None or parts.scheme != "file":
        return None
    link = directory / label
    await asyncio.to_thread(_link, link, Path(unquote(parts.path)))
    return link


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    # A link is moved into place whole, whoever else does the same.
    draft = link.with_name(f".{link.name}-{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target, target_is_directory=True)
    draft.replace(link)
