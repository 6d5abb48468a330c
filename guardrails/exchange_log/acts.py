"""Who did what on a machine's command line? One row each in `audit_log`, beside the pages' acts."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.types.json import Jsonb


async def record(
    connection: psycopg.AsyncConnection,
    action: str,
    target: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write down an act of whoever runs this process; what is None in `detail` is left out.

    Before it is done: what cannot be recorded does not happen.
    """
    said = {name: value for name, value in (detail or {}).items() if value is not None}
    await connection.execute(
        "INSERT INTO audit_log (who, action, target, detail) VALUES (%s, %s, %s, %s)",
        (operator(), action, target, Jsonb(said)),
    )


def operator() -> str:
    """The user of the operating system, not of the dashboards; by its number, not by `$USER`."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    return f"{name} (command line)"
