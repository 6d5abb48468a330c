"""Which passages belong to a question?

Two rankings are fused by reciprocal rank: nearness of meaning (pgvector, cosine) and shared words
(Postgres full-text). Each finds what the other misses: paraphrases, and names or part numbers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from guardrails.errors import GuardUnavailable
from guardrails.types import Passage

if TYPE_CHECKING:
    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncEngine

Embed = Callable[[Sequence[str]], Awaitable[list[list[float]]]]
"""Texts to unit vectors of 384 floats, one a text, in order."""

CANDIDATES = 40
"""Passages that each ranking offers; both recall and cost grow with it."""

RANK_OFFSET = 60
"""The k of reciprocal rank fusion: the larger, the less the first places count."""

NEAR = 0.30
"""Cosine from which a passage is kept for its meaning alone."""

RELATED = 0.20
"""Cosine from which a passage is kept when it also shares words with the question."""

SHARED = 0.5
"""The share of the question's words that this takes."""

MAX_QUERY_CHARACTERS = 2_000
"""What is read of a question. The encoder stops after 256 tokens anyway."""

RANKED = 4_000
"""Passages that the ranking by words may look at. A question's commonest words are left out, by the
planner's statistics, where they would match more than this; its rarest word always stays."""

# The words are joined by `|`: a question's every word stands in no passage, and `&` would find
# nothing. The parser is that of plain text, not `websearch`: in prose a hyphen is no negation. The
# language is the index's own, English; the words of others pass its stemmer nearly unchanged.
# The order by distance stands alone in its subquery: so the hnsw index can serve it.
_SEARCH = """
WITH common AS (
    SELECT lexeme, share FROM pg_stats, unnest(
        CAST(CAST(most_common_elems AS text) AS text[]), most_common_elem_freqs
    ) AS frequent (lexeme, share)
    WHERE schemaname = current_schema() AND tablename = 'passages' AND attname = 'search'
),
counted AS (
    SELECT lexeme, coalesce(share, 0) * greatest(reltuples, 0) AS matches
    FROM unnest(tsvector_to_array(to_tsvector('english', :query))) AS lexeme
    LEFT JOIN common USING (lexeme)
    JOIN pg_class ON pg_class.oid = CAST('passages' AS regclass)
),
rarest AS (
    SELECT lexeme, row_number() OVER by_matches AS place, sum(matches) OVER by_matches AS total
    FROM counted WINDOW by_matches AS (ORDER BY matches, lexeme)
),
asked AS (
    SELECT CAST(string_agg(
               '''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || '''', ' | '
           ) FILTER (WHERE place = 1 OR total <= :ranked) AS tsquery) AS words,
           array_agg(lexeme) AS lexemes
    FROM rarest
),
near AS (
    SELECT id, row_number() OVER (ORDER BY distance) AS rank FROM (
        SELECT id, embedding <=> CAST(:embedding AS vector) AS distance
        FROM passages WHERE collection = :collection
        ORDER BY embedding <=> CAST(:embedding AS vector) LIMIT :candidates
    ) AS nearest
),
matching AS (
    SELECT id, row_number() OVER (ORDER BY weight DESC, id) AS rank FROM (
        SELECT id, ts_rank_cd(search, words, 1) AS weight FROM (
            SELECT id, search, words FROM asked, passages
            WHERE collection = :collection AND search @@ words LIMIT :ranked
        ) AS bounded
        ORDER BY weight DESC, id LIMIT :candidates
    ) AS matched
),
fused AS (
    SELECT id,
           coalesce(1.0 / (:offset + near.rank), 0) + coalesce(1.0 / (:offset + matching.rank), 0)
               AS score
    FROM near FULL JOIN matching USING (id)
),
judged AS (
    SELECT passages.*, fused.score,
           1 - (embedding <=> CAST(:embedding AS vector)) AS similarity,
           CAST(cardinality(ARRAY(
               SELECT unnest(tsvector_to_array(search)) INTERSECT SELECT unnest(lexemes)
           )) AS float8) / greatest(cardinality(lexemes), 1) AS shared
    FROM fused JOIN passages USING (id), asked
)
SELECT judged.id, document_id, title, source, judged.text, score, start_offset, end_offset
FROM judged JOIN documents ON documents.id = document_id
WHERE similarity >= :near OR (similarity >= :related AND shared >= :shared)
ORDER BY score DESC, similarity DESC, judged.id
LIMIT :limit
"""

# Without the first, hnsw looks at its 40 nearest rows of all collections and only then drops the
# others'.
_PREPARE = (
    "SELECT set_config('hnsw.iterative_scan', 'strict_order', true),"
    " set_config('statement_timeout', :milliseconds, true)"
)

SEARCH_SECONDS = 2.0
"""After which a search is given up: the caller waits for it."""


class Retriever:
    """Finds passages in the database; `embed` turns a question into a vector."""

    def __init__(self, engine: AsyncEngine, embed: Embed) -> None:
        self._engine = engine
        self._embed = embed

    async def retrieve(self, query: str, *, collection: str, limit: int) -> tuple[Passage, ...]:
        """The best passages of a collection, best first, numbered from 1; perhaps none.

        Units:  `score` is the sum of reciprocal ranks, at most 2 / (RANK_OFFSET + 1).
        Limits: the first MAX_QUERY_CHARACTERS of the question; NEAR, RELATED and SHARED keep out
                what does not belong to it (docs/models/groundedness.md has the figures).
        Errors: GuardUnavailable where the embedder or the database does not answer in time.
        Cost:   one embedding and one statement.
        """
        query = " ".join(query[:MAX_QUERY_CHARACTERS].replace("\0", " ").split())
        if not query or limit < 1:
            return ()
        [embedding] = await self._embed([query])
        values = {
            "query": query,
            "embedding": vector_literal(embedding),
            "collection": collection,
            "candidates": max(CANDIDATES, limit),
            "ranked": RANKED,
            "offset": RANK_OFFSET,
            "near": NEAR,
            "related": RELATED,
            "shared": SHARED,
            "limit": limit,
        }
        rows = await self._search(values)
        return tuple(
            Passage(
                number=number,
                passage_id=str(row.id),
                document_id=str(row.document_id),
                title=row.title,
                source=row.source,
                text=row.text,
                score=float(row.score),
                start=row.start_offset,
                end=row.end_offset,
            )
            for number, row in enumerate(rows, 1)
        )

    async def _search(self, values: dict[str, Any]) -> Sequence[Row[Any]]:
        # A proxy whose routes ground nothing is smaller without it.
        from sqlalchemy import text
        from sqlalchemy.exc import SQLAlchemyError

        milliseconds = {"milliseconds": str(int(SEARCH_SECONDS * 1000))}
        try:
            async with self._engine.connect() as connection:
                await connection.execute(text(_PREPARE), milliseconds)
                return (await connection.execute(text(_SEARCH), values)).all()
        except SQLAlchemyError as error:
            raise GuardUnavailable(
                "The documents cannot be searched; try again.", retry_after_seconds=1
            ) from error


def vector_literal(embedding: Sequence[float]) -> str:
    """A vector as pgvector reads it from text."""
    return "[" + ",".join(map(repr, map(float, embedding))) + "]"
