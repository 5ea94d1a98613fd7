"""Small PDF files that are valid and are the same bytes for the same text: what a download gives here."""

from collections.abc import Sequence


def write_pdf(pages: Sequence[Sequence[str]]) -> bytes:
    """Return a PDF with one page for each list of lines. Characters outside Latin-1 become question marks."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for lines in pages:
        kids.append(len(objects) + 1)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            b"/Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>" % (len(objects) + 2)
        )
        drawn = _draw(lines)
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(drawn), drawn))
    objects[1] = b"<< /Type /Pages /Kids [%b] /Count %d >>" % (b" ".join(b"%d 0 R" % kid for kid in kids), len(kids))
    return _assemble(objects)


def _draw(lines: Sequence[str]) -> bytes:
    shown = [b"(%b) Tj T*" % _escape(line) for line in lines]
    return b"\n".join([b"BT /F1 11 Tf 14 TL 72 720 Td", *shown, b"ET"])


def _escape(line: str) -> bytes:
    raw = line.encode("latin-1", "replace")
    return raw.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _assemble(objects: Sequence[bytes]) -> bytes:
    """Put numbered objects one after the other, and say at the end where each begins."""
    whole, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(whole))
        whole += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    whole += b"xref\n0 %d\n0000000000 65535 f \n%b" % (size, table)
    places_at = whole.rindex(b"xref\n0 ")
    return whole + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, places_at)
