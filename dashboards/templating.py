"""How does a view become HTML? Templates with everything escaped, and files with their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dashboards import wording
from dashboards.filters import NAMES
from guardrails.settings import Settings

HERE = Path(__file__).parent
FILTERS = ("count_of", "seconds_of", "milliseconds_of", "percent", "bytes_of", "ago")

Render = Callable[[str, Any, Any], str]
"""A template's name, the page's view, and the shell, to HTML."""


def make_render(settings: Settings) -> Render:
    """The renderer of all templates. A name that the view does not have is an error."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in FILTERS:
        environment.filters[name] = getattr(wording, name)
    environment.globals |= {
        "static": static_address,
        "moment": wording.moment,
        "time": wording.moment_to_the_second,
        "day": wording.day,
        "spans": NAMES,
        "proxy_url": f"http://{settings.host}:{settings.port}",
        "example_model": settings.upstreams[0].model if settings.upstreams else "demo",
    }

    def render(template: str, view: Any, shell: Any) -> str:
        values = view if isinstance(view, Mapping) else _fields(view)
        link = shell.filters.carry
        return environment.get_template(template).render(**values, shell=shell, link=link)

    return render


def _fields(view: Any) -> dict[str, Any]:
    return {} if view is None else msgspec.structs.asdict(view)


@cache
def static_address(name: str) -> str:
    """The address of a file in `static/`, with its content's hash, so that it may be kept."""
    content = (HERE / "static" / name).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


class Static(StaticFiles):
    """The files in `static/`, kept by browsers for good."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        """The file, with a year to keep it."""
        answer = super().file_response(*arguments, **options)
        answer.headers["cache-control"] = "public, max-age=31536000, immutable"
        return answer
