"""What text does a file hold?

Every format becomes plain text with Markdown headings, so that what follows knows one form.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from lxml import etree, html
from pypdf import PdfReader
from pypdf.errors import PyPdfError

MAX_FILE_BYTES = 32 * 2**20
MAX_TEXT_CHARACTERS = 5_000_000
MAX_TITLE_CHARACTERS = 200

_DROPPED = (
    "script", "style", "noscript", "template", "nav", "header", "footer", "aside", "form", "svg",
    "iframe", "object", "button", "select",
)  # fmt: skip
_BLOCKS = frozenset(
    ("address", "article", "blockquote", "body", "caption", "dd", "details", "div", "dl", "dt",
     "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "main", "ol", "p",
     "pre", "section", "summary", "table", "tr", "ul")
)  # fmt: skip
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.MULTILINE)


class Unreadable(Exception):
    """A file that no text can be taken from; the message says why."""


@dataclass(frozen=True, slots=True)
class Document:
    """The text of one file. `sha256` is of its bytes, in hex; `source` is how it is cited."""

    title: str
    source: str
    media_type: str
    sha256: str
    text: str


def read_document(path: Path, source: str) -> Document:
    """The document in a file.

    Limits: MAX_FILE_BYTES and MAX_TEXT_CHARACTERS.
    Errors: Unreadable, for whatever is wrong with the file.
    Cost:   blocks; a large PDF takes seconds.
    """
    media_type, reader = _reader_of(path)
    data = _bytes_of(path)
    try:
        title, text = reader(data)
    except Unreadable:
        raise
    # The parsers raise nearly anything on a broken file, and the next file is still to be read.
    except Exception as error:
        raise Unreadable(f"broken {path.suffix[1:]}: {type(error).__name__}") from error
    text = _tidied(text)
    if not text:
        raise Unreadable("no text")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise Unreadable(f"more than {MAX_TEXT_CHARACTERS:,} characters of text")
    return Document(
        title=_one_line(title or path.stem.replace("_", " "))[:MAX_TITLE_CHARACTERS],
        source=source,
        media_type=media_type,
        sha256=digest(data),
        text=text,
    )


def digest(data: bytes) -> str:
    """The SHA-256 by which a file is known to be unchanged."""
    return hashlib.sha256(data).hexdigest()


def digest_of(path: Path) -> str:
    """The same of a file; Unreadable where it is too large or away."""
    return digest(_bytes_of(path))


def is_supported(path: Path) -> bool:
    """Whether a file's name says that it can be read."""
    return path.suffix.lower() in _READERS


def _reader_of(path: Path) -> tuple[str, Callable[[bytes], tuple[str, str]]]:
    try:
        return _READERS[path.suffix.lower()]
    except KeyError:
        raise Unreadable(f"not one of {', '.join(sorted(_READERS))}") from None


def _bytes_of(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise Unreadable(f"larger than {MAX_FILE_BYTES // 2**20} MB")
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(error.strerror or type(error).__name__) from error


def _read_text(data: bytes) -> tuple[str, str]:
    text = _decoded(data).strip()
    first, _, rest = text.partition("\n")
    # A first line that stands by itself is a title; any other first line is text.
    alone = rest.startswith("\n") and len(first) <= MAX_TITLE_CHARACTERS
    return (first if alone else ""), text


def _read_markdown(data: bytes) -> tuple[str, str]:
    text = _decoded(data)
    front = _FRONT_MATTER.match(text)
    named = _FRONT_TITLE.search(front[1]) if front else None
    text = text[front.end() :] if front else text
    heading = _HEADING.search(text)
    title = named[1] if named else heading[1] if heading else ""
    return title, text


def _read_html(data: bytes) -> tuple[str, str]:
    # lxml takes bytes without a declared charset for Latin-1; most are UTF-8.
    try:
        source: str | bytes = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        source = data
    if isinstance(source, str):
        source = re.sub(r"^\s*<\?xml[^>]*\?>", "", source)
    if not source.strip():
        raise Unreadable("no text")
    # No entity and no address of a file is ever followed.
    parser = html.HTMLParser(no_network=True, remove_comments=True, huge_tree=False)
    root = html.document_fromstring(source, parser=parser)
    title = root.findtext(".//title") or ""
    for element in list(root.iter("head", *_DROPPED)):
        element.drop_tree()
    pieces = "".join(_pieces(root))
    heading = _HEADING.search(pieces)
    return title or (heading[1] if heading else ""), pieces


def _pieces(root: etree._Element) -> Iterable[str]:
    """The text of a tree, with a line's end around each block and marks before headings."""
    for event, element in etree.iterwalk(root, events=("start", "end", "comment", "pi")):
        tag = element.tag
        if event in ("comment", "pi"):
            yield element.tail or ""
        elif event == "start":
            yield _opening(tag)
            yield re.sub(r"\s+", " ", element.text or "") if tag != "pre" else element.text or ""
        else:
            yield "\n\n" if tag in _BLOCKS and tag not in ("li", "tr") else ""
            yield re.sub(r"\s+", " ", element.tail or "")


def _opening(tag: str) -> str:
    if re.fullmatch("h[1-6]", tag):
        return f"\n\n{'#' * int(tag[1])} "
    if tag == "li":
        return "\n- "
    if tag in ("td", "th"):
        return " | "
    if tag in ("br", "tr"):
        return "\n"
    return "\n\n" if tag in _BLOCKS else ""


def _read_pdf(data: bytes) -> tuple[str, str]:
    try:
        reader = PdfReader(BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("encrypted")
        text = _pages(page.extract_text() for page in reader.pages)
        title = (reader.metadata.title if reader.metadata else None) or ""
    except PyPdfError as error:
        raise Unreadable(f"broken pdf: {type(error).__name__}") from error
    if not text.strip():
        raise Unreadable("no text: scanned pages need character recognition first")
    return title, re.sub(r"(\w)-\n(?=[a-z])", r"\1", text)


def _pages(pages: Iterable[str]) -> str:
    kept, size = [], 0
    for page in pages:
        size += len(page)
        if size > MAX_TEXT_CHARACTERS:
            raise Unreadable(f"more than {MAX_TEXT_CHARACTERS:,} characters of text")
        kept.append(page)
    return "\n\n".join(kept)


def _decoded(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _tidied(text: str) -> str:
    """One kind of newline, no NUL (Postgres refuses it), no run of empty lines or of spaces."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = re.sub(r"[ \t\xa0]+\n", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _one_line(text: str) -> str:
    return " ".join(text.replace("\0", "").split())


_READERS: dict[str, tuple[str, Callable[[bytes], tuple[str, str]]]] = {
    ".txt": ("text/plain", _read_text),
    ".md": ("text/markdown", _read_markdown),
    ".markdown": ("text/markdown", _read_markdown),
    ".html": ("text/html", _read_html),
    ".htm": ("text/html", _read_html),
    ".pdf": ("application/pdf", _read_pdf),
}
