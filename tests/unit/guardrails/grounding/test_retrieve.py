"""What needs no database: tests/integration/test_grounding.py has the rest."""

from collections.abc import Sequence

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from guardrails.errors import GuardUnavailable
from guardrails.grounding.retrieve import MAX_QUERY_CHARACTERS, Retriever, vector_literal

NOWHERE = "postgresql+psycopg://nobody@127.0.0.1:1/none"


async def test_empty_question_asks_neither_encoder_nor_database() -> None:
    async def embed(texts: Sequence[str]) -> list[list[float]]:
        raise AssertionError(texts)

    retriever = Retriever(create_async_engine(NOWHERE), embed)
    for query in ("", "  \n", "\0"):
        assert await retriever.retrieve(query, collection="c", limit=3) == ()
    assert await retriever.retrieve("why", collection="c", limit=0) == ()


async def test_database_away_is_guard_unavailable() -> None:
    asked = []

    async def embed(texts: Sequence[str]) -> list[list[float]]:
        asked.extend(texts)
        return [[1.0] + [0.0] * 383]

    engine = create_async_engine(NOWHERE)
    with pytest.raises(GuardUnavailable, match="cannot be searched"):
        await Retriever(engine, embed).retrieve("x y\0 " * 1_000, collection="c", limit=3)
    await engine.dispose()
    assert len(asked[0]) <= MAX_QUERY_CHARACTERS
    assert "\0" not in asked[0]


def test_vector_is_written_as_pgvector_reads_it() -> None:
    assert vector_literal([1, -0.5, 1e-7]) == "[1.0,-0.5,1e-07]"
