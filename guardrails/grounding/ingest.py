"""How do files become passages in the database?

One document is one transaction: whoever retrieves sees its old passages or its new ones, never a
mixture and never none.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sqlalchemy import delete, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from guardrails.exchange_log.tables import documents, passages
from guardrails.grounding.chunks import Span, chunks
from guardrails.grounding.documents import (
    Document,
    Unreadable,
    digest_of,
    is_supported,
    read_document,
)
from guardrails.grounding.retrieve import Embed

EMBEDDED_AT_ONCE = 32


class Result(StrEnum):
    """What became of a file."""

    ADDED = "added"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file; `reason` says why it failed."""

    source: str
    result: Result
    passages: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A file to take in, and the name that it is cited by."""

    path: Path
    source: str


def find_files(path: Path, base: str = "") -> list[Found]:
    """The readable files of a directory and all below it, or the one file, in order of name.

    Hidden files and directories are left out, links to directories are not followed. The source is
    `base` and the path below the directory, with `/` on every platform: no path of this machine
    gets into an answer.
    """
    if not path.is_dir():
        return [Found(path, base + path.name)]
    found = []
    for directory, below, names in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            file = Path(directory, name)
            if not name.startswith(".") and is_supported(file):
                found.append(Found(file, base + file.relative_to(path).as_posix()))
    return found


async def ingest(
    files: Sequence[Found],
    *,
    collection: str,
    engine: AsyncEngine,
    embed: Embed,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Take files into a collection; unchanged ones are skipped, changed ones replaced.

    A file that cannot be read is an outcome and does not stop the rest.
    Errors: the embedder's and the database's come through; what was done before is kept.
    """
    async with engine.connect() as connection:
        known = await _digests(connection, collection)
    outcomes = []
    for file in files:
        outcome = await _take(file, collection, known.get(file.source), engine, embed)
        report(outcome)
        outcomes.append(outcome)
    return outcomes


async def prune(
    files: Iterable[Found], *, collection: str, engine: AsyncEngine, base: str = ""
) -> list[Outcome]:
    """Remove the documents of a collection, under `base`, whose file is not among `files`."""
    kept = {file.source for file in files}
    async with engine.begin() as connection:
        gone = [
            source
            for source in await _digests(connection, collection)
            if source.startswith(base) and source not in kept
        ]
        await connection.execute(
            delete(documents).where(
                documents.c.collection == collection, documents.c.source.in_(gone)
            )
        )
    return [Outcome(source, Result.REMOVED) for source in sorted(gone)]


async def _digests(connection: AsyncConnection, collection: str) -> dict[str, str]:
    columns = select(documents.c.source, documents.c.sha256)
    rows = await connection.execute(columns.where(documents.c.collection == collection))
    return {row.source: row.sha256 for row in rows}


async def _take(
    file: Found, collection: str, known: str | None, engine: AsyncEngine, embed: Embed
) -> Outcome:
    try:
        if known and known == await asyncio.to_thread(digest_of, file.path):
            return Outcome(file.source, Result.UNCHANGED)
        document = await asyncio.to_thread(read_document, file.path, file.source)
        spans = await asyncio.to_thread(chunks, document.text)
    except Unreadable as error:
        return Outcome(file.source, Result.FAILED, reason=str(error))
    # Before the transaction: no lock is held while the encoder works.
    embeddings = await _embedded(document, spans, embed)
    async with engine.begin() as connection:
        await _write(connection, collection, document, spans, embeddings)
    return Outcome(file.source, Result.REPLACED if known else Result.ADDED, len(spans))


async def _embedded(document: Document, spans: Sequence[Span], embed: Embed) -> list[list[float]]:
    # The title goes with each passage: "It was founded in 1901" is near to nothing by itself.
    texts = [f"{document.title}\n{document.text[start:end]}" for start, end in spans]
    found: list[list[float]] = []
    for start in range(0, len(texts), EMBEDDED_AT_ONCE):
        found += await embed(texts[start : start + EMBEDDED_AT_ONCE])
    return found


async def _write(
    connection: AsyncConnection,
    collection: str,
    document: Document,
    spans: Sequence[Span],
    embeddings: Sequence[Sequence[float]],
) -> None:
    fields = {
        "title": document.title,
        "sha256": document.sha256,
        "media_type": document.media_type,
    }
    # The row's lock makes a second ingest of the same document wait for this one.
    written = await connection.execute(
        upsert(documents)
        .values(collection=collection, source=document.source, **fields)
        .on_conflict_do_update(index_elements=["collection", "source"], set_=fields)
        .returning(documents.c.id)
    )
    document_id = written.scalar_one()
    await connection.execute(delete(passages).where(passages.c.document_id == document_id))
    rows = [
        {
            "document_id": document_id,
            "collection": collection,
            "number": number,
            "start_offset": start,
            "end_offset": end,
            "text": document.text[start:end],
            "embedding": embedding,
        }
        for number, ((start, end), embedding) in enumerate(zip(spans, embeddings, strict=True))
    ]
    await connection.execute(insert(passages), rows)
