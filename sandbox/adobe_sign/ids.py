"""Ids of Adobe Acrobat Sign: opaque, and constant over time and for every caller (as documented)."""

import base64
import hashlib

PREFIX = "CBJCHBCAABAA"


def write_id(*parts: object) -> str:
    """Return an id derived from `parts`, with the length and prefix of the vendor's samples."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return PREFIX + base64.urlsafe_b64encode(digest[:24]).decode()
