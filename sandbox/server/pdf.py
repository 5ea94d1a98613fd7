"""Small, valid PDF files with pages of plain text lines. The same text always gives the same bytes."""

from collections.abc import Iterable, Sequence

Page = Sequence[str]


def write_pdf(pages: Sequence[Page]) -> bytes:
    """Return a PDF file. A page is a sequence of lines."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} /MediaBox [0 0 612 792] >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, page in enumerate(pages):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>"
            % (5 + 2 * number)
        )
        text = _write_text(page)
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text))
    return _assemble(objects)


def _write_text(lines: Page) -> bytes:
    body = b" T* ".join(b"(%s) Tj" % _escape(line) for line in lines)
    return b"BT /F1 11 Tf 14 TL 72 720 Td " + body + b" ET"


def _escape(line: str) -> bytes:
    return (
        line.encode("cp1252", "replace")
        .translate(None, b"\r\n")
        .replace(b"\\", b"\\\\")
        .replace(b"(", b"\\(")
        .replace(b")", b"\\)")
    )


def _assemble(objects: Iterable[bytes]) -> bytes:
    body, offsets = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for number, text in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    start = len(body)
    body += b"xref\n0 %d\n0000000000 65535 f \n" % (len(offsets) + 1)
    body += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    body += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(offsets) + 1, start)
    return bytes(body)
