"""Documents in a real Postgres, found again by meaning and by words, with the real encoder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.database import make_engine
from guardrails.grounding.chunks import TARGET_CHARACTERS
from guardrails.grounding.command import ingest as command
from guardrails.grounding.ingest import Outcome, Result, find_files, ingest, prune
from guardrails.grounding.retrieve import RANK_OFFSET, Embed, Retriever
from guardrails.inference.compact import load_embedder

DATA = json.loads((Path(__file__).parents[1] / "data" / "grounding.json").read_text())
DOCUMENTS: dict[str, str] = DATA["documents"]
QUESTIONS: list[list[str]] = DATA["questions"]
OFF_TOPIC: list[str] = DATA["off_topic"]


@pytest.fixture(scope="module")
def embed() -> Embed:
    """The real encoder; a text that several tests take in is encoded once."""
    embedder = load_embedder()
    known: dict[str, list[float]] = {}

    async def embed(texts: Sequence[str]) -> list[list[float]]:
        new = [text for text in texts if text not in known]
        known.update(zip(new, (await asyncio.to_thread(embedder.embed, new)).tolist(), strict=True))
        return [known[text] for text in texts]

    return embed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for title, body in DOCUMENTS.items():
        (folder / f"{title.replace(' ', '-')}.md").write_text(f"# {title}\n\n{body}\n")
    return folder


async def take(
    folder: Path, engine: AsyncEngine, embed: Embed, collection: str = "c"
) -> list[Outcome]:
    return await ingest(find_files(folder), collection=collection, engine=engine, embed=embed)


async def rows(engine: AsyncEngine, statement: str) -> list[tuple]:
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(statement))]


async def test_questions_find_their_document_and_off_topic_ones_nothing(
    folder: Path, engine: AsyncEngine, embed: Embed
) -> None:
    await take(folder, engine, embed)
    retriever = Retriever(engine, embed)
    found = []
    for question, title in QUESTIONS:
        passages = await retriever.retrieve(question, collection="c", limit=4)
        found.append(title in [passage.title for passage in passages])
    assert sum(found) / len(found) >= 0.95
    kept = [
        question
        for question in OFF_TOPIC
        if await retriever.retrieve(question, collection="c", limit=4)
    ]
    assert len(kept) / len(OFF_TOPIC) <= 0.1, kept


async def test_passages_are_numbered_and_lead_back_to_their_document(
    folder: Path, engine: AsyncEngine, embed: Embed
) -> None:
    long = folder / "long.txt"
    long.write_text("The Elbe carries barges. " * 120 + "The lock at Geesthacht opens at nine.")
    await take(folder, engine, embed)
    retriever = Retriever(engine, embed)
    question = "When does the lock at Geesthacht open?"
    passages = await retriever.retrieve(question, collection="c", limit=3)
    assert [passage.number for passage in passages] == list(range(1, len(passages) + 1))
    scores = [passage.score for passage in passages]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] <= 2 / (RANK_OFFSET + 1)
    first = passages[0]
    assert (first.source, first.title) == ("long.txt", "long")
    assert first.text == long.read_text()[first.start : first.end]
    assert "Geesthacht" in first.text
    assert len(first.text) <= TARGET_CHARACTERS


async def test_word_that_the_encoder_does_not_know_is_found(
    folder: Path, engine: AsyncEngine, embed: Embed
) -> None:
    (folder / "part.txt").write_text("Spare part ZX-8812-Q fits the lower seal of the valve.")
    await take(folder, engine, embed)
    [first, *_] = await Retriever(engine, embed).retrieve("ZX-8812-Q", collection="c", limit=2)
    assert first.source == "part.txt"


HOSTILE = [
    "it's o'clock \\' http://a.b/c'd?e=f&g \\\\host\\share",
    "'; DROP TABLE passages; --",
    "a & b | !c <-> (d",
    "\\",
    "%_",
    "x" * 50_000,
    "ünï — ☃",
]


@pytest.mark.parametrize("query", HOSTILE)
async def test_any_question_is_only_a_question(
    folder: Path, engine: AsyncEngine, embed: Embed, query: str
) -> None:
    await take(folder, engine, embed)
    await Retriever(engine, embed).retrieve(query, collection="c", limit=3)
    assert await rows(engine, "SELECT count(*) > 0 FROM passages") == [(True,)]


async def test_collections_do_not_see_each_other(
    folder: Path, tmp_path: Path, engine: AsyncEngine, embed: Embed
) -> None:
    await take(folder, engine, embed)
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.txt").write_text("The Elbe is closed to ships on Sundays.")
    await take(other, engine, embed, "small")
    retriever = Retriever(engine, embed)
    for collection, source in (("small", {"a.txt"}), ("none", set())):
        passages = await retriever.retrieve(
            "Where does the Elbe end?", collection=collection, limit=5
        )
        assert {passage.source for passage in passages} == source
    big = await retriever.retrieve("Where does the Elbe end?", collection="c", limit=5)
    assert "a.txt" not in {passage.source for passage in big}


async def test_small_collection_is_found_behind_the_index_of_a_large_one(
    engine: AsyncEngine, postgres_url: str, embed: Embed, tmp_path: Path
) -> None:
    """The hnsw index holds all collections: its nearest rows may all be of another one."""
    (tmp_path / "a.txt").write_text("The Elbe ends in the North Sea.")
    await take(tmp_path, engine, embed, "small")
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO passages (document_id, collection, number, start_offset, end_offset,"
                " text, embedding) SELECT document_id, 'large', n, 0, 1, 'other', embedding"
                " FROM passages, generate_series(1, 2000) AS n WHERE collection = 'small'"
            )
        )
        await connection.execute(text("DROP INDEX passages_collection_idx"))
    by_index = make_engine(postgres_url, connect_args={"options": "-c enable_seqscan=off"})
    passages = await Retriever(by_index, embed).retrieve(
        "Where does the Elbe end?", collection="small", limit=3
    )
    await by_index.dispose()
    assert [passage.source for passage in passages] == ["a.txt"]


async def test_second_ingest_skips_replaces_and_prunes(
    folder: Path, engine: AsyncEngine, embed: Embed
) -> None:
    first = await take(folder, engine, embed)
    assert {outcome.result for outcome in first} == {Result.ADDED}
    ids = dict(await rows(engine, "SELECT source, id FROM documents"))
    changed, gone, *_ = sorted(folder.iterdir())
    changed.write_text("# Changed\n\nThe gate opens at seven.\n\n## More\n\nIt closes at nine.")
    gone.unlink()
    second = {outcome.source: outcome for outcome in await take(folder, engine, embed)}
    assert second.pop(changed.name) == Outcome(changed.name, Result.REPLACED, 2)
    assert {outcome.result for outcome in second.values()} == {Result.UNCHANGED}
    assert await rows(
        engine,
        "SELECT documents.id, title, number, text FROM passages JOIN documents"
        f" ON document_id = documents.id WHERE source = '{changed.name}' ORDER BY number",
    ) == [
        (ids[changed.name], "Changed", 0, "# Changed\n\nThe gate opens at seven."),
        (ids[changed.name], "Changed", 1, "## More\n\nIt closes at nine."),
    ]
    removed = await prune(find_files(folder), collection="c", engine=engine)
    assert removed == [Outcome(gone.name, Result.REMOVED)]
    left = await rows(engine, "SELECT source FROM documents")
    assert {source for (source,) in left} == set(ids) - {gone.name}
    assert await prune(find_files(folder), collection="c", engine=engine) == []


async def test_prune_stays_within_its_base_and_collection(
    folder: Path, engine: AsyncEngine, embed: Embed
) -> None:
    for collection, base in (("c", "a/"), ("c", "b/"), ("d", "a/")):
        files = find_files(folder, base)
        await ingest(files, collection=collection, engine=engine, embed=embed)
    await prune([], collection="c", engine=engine, base="a/")
    left = await rows(engine, "SELECT DISTINCT collection, left(source, 2) FROM documents")
    assert sorted(left) == [("c", "b/"), ("d", "a/")]


async def test_broken_files_are_named_and_the_rest_taken_in(
    tmp_path: Path, engine: AsyncEngine, embed: Embed
) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 broken")
    (tmp_path / "b.html").write_text("<script>x</script>")
    (tmp_path / "c.txt").write_text("The gate opens at seven.")
    told: list[Outcome] = []
    outcomes = await ingest(
        find_files(tmp_path), collection="c", engine=engine, embed=embed, report=told.append
    )
    assert outcomes == told
    assert [(o.source, o.result, o.passages) for o in outcomes] == [
        ("a.pdf", Result.FAILED, 0),
        ("b.html", Result.FAILED, 0),
        ("c.txt", Result.ADDED, 1),
    ]
    assert outcomes[1].reason == "no text"


async def test_failure_in_the_middle_leaves_the_old_passages(
    tmp_path: Path, engine: AsyncEngine, embed: Embed
) -> None:
    (tmp_path / "a.txt").write_text("The gate opens at seven.")
    await take(tmp_path, engine, embed)
    before = await rows(engine, "SELECT id, text FROM passages")
    (tmp_path / "a.txt").write_text("The gate opens at nine.")

    async def wrong_size(texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, 2.0] for _ in texts]

    with pytest.raises(Exception, match="expected 384 dimensions"):
        await take(tmp_path, engine, wrong_size)
    assert await rows(engine, "SELECT id, text FROM passages") == before
    assert [o.result for o in await take(tmp_path, engine, embed)] == [Result.REPLACED]


async def test_two_ingests_at_once_leave_one_document(
    folder: Path, engine: AsyncEngine, embed: Embed
) -> None:
    await asyncio.gather(take(folder, engine, embed), take(folder, engine, embed))
    assert await rows(
        engine,
        "SELECT count(*), count(DISTINCT (document_id, number)), count(DISTINCT document_id)"
        " FROM passages",
    ) == [(len(DOCUMENTS), len(DOCUMENTS), len(DOCUMENTS))]


def test_command_takes_a_directory_in_and_names_what_failed(
    folder: Path, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANISTER_DATABASE_URL", postgres_url)
    monkeypatch.setenv("BANISTER_DATA_DIR", str(tmp_path / "data"))
    runner = CliRunner()
    result = runner.invoke(command, [str(folder)], catch_exceptions=False)
    assert result.exit_code == 0
    assert f"{len(DOCUMENTS)} added" in result.output
    (folder / "broken.pdf").write_bytes(b"%PDF-")
    sorted(folder.glob("*.md"))[0].unlink()
    result = runner.invoke(command, [str(folder), "--prune"], catch_exceptions=False)
    assert result.exit_code == 1
    assert "failed broken.pdf: broken pdf" in result.output
    assert f"{len(DOCUMENTS) - 1} unchanged, 1 failed, 1 removed" in result.output
