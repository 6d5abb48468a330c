"""Where is a version served that no upstream of the settings names?

Only where an upstream of its model says so in the settings: at the same address under another name,
as vLLM serves adapters, or at another path of the same server. A version is a word, never an
address: nothing that was registered can send a request anywhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from guardrails.settings import UpstreamSettings

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def version_upstreams(upstreams: Iterable[UpstreamSettings], label: str) -> list[UpstreamSettings]:
    """The upstreams that serve `model@version`, made after those of its model that may.

    None where no upstream of the model serves other versions, or the version is no plain word.
    """
    model, _, version = label.rpartition("@")
    if not _VERSION.fullmatch(version) or ".." in version:
        return []
    return [
        _of_version(upstream, version)
        for upstream in upstreams
        if upstream.model == model
        and upstream.version != version
        and (upstream.versions_served_as is not None or upstream.versions_path is not None)
    ]


def _of_version(upstream: UpstreamSettings, version: str) -> UpstreamSettings:
    names = {"model": upstream.served_as or upstream.model, "version": version}
    changes: dict[str, object] = {"name": f"{upstream.name}@{version}", "version": version}
    if upstream.versions_served_as is not None:
        changes["served_as"] = upstream.versions_served_as.format_map(names)
    if upstream.versions_path is not None:
        origin = re.match(r"[a-z]+://[^/]+", upstream.url)
        path = upstream.versions_path.format_map(names)
        changes["url"] = (origin[0] if origin else upstream.url) + path
    return upstream.model_copy(update=changes)
