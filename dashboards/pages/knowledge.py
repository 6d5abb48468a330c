"""The knowledge base: its documents, what a question would find in them, and new ones."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePath
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request, UploadFile
from fastapi.responses import RedirectResponse, Response
from msgspec import Struct
from starlette.datastructures import UploadFile as AnyUploadFile

from dashboards.pages import Page
from dashboards.site import audited, needs, reading, show, site_of
from guardrails.errors import GuardUnavailable
from guardrails.grounding import catalogue
from guardrails.grounding.catalogue import Cut, Listed
from guardrails.grounding.documents import MAX_FILE_BYTES, is_supported
from guardrails.grounding.ingest import Found, Outcome, ingest
from guardrails.grounding.retrieve import Retriever
from guardrails.inference.client import InferenceClient
from guardrails.launch.addresses import inference_socket
from guardrails.types import Passage

PAGE = Page("Knowledge base", "/knowledge", group="Keep", place=10, key="k")
router = APIRouter()

MOST_FILES = 20
NAME_CHARACTERS = 120
QUERY_CHARACTERS = 500
FOUND = 8
EMBED_SECONDS = 30.0
NO_WORKER = "The inference worker does not run on this machine, so nothing can be embedded."


class View(Struct, frozen=True):
    """All that the template needs; names as there. `found` None: nothing was asked."""

    collections: dict[str, int]
    collection: str | None
    documents: tuple[Listed, ...]
    query: str
    found: tuple[Passage, ...] | None
    trouble: str | None = None
    outcomes: tuple[Outcome, ...] = ()
    most_bytes: int = MAX_FILE_BYTES


class DocumentView(Struct, frozen=True):
    """One document with its passages."""

    document: Listed
    cuts: tuple[Cut, ...]


@router.get("/knowledge")
async def knowledge(request: Request) -> Response:
    """The page, and what a question finds where one is asked."""
    query = request.query_params.get("q", "").strip()[:QUERY_CHARACTERS]
    collection = request.query_params.get("collection") or None
    found, trouble = None, None
    if query:
        await audited(request, "document.search", collection or "default", {"text": query})
        try:
            found = await _search(request, query, collection or "default")
        except GuardUnavailable:
            trouble = NO_WORKER
    return await _page(request, collection, query=query, found=found, trouble=trouble)


@router.get("/knowledge/{document_id}")
async def document(request: Request, document_id: UUID) -> Response:
    """One document as it was cut into passages."""
    async with reading(request) as log:
        found = await catalogue.document(log.connection, document_id)
    if found is None:
        raise HTTPException(404)
    await audited(request, "document.open", found[0].source)
    return await show(request, "document.html", DocumentView(found[0], tuple(found[1])))


@router.post("/knowledge", dependencies=[needs("admin")])
async def add(request: Request) -> Response:
    """Take files into a collection, each replacing the one of its name."""
    form = await request.form(max_files=MOST_FILES)
    collection = str(form.get("collection", "")).strip()[:NAME_CHARACTERS] or "default"
    files = [one for one in form.getlist("files") if isinstance(one, AnyUploadFile)]
    names = [PurePath((one.filename or "").replace("\\", "/")).name for one in files]
    named = [
        (name, one) for name, one in zip(names, files, strict=True) if is_supported(Path(name))
    ]
    if not named:
        trouble = "Choose text, Markdown, HTML or PDF files."
        return await _page(request, collection, trouble=trouble, status=400)
    if any((one.size or 0) > MAX_FILE_BYTES for _, one in named):
        raise HTTPException(413, f"A file has at most {MAX_FILE_BYTES // 2**20} MB.")
    await audited(request, "document.add", collection, {"files": [name for name, _ in named]})
    try:
        outcomes = await _take_in(request, collection, named)
    except GuardUnavailable:
        return await _page(request, collection, trouble=NO_WORKER, status=503)
    return await _page(request, collection, outcomes=outcomes)


@router.post("/knowledge/{document_id}/remove", dependencies=[needs("admin")])
async def remove(request: Request, document_id: UUID) -> Response:
    """Take a document away; the next question does not find it."""
    await audited(request, "document.remove", str(document_id))
    async with site_of(request).writer.begin() as connection:
        if await catalogue.remove(connection, document_id) is None:
            raise HTTPException(404)
    return RedirectResponse("/knowledge", 303)


async def _page(
    request: Request,
    collection: str | None,
    *,
    query: str = "",
    found: Sequence[Passage] | None = None,
    trouble: str | None = None,
    outcomes: Sequence[Outcome] = (),
    status: int = 200,
) -> Response:
    async with reading(request) as log:
        names = await catalogue.collections(log.connection)
        documents = await catalogue.listed(log.connection, collection=collection)
    page = View(
        collections=names,
        collection=collection,
        documents=tuple(documents),
        query=query,
        found=None if found is None else tuple(found),
        trouble=trouble,
        outcomes=tuple(outcomes),
    )
    return await show(request, "knowledge.html", page, status=status)


async def _search(request: Request, query: str, collection: str) -> tuple[Passage, ...]:
    site = site_of(request)
    client = _embedder(request)
    try:
        retriever = Retriever(
            site.reader, lambda texts: client.embed(texts, timeout_seconds=EMBED_SECONDS)
        )
        return await retriever.retrieve(query, collection=collection, limit=FOUND)
    finally:
        await client.close()


async def _take_in(
    request: Request, collection: str, files: Sequence[tuple[str, UploadFile | AnyUploadFile]]
) -> list[Outcome]:
    client = _embedder(request)
    try:
        with tempfile.TemporaryDirectory(prefix="banister-upload-") as directory:
            found = []
            for number, (name, upload) in enumerate(files):
                # Two files of one name in an upload stay two; the last one is kept as that source.
                path = Path(directory, f"{number}{PurePath(name).suffix.lower()}")
                content = await upload.read()
                await asyncio.to_thread(path.write_bytes, content)
                found.append(Found(path, name[:NAME_CHARACTERS]))
            return await ingest(
                found,
                collection=collection,
                engine=site_of(request).writer,
                embed=lambda texts: client.embed(texts, timeout_seconds=EMBED_SECONDS),
            )
    finally:
        await client.close()


def _embedder(request: Request) -> InferenceClient:
    return InferenceClient(inference_socket(site_of(request).settings.data_dir))
