"""Checks the structure of a PDF file."""

import re


def is_pdf(content: bytes) -> bool:
    """Whether every offset of the cross-reference table points at its object."""
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF\n$", content)[1])
    offsets = re.findall(rb"(\d{10}) 00000 n \n", content[start:])
    hits = [content[int(offset) :].startswith(b"%d 0 obj\n" % n) for n, offset in enumerate(offsets, 1)]
    return content.startswith(b"%PDF-1.") and content[start:].startswith(b"xref\n") and bool(hits) and all(hits)
