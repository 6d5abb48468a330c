"""Files to text: each format, and each way in which a file can be broken."""

import io
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter

import guardrails.grounding.documents as documents
from guardrails.grounding.documents import Document, Unreadable, digest_of, read_document


def pdf(*pages: str, title: str | None = None) -> bytes:
    """A small real PDF with one line of text a page."""
    streams = [f"BT /F1 12 Tf 72 720 Td ({page}) Tj ET".encode() for page in pages]
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, stream in enumerate(streams):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R"
            b" >> >> /Contents %d 0 R >>" % (5 + 2 * n)
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    if title is not None:
        objects.append(f"<< /Title ({title}) >>".encode())
    data, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    info = b" /Info %d 0 R" % len(objects) if title is not None else b""
    size = len(objects) + 1
    end = b"trailer\n<< /Size %d /Root 1 0 R%s >>\nstartxref\n%d\n%%%%EOF" % (size, info, len(data))
    return data + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + end


def read(directory: Path, name: str, data: str | bytes) -> Document:
    path = directory / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_document(path, name)


PAGE = """<!doctype html><html><head><title> The  pump </title><style>p{color:red}</style></head>
<body><nav>Home | About</nav><header>Banner</header><script>alert(1)</script><!-- hidden -->
<main><h1>Pump P-204</h1><p>Use <b>mineral</b> oil.<br>Grade&nbsp;68.</p>
<ul><li>Close</li><li>Open</li></ul>
<table><tr><th>Part</th><th>Hours</th></tr><tr><td>Seal</td><td>2&thinsp;000</td></tr></table></main>
<footer>Imprint</footer></body></html>"""


def test_html_keeps_the_content_with_its_headings(tmp_path: Path) -> None:
    document = read(tmp_path, "a.html", PAGE)
    assert (document.title, document.media_type) == ("The pump", "text/html")
    assert "# Pump P-204\n" in document.text
    assert "Use mineral oil.\nGrade" in document.text
    assert "- Close\n- Open" in document.text
    assert "| Part | Hours" in document.text
    for dropped in ("alert", "color", "Home", "Banner", "Imprint", "hidden"):
        assert dropped not in document.text


CASES = [
    ("a.txt", "A title\n\nText here.", "A title", "A title\n\nText here."),
    ("an_old_note.txt", "Text at once.\nMore.", "an old note", "Text at once.\nMore."),
    ("a.txt", "\ufeffone\r\ntwo\rthree\0", "a", "one\ntwo\nthree"),
    ("a.txt", "größer".encode("cp1252"), "a", "größer"),
    ("a.txt", "größer".encode("utf-16"), "a", "größer"),
    ("a.TXT", "x  \n\n\n\n y", "x", "x\n\n y"),
    ("a.md", "intro\n\n# The *title* #\n\ntext", "The *title*", "intro\n\n# The *title* #\n\ntext"),
    ("a.md", '---\ntitle: "Named"\n---\n# Other\n', "Named", "# Other"),
    ("a.html", "<p>only</p>", "a", "only"),
    ("a.htm", "<h2>Head</h2>text", "Head", "## Head\n\ntext"),
    ("a.html", '<?xml version="1.0" encoding="utf-8"?><html><p>é</p></html>', "a", "é"),
    ("a.pdf", pdf("Close both valves.", "Then open."), "a", "Close both valves.\n\nThen open."),
    ("a.pdf", pdf("Text", title="Manual"), "Manual", "Text"),
]


@pytest.mark.parametrize(("name", "data", "title", "text"), CASES)
def test_file_becomes_title_and_text(
    tmp_path: Path, name: str, data: str | bytes, title: str, text: str
) -> None:
    document = read(tmp_path, name, data)
    assert (document.title, document.text) == (title, text)
    assert document.sha256 == digest_of(tmp_path / name)


def encrypted() -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("secret"))))
    writer.encrypt("password", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


BROKEN = [
    ("a.txt", "", "no text"),
    ("a.txt", " \n\0 ", "no text"),
    ("a.md", "---\ntitle: x\n---\n", "no text"),
    ("a.html", "", "no text"),
    ("a.html", "<script>x</script>", "no text"),
    ("a.pdf", pdf(""), "no text: scanned pages"),
    ("a.pdf", b"", "broken pdf"),
    ("a.pdf", b"%PDF-1.4\n" + b"\x00\xff" * 400, "broken pdf"),
    ("a.pdf", pdf("whole")[:200], "broken pdf"),
    ("a.pdf", encrypted(), "encrypted"),
    ("a.docx", "x", "not one of .htm, .html"),
]


@pytest.mark.parametrize(("name", "data", "reason"), BROKEN)
def test_broken_file_says_why(tmp_path: Path, name: str, data: str | bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read(tmp_path, name, data)


def test_missing_and_oversized_files_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unreadable, match="No such file"):
        read_document(tmp_path / "none.txt", "none.txt")
    monkeypatch.setattr(documents, "MAX_TEXT_CHARACTERS", 10)
    with pytest.raises(Unreadable, match="more than 10 characters"):
        read(tmp_path, "a.txt", "x" * 11)
    with pytest.raises(Unreadable, match="more than 10 characters"):
        read(tmp_path, "a.pdf", pdf("1234567", "1234567"))
    monkeypatch.setattr(documents, "MAX_FILE_BYTES", 2**20)
    with pytest.raises(Unreadable, match="larger than 1 MB"):
        read(tmp_path, "b.txt", "x" * (2**20 + 1))


def test_external_entity_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("TOP")
    bomb = f'<!DOCTYPE r [<!ENTITY x SYSTEM "file://{tmp_path}/secret.txt">]><p>a &x; b</p>'
    assert "TOP" not in read(tmp_path, "a.html", bomb).text


def test_deep_html_is_read_or_refused(tmp_path: Path) -> None:
    try:
        assert "deep" in read(tmp_path, "a.html", "<div>" * 50_000 + "deep").text
    except Unreadable as error:
        assert str(error)
