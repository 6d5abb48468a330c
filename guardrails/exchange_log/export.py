"""How do exchanges leave the log for other tools? As JSON lines, or as Parquet.

Rows are read by a cursor in the server, so memory stays flat whatever the span. Encrypted texts are
opened where the ring has their key.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import psycopg
from msgspec import Struct
from psycopg import sql
from psycopg.rows import dict_row

from guardrails.errors import ConfigError
from guardrails.exchange_log.cipher import BODIES, LISTS, Cipher
from guardrails.exchange_log.tables import exchanges

ROWS_AT_ONCE = 2_000
# What the database needs for itself says nothing to others.
LEFT_OUT = ("xact", "salt", "text_digest")
COLUMNS = tuple(column.name for column in exchanges.c if column.name not in LEFT_OUT)
JSON_COLUMNS = frozenset(c.name for c in exchanges.c if str(c.type) == "JSONB")


class Selection(Struct, frozen=True):
    """Which exchanges: of a tenant, that began in [since, until). None: not asked for."""

    tenant: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def where(self) -> sql.Composable:
        """The condition on `exchanges`."""
        conditions: list[sql.Composable] = [sql.SQL("true")]
        for condition, value in (
            ("tenant = {}", self.tenant),
            ("started_at >= {}", self.since),
            ("started_at < {}", self.until),
        ):
            if value is not None:
                conditions.append(sql.SQL(condition).format(value))
        return sql.SQL(" AND ").join(conditions)


async def batches(
    connection: psycopg.AsyncConnection, selection: Selection, cipher: Cipher | None
) -> AsyncGenerator[list[dict[str, Any]], None]:
    """The selected rows in the order in which they began, some thousand at a time.

    The connection must be in autocommit: all is read at one moment. Texts that were encrypted with
    a key that is not in the ring say so in their place.
    """
    query = sql.SQL("SELECT {} FROM exchanges WHERE {} ORDER BY started_at, id").format(
        sql.SQL(", ").join(map(sql.Identifier, COLUMNS)), selection.where
    )
    async with connection.transaction():
        await connection.execute("SET TRANSACTION READ ONLY")
        async with connection.cursor("export", row_factory=dict_row) as cursor:
            cursor.itersize = ROWS_AT_ONCE
            await cursor.execute(query)
            while rows := await cursor.fetchmany(ROWS_AT_ONCE):
                yield [_opened(row, cipher) for row in rows]


async def write_jsonl(
    rows: AsyncIterator[list[dict[str, Any]]], out: BinaryIO, told: Callable[[int], None]
) -> int:
    """One JSON object a line; how many."""
    written = 0
    async for batch in rows:
        out.write(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in batch))
        written += len(batch)
        told(written)
    return written


async def write_parquet(
    rows: AsyncIterator[list[dict[str, Any]]], path: Path, told: Callable[[int], None]
) -> int:
    """One Parquet file with a row group a batch; JSON columns as text; how many rows.

    The file appears under its name when it is whole. Errors: ConfigError where pyarrow is missing.
    """
    pyarrow, parquet = _pyarrow()
    schema = _schema(pyarrow)
    draft = path.with_name(f".{path.name}.part")
    written = 0
    try:
        with parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
            async for batch in rows:
                writer.write_table(_table(pyarrow, schema, batch))
                written += len(batch)
                told(written)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return written


def _opened(row: dict[str, Any], cipher: Cipher | None) -> dict[str, Any]:
    if cipher is None:
        return row
    opened = {name: cipher.open(str(row["id"]), name, row[name]) for name in (*BODIES, *LISTS)}
    return {**row, **opened}


def _pyarrow() -> tuple[Any, Any]:
    # 40 MB of libraries that nothing else here needs.
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(
            "Parquet needs pyarrow: pip install 'banister[export]', or export JSON lines."
        ) from error
    return pyarrow, pyarrow.parquet


def _schema(pyarrow: Any) -> Any:
    kinds = {
        "UUID": pyarrow.string(),
        "TEXT": pyarrow.string(),
        "JSONB": pyarrow.string(),
        "BOOLEAN": pyarrow.bool_(),
        "INTEGER": pyarrow.int32(),
        "BIGINTEGER": pyarrow.int64(),
        "DOUBLE": pyarrow.float64(),
        "DATETIME": pyarrow.timestamp("us", tz="UTC"),
        "ARRAY": pyarrow.list_(pyarrow.string()),
    }
    return pyarrow.schema(
        [
            pyarrow.field(name, kinds[type(exchanges.c[name].type).__name__.upper()])
            for name in COLUMNS
        ]
    )


def _table(pyarrow: Any, schema: Any, rows: Sequence[dict[str, Any]]) -> Any:
    return pyarrow.Table.from_pylist(
        [{name: _plain(name, value) for name, value in row.items()} for row in rows], schema=schema
    )


def _plain(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in JSON_COLUMNS:
        return orjson.dumps(value).decode()
    return str(value) if name in ("id", "erasure", "source_id") else value
