"""The list of settings in docs/configuration.md, made from `Settings`.

python tests/conventions/settings_table.py     writes it anew
"""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from guardrails import settings

PAGE = Path(__file__).parent.parent.parent / "docs" / "configuration.md"
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
PARTS = (
    settings.UpstreamSettings,
    settings.RouteSettings,
    settings.GroundingSettings,
    settings.PrivacySettings,
    settings.CutSettings,
    settings.RetentionSettings,
    settings.RetrainingSettings,
    settings.OidcSettings,
)
PREFIX = settings.Settings.model_config["env_prefix"]


def tables() -> str:
    """Markdown: the settings as environment variables, then the fields of what they hold."""
    parts = [_table(settings.Settings, lambda name: f"{PREFIX}{name.upper()}")]
    for part in PARTS:
        title = (part.__doc__ or "").partition("\n")[0]
        parts.append(f"### {part.__name__}\n\n{title}\n\n{_table(part, str)}")
    return "\n\n".join(parts)


def page_with(table: str, page: str) -> str:
    """The page with the part between the marks replaced."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def _table(model: type[BaseModel], name_of: typing.Callable[[str], str]) -> str:
    rows = ["| name | type | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        meaning = field.description or _meaning(name)
        rows.append(f"| `{name_of(name)}` | {_type(field)} | {_default(field)} | {meaning} |")
    return "\n".join(rows)


def _meaning(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _type(field: FieldInfo) -> str:
    return _words(field.annotation).replace("|", "or")


def _words(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(_words(part) for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is tuple:
        return f"list of {_words(get_args(annotation)[0])}"
    if get_origin(annotation) is dict:
        key, value = get_args(annotation)
        return f"{_words(key)} → {_words(value)}"
    names = {"str": "text", "int": "whole number", "float": "number", "Path": "path"}
    names |= {"bool": "true or false", "SecretStr": "secret", "Any": "anything"}
    name = getattr(annotation, "__name__", str(annotation))
    return names.get(name, name)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "see below"
    if value is None or value is PydanticUndefined or value in ((), {}, ""):
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"`{name}`" for name in value)
    if isinstance(value, Path):
        inside = value.is_relative_to(settings.PACKAGE)
        return f"`{value.relative_to(settings.PACKAGE.parent) if inside else value}`"
    return f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page_with(tables(), PAGE.read_text()))
