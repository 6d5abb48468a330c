"""What `banister VERB` runs: each verb is an entry point, loaded only when it is called.

The verbs of the rooms above (`monitor`, `dashboard`) are named in pyproject.toml, under
`banister.verbs`. So this room imports none of them, and `banister --help` imports nothing at all.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import click
from pydantic import ValidationError

from guardrails.errors import BanisterError

GROUP = "banister.verbs"


class Verbs(click.Group):
    """A group of commands that reads them from the entry points of the installed project."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb's name, sorted."""
        return sorted(entry_points(group=GROUP).names)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Load one verb; None where there is no such verb."""
        for entry in entry_points(group=GROUP, name=name):
            return entry.load()
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs with what they do, without importing them."""
        rows = [(e.name, summary(e)) for e in sorted(entry_points(group=GROUP))]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)


def summary(entry: EntryPoint) -> str:
    """The first line of a verb's docstring, read from its source.

    Importing it instead would cost seconds: some verbs bring pandas or torch along.
    """
    spec = importlib.util.find_spec(entry.module)
    if spec is None or spec.origin is None:
        return ""
    for node in ast.parse(Path(spec.origin).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == entry.attr:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


@click.group(cls=Verbs)
@click.version_option(package_name="banister")
def banister() -> None:
    """A guardrail between an application and its model: check, ground, record, watch."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb. A fault of the configuration is one clear line and exit status 2."""
    try:
        banister.main(args=arguments, prog_name="banister")
    except ValidationError as error:
        _refuse("; ".join(_where(fault["loc"], fault["msg"]) for fault in error.errors()))
    except BanisterError as error:
        _refuse(error.message)


def _where(location: tuple[int | str, ...], message: str) -> str:
    name = "__".join(str(part) for part in location).upper()
    return f"BANISTER_{name}: {message}" if name else message


def _refuse(message: str) -> None:
    click.secho(f"banister: {message}", fg="red", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
